"""Signed distances of simple solids and how to join them; all in mm, negative inside, float32."""

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]
"""Points (..., 3) mm -> signed distance (...) mm, negative inside."""


TINY = np.float32(1e-6)
FAR_MM = 8.0
"""Where no point of several lies nearer to a solid its distance isn't worked out; nothing is painted so far off."""


def components(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) -> (3, N) with contiguous rows, so that arithmetic on one coordinate is fast."""
    return np.ascontiguousarray(np.asarray(points, np.float32).reshape(-1, 3).T)


def apart(q: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
    """Where all points (3, N) lie farther than FAR_MM from the box between the corners `low` and `high` (3,): how far
    their own box does, as (N,) distances; else None."""
    gap = np.maximum(np.maximum(low - q.max(axis=1), q.min(axis=1) - high), 0)
    away = math.sqrt(gap @ gap)
    return np.full(q.shape[1], away, np.float32) if away > FAR_MM else None


def smooth_union(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Union whose inner edge is filled over about `radius` mm (polynomial smooth minimum)."""
    blend = np.abs(a - b)
    np.subtract(np.float32(radius), blend, out=blend)
    np.maximum(blend, 0, out=blend)
    blend *= blend
    blend *= np.float32(0.25 / radius)
    return np.minimum(a, b) - blend


