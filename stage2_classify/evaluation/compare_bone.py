"""How the bone of synthetic studies differs from that of real scans, and how well it can be told by simple figures."""

from dataclasses import dataclass
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
from common.png import as_png
from common.progress import progress
from common.resample import AIR_HU, resample
from common.volume import Grid, Volume
from stage2_classify.crops.cut import vertebra_grids
from stage2_classify.evaluation.bone_features import BANDS, CELL_MM, HU_BINS, bone_features
from stage2_classify.evaluation.same_scanner import blur_between, on_scanner
from stage2_classify.grounds.variants import Ground, grounds_in, read_ground
from stage2_classify.settings import CropSettings

REAL, SYNTHETIC = "real", "synthetic"
EDGE = "edge mm"
"""The feature that says how sharp a scan is."""
AS_SHARP, BLUR_STEPS = 0.03, 3
"""Part by which edges may be narrower than the real ones', and how often at most they are blurred again."""


@dataclass(frozen=True, eq=False)
class Measured:
    """`rows`: of every vertebra `kind`, `scan`, `level`, its features; `curves`: their means; `spacings`: of each scan,
    (3,) mm."""

    rows: pd.DataFrame
    curves: dict[str, np.ndarray]
    spacings: list[np.ndarray]


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


def measure(
    grounds: list[Ground], kind: str, spacings: list[np.ndarray] | None = None, blur_mm: float = 0.0
) -> Measured:
    """Every vertebra in view; with `spacings` (3,) mm, of each scan in turn, as a scanner of such voxels and `blur_mm`
    shows it (`same_scanner`). Raises StudyError, DatasetError (nothing to measure)."""
    rows, curves, seen = [], [], []
    settings = CropSettings(spacing_mm=CELL_MM)
    for number, ground in enumerate(progress(grounds, len(grounds), kind)):
        ct, mask = read_ground(ground.scan, ground.mask, ground.scheme)
        if spacings:
            ct, mask = on_scanner(ct, mask, spacings[number % len(spacings)], blur_mm)
        seen.append(ct.spacing)
        for level, grid in vertebra_grids(mask, settings)[0].items():
            own = mask.with_array((mask.array == LEVEL_IDS[level]).astype(np.float32))
            found = bone_features(_on(ct, grid, AIR_HU), _on(own, grid, 0.0) > 0.5)
            if found is not None:
                rows.append({"kind": kind, "scan": ground.name, "level": level, **found[0]})
                curves.append(found[1])
    if not rows:
        raise DatasetError(f"no vertebra with marrow in {len(grounds)} {kind} scans; are the masks of this scheme?")
    return Measured(pd.DataFrame(rows), {name: np.mean([c[name] for c in curves], axis=0) for name in curves[0]}, seen)


def _on(volume: Volume, grid: Grid, fill: float) -> np.ndarray:
    index = volume.grid.to_index(grid.corners())
    part = volume.crop(np.floor(index.min(axis=0)) - 2, np.ceil(index.max(axis=0)) + 3)
    return resample(part.with_array(part.array.astype(np.float32)), grid, fill=fill).array


def compare(
    real: Path,
    synthetic: Path,
    schemes: tuple[str, str],
    most: int,
    same_scanner: bool = False,
    blur_mm: float | None = None,
) -> dict[str, Any]:
    """The report: see `_compared`. With `same_scanner` its part of that name says the same with the synthetic scans on
    the real ones' voxels, blurred by `blur_mm`: by default until their edges are as wide as the real ones'."""
    theirs, ours = (scans_in(folder, scheme, most) for folder, scheme in zip((real, synthetic), schemes))
    found, drawn = measure(theirs, REAL), measure(ours, SYNTHETIC)
    axes = {"hu": HU_BINS.tolist(), "cycles_per_mm": list(BANDS)}
    report: dict[str, Any] = {**_compared(found, drawn), "axes": axes}
    if same_scanner:
        blur_mm, drawn = _on_theirs(ours, found, blur_mm)
        spacings = [spacing.round(4).tolist() for spacing in found.spacings]
        report["same_scanner"] = {"spacings_mm": spacings, "blur_mm": blur_mm, **_compared(found, drawn)}
    return report


