"""Signed distances (mm, negative inside) to simple bodies; points come as x, y, z that broadcast."""

import numexpr
import numpy as np

Points = list[np.ndarray]


def ellipsoid(points: Points, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """First-order distance to an ellipsoid along the points' axes."""
    terms = dict(zip("xyz", points)) | {f"c{k}": np.float32(c) for k, c in zip("xyz", centre)}
    terms |= {k: np.float32(1 / r) for k, r in zip("abc", radii)} | {"one": np.float32(1), "little": np.float32(1e-6)}
    terms["r"] = numexpr.evaluate("sqrt(((x-cx)*a)**2 + ((y-cy)*b)**2 + ((z-cz)*c)**2)", terms)
    steep = "(sqrt(((x-cx)*a*a)**2 + ((y-cy)*b*b)**2 + ((z-cz)*c*c)**2) + little)"
    return numexpr.evaluate(f"r * (r - one) / {steep}", terms)


def capsule(
    points: Points, start: np.ndarray, end: np.ndarray, radius: float, radius_end: float | None = None
) -> np.ndarray:
    """A rod with round ends, tapering when `radius_end` is given."""
    along = np.subtract(end, start)
    terms = dict(zip("xyz", points)) | {f"a{k}": np.float32(c) for k, c in zip("xyz", start)}
    terms |= {f"b{k}": np.float32(c) for k, c in zip("xyz", along)}
    terms |= {"square": np.float32(max(along @ along, 1e-6)), "r": np.float32(radius)}
    terms["taper"] = np.float32(0 if radius_end is None else radius_end - radius)
    terms["h"] = numexpr.evaluate("((x-ax)*bx + (y-ay)*by + (z-az)*bz) / square", terms).clip(0, 1)
    return numexpr.evaluate("sqrt((x-ax-h*bx)**2 + (y-ay-h*by)**2 + (z-az-h*bz)**2) - r - taper*h", terms)


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
