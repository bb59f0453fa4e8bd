"""What networks find in healthy scans into which fractures were put: areas under the curve by kind, false alarms.

Two ways of breaking bone: `drawn`, the one that networks may have learned from, and `apart`, which none has. Bodies
that lost height or burst are `drawn` alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation
from sklearn.metrics import roc_auc_score

from common.device import autocast
from common.labels import LEVEL_IDS
from common.progress import progress
from common.volume import Grid, Volume
from stage2_classify.crops.batch import other_view
from stage2_classify.crops.cut import cut_vertebra, vertebra_grids
from stage2_classify.evaluation.roc import aucs
from stage2_classify.grounds.bone import Bone
from stage2_classify.grounds.compression import COMPRESSED_LEVELS, COMPRESSIONS, compress
from stage2_classify.grounds.fractures import WIDTH_MM, break_bone
from stage2_classify.grounds.pulled_apart import pull_apart
from stage2_classify.grounds.variants import Ground, read_ground
from stage2_classify.pretrained.for_people import COLUMNS, HEALTHY
from stage2_classify.settings import CropSettings

KINDS = (*WIDTH_MM, *COMPRESSIONS)
MARGIN_MM = 12.0
MOVED_MM, TURNED_DEG = 1.0, 2.0
"""Standard deviations by which repeated crops of a vertebra differ, as other masks would have it."""


def broken_vertebrae(
    ground: Ground, settings: CropSettings, each: int, seed: int
) -> list[tuple[dict[str, str], np.ndarray]]:
    """Of every level in view `each` crops as it is, and `each` for every way and kind of fracture, put in on the scan's
    own voxels: `level`, `kind`, `way`, and images (2, X, Y, Z) uint8. Raises StudyError."""
    ct, mask = read_ground(ground.scan, ground.mask, ground.scheme)
    grids, _ = vertebra_grids(mask, settings)
    rng = np.random.default_rng([seed, *ground.name.encode()])
    found = []
    for level, grid in grids.items():
        window, bone = _bone(ct, mask, grid, level)
        for number in range(each):
            images = cut_vertebra(ct, mask, _moved(grid, rng, number), level, settings)
            found.append(({"level": level, "kind": HEALTHY, "way": ""}, images))
        for kind in KINDS if level in COMPRESSED_LEVELS else WIDTH_MM:
            for number in range(each):
                for way, picture in _broken(bone, kind, rng).items():
                    if picture is not None:
                        whole = ct.array.astype(np.float32)
                        whole[window] = picture
                        scan = ct.with_array(whole)
                        images = cut_vertebra(scan, mask, _moved(grid, rng, number), level, settings)
                        found.append(({"level": level, "kind": kind, "way": way}, images))
    return found


def _broken(bone: Bone, kind: str, rng: np.random.Generator) -> dict[str, np.ndarray | None]:
    """Way -> a vertebra's CT with one fracture of a kind; None where it can't be broken."""
    if kind in COMPRESSIONS:
        pressed = compress(bone, kind, rng)
        return {"drawn": None if pressed is None else pressed[0]}
    drawn = break_bone(bone, kind, rng)
    return {"drawn": None if drawn is None else drawn[0], "apart": pull_apart(bone, kind, rng)}


def _bone(ct: Volume, mask: Volume, grid: Grid, level: str) -> tuple[tuple[slice, ...], Bone]:
    """A level's neighbourhood in the scan: its voxels there, and these as a `Bone`."""
    places = np.argwhere(mask.array == LEVEL_IDS[level])
    margin = np.ceil(MARGIN_MM / ct.spacing).astype(int)
    start = np.maximum(places.min(axis=0) - margin, 0)
    stop = np.minimum(places.max(axis=0) + margin + 1, ct.array.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(start, stop))
    axes = (ct.affine[:3, :3] / ct.spacing).T @ (grid.affine[:3, :3] / grid.spacing)
    own = (mask.array[window] == LEVEL_IDS[level]).astype(np.float32)
    return window, Bone(ct.array[window].astype(np.float32), own, ct.spacing, axes, level)


