"""From an encoder and its evidence on people whom it hasn't learned from to a network that predicts, calibrated.

Evidence becomes log odds by a logistic regression of broken against healthy vertebrae, each counting half. Base rates
and how fractures come together are the competition's; levels are judged each alone and joined by Bayes' rule.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special
from sklearn.linear_model import LogisticRegression

from common.errors import DatasetError
from common.labels import LEVELS, TARGETS
from common.outputs import store
from common.training.initial_weights import save_pretrained
from common.training.task import WEIGHTS
from common.training.weights import read_description
from stage2_classify.calibration.calibration import READINGS, Calibration, LinearMap, evidence_of
from stage2_classify.calibration.fracture_patterns import marginals
from stage2_classify.calibration.label_prior import USUAL, prior_of
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.cut import CUT_OFF, METAL, THICK, crop_shape
from stage2_classify.crops.likeness import ranges, spread
from stage2_classify.networks.model import Neck
from stage2_classify.networks.sequence import SequenceHead
from stage2_classify.pretrained.encoder import KIND as ENCODER
from stage2_classify.pretrained.encoder import PRETRAINED, load_encoder
from stage2_classify.settings import KIND, CropSettings, DecisionSettings

CAVEAT = (
    "This network learned from synthetic fractures in the bone of healthy people and in synthetic scans; it has seen "
    "no real fracture, and what its probabilities are worth on real ones nobody has measured."
)
UNJUDGED = (CUT_OFF, THICK, METAL)
COLUMNS = ("scan", "level", "kind", "way", "evidence")
HEALTHY = "healthy"


def save_for_people(encoder: Path, tables: list[Path], crops: Path | None = None) -> Path:
    """Makes a pretrained encoder the network for scans of people; `tables`: what `evaluate-broken-bone --evidence`
    wrote of encoders trained alike, each on people whom that encoder hasn't learned from. `crops`: a folder with the
    crops (*.npz, at any depth) that it learned from, for the ranges of `crops.likeness` where the encoder's file has
    none. Raises WeightsError, DatasetError, ConfigError (too large)."""
    import torch

    evidence = pd.concat([read_table(path) for path in tables], ignore_index=True)
    slope, offset = fit_log_odds(evidence)
    network, own = load_encoder(encoder)
    said = read_description(encoder, ENCODER)
    alone = own.network.model_copy(update={"head": "alone"})
    settings = own.model_copy(update={"network": alone, "decision": DecisionSettings(unjudged=UNJUDGED)})
    prior = marginals(prior_of(USUAL)[None])[0]
    head = SequenceHead(settings.network, torch.full((len(TARGETS),), 0.5))
    description = {
        "kind": KIND,
        "fold": 0,
        "prior": prior.tolist(),
        "synthetic": False,
        "caveat": CAVEAT,
        "learned_from": {name: said[name] for name in ("grounds", "encoder", "augment") if name in said},
        "settings": settings.model_dump(mode="json", exclude={"masks", "folds", "grounds"}),
        "ranges": said.get("ranges", {}) if crops is None else ranges_of(crops, settings.crops),
    }
    path = PRETRAINED / "fold0" / WEIGHTS
    save_pretrained(path, Neck(network, head), description)
    content = {
        "decision": independent(slope, offset).to_json(),
        "networks": {"0": store.digest_file(path)},
        "settings": settings.decision.model_dump(mode="json"),
    }
    store.write_json(PRETRAINED / "decision.json", content)
    return path


def ranges_of(folder: Path, settings: CropSettings) -> dict[str, list[float]]:
    """See `likeness.ranges`, of crops in files. Raises DatasetError when there are none of these cells, or too few."""
    shape = crop_shape(settings)
    try:
        found = [crop_files.load(path) for path in spread(sorted(folder.rglob("*.npz")))]
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{folder}: a file holds no crops of this version: {error}; make them anew") from None
    if other := {crops.images.shape[2:] for crops in found} - {shape}:
        raise DatasetError(f"{folder}: crops of {other.pop()} cells; the encoder's have {shape}")
    usual = ranges(found, settings)
    if not usual:
        raise DatasetError(f"{folder}: too few vertebrae in its crops (*.npz) to know what is usual; name more")
    return usual


def read_table(path: Path) -> pd.DataFrame:
    """Raises DatasetError when a file isn't such a table."""
    try:
        table = pd.read_csv(path, keep_default_na=False)
        table["evidence"] = table["evidence"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{path}: is no table of evaluate-broken-bone --evidence: {error}") from None
    if missing := [name for name in COLUMNS if name not in table]:
        raise DatasetError(f"{path}: lacks {', '.join(missing)}; expected a table of evaluate-broken-bone --evidence")
    return table


def fit_log_odds(table: pd.DataFrame) -> tuple[float, float]:
    """Evidence of healthy and broken vertebrae -> slope and offset that make log likelihood ratios of it. Healthy and
    broken count half each, kinds of fractures alike. Raises DatasetError with only one of them."""
    broken = (table["kind"] != HEALTHY).to_numpy()
    if broken.all() or not broken.any():
        raise DatasetError("evidence of healthy and of broken vertebrae is needed to calibrate, found only one of them")
    sizes = table.groupby(["kind", "way"])["evidence"].transform("size").to_numpy()
    kinds = table[broken].groupby(["kind", "way"]).ngroups
    weight = np.where(broken, 1 / (kinds * sizes), 1 / sizes)
    fit = LogisticRegression(C=1e6, max_iter=1000)
    fit.fit(table[["evidence"]].to_numpy(), broken, sample_weight=weight * len(table))
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def independent(slope: float, offset: float) -> Calibration:
    """The calibration of a network that judges each level alone and the patient not at all: its logits times `slope`
    plus `offset` are log likelihood ratios."""
    prior = prior_of(USUAL)
    usual = special.logit(marginals(prior[None]))[0]
    scaling = np.column_stack([np.append(np.full(len(LEVELS), slope), 0.0), usual + offset])
    scaling[-1, 1] = usual[-1]
    n = len(TARGETS)
    maps = {}
    for reading in READINGS:
        start = evidence_of(np.zeros((1, n)), np.zeros((1, n), bool), scaling, prior, reading).start
        maps[reading] = LinearMap(start, np.zeros((n, n)), np.ones(n))
    return Calibration(scaling, np.asarray(USUAL, dtype=np.float64), maps)
