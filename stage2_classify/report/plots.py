"""Figures of the report, as PNG in data URIs, so that the page is one file."""

import base64
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from common.labels import COLOURS, LEVEL_IDS, OVERALL
from common.png import as_png
from stage2_classify.evaluation.roc import ALL

matplotlib.use("Agg")

INK, PALE = "#1c2733", "#c3ccd6"
SIZE = (4.5, 4.1)


def roc(curves: dict[str, Any]) -> str:
    """`discrimination` -> ROC curves of the levels, of all vertebrae together and of "any"."""
    figure, axes = _figure("false positives", "true positives", "ROC")
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for name, of in curves.items():
        label = f"{_name(name)} {of['auc']['value']:.2f}"
        axes.plot(of["roc"]["false_positives"], of["roc"]["true_positives"], label=label, **_style(name))
    axes.legend(fontsize=7, frameon=False, loc="lower right", title="area", title_fontsize=7)
    return _uri(figure)


def precision_recall(curves: dict[str, Any]) -> str:
    """`discrimination` -> precision-recall curves, with the average precision."""
    figure, axes = _figure("recall", "precision", "Precision and recall")
    for name, of in curves.items():
        label = f"{_name(name)} {of['average_precision']['value']:.2f}"
        axes.step(of["pr"]["recall"], of["pr"]["precision"], where="post", label=label, **_style(name))
    axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.05))
    axes.legend(fontsize=7, frameon=False, loc="best", title="average precision", title_fontsize=7)
    return _uri(figure)


def reliability(bins: dict[str, Any], title: str) -> str:
    """`studies`, and "levels" and "any" -> bins: the part that was fractured against the mean probability, with the
    number in each."""
    figure, axes = _figure("mean probability", "part that is fractured", f"{title} ({bins['studies']} studies)")
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for name, colour, below in (("levels", "#2a78c2", False), ("any", INK, True)):
        held = bins[name]
        axes.plot([one["said"] for one in held], [one["found"] for one in held], "o-", color=colour, label=name, ms=4)
        beside = {"xytext": (4, -9) if below else (-3, 5), "textcoords": "offset points"}
        for one in held:
            axes.annotate(one["count"], (one["said"], one["found"]), fontsize=6, color=colour, **beside)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return _uri(figure)


def training(curves: dict[str, list[dict[str, Any]]]) -> str:
    """Loss over steps for each training, a panel each: of its own samples, varied and no two alike, and (dots)
    of held-out ones that are always the same; "" without any."""
    shown = {name: logs for name, logs in curves.items() if logs}
    if not shown:
        return ""
    figure = Figure(figsize=(3.1 * len(shown), 2.7), dpi=110)
    panels = figure.subplots(1, len(shown), squeeze=False)
    for panel, (name, logs) in zip(panels[0], shown.items()):
        for log in logs:
            (line,) = panel.plot(log["step"], log["loss"], linewidth=0.8, alpha=0.5, label=log["fold"])
            panel.plot(log["held_out_step"], log["held_out_loss"], "o-", color=line.get_color(), ms=4)
        panel.set(title=name, xlabel="step", ylabel="loss (dots: held-out)")
        panel.legend(fontsize=7, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    return _uri(figure)


def png_uri(content: bytes) -> str:
    """PNG bytes -> a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _name(target: str) -> str:
    return {OVERALL: "any", ALL: "all vertebrae"}.get(target, target)


def _style(target: str) -> dict[str, Any]:
    if target == OVERALL:
        return {"color": INK, "linewidth": 2.4}
    if target == ALL:
        return {"color": "#8a94a0", "linewidth": 2.4, "linestyle": "--"}
    return {"color": COLOURS[LEVEL_IDS[target]], "linewidth": 1.2}


def _figure(x: str, y: str, title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=SIZE, dpi=110)
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _uri(figure: Figure) -> str:
    figure.tight_layout()
    return png_uri(as_png(figure))
