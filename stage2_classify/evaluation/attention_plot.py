"""A picture of where the networks looked: the likeliest vertebrae of a study, three planes through the peak of each."""


import matplotlib
import numpy as np

from common.labels import LEVELS
from common.png import as_png
from stage2_classify.crops.cut import Crops
from stage2_classify.evaluation.attention import SHOWN, Attention

matplotlib.use("Agg")

PLANES = (("axial", 2), ("sagittal", 0), ("coronal", 1))
MOST = 3
"""Vertebrae shown of a study."""


def levels_to_show(probabilities: np.ndarray, labels: np.ndarray | None, present: np.ndarray) -> list[int]:
    """probabilities (8,), labels (8,) or None, present (7,) bool -> at most MOST rows (0 = C1): fractured ones first,
    then the likeliest; in the order of the levels."""
    seen = np.flatnonzero(present)
    fractured = np.zeros(len(LEVELS)) if labels is None else labels[: len(LEVELS)]
    ranked = sorted(seen, key=lambda row: (-fractured[row], -probabilities[row]))
    return sorted(int(row) for row in ranked[:MOST])


def draw_attention(crops: Crops, attention: Attention, rows: list[int], captions: list[str]) -> bytes:
    """PNG: a row of three planes for each of `rows`, cut along the vertebra's own axes through the peak, with the heat
    on the right half of each pair. As radiologists look at them: the patient's right and anterior on the left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 1.62 * len(rows)), dpi=90, facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), 2 * len(PLANES), squeeze=False)
    for line, row, caption in zip(panels, rows, captions):
        ct = crops.images[row, 0] / 255
        heat = attention.upsampled(SHOWN, row, ct.shape)
        scale = np.divide(ct.shape, attention.maps[SHOWN][row].shape)
        cut = np.floor((np.array(attention.peak(SHOWN, row)) + 0.5) * scale).astype(int)
        for place, (name, axis) in enumerate(PLANES):
            grey, warm = (_plane(array, axis, cut[axis]) for array in (ct, heat))
            for panel, overlay in ((line[2 * place], False), (line[2 * place + 1], True)):
                panel.imshow(grey, cmap="gray", vmin=0, vmax=0.8, aspect="equal")
                if overlay:
                    panel.imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.sqrt(warm), aspect="equal")
                panel.set_axis_off()
            line[2 * place].set_title(f"{LEVELS[row]}  {caption}" if place == 0 else name, color="white", fontsize=7)
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.9, wspace=0.02, hspace=0.22)
    return as_png(figure)


def _plane(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A slice of (X, Y, Z), axes right, anterior, superior -> rows from above, columns from the reader's left: axial
    with anterior above and the patient's right on the left, sagittal with anterior on the left, coronal with the
    patient's right on the left."""
    plane = np.take(array, index, axis=axis)
    return plane.T[::-1, ::-1]