def _moved(grid: Grid, rng: np.random.Generator, number: int) -> Grid:
    """The crop's grid, the first time as it is, then a little aside."""
    if number == 0:
        return grid
    turn = Rotation.from_rotvec(np.radians(rng.normal(0, TURNED_DEG, 3))).as_matrix()
    centre = grid.centre + rng.normal(0, MOVED_MM, 3)
    return Grid.around(
        centre, np.array(grid.shape) * grid.spacing, grid.spacing, grid.affine[:3, :3] / grid.spacing @ turn
    )


def measure(
    encoders: Sequence[torch.nn.Module],
    settings: CropSettings,
    grounds: list[Ground],
    each: int,
    seed: int,
    precision: str = "32-true",
) -> pd.DataFrame:
    """A row for every crop: `scan`, `level`, `kind`, `way`, `evidence`: the mean over encoders that read crops of
    `settings`."""
    rows = []
    for ground in grounds:
        crops = broken_vertebrae(ground, settings, each, seed)
        seen = (np.mean([_evidence(e, images, precision) for e in encoders]) for _, images in crops)
        for (about, _), evidence in zip(crops, progress(seen, len(crops), ground.name)):
            rows.append({"scan": ground.name, **about, "evidence": float(evidence)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


@torch.inference_mode()
def _evidence(encoder: torch.nn.Module, images: np.ndarray, precision: str) -> float:
    """(2, X, Y, Z) uint8 -> mean evidence of the crop and its `other_view`."""
    device = next(encoder.parameters()).device
    ct = torch.from_numpy(images)[None]
    both = torch.cat([ct, other_view(ct)]).to(device).float() / 255
    batch = {"images": both, "mask_seen": torch.ones(2, device=device)}
    with autocast(device, precision):
        return float(encoder(batch)["evidence"].float().mean())


def areas(table: pd.DataFrame, draws: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Of `measure`'s rows, for every way and kind: `auc` against the healthy crops, `low`, `high`: its 95 % interval by
    bootstrap over vertebrae (crops of one vertebra stay together), `sensitivity` at a specificity of 90 %, `count`."""
    vertebra = table["scan"] + table["level"]
    names, place = np.unique(vertebra, return_inverse=True)
    evidence, kinds, ways = (table[name].to_numpy() for name in ("evidence", "kind", "way"))
    picks = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    weights = np.stack([np.bincount(pick, minlength=len(names)) for pick in picks])
    threshold = np.quantile(evidence[kinds == HEALTHY], 0.9)
    rows = []
    for way in ("drawn", "apart"):
        for kind in KINDS:
            of = (kinds == kind) & (ways == way)
            if not of.any():
                continue
            chosen = of | (kinds == HEALTHY)
            drawn = [_weighted_auc(evidence[chosen], of[chosen], w[place[chosen]]) for w in weights]
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            value = aucs(evidence[chosen], of[chosen])
            found = float((evidence[of] > threshold).mean())
            rows.append(
                {"way": way, "kind": kind, "auc": float(value), "low": float(low), "high": float(high),
                 "sensitivity": found, "count": int(of.sum())}
            )  # fmt: skip
    return rows


def _weighted_auc(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> float:
    kept = weight > 0
    if len(np.unique(positive[kept])) < 2:
        return float("nan")
    return float(roc_auc_score(positive[kept], scores[kept], sample_weight=weight[kept]))


def false_alarms(table: pd.DataFrame) -> pd.DataFrame:
    """Mean evidence of every healthy vertebra, scans as rows and levels as columns."""
    healthy = table[table["kind"] == HEALTHY]
    return healthy.pivot_table(index="scan", columns="level", values="evidence", aggfunc="mean")


def as_text(table: pd.DataFrame) -> str:
    """The figures as lines for a person."""
    lines = ["way     kind       crops  AUC    95 % interval     sensitivity at 90 % specificity"]
    lines += [
        f"{r['way']:7} {r['kind']:10} {r['count']:5}  {r['auc']:.3f}  {r['low']:.3f} .. {r['high']:.3f}    "
        f"{r['sensitivity']:.2f}"
        for r in areas(table)
    ]
    alarms = false_alarms(table)
    lines += ["", "mean evidence of the healthy vertebrae", alarms.round(1).to_string()]
    return "\n".join(lines)