def smooth_intersection(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Intersection whose outer edge is rounded over about `radius` mm."""
    blend = np.abs(a - b)
    np.subtract(np.float32(radius), blend, out=blend)
    np.maximum(blend, 0, out=blend)
    blend *= blend
    blend *= np.float32(0.25 / radius)
    return np.maximum(a, b) + blend


def smooth_subtraction(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """`a` without `b`, the edge rounded over about `radius` mm."""
    return smooth_intersection(a, -b, radius)


def ellipsoid(points: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Distance to an axis-aligned ellipsoid, exact at the surface to first order. (..., 3) -> (...)."""
    q = components(points)
    if (far := apart(q, np.subtract(centre, radii), np.add(centre, radii))) is not None:
        return far.reshape(np.shape(points)[:-1])
    q = q - np.float32(centre).reshape(3, 1)
    return _elliptic(q, np.float32(radii).reshape(3, 1)).reshape(np.shape(points)[:-1])


def beam(
    points: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    start_radii: tuple[float, float],
    end_radii: tuple[float, float],
    up: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> np.ndarray:
    """Distance to a tapered bar with an elliptic section and rounded ends. (..., 3) -> (...).

    The radii are half the section's size along `up` (made perpendicular to the bar) and across it.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    first, last = max(start_radii), max(end_radii)
    q = components(points)
    if (far := apart(q, np.minimum(start - first, end - last), np.maximum(start + first, end + last))) is not None:
        return far.reshape(np.shape(points)[:-1])
    length = float(np.linalg.norm(end - start))
    frame = bar_frame(end - start, up)
    q = (frame.astype(np.float32) @ q) - np.float32(frame @ start).reshape(3, 1)
    inside = np.clip(q[0], 0, length)
    q[0] -= inside
    inside *= np.float32(1 / length)
    radii = np.empty_like(q)
    for row, first, last in zip((1, 2), start_radii, end_radii):
        np.multiply(inside, np.float32(last - first), out=radii[row])
        radii[row] += np.float32(first)
    np.minimum(radii[1], radii[2], out=radii[0])
    return _elliptic(q, radii).reshape(np.shape(points)[:-1])


def polyline_beam(
    points: np.ndarray,
    path: np.ndarray,
    radii: np.ndarray,
    up: tuple[float, float, float] = (0.0, 0.0, 1.0),
    blend: float = 0.3,
) -> np.ndarray:
    """Distance to bars along a path (K, 3) with `radii` (K, 2) at its corners, as in `beam`."""
    parts = [
        beam(points, path[k], path[k + 1], tuple(radii[k]), tuple(radii[k + 1]), up) for k in range(len(path) - 1)
    ]
    return reduce(lambda joined, part: smooth_union(joined, part, blend), parts)


def capsule(points: np.ndarray, start: np.ndarray, end: np.ndarray, start_mm: float, end_mm: float) -> np.ndarray:
    """Distance to a round bar whose radius goes from `start_mm` to `end_mm`. (..., 3) -> (...)."""
    begin = np.asarray(start, np.float32)
    stop = np.asarray(end, np.float32)
    way = stop - begin
    q = components(points)
    thick = max(start_mm, end_mm)
    if (far := apart(q, np.minimum(begin, stop) - thick, np.maximum(begin, stop) + thick)) is not None:
        return far.reshape(np.shape(points)[:-1])
    q = q - begin.reshape(3, 1)
    along = np.clip((way @ q) / np.float32(way @ way), 0, 1)
    q -= way.reshape(3, 1) * along
    np.multiply(q, q, out=q)
    distance = np.sqrt(q[0] + q[1] + q[2]) - (np.float32(start_mm) + np.float32(end_mm - start_mm) * along)
    return distance.reshape(np.shape(points)[:-1])


def rounded_box(points: np.ndarray, centre: np.ndarray, half: np.ndarray, rounding: float) -> np.ndarray:
    """Distance to an axis-aligned box of half sizes `half` with rounded edges. (..., 3) -> (...)."""
    q = np.abs(components(points) - np.float32(centre).reshape(3, 1))
    q -= np.float32(half).reshape(3, 1) - np.float32(rounding)
    inside = np.minimum(q.max(axis=0), 0)
    np.maximum(q, 0, out=q)
    np.multiply(q, q, out=q)
    return (np.sqrt(q[0] + q[1] + q[2]) + inside - np.float32(rounding)).reshape(np.shape(points)[:-1])


def squircle(
    x: np.ndarray, y: np.ndarray, half_x: float | np.floating, half_y: np.ndarray | float, roundness: np.ndarray | float
) -> np.ndarray:
    """In-plane distance to a rounded oblong: `roundness` 1 gives an ellipse, 0 a rounded rectangle.

    Measured along the ray from the centre: x^4 + 2 r x^2 y^2 + y^4 = 1 in units of the half sizes.
    """
    s = x * np.float32(1 / half_x)
    s *= s
    t = y / np.asarray(half_y, np.float32)
    t *= t
    norm = s * t
    norm *= 2 * np.asarray(roundness, np.float32)
    norm += s * s
    norm += t * t
    norm = np.maximum(np.sqrt(np.sqrt(norm)), np.float32(1e-3))
    reach = np.maximum(np.sqrt(x * x + y * y), np.float32(1e-3 * half_x))
    return reach - reach / norm


def ring(
    points: np.ndarray,
    centre: np.ndarray,
    half_x: float,
    half_y: float,
    half_height: np.ndarray | float,
    half_width: np.ndarray | float,
) -> np.ndarray:
    """Distance to an elliptic ring (a flattened torus) about the z axis through `centre`. (..., 3) -> (...).

    `half_height`, `half_width`: half the section's size along z and across the ring, numbers or one per point.
    """
    q, wide = components(points), np.max(half_width)
    half = np.array([half_x + wide, half_y + wide, np.max(half_height)])
    if (far := apart(q, centre - half, centre + half)) is not None:
        return far.reshape(np.shape(points)[:-1])
    x, y, z = q - np.float32(centre).reshape(3, 1)
    across = squircle(x, y, half_x, half_y, 1.0)
    q = np.stack([across, z, np.zeros_like(z)])
    radii = np.empty_like(q)
    radii[0], radii[1], radii[2] = half_width, half_height, 1
    return _elliptic(q, radii).reshape(np.shape(points)[:-1])


def bar_frame(direction: np.ndarray, up: tuple[float, float, float]) -> np.ndarray:
    """(3, 3) rows: along `direction`, along `up` made perpendicular to it, across both."""
    along = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    vertical = np.asarray(up, np.float64) - along * np.dot(up, along)
    vertical /= np.linalg.norm(vertical)
    (a, b, c), (x, y, z) = along, vertical
    across = b * z - c * y, c * x - a * z, a * y - b * x  # np.cross takes ten times as long
    return np.array([along, vertical, across])


def _elliptic(q: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """k0 (k0 - 1) / k1 with k0 = |q / r|, k1 = |q / r^2|: the ellipsoid's distance to first order."""
    scaled = q / radii
    steeper = scaled / radii
    np.multiply(scaled, scaled, out=scaled)
    np.multiply(steeper, steeper, out=steeper)
    k0 = np.sqrt(scaled[0] + scaled[1] + scaled[2])
    k1 = np.sqrt(steeper[0] + steeper[1] + steeper[2])
    smallest = np.minimum(np.minimum(radii[0], radii[1]), radii[2])
    return np.where(k1 < TINY, -smallest, k0 * (k0 - 1) / (k1 + TINY)).astype(np.float32)
