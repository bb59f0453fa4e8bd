"""What makes two bones of one kind differ: a slow warp of space, a swerve of the spinous process, a fine relief."""

from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.person import Person


@dataclass(frozen=True, eq=False)
class Relief:
    """`warp_waves` (K, 3) rad/mm, `warp_phases` (K,), `warp_ways` (K, 3) mm; `bump_*` alike with one size each;
    `swerve` mm at the tip of the spinous process."""

    warp_waves: np.ndarray
    warp_phases: np.ndarray
    warp_ways: np.ndarray
    bump_waves: np.ndarray
    bump_phases: np.ndarray
    bump_sizes: np.ndarray
    swerve: float

    def warp(self, q: np.ndarray) -> np.ndarray:
        """Points (3, N) of the personal bone -> where they lie in the regular one; shifts of about 1 mm."""
        waves = np.sin(self.warp_waves @ q + self.warp_phases[:, None])
        moved = q + self.warp_ways.T @ waves
        back = np.clip((-q[1] - 18) / 30, 0, 1.5)
        moved[0] -= np.float32(self.swerve) * back * back
        return moved

    def bumps(self, q: np.ndarray) -> np.ndarray:
        """Points (3, N) -> mm (N,) that the surface stands out there, within about 0.4 mm."""
        return self.bump_sizes @ np.sin(self.bump_waves @ q + self.bump_phases[:, None])


def make_relief(level: str, person: Person) -> Relief:
    """The relief of one bone of a subject; stronger in asymmetric and in worn necks."""
    rng = person.stream(f"vertebra {level}")
    warps, bumps = 4, 5
    warp_mm = 0.10 + 0.32 * person.asymmetry
    ways = rng.normal(0, warp_mm, (warps, 3)) * [1.0, 1.0, 0.6]
    return Relief(
        warp_waves=_waves(rng, warps, 38, 80),
        warp_phases=rng.uniform(0, 2 * np.pi, warps).astype(np.float32),
        warp_ways=np.clip(ways, -0.7, 0.7).astype(np.float32),
        bump_waves=_waves(rng, bumps, 6, 17),
        bump_phases=rng.uniform(0, 2 * np.pi, bumps).astype(np.float32),
        bump_sizes=(rng.uniform(0.05, 0.09, bumps) * (1 + 0.5 * person.degeneration)).astype(np.float32),
        swerve=float(np.clip(rng.normal(0, 0.6 + 1.6 * person.asymmetry), -3, 3)),
    )


def _waves(rng: np.random.Generator, count: int, shortest: float, longest: float) -> np.ndarray:
    ways = rng.normal(size=(count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return (ways * (2 * np.pi / rng.uniform(shortest, longest, (count, 1)))).astype(np.float32)
