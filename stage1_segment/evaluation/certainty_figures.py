"""Figures of a certainty: how often what is called so certain is right."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.commandline import NOT_MEDICAL
from common.outputs.store import atomic
from common.png import as_png
from stage1_segment.inference.levels.certainty import UNCERTAIN_BELOW

BINS = 10


def figures(certain: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """certain (n,) 0..1, right (n,): studies; wrong and called uncertain per 100; of those called certain, wrong per
    100; of those called uncertain, right ones; calibration error (ECE, `BINS` bins of equal width, and of as many
    studies each) and what so few studies show on average (and at most, in 95 of 100) of a certainty that is perfectly
    calibrated; area under the curve of error against coverage, the most certain first (AURC), that of an order by
    chance and the best there is."""
    p, good = np.asarray(certain, float), np.asarray(right, bool)
    called = p >= UNCERTAIN_BELOW
    order = np.argsort(-p, kind="stable")
    off = sum(abs(row["right"] - row["said"]) * row["part"] for row in reliability(p, good))
    count = np.arange(1, len(p) + 1)
    return {
        "studies": len(p),
        "wrong_per_100": per_100(~good),
        "uncertain_per_100": per_100(~called),
        "wrong_per_100_of_certain": per_100(~good[called]),
        "wrong_called_certain": int((~good & called).sum()),
        "right_called_uncertain": int((good & ~called).sum()),
        "calibration_error": round(off, 4),
        "calibration_error_equal_mass": round(equal_mass_error(p, good), 4),
        "equal_mass_if_calibrated": if_calibrated(p),
        "area_under_error_curve": round(float((np.cumsum(~good[order]) / count).mean()), 4),
        "area_by_chance": round(float((~good).mean()), 4),
        "area_at_best": round(float((np.cumsum(np.sort(~good)) / count).mean()), 4),
    }


def equal_mass_error(certain: np.ndarray, right: np.ndarray) -> float:
    """Calibration error of certain (n,) in `BINS` bins of as many studies each, the least certain first."""
    off = (certain - right)[np.argsort(certain, kind="stable")]
    return float(sum(abs(part.sum()) for part in np.array_split(off, BINS)) / len(off))


def if_calibrated(certain: np.ndarray, draws: int = 1000) -> list[float]:
    """Mean and 95th percentile of `equal_mass_error` where each study is right with just its certainty."""
    right = np.random.default_rng(0).random((draws, len(certain))) < certain
    errors = [equal_mass_error(certain, of) for of in right]
    return [round(float(np.mean(errors)), 4), round(float(np.quantile(errors, 0.95)), 4)]


def reliability(certain: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """For each bin that has studies: what was `said` on average, which part was `right`, how many there are."""
    bins = np.clip((certain * BINS).astype(int), 0, BINS - 1)
    rows = []
    for number in np.unique(bins):
        here = bins == number
        said, good = float(certain[here].mean()), float(right[here].mean())
        rows.append({"said": said, "right": good, "part": float(here.mean()), "studies": int(here.sum())})
    return rows


def draw_reliability(path: Path, sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes a PNG: part of the studies that are right against the certainty, for each named set (certain, right)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    for name, (certain, right) in sets.items():
        rows = reliability(certain, right)
        said, good, size = ([row[key] for row in rows] for key in ("said", "right", "studies"))
        axes.plot(said, good, "o-", label=f"{name} ({len(right)} studies)", ms=5)
        for x, y, n in zip(said, good, size):
            axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(5, -10), fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="certainty", ylabel="part with all levels named rightly")
    axes.set_aspect("equal")
    axes.legend(fontsize=8, loc="upper left")
    figure.supxlabel(f"Synthetic studies; numbers are studies. {NOT_MEDICAL}", fontsize=6)
    with atomic(path) as scratch:
        scratch.write_bytes(as_png(figure))


def per_100(those: np.ndarray) -> float | None:
    """Of bools (n,), how many of 100 are true; None where there are none."""
    return round(100 * float(those.mean()), 1) if len(those) else None
