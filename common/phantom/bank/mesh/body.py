"""What is drawn about one subject of an atlas: sizes, posture, wear, build. Lengths in mm, angles in degrees."""

from dataclasses import dataclass

import numpy as np

from common.phantom.anatomy.person import stream
from common.phantom.bank.mesh.rest_pose import SPACING_MM

SPACING_SD = (0.08, 0.06, 0.045, 0.04, 0.05, 0.07, 0.05, 0.05, 0.05, 0.04, 0.04, 0.04)
"""Of the logarithm of each spacing among people of the same size. The keypoints' own (0.13, 0.11, 0.09, 0.09, 0.11,
0.14, 0.11 in the neck) hold a common part, 0.08, and the scatter of the markers, which is left out."""
WORN = (0.0, 0.3, 0.5, 0.8, 1.3, 1.3, 0.6, 0.3, 0.3, 0.3, 0.3, 0.3)
"""How much of the wear falls to the disc below each level: C5-C6 and C6-C7 first."""


@dataclass(frozen=True, eq=False)
class Body:
    """`spacing` (levels - 1,) between neighbours' centres; `bend`, `lean`, `turn` (levels,): how far each level is
    turned against the next below, about the axes to the front, to the right (positive = flexion) and up, in addition
    to how the atlas stands; the same of the head against C1 in `head`. `wear` (levels,) 0..1 of each disc.
    `girth`: of the soft tissue over the bones; `fat_mm`: of fat laid on; `plump` (levels, 3): own scale of each
    vertebra (right, anterior; the third follows from the spacing)."""

    seed: int
    size: float
    spacing: np.ndarray
    lordosis: float
    lean: np.ndarray
    bend: np.ndarray
    turn: np.ndarray
    head: tuple[float, float, float]
    head_size: float
    tilt: tuple[float, float, float]
    degeneration: float
    wear: np.ndarray
    plump: np.ndarray
    girth: float
    fat_mm: float
    jaw: float

    def stream(self, purpose: str) -> np.random.Generator:
        return stream(self.seed, 0, purpose)


def draw_body(seed: int, levels: int, rest_lordosis: float) -> Body:
    """A subject with `levels` vertebrae from C1 down; `rest_lordosis`: the atlas' own angle between C2 and C7.

    Sizes follow the keypoints of 119 CT scans (all levels of one person together: SD 8 %), a little wider;
    postures follow them too (lordosis SD 19, lateral tilt SD 6 degrees), the range goes to -20 .. 55. A bent neck
    is shared out below and above it: the upper chest tilts by 0.4 of it the other way (in the keypoints the upper
    chest varies by 10, the upper neck by 15 degrees), and the head turns back towards level.
    """
    rng = stream(seed, 0, "body")
    size = float(np.clip(np.exp(rng.normal(0, 0.10)), 0.8, 1.25))
    own = np.exp(rng.normal(0, 1, levels - 1) * SPACING_SD[: levels - 1])
    spacing = np.array(SPACING_MM[: levels - 1]) * size * own
    degeneration = float(np.clip(rng.beta(1.2, 1.6) * 1.1 - 0.05, 0, 1))
    wear = degeneration * np.array([*WORN[: levels - 1], 0.2]) * rng.uniform(0.1, 1.1, levels)
    lordosis = float(rng.uniform(-20, 55)) if rng.random() < 0.4 else float(np.clip(rng.normal(17, 15), -20, 55))
    neck = np.r_[0, rng.dirichlet(np.full(5, 6.0)), np.zeros(levels - 6)]
    lean = -(lordosis - rest_lordosis) * neck
    swing = rng.normal(0, 8) * np.r_[0, np.diff(np.sin(np.linspace(0, 2 * np.pi, 6))), np.zeros(levels - 6)]
    lean += swing + rng.normal(0, 0.8, levels)
    lean[0] = rng.normal(0, 4)
    share = np.r_[0.12, np.full(6, 0.12), 0.08, 0.04, np.full(levels - 9, 0.02)]
    bend = rng.normal(0, 9) * share + rng.normal(0, 0.7, levels)
    rotation = float(np.clip(rng.normal(0, 16), -45, 45))
    turn = rotation * np.r_[0.55, np.full(6, 0.075), np.zeros(levels - 7)] + rng.normal(0, 0.5, levels)
    stands = lean.sum()  # how far the atlas would be bent forwards at C1
    tilt = 12 - 0.4 * stands + rng.normal(0, 7)
    head = (float(np.clip(rng.normal(-5 - 0.5 * (tilt + stands), 5), -20, 14)), rng.normal(0, 2), rng.normal(0, 1.5))
    build = np.exp(rng.normal(0, 0.05, 2))
    stout = float(rng.normal(0, 1))
    return Body(
        seed=seed,
        size=size,
        spacing=spacing,
        lordosis=lordosis,
        lean=lean,
        bend=bend,
        turn=turn,
        head=head,
        head_size=size**0.7 * float(np.exp(rng.normal(0, 0.03))),
        tilt=(tilt, rng.normal(0, 4) - 0.5 * bend.sum(), rng.normal(0, 5) - 0.3 * turn.sum()),
        degeneration=degeneration,
        wear=np.clip(wear, 0, 1),
        plump=size**0.85 * build * np.exp(rng.normal(0, 0.035, (levels, 2))),
        girth=float(np.clip(np.exp(0.17 * stout + rng.normal(0, 0.05)), 0.72, 1.5)),
        fat_mm=float(np.clip(2 + 4 * stout + rng.normal(0, 1.5), -1.5, 16)),
        jaw=float(max(rng.normal(2, 4), 0)),
    )
