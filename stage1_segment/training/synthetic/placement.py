"""Where a scan and the window that the network sees lie in a subject, drawn at random."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from stage1_segment.settings import SyntheticSettings
from stage1_segment.training.synthetic.subject import Subject

BODY_MM = 90.0
"""From the spine to where the body ends or doesn't matter; a tilted scan must not reach the map's end within it."""
SPARE_MM = 6.0
"""Kept from the map's ends beyond that, for the elastic deformation."""
SIDE_MM = 8.0
"""That a scan may reach beyond a side where the map cuts the body off; its outermost voxels go on there."""
AXIS_MM = 20.0
"""How far a neck's middle lies before the middle of its vertebrae's bone."""

LEAN_DEG = 15.0
"""That the back of a chest which the neck is cut from may lean forward beyond other scans: lying on a bent upper back
tilts C7 and T1 so far that the first ribs stand beside C7."""
ASIDE = 0.1
"""Part of the first pass' windows that lie anywhere across a scan, as those of a broad one do: shoulders, no spine."""
LONGEST_MM = 290.0
"""Of a scan, below C4."""


@dataclass(frozen=True, eq=False)
class Placement:
    """`matrix` (3, 3): millimetres of the window -> millimetres of the subject, about `centre` (3,) world RAS mm, the
    window's middle. The scan goes from `low` to `high` (3,), and within `radius` of `axis` (2,) in x and y: millimetres
    of the window from its middle."""

    matrix: np.ndarray
    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    axis: np.ndarray
    radius: float


def draw_matrix(settings: SyntheticSettings, rng: np.random.Generator, lean_deg: float = 0.0) -> np.ndarray:
    """(3, 3): millimetres of a scan -> millimetres of the subject: turned (`lean_deg` forward besides), larger or
    smaller, sheared, mirrored."""
    largest = np.array(settings.rotate_deg)
    angles = rng.normal(0, largest / 2).clip(-largest, largest) + np.array([lean_deg, 0, 0])
    size = np.exp(rng.uniform(*np.log(settings.scale))) * np.exp(rng.normal(0, settings.anisotropy, 3))
    shear = np.eye(3) + np.triu(rng.normal(0, settings.shear, (3, 3)), 1)
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ shear @ np.diag(1 / size) @ mirror


def place(
    subject: Subject,
    window_mm: np.ndarray,
    coarse: bool,
    settings: SyntheticSettings,
    rng: np.random.Generator,
    part: str = "neck",
) -> Placement:
    """A scan of the subject and a window (3,) mm in it. `part`: neck; chest or head, which hold no cervical vertebra
    (what the deformation brings into view of one is for the caller to cut)."""
    cut = part == "neck" and rng.random() < settings.cropped_neck
    of_chest = cut or part == "chest"
    matrix = draw_matrix(settings, rng, rng.uniform(0, LEAN_DEG) if of_chest else 0.0)
    origin = subject.centres[4]
    inverse = np.linalg.inv(matrix)
    levels = {code: inverse @ (centre - origin) for code, centre in subject.centres.items()}
    bottom, top = _ends(subject, matrix, origin, levels, part, cut, rng)
    if coarse:
        centre = _coarse_centre(levels, bottom, top, window_mm, rng)
    else:
        near = levels[rng.choice([code for code in levels if code <= 9])]
        centre = near + rng.uniform(-0.3, 0.3, 3) * window_mm
    radius = np.exp(rng.uniform(*np.log(settings.field_of_view_mm))) / 2
    reach = max(radius - 60, 0) * 0.5
    axis = levels[9 if of_chest else 4][:2] + np.array([0, AXIS_MM]) + rng.uniform(-reach, reach, 2).clip(-60, 60)
    half = np.array([radius, radius]) * rng.uniform(0.75, 1.0, 2) if rng.random() < 0.3 else np.full(2, radius)
    sides = (subject.sides - origin[:2, None]) / np.diag(matrix)[:2, None]
    sides.sort(axis=1)  # a mirror image exchanges left and right
    low, high = np.maximum(axis - half, sides[:, 0] - SIDE_MM), np.minimum(axis + half, sides[:, 1] + SIDE_MM)
    return Placement(
        matrix,
        origin + matrix @ centre,
        np.array([*(low - centre[:2]), bottom - centre[2]]),
        np.array([*(high - centre[:2]), top - centre[2]]),
        axis - centre[:2],
        radius if rng.random() < 0.7 else 1e3,
    )


def _ends(
    subject: Subject,
    matrix: np.ndarray,
    origin: np.ndarray,
    levels: dict[int, np.ndarray],
    part: str,
    cut: bool,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Lower and upper end of the scan, mm from the middle of C4 along the scan's z; that of a chest
    begins within the neck (`cut`)."""
    first, last = subject.rows[1], subject.body_rows[1]
    tilt = np.abs(matrix[2, :2]).sum() * BODY_MM + SPARE_MM
    index = subject.grid.to_index(origin)[2]
    step = subject.grid.spacing[2]
    upmost = ((last - index) * step - (tilt if subject.open_top else -tilt)) / matrix[2, 2]
    lowest = ((first - index) * step + tilt) / matrix[2, 2]
    down = {code: point[2] for code, point in levels.items()}
    last_thoracic = down[max(down)]
    if part == "chest":
        return max(_below(last_thoracic - 10, rng), lowest), down[8] + 10
    if part == "head":
        return down[1] + 5, max(upmost, down[1] + 25)
    if cut:
        return max(_below(last_thoracic, rng), lowest), rng.uniform(down[7], down[2])
    way = rng.random()
    if way < 0.33:
        top = upmost
    elif way < 0.89:
        top = rng.uniform(down[1] + 8, max(upmost, down[1] + 20))
    else:
        top = rng.uniform(down[2], down[1] + 15)
    bottom = rng.uniform(last_thoracic, down[4] - 4) if rng.random() < 0.6 else _below(last_thoracic, rng)
    return max(bottom, lowest), min(top, upmost)


def _below(end: float, rng: np.random.Generator) -> float:
    """A place between `end` and LONGEST_MM below C4; `end` itself may lie lower, in a large body."""
    return rng.uniform(min(-LONGEST_MM, end), end)


def _coarse_centre(
    levels: dict[int, np.ndarray], bottom: float, top: float, window_mm: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """As the windows of the first pass lie: within a scan that is longer than a window, often at its ends; about a
    shorter one. In the plane the spine is anywhere, most often in the middle, now and then (`ASIDE`) out of sight."""
    height, slack = window_mm[2], (top - bottom - window_mm[2]) / 2
    if slack > 0:
        z = (bottom + top) / 2 + slack * rng.choice([-1.0, 1.0, rng.uniform(-1, 1), rng.uniform(-1, 1)])
    else:
        z = (bottom + top) / 2 + rng.uniform(slack, -slack) * rng.choice([0.0, 0.5, 1.0])
    code = min(levels, key=lambda c: abs(levels[c][2] - np.clip(z, bottom + 0.2 * height, top)))
    if rng.random() < ASIDE:
        reach = np.array([0.9, 0.4]) * window_mm[:2]
        offset = rng.uniform(-reach, reach)
    else:
        reach = 0.75 * window_mm[:2] / 2
        offset = rng.triangular(-reach, 0, reach)
    return np.array([*(levels[code][:2] + np.array([0, AXIS_MM / 2]) + offset), z])
