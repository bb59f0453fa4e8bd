"""A contact sheet of a cohort, so that a person can look at it."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.labels import LEVELS
from common.outputs import store
from common.phantom.study import manifest_path
from common.reading.study import read_study
from common.resample import canonical
from common.volume import Volume

WINDOW = (-500, 1300)
"""HU shown as black and white: a bone window that still tells muscle from fat."""
ACROSS = 3
"""Studies side by side; each takes a sagittal, a coronal and an axial picture."""


def draw_cohort(out: Path, path: Path, studies: int) -> None:
    """Draws the first `studies` studies of a made cohort into the PNG `path`.

    Each is cut through its first fracture, or through C5; what is drawn was read from the files.
    """
    tables = [pd.read_csv(out / name).assign(split=split) for name, split in _TABLES]
    rows = pd.concat(tables).head(studies).to_dict("records")
    down = -(-len(rows) // ACROSS)
    figure = Figure(figsize=(ACROSS * 9, max(down, 1) * 3.4), dpi=70, facecolor="black")
    axes = figure.subplots(max(down, 1), ACROSS * 3, squeeze=False).reshape(-1, 3)
    for panel in axes.ravel():
        panel.set_axis_off()
    for panels, row in zip(axes, rows):
        _draw_study(panels, out, row)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.97, 0.02, 0.12)
    with store.atomic(path) as scratch:
        FigureCanvasAgg(figure).print_png(scratch)


_TABLES = (("train.csv", "train"), ("test_labels.csv", "test"))


def _draw_study(panels: np.ndarray, out: Path, row: dict) -> None:
    uid = row["StudyInstanceUID"]
    volume = canonical(read_study(out / f"{row['split']}_images" / uid).volume)
    manifest = store.read_json(manifest_path(out, uid))
    fractured = [level for level in LEVELS if row[level]]
    points = {**manifest["centres"], **manifest["fractures"]}
    level = next(level for level in (*fractured, "C5", *LEVELS) if level in points)
    for axis, (panel, picture, aspect) in enumerate(zip(panels, *_cuts(volume, points[level]))):
        panel.imshow(picture, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], origin="lower", aspect=aspect)
        if axis == 0:
            title = f"{uid.rsplit('.', 1)[1]} {row['split']}: {', '.join(fractured) or 'no fracture'}"
            panel.set_title(title, color="white", fontsize=9, loc="left")


def _cuts(volume: Volume, point: list[float]) -> tuple[list[np.ndarray], list[float]]:
    """Sagittal, coronal and axial pictures through a world point, as seen in radiology, with pixel aspects."""
    x, y, z = np.clip(np.rint(volume.grid.to_index(point)).astype(int), 0, np.array(volume.array.shape) - 1)
    array, (dx, dy, dz) = volume.array, volume.spacing
    pictures = [array[x, ::-1].T, array[::-1, y].T, array[::-1, :, z].T]
    return pictures, [dz / dy, dz / dx, dy / dx]
