"""How the bone of synthetic studies differs from that of real scans, and how well it can be told by simple figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.dataset.competition import Competition
from common.errors import DatasetError
from common.image_names import SUFFIXES
from common.labels import LEVEL_IDS
from common.progress import progress
from common.resample import AIR_HU, resample
from common.volume import Grid, Volume
from stage2_classify.crops.cut import vertebra_grids
from stage2_classify.evaluation.bone_features import BANDS, CELL_MM, HU_BINS, bone_features
from stage2_classify.grounds.variants import Ground, grounds_in, read_ground
from stage2_classify.settings import CropSettings

REAL = "real"


def scans_in(folder: Path, scheme: str, most: int) -> list[Ground]:
    """The first `most` scans of DIR/scans with DIR/masks, or of a cohort laid out as the competition's, with
    DIR/segmentations. Raises DatasetError."""
    if (folder / "scans").is_dir():
        return grounds_in(folder, scheme)[:most]
    competition = Competition.open(folder)
    found = []
    for uid in competition.train_labels().index:
        paths = [folder / "segmentations" / f"{uid}{ending}" for ending in SUFFIXES]
        if mask := next((path for path in paths if path.exists()), None):
            found.append(Ground(str(uid), competition.images(uid), mask, scheme))
    if not found:
        raise DatasetError(f"{folder}: neither scans/ with masks/ nor segmentations/ of its studies; one is needed")
    return found[:most]


def measure(grounds: list[Ground], kind: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """A row for every vertebra in view: `kind`, `scan`, `level`, its features; and the mean of its curves. Raises
    StudyError, DatasetError (nothing to measure)."""
    rows, curves = [], []
    settings = CropSettings(spacing_mm=CELL_MM)
    for ground in progress(grounds, len(grounds), kind):
        ct, mask = read_ground(ground.scan, ground.mask, ground.scheme)
        for level, grid in vertebra_grids(mask, settings)[0].items():
            own = mask.with_array((mask.array == LEVEL_IDS[level]).astype(np.float32))
            found = bone_features(_on(ct, grid, AIR_HU), _on(own, grid, 0.0) > 0.5)
            if found is not None:
                rows.append({"kind": kind, "scan": ground.name, "level": level, **found[0]})
                curves.append(found[1])
    if not rows:
        raise DatasetError(f"no vertebra with marrow in {len(grounds)} {kind} scans; are the masks of this scheme?")
    return pd.DataFrame(rows), {name: np.mean([c[name] for c in curves], axis=0) for name in curves[0]}


def _on(volume: Volume, grid: Grid, fill: float) -> np.ndarray:
    index = volume.grid.to_index(grid.corners())
    part = volume.crop(np.floor(index.min(axis=0)) - 2, np.ceil(index.max(axis=0)) + 3)
    return resample(part.with_array(part.array.astype(np.float32)), grid, fill=fill).array


def compare(real: Path, synthetic: Path, schemes: tuple[str, str], most: int) -> dict[str, Any]:
    """The report: of both kinds the `features`' medians and quartiles, the `curves`; how well they are `told` apart."""
    parts = [
        measure(scans_in(folder, scheme, most), kind)
        for folder, scheme, kind in zip((real, synthetic), schemes, (REAL, "synthetic"))
    ]
    table = pd.concat([part[0] for part in parts], ignore_index=True)
    names = [name for name in table if name not in ("kind", "scan", "level")]
    features = {
        name: {
            kind: dict(zip(("low", "median", "high"), rows[name].quantile([0.25, 0.5, 0.75]).round(3).tolist()))
            for kind, rows in table.groupby("kind")
        }
        for name in names
    }
    curves = {
        kind: {n: c.round(5).tolist() for n, c in part[1].items()} for kind, part in zip((REAL, "synthetic"), parts)
    }
    counts = {kind: {"scans": rows["scan"].nunique(), "vertebrae": len(rows)} for kind, rows in table.groupby("kind")}
    axes = {"hu": HU_BINS.tolist(), "cycles_per_mm": list(BANDS)}
    return {"counts": counts, "told": told(table, names), "features": features, "axes": axes, "curves": curves}


def told(table: pd.DataFrame, names: list[str], draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """How well a logistic regression tells real from synthetic vertebrae by `names`: `auc`, of scans that it hasn't
    learned from; `low`, `high`: 95 % by bootstrap over scans, of each kind by itself. Raises DatasetError with fewer
    than two scans of a kind."""
    y = (table["kind"] == REAL).to_numpy()
    scans = (table["kind"] + " " + table["scan"]).to_numpy()
    groups = [np.unique(scans[y == kind]) for kind in (True, False)]
    if min(map(len, groups)) < 2:
        raise DatasetError("two real and two synthetic scans are needed at least, so that some can be held out")
    x = table[names].fillna(table[names].median()).fillna(0).to_numpy()
    scores = np.zeros(len(y))
    folds = StratifiedGroupKFold(min(5, *map(len, groups)), shuffle=True, random_state=seed)
    for train, test in folds.split(x, y, scans):
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"))
        scores[test] = fit.fit(x[train], y[train]).decision_function(x[test])
    rng = np.random.default_rng(seed)
    rows = {scan: np.flatnonzero(scans == scan) for scan in np.concatenate(groups)}
    drawn = []
    for _ in range(draws):
        picked = np.concatenate([rows[scan] for group in groups for scan in rng.choice(group, len(group))])
        drawn.append(roc_auc_score(y[picked], scores[picked]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"auc": float(roc_auc_score(y, scores)), "low": float(low), "high": float(high), "folds": folds.n_splits}


def as_text(report: dict[str, Any]) -> str:
    """The report as lines for a person."""
    auc = report["told"]
    lines = [
        ", ".join(f"{kind}: {n['vertebrae']} vertebrae of {n['scans']} scans" for kind, n in report["counts"].items()),
        f"told apart with an AUC of {auc['auc']:.3f} ({auc['low']:.3f} .. {auc['high']:.3f}), held out by scan",
        f"{'median (quartiles)':24}{'real':>28}{'synthetic':>28}",
    ]
    for name, kinds in report["features"].items():
        cells = (
            f"{kinds[k]['median']:.2f} ({kinds[k]['low']:.2f} .. {kinds[k]['high']:.2f})" for k in (REAL, "synthetic")
        )
        lines.append(f"{name:24}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines)


def draw(report: dict[str, Any]) -> bytes:
    """PNG: the histograms of cortex and marrow, and the spectrum, of both kinds."""
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(1, 3), ("cortex", "marrow", "spectrum")):
        borders = np.array(report["axes"]["cycles_per_mm" if name == "spectrum" else "hu"])
        for kind, curves in report["curves"].items():
            panel.stairs(curves[name], borders, label=kind)
        panel.set_title(name)
        panel.set_xlabel("cycles/mm" if name == "spectrum" else "HU")
        panel.legend()
    figure.axes[2].set_yscale("log")
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
