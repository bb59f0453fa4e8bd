"""Reliability diagrams of local studies, as shipped and after the map."""


import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from common.labels import LEVELS
from common.png import as_png
from stage2_classify.calibration.reliability import reliability
from stage2_classify.recalibration.local_studies import LocalStudies

matplotlib.use("Agg")

SIDES = (("as shipped", "#b3372b", -0.006, "o"), ("after the map, cross-validated", "#2a78c2", 0.006, "s"))
N = len(LEVELS)
PANELS = {
    "any fracture": ([N], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    "levels": (list(range(N)), (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)),
}
"""What is drawn: columns, and where the bins end; few, since the studies are few."""


def reliability_png(local: LocalStudies, after: np.ndarray) -> bytes:
    """`after` (N, 8): probabilities after the map -> a PNG: left "any", right the levels; the part that is fractured
    against the mean probability of each bin, with Wilson's 95 % interval (1927) and the number in it."""
    figure = Figure(figsize=(10, 5), dpi=110, layout="constrained")
    for panel, (name, (columns, edges)) in zip(figure.subplots(1, 2), PANELS.items()):
        panel.plot([0, 1], [0, 1], color="#c3ccd6", linewidth=1)
        used = local.judged[:, columns]
        y = local.labels[:, columns][used]
        for (side, colour, beside, mark), p in zip(SIDES, (local.calibrated, after)):
            bins = reliability(p[:, columns][used], y, edges) if len(y) else []
            said, found = np.array([b.said for b in bins]), np.array([b.found for b in bins])
            spans = [binomtest(round(b.found * b.count), b.count).proportion_ci(method="wilson") for b in bins]
            bars = np.array([[f - s.low, s.high - f] for f, s in zip(found, spans)]).reshape(-1, 2).T
            style = {"color": colour, "ms": 5, "elinewidth": 0.8, "linewidth": 1.2, "capsize": 2}
            panel.errorbar(said + beside, found, yerr=np.maximum(bars, 0), fmt=f"{mark}-", label=side, **style)
            for b in bins:
                at = (b.said + beside, b.found)
                apart = (-4, 6) if beside < 0 else (4, -10)
                where = {"ha": "right" if beside < 0 else "left", "textcoords": "offset points", "xytext": apart}
                panel.annotate(str(b.count), at, fontsize=7, color=colour, **where)
        panel.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xlabel="mean probability", ylabel="part that is fractured")
        panel.set_title(f"{name}: {len(y)} judged, {int(y.sum())} fractured", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    return as_png(figure)
