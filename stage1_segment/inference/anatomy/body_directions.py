"""Which way a scan's own anatomy says is forward and up, whatever its header claims."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from common.labels import LEVEL_IDS
from common.masks.values import labelled_box
from common.resample import AIR_HU, canonical, grid_at_spacing, resample
from common.volume import Volume

CELL_MM = 3.0
AIR_BELOW_HU = -500.0
TISSUE_ABOVE_HU = -300.0
BONE_ABOVE_HU = 250.0
ENAMEL_ABOVE_HU = 1500.0
BRAIN_HU = (-20.0, 100.0)
AROUND_MM = 60.0
BESIDE_MM = 140.0
"""Of the scan above and below the labelled vertebrae, and on every side of them, so much is looked at."""
LEAST_AIRWAY_ML = 1.0
LEAST_BRAIN_ML = 40.0
LEAST_LUNG_ML = 150.0
LEAST_ENAMEL_ML = 0.3
LEAST_RATIO, MOST_OF_BONE = 1.5, 0.35
"""Of the parts of a cross-section that are bone: a head has 0.14 to 0.31, a neck 0.05 to 0.10, shoulders 0.05. A narrow
view of a chest, whose lungs aren't tissue, has 0.23: so this alone can't contradict a header."""
PITCH_MM = 17.5
"""From one level to the next."""
LOWEST_AT_TEETH, NO_TEETH = 5.0, 8.5
"""The jaw lies at the height of C2 to C4; teeth beside C5 or lower are impossible without a bowed head. What is dense
before the thoracic spine is metal or contrast. Where levels are misnamed, teeth in their place say little."""


@dataclass(frozen=True)
class Cue:
    """One thing seen: `along` which direction it speaks, `weight` -1..1 (negative: against what the header says), and
    `text`, what it is."""

    along: Literal["forward", "up"]
    weight: float
    text: str


def direction_cues(ct: Volume, mask: Volume) -> list[Cue]:
    """What speaks for and against the directions that the affine claims.

    ct (X, Y, Z) HU and mask (X, Y, Z) of `labels.CLASS_NAMES`, on one grid, any orientation. [] where nothing is
    labelled. Left and right can't be told from bones.
    """
    whole = canonical(mask)
    box = labelled_box(whole.array)
    if not whole.array[box].any():
        return []
    margin = np.array([BESIDE_MM, BESIDE_MM, AROUND_MM]) / whole.spacing
    ends = np.array([(s.start, s.stop) for s in box]).T + np.outer([-1, 1], np.ceil(margin))
    scan = canonical(ct).crop(*ends)
    grid = grid_at_spacing(scan.grid, CELL_MM)
    hu = resample(scan, grid, fill=AIR_HU).array
    labels = resample(whole.crop(*ends), grid, order=0, fill=0).array
    spine = labels > 0
    if spine.sum() < 10:
        return []
    line = _middle_line(spine)
    cues = [*_airway(hu, spine, line), *_bodies(spine), *_head_and_chest(hu), *_teeth(hu, labels, line)]
    return [cue for cue in cues if cue.weight != 0]


def balance(cues: list[Cue], along: str) -> float:
    """Sum of the weights along one direction; below zero, the scan contradicts its header."""
    return sum(cue.weight for cue in cues if cue.along == along)


def _middle_line(spine: np.ndarray) -> np.ndarray:
    """(Z, 2): x and y of the spine's middle at each height, smoothed over 27 mm."""
    filled = np.flatnonzero(spine.any((0, 1)))
    counts = [spine.sum(axis=1 - axis)[:, filled] for axis in (0, 1)]
    middles = [np.arange(len(count)) @ count / count.sum(axis=0) for count in counts]
    line = np.stack([np.interp(np.arange(spine.shape[2]), filled, middle) for middle in middles], axis=1)
    return ndimage.uniform_filter1d(line, 9, axis=0, mode="nearest")


def _airway(hu: np.ndarray, spine: np.ndarray, line: np.ndarray) -> list[Cue]:
    """Pharynx and trachea: air with tissue before and behind it, in front of the spine."""
    ahead = behind = 0
    half, reach = round(24 / CELL_MM), round(75 / CELL_MM)
    for z in np.flatnonzero(spine.any((0, 1))):
        x, y = np.rint(line[z]).astype(int)
        strip = hu[max(x - half, 0) : x + half + 1, :, z]
        tissue = strip > TISSUE_ABOVE_HU
        closed = np.maximum.accumulate(tissue, 1) & np.maximum.accumulate(tissue[:, ::-1], 1)[:, ::-1]
        air = (strip < AIR_BELOW_HU) & closed
        ahead += int(air[:, y : y + reach].sum())
        behind += int(air[:, max(y - reach, 0) : y].sum())
    ml = CELL_MM**3 / 1000
    if (ahead + behind) * ml < LEAST_AIRWAY_ML:
        return []
    weight = (ahead - behind) / (ahead + behind)
    return [Cue("forward", weight, f"airway: {ahead * ml:.0f} ml of air before the spine, {behind * ml:.0f} ml behind")]


