"""A contact sheet of synthetic scans from a bank's held-out subjects: what is there, and what a network predicts."""

from pathlib import Path

from common.commandline import NOT_MEDICAL
from common.outputs.store import atomic
from common.png import as_png
from common.progress import progress
from common.volume import Volume
from stage1_segment.inference.preview import middle_line, plane, view, zoom
from stage1_segment.inference.segmenter import Segmenter, segment
from stage1_segment.settings import PredictSettings
from stage1_segment.training.synthetic.validation_scan import whole_scan

ACROSS = 4
"""Scans in a row, two pictures each."""
SHOWN_MM = (110.0, 170.0)
"""Part of the plane that is shown, about the middle of the bone."""


def draw_gallery(
    subjects: tuple[str, ...],
    scans: int,
    weights: Path,
    path: Path,
    device: str = "auto",
    predict: PredictSettings | None = None,
) -> None:
    """Writes a PNG of `scans` synthetic scans of the bank's `subjects` (files), a new scan of a subject where there are
    more scans than subjects: the sagittal plane along the spine, on the left with its true labels, on the right with
    the network's. Raises WeightsError, ConfigError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    segmenter = Segmenter.load(weights, device, predict)
    rows = -(-scans // ACROSS)
    figure = Figure(figsize=(3.9 * ACROSS, 3.05 * rows + 0.3), dpi=75, facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 2 * ACROSS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for number in progress(range(scans), scans, "synthetic scans"):
        scan = whole_scan(Path(subjects[number % len(subjects)]), number)
        ct = Volume(scan.ct, scan.affine)
        prediction = segment(ct, segmenter).mask.array
        along = middle_line(scan.mask if scan.mask.any() else prediction)
        for place, (labels, title) in enumerate(((scan.mask, f"{number + 1}: truth"), (prediction, "network"))):
            panel = panels[2 * number + place]
            hu, named = (plane(array, along, 0)[::-1] for array in (ct.array, labels))
            view(panel, hu, named, ct.spacing[[1, 2]])
            panel.set_title(title, color="white", fontsize=8)
            zoom(panel, plane(scan.mask, along, 0)[::-1], ct.spacing[[1, 2]], SHOWN_MM)
    figure.text(0.005, 0.003, f"Synthetic scans. {NOT_MEDICAL}", color="white", fontsize=8)
    figure.subplots_adjust(0.003, 0.02, 0.997, 0.98, wspace=0.02, hspace=0.08)
    with atomic(path) as scratch:
        scratch.write_bytes(as_png(figure))
