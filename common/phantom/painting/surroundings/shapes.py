"""Signed distances (mm, negative inside) to simple bodies; points come as x, y, z that broadcast."""

import numpy as np

from common.volume import Vector

Points = list[np.ndarray]


def ellipsoid(points: Points, centre: Vector, radii: Vector) -> np.ndarray:
    """First-order distance to an ellipsoid along the points' axes."""
    x, y, z = (np.square((p - np.float32(c)) * np.float32(1 / r)) for p, c, r in zip(points, centre, radii))
    r = x + y + z
    np.sqrt(r, out=r)
    x, y, z = (square * np.float32(1 / radius) ** 2 for square, radius in zip((x, y, z), radii))
    slope = x + y + z
    np.sqrt(slope, out=slope)
    slope += np.float32(1e-6)
    out = r - np.float32(1)
    out *= r
    out /= slope
    return out


def capsule(
    points: Points, start: Vector, end: Vector, radius: float, radius_end: float | None = None
) -> np.ndarray:
    """A rod with round ends, tapering when `radius_end` is given."""
    along = np.subtract(end, start).astype(np.float32)
    square = np.float32(max(float(along @ along), 1e-6))
    x, y, z = (p - np.float32(c) for p, c in zip(points, start))
    dot = x * along[0] + y * along[1] + z * along[2]
    part = dot * (1 / square)
    np.clip(part, 0, 1, out=part)
    dot *= 2  # |p - part * along|^2 = |p|^2 - part * (2 dot - part * square)
    dot -= part * square
    dot *= part
    distance = np.square(x) + np.square(y) + np.square(z)
    distance -= dot
    np.maximum(distance, 0, out=distance)
    np.sqrt(distance, out=distance)
    distance -= np.float32(radius)
    if radius_end is not None:
        distance -= part * np.float32(radius_end - radius)
    return distance


def tube(points: Points, course: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """A round tube along world points (n, 3); `radius` one or one a point. Evaluated near each piece only."""
    radii = np.broadcast_to(radius, len(course)).astype(float)
    shape = np.broadcast_shapes(*(p.shape for p in points))
    out = np.full(shape, 15, np.float32)
    lines = [p.ravel() for p in points]
    for start, end, r0, r1 in zip(course[:-1], course[1:], radii[:-1], radii[1:]):
        reach = max(r0, r1) + 5
        low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        part = tuple(slice(*np.searchsorted(line, (a, b))) for line, a, b in zip(lines, low, high))
        view = out[part]
        if view.size:
            near = [p[tuple(part[j] if j == k else slice(None) for j in range(3))] for k, p in enumerate(points)]
            np.minimum(view, capsule(near, start, end, r0, r1), out=view)
    return out


def smooth_union(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Union whose seam is filled over `blend` mm (polynomial smooth minimum)."""
    k = np.float32(blend)
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.minimum(a, b) - h * h * k * np.float32(0.25)


def smooth_intersection(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Intersection whose edge is rounded over `blend` mm."""
    return -smooth_union(-a, -b, blend)