def _bodies(spine: np.ndarray) -> list[Cue]:
    """The thickest bone of a cross-section is the vertebral body, and lies in front."""
    ahead = []
    for z in np.flatnonzero(spine.any((0, 1))):
        depth = ndimage.distance_transform_edt(np.pad(spine[:, :, z], 1))[1:-1, 1:-1]
        if depth.max() * CELL_MM >= 5.0:
            y = np.argwhere(spine[:, :, z])[:, 1]
            ahead.append(np.argwhere(depth > 0.8 * depth.max())[:, 1].mean() > (y.min() + y.max()) / 2)
    if len(ahead) * CELL_MM < 30:
        return []
    share = float(np.mean(ahead))
    return [Cue("forward", 2 * share - 1, f"bodies: before the arches in {share:.0%} of the cross-sections")]


def _head_and_chest(hu: np.ndarray) -> list[Cue]:
    """A head is mostly bone and holds a brain, and lies above; lungs lie below."""
    tissue = (hu > TISSUE_ABOVE_HU).sum((0, 1))
    seen = np.flatnonzero(tissue * CELL_MM**2 > 500)
    if len(seen) < 6:
        return []
    third = len(seen) // 3
    cues = []
    bone = (hu > BONE_ABOVE_HU).sum((0, 1))
    upper, lower = (float(bone[z].sum() / tissue[z].sum()) for z in (seen[-third:], seen[:third]))
    ratio = (upper + 0.01) / (lower + 0.01)
    if max(ratio, 1 / ratio) > LEAST_RATIO:
        weight = MOST_OF_BONE * float(np.clip(np.log(ratio) / np.log(3.0), -1, 1))
        cues.append(Cue("up", weight, f"bone: {upper:.0%} of the upper cross-sections, {lower:.0%} of the lower ones"))
    middle, ml = len(seen) // 2, CELL_MM**3 / 1000
    for name, cells, least, above in (
        ("brain", [_brain(hu[:, :, z]) for z in seen], LEAST_BRAIN_ML, 1.0),
        ("lungs", [_lungs(hu[:, :, z]) for z in seen], LEAST_LUNG_ML, -1.0),
    ):
        volumes = np.array(cells) * ml
        up, down = float(volumes[middle:].sum()), float(volumes[:middle].sum())
        if up + down > least:
            cues.append(Cue("up", above * (up - down) / (up + down), f"{name}: {up:.0f} ml above, {down:.0f} ml below"))
    return cues


def _brain(plane: np.ndarray) -> int:
    """Cells of soft tissue within a closed ring of bone, wider than a spinal canal."""
    ring = ndimage.binary_closing(np.pad(plane > BONE_ABOVE_HU - 50, 3), iterations=2)[3:-3, 3:-3]
    inside = ndimage.binary_fill_holes(ring) & ~ring & (plane > BRAIN_HU[0]) & (plane < BRAIN_HU[1])
    return int(ndimage.binary_opening(inside, iterations=4).sum())


def _lungs(plane: np.ndarray) -> int:
    """Cells of air within the body, wider than an airway or a sinus."""
    inside = ndimage.binary_fill_holes(plane > TISSUE_ABOVE_HU) & (plane < AIR_BELOW_HU)
    return int(ndimage.binary_opening(inside, iterations=5).sum())


def _teeth(hu: np.ndarray, labels: np.ndarray, line: np.ndarray) -> list[Cue]:
    """Enamel lies in front of the upper levels."""
    enamel = np.argwhere(hu > ENAMEL_ABOVE_HU)
    x, y = line[enamel[:, 2]].T if len(enamel) else (0, 0)
    before = enamel[(enamel[:, 1] - y > 30 / CELL_MM) & (np.abs(enamel[:, 0] - x) < 45 / CELL_MM)]
    heights = {
        number: np.argwhere(labels == number)[:, 2].mean() for number in LEVEL_IDS.values() if (labels == number).any()
    }
    if len(before) * CELL_MM**3 / 1000 < LEAST_ENAMEL_ML or not heights:
        return []
    nearest = min(heights, key=lambda number: abs(heights[number] - np.median(before[:, 2])))
    level = nearest + (heights[nearest] - float(np.median(before[:, 2]))) * CELL_MM / PITCH_MM
    if level > NO_TEETH:
        return []
    weight = float(np.clip((LOWEST_AT_TEETH - level) / 2, -1, 0.5))
    return [Cue("up", weight, f"teeth: at the height of C{level:.0f}" if level >= 1 else "teeth: above C1")]
