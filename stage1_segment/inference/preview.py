"""A picture of a mask on its scan: sagittal and coronal, with the levels' names."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.commandline import NOT_MEDICAL
from common.labels import CLASS_NAMES, COLOURS, LEVELS
from common.masks.segmentation import onto
from common.masks.values import boxes_of, labelled_box
from common.outputs.store import atomic
from common.png import as_png
from common.resample import canonical
from common.volume import Volume
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW, LevelCertainty

matplotlib.use("Agg")

WINDOW_HU = (-300.0, 1300.0)
DOUBTED = "orange"
SHOWN_MM = (210.0, 210.0)
"""At most so much is shown, about the cervical levels."""


def draw_preview(
    ct: Volume, mask: Volume, path: Path, title: str = "", certainty: LevelCertainty | None = None
) -> None:
    """Writes a PNG. Both views follow the spine: at each height the sagittal one shows the plane through the
    middle of the bone there, the coronal one likewise, so that a bent spine is seen whole. As radiologists look at
    them: anterior and the patient's right on the left. Beside the levels' names stands how certain each is, in
    `DOUBTED` colour below `UNCERTAIN_BELOW`."""
    scan = canonical(ct)
    labels = onto(mask, scan.grid).array
    along = middle_line(labels)
    figure = Figure(figsize=(9, 4.4), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    for place, (name, axis, ends) in enumerate((("sagittal", 0, "AP"), ("coronal", 1, "RL"))):
        axes = figure.add_axes((0.01 + 0.43 * place, 0.05, 0.42, 0.88))
        hu, named = (plane(array, along, axis)[::-1] for array in (scan.array, labels))
        spacing = scan.spacing[[1 - axis, 2]]
        view(axes, hu, named, spacing)
        if (cervical := named * (named <= len(LEVELS))).any():
            zoom(axes, cervical, spacing, SHOWN_MM)
        axes.set_title(f"{name}, {ends[0]} left, {ends[1]} right", y=1, color="white", fontsize=8)
    _legend(figure, labels, certainty)
    figure.text(0.01, 0.015, NOT_MEDICAL, color="white", fontsize=8)
    figure.text(0.99, 0.975, title, color="white", fontsize=7, ha="right", va="top")
    with atomic(path) as scratch:
        scratch.write_bytes(as_png(figure))


def middle_line(labels: np.ndarray) -> np.ndarray:
    """(2, Z) int: x and y of the middle of the bone's extent at each height, smoothed; where there is none,
    of the nearest height that has some, or of the scan."""
    middle = np.array(labels.shape[:2]) / 2
    near = labelled_box(labels)
    inside = labels[near] > 0
    there = np.flatnonzero(inside.any(axis=(0, 1)))
    if len(there) == 0:
        return np.repeat(middle.astype(int)[:, None], labels.shape[2], axis=1)
    heights = there + near[2].start
    found = []
    for axis in (0, 1):
        profile = inside.sum(axis=1 - axis)[:, there].astype(float)
        found.append(np.arange(near[axis].start, near[axis].stop) @ profile / profile.sum(axis=0))
    # The bone's centre of mass lies in the canal or behind the body; the row of bodies is what one looks for.
    width = max(5, len(heights) // 6)
    lines = []
    for values in found:
        padded = np.pad(values, width, mode="edge")
        smooth = np.convolve(padded, np.ones(2 * width + 1) / (2 * width + 1), mode="valid")
        lines.append(np.interp(np.arange(labels.shape[2]), heights, smooth))
    return np.round(lines).astype(int)


def plane(array: np.ndarray, along: np.ndarray, axis: int) -> np.ndarray:
    """(other axis, Z): at each height the row through the line."""
    heights = np.arange(array.shape[2])
    return array[along[0], :, heights].T if axis == 0 else array[:, along[1], heights]


def view(axes: Any, hu: np.ndarray, labels: np.ndarray, spacing: np.ndarray) -> None:
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for value, colour in COLOURS.items():
        inside = labels == value
        picture[inside] = 0.6 * picture[inside] + 0.4 * np.array(colour)
    width, height = np.array(labels.shape) * spacing
    axes.imshow(picture.transpose(1, 0, 2), origin="lower", extent=(0, width, 0, height), interpolation="nearest")
    for value in COLOURS:
        where = np.argwhere(labels == value)
        if len(where) > 20:
            x, y = (where.mean(axis=0) + 0.5) * spacing
            text = axes.text(x, y, CLASS_NAMES[value], fontsize=9, ha="center", va="center", clip_on=True)
            text.set_color("white")
            text.set_bbox({"facecolor": "black", "alpha": 0.5, "pad": 1, "edgecolor": "none"})
    axes.set_axis_off()


def zoom(axes: Any, labels: np.ndarray, spacing: np.ndarray, shown_mm: tuple[float, float]) -> None:
    """Shows the part of a `view`, at most `shown_mm` wide and high, that has the labels, (n, Z), in its middle."""
    found = np.argwhere(labels > 0)
    low, high = (found.min(axis=0), found.max(axis=0)) if len(found) else (np.zeros(2), np.array(labels.shape))
    middle, size = (low + high + 1) / 2 * spacing, np.array(labels.shape) * spacing
    for limit, centre, whole, shown in zip((axes.set_xlim, axes.set_ylim), middle, size, shown_mm):
        start = np.clip(centre - shown / 2, 0, max(whole - shown, 0))
        limit(start, min(start + shown, whole))


def _legend(figure: Any, labels: np.ndarray, certainty: LevelCertainty | None) -> None:
    boxes = boxes_of(labels, max(COLOURS))
    for place, (value, colour) in enumerate(COLOURS.items()):
        y = 0.85 - 0.05 * place
        figure.text(0.872, y, "\u25a0", color=colour, fontsize=14, va="center")
        part = None if certainty is None else certainty.of(CLASS_NAMES[value])
        there = boxes[value - 1] is not None
        seen = ("" if part is None else f" {part:.0%}") if there else " absent"
        ink = DOUBTED if there and part is not None and part < UNCERTAIN_BELOW else "white"
        figure.text(0.892, y, CLASS_NAMES[value] + seen, color=ink, fontsize=7.5, va="center")
    if certainty is not None:
        figure.text(0.872, 0.905, "certainty of the name", color="white", fontsize=7.5, va="center")
        ink = DOUBTED if certainty.study < UNCERTAIN_BELOW else "white"
        text = f"all named rightly:\n{certainty.study:.0%}"
        figure.text(0.872, 0.42, text, color=ink, fontsize=7.5, va="top")
