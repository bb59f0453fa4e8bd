"""The rough surface along which a bone breaks."""

from dataclasses import dataclass, replace

import numpy as np

from common.volume import Vector

WAVELENGTHS_MM = (13.0, 5.5, 2.4)
SHARE_OF_AMPLITUDE = (0.6, 0.27, 0.13)
WAVES_PER_OCTAVE = 2


@dataclass(frozen=True, eq=False)
class RoughSurface:
    """A bowed plane through `centre` with waves of three octaves on it, which are 0 at the centre.

    `normal` (3,) unit, towards the fragment. `bow` 1/mm: the surface rises by bow r^2 / 2 along the normal at
    distance r from the centre. `wave_vectors` (n, 3) 1/mm across the normal, `heights` (n,) mm, `phases` (n,).
    `reach`: mm from the centre, where the break ends inside the bone; inf = it goes through.
    """

    centre: np.ndarray
    normal: np.ndarray
    bow: float
    wave_vectors: np.ndarray
    heights: np.ndarray
    phases: np.ndarray
    reach: float

    @property
    def roughness(self) -> float:
        return float(np.abs(self.heights).sum())

    @property
    def steepest(self) -> float:
        """By how much `distance` at most falls short of the height above the surface, as a factor."""
        slope = np.abs(self.heights) @ np.linalg.norm(self.wave_vectors, axis=1)
        return float(np.sqrt(1 + slope**2))

    def reversed(self) -> "RoughSurface":
        """The same surface with its other side positive."""
        return replace(self, normal=-self.normal, bow=-self.bow, heights=-self.heights)

    def rough_plane(self, points: np.ndarray) -> np.ndarray:
        """Distance (n,) of points (n, 3) along the normal from the bowed plane, without the waves."""
        if not self.bow:
            return points @ self.normal - self.centre @ self.normal
        offset = points - self.centre
        along = offset @ self.normal
        return along - self.bow / 2 * (np.einsum("ij,ij->i", offset, offset) - along**2)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (n,) mm to the surface, positive on the fragment's side; the height above the surface
        divided by the slope's length, hence good to first order near it."""
        phase = (points - self.centre) @ self.wave_vectors.T + self.phases
        height = self.heights * (np.sin(phase) - np.sin(self.phases))
        slope = (self.heights * np.cos(phase)) @ self.wave_vectors
        above = self.rough_plane(points) - height.sum(axis=1)
        return above / np.sqrt(1 + np.einsum("ij,ij->i", slope, slope))

    def hold(self, points: np.ndarray) -> np.ndarray:
        """How firmly (n,) mm the bone still holds together: 0 within reach, growing beyond it."""
        if np.isinf(self.reach):
            return np.zeros(len(points), points.dtype)
        return np.clip((np.linalg.norm(points - self.centre, axis=1) - self.reach) / 1.5, 0, 4)


def rough_surface(
    rng: np.random.Generator,
    centre: Vector,
    normal: Vector,
    roughness: float = 1.0,
    bow: float = 0.0,
    reach: float = np.inf,
) -> RoughSurface:
    """Draws a surface through `centre` (3,) across `normal` (3,), any length; `roughness`: largest height in mm."""
    across = np.asarray(normal, np.float64)
    across = across / np.linalg.norm(across)
    first = np.cross(across, [0.0, 0, 1] if abs(across[2]) < 0.8 else [1.0, 0, 0])
    first /= np.linalg.norm(first)
    second = np.cross(across, first)
    vectors, heights = [], []
    for wavelength, share in zip(WAVELENGTHS_MM, SHARE_OF_AMPLITUDE):
        turn = rng.uniform(0, np.pi)
        for k in range(WAVES_PER_OCTAVE):
            angle = turn + k * np.pi / WAVES_PER_OCTAVE + rng.uniform(-0.3, 0.3)
            length = 2 * np.pi / (wavelength * rng.uniform(0.8, 1.25))
            vectors.append(length * (np.cos(angle) * first + np.sin(angle) * second))
            heights.append(roughness * share / WAVES_PER_OCTAVE * rng.uniform(0.7, 1.3))
    single = np.float32
    return RoughSurface(
        np.asarray(centre, single),
        across.astype(single),
        float(bow),
        np.array(vectors, single),
        np.array(heights, single),
        rng.uniform(0, 2 * np.pi, len(heights)).astype(single),
        float(reach),
    )