def _on_theirs(ours: list[Ground], real: Measured, blur_mm: float | None) -> tuple[float, Measured]:
    """Synthetic scans on the real ones' voxels, and the blur, in mm: by default found in a few steps."""
    if blur_mm is not None:
        return blur_mm, measure(ours, SYNTHETIC, real.spacings, blur_mm)
    blur, wanted = 0.0, float(real.rows[EDGE].median())
    found = measure(ours, SYNTHETIC, real.spacings)
    for _ in range(BLUR_STEPS):
        edge = float(found.rows[EDGE].median())
        if not edge < wanted / (1 + AS_SHARP):  # or nan
            break
        blur = float(np.hypot(blur, blur_between(edge, wanted)))
        found = measure(ours, SYNTHETIC, real.spacings, blur)
    return blur, found


def _compared(real: Measured, synthetic: Measured) -> dict[str, Any]:
    """Of both kinds `counts`, the `features`' medians and quartiles, the `curves`; how well they are `told` apart."""
    table = pd.concat([real.rows, synthetic.rows], ignore_index=True)
    names = [name for name in table if name not in ("kind", "scan", "level")]
    features = {
        name: {
            kind: dict(zip(("low", "median", "high"), _quartiles(rows[name])))
            for kind, rows in table.groupby("kind")
        }
        for name in names
    }
    curves = {
        kind: {n: c.round(5).tolist() for n, c in part.curves.items()}
        for kind, part in ((REAL, real), (SYNTHETIC, synthetic))
    }
    counts = {kind: {"scans": rows["scan"].nunique(), "vertebrae": len(rows)} for kind, rows in table.groupby("kind")}
    return {"counts": counts, "told": told(table, names), "features": features, "curves": curves}


def _quartiles(values: pd.Series) -> list[float | None]:
    """None where no vertebra has such a value."""
    found = values.quantile([0.25, 0.5, 0.75]).round(3).tolist()
    return [None if np.isnan(value) else value for value in found]


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
    counts, again = report["counts"], report.get("same_scanner")
    lines = [
        ", ".join(f"{kind}: {n['vertebrae']} vertebrae of {n['scans']} scans" for kind, n in counts.items()),
        f"told apart with an AUC of {_auc(report)}, held out by scan",
    ]
    columns = [(REAL, report, REAL), (SYNTHETIC, report, SYNTHETIC)]
    if again:
        lines.append(f"on the same scanner (real voxels, blurred by {again['blur_mm']:.2f} mm): {_auc(again)}")
        columns.append(("same scanner", again, SYNTHETIC))
    lines.append(f"{'median (quartiles)':24}" + "".join(f"{title:>28}" for title, _, _ in columns))
    for name in report["features"]:
        cells = (part["features"][name][kind] for _, part, kind in columns)
        texts = (
            "none" if cell["median"] is None else f"{cell['median']:.2f} ({cell['low']:.2f} .. {cell['high']:.2f})"
            for cell in cells
        )
        lines.append(f"{name:24}" + "".join(f"{text:>28}" for text in texts))
    return "\n".join(lines)


def _auc(report: dict[str, Any]) -> str:
    auc = report["told"]
    return f"{auc['auc']:.3f} ({auc['low']:.3f} .. {auc['high']:.3f})"


def draw(report: dict[str, Any]) -> bytes:
    """PNG: the histograms of cortex and marrow, and the spectrum, of both kinds."""

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, name in zip(figure.subplots(1, 3), ("cortex", "marrow", "spectrum")):
        borders = np.array(report["axes"]["cycles_per_mm" if name == "spectrum" else "hu"])
        for kind, curves in report["curves"].items():
            panel.stairs(curves[name], borders, label=kind)
        if "same_scanner" in report:
            panel.stairs(report["same_scanner"]["curves"][SYNTHETIC][name], borders, label="same scanner")
        panel.set_title(name)
        panel.set_xlabel("cycles/mm" if name == "spectrum" else "HU")
        panel.legend()
    figure.axes[2].set_yscale("log")
    return as_png(figure)
