"""Figures of the report, as PNG in data URIs, so that the page is one file."""

import base64
import io
from typing import Any

import numpy as np

from common.labels import COLOURS, LEVEL_IDS, LEVELS, OVERALL

INK = "#1c2733"


def roc(probabilities: np.ndarray, labels: np.ndarray) -> str:
    """probabilities, labels (N, 8) -> ROC curves of the levels and of "any"."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="#c3ccd6", linewidth=1)
    for column, name in enumerate((*LEVELS, OVERALL)):
        y = labels[:, column]
        if 0 < y.sum() < len(y):
            x, height, _ = roc_curve(y, probabilities[:, column])
            colour = COLOURS[LEVEL_IDS[name]] if name in LEVEL_IDS else INK
            axes.plot(x, height, color=colour, linewidth=2.4 if name == OVERALL else 1.3, label=name.replace("_", " "))
    axes.set(xlabel="false positives", ylabel="true positives", title="ROC, unseen test studies")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return _uri(figure)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> str:
    """Observed share of fractures in bins of the submitted probability, levels pooled.

    The score's best answers lie above the calibrated ones for the patient and below 1 everywhere, so a curve off the
    diagonal is no fault by itself.
    """
    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="#c3ccd6", linewidth=1)
    for name, p, y, colour in (
        ("levels", probabilities[:, :7].ravel(), labels[:, :7].ravel(), "#2a78c2"),
        ("any", probabilities[:, 7], labels[:, 7], INK),
    ):
        order = np.argsort(p)
        parts = [part for part in np.array_split(order, 6) if len(part)]
        axes.plot([p[i].mean() for i in parts], [y[i].mean() for i in parts], "o-", color=colour, label=name)
    axes.set(xlabel="submitted probability", ylabel="observed", title="Reliability", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8, frameon=False)
    return _uri(figure)


def training(curves: dict[str, list[dict[str, Any]]]) -> str:
    """Loss over steps for each training, a panel each."""
    shown = {name: logs for name, logs in curves.items() if logs}
    if not shown:
        return ""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(shown), figsize=(3.2 * len(shown), 2.8), squeeze=False)
    for panel, (name, logs) in zip(panels[0], shown.items()):
        for log in logs:
            panel.plot(log["step"], log["loss"], linewidth=1.2, label=log["fold"])
        panel.set(title=name, xlabel="step", ylabel="loss")
        panel.legend(fontsize=7, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    return _uri(figure)


def png_uri(content: bytes) -> str:
    """PNG bytes -> a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _uri(figure: Any) -> str:
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    return png_uri(buffer.getvalue())
