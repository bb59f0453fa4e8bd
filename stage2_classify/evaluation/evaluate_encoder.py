"""What an encoder finds by itself: its evidence for each vertebra of a cohort against the labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from common.config import DataSettings
from common.dataset.competition import UID, Competition
from common.device import autocast, choose_device
from common.errors import DatasetError
from common.labels import TARGETS
from common.progress import progress
from stage2_classify.crops import files as crop_files
from stage2_classify.crops.batch import as_batch
from stage2_classify.crops.masks import masks_of
from stage2_classify.evaluation.evaluate_submission import area_lines, areas, number
from stage2_classify.pretrained.encoder import load_encoder
from stage2_classify.settings import ClassifySettings
from stage2_classify.training import studies as training_studies
from stage2_classify.training.samples import Example


def evaluate_encoder(
    data: DataSettings, settings: ClassifySettings, weights: Path
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Areas under the curve, see `scoring.areas`, over all studies of the cohort whose labels are known; the evidence,
    indexed by StudyInstanceUID, a column per target; and the labels alike. The patient's evidence is the log of the sum
    over the levels, a level that isn't in view has none. The network and the crops' shape are those of the weights.
    Raises WeightsError, DatasetError."""
    device = choose_device(settings.encoder.device)
    network, own = load_encoder(weights)
    settings = settings.model_copy(update={"network": own.network, "crops": own.crops, "shuffle_labels": False})
    network.to(device)

    competition = Competition.open(data.root)
    known = (competition.train_labels(), competition.test_labels())
    labels = pd.concat([table for table in known if table is not None])
    masks = masks_of(data, settings.masks)
    failed = crop_files.make_crops(list(labels.index), data, masks, settings.crops, settings.network.kind, competition)
    examples = training_studies.load_examples(labels.drop(index=list(failed)), data, settings)
    if not examples:
        raise DatasetError(f"{data.root}: no study with a vertebra in view; are the masks empty?")
    each = (_evidence(network, example, settings.decision.precision) for example in examples.values())
    found = progress(each, len(examples), "looking at vertebrae")
    evidence = pd.DataFrame(list(found), index=pd.Index(list(examples), name=UID), columns=list(TARGETS))
    y = labels.loc[evidence.index, list(TARGETS)]
    figures = {"studies": len(examples), "failed": failed, **areas(evidence.to_numpy(), y.to_numpy(dtype=float))}
    return figures, evidence, y


@torch.inference_mode()
def _evidence(network: torch.nn.Module, example: Example, precision: str) -> np.ndarray:
    """(8,): a number per level and for the patient."""
    batch, present = as_batch(example.crops), example.crops.present
    device = next(network.parameters()).device
    seen = {name: batch[name][0][present].to(device) for name in ("images", "mask_seen")}
    with autocast(device, precision):
        found = network(seen)["evidence"].float().cpu().numpy()
    evidence = np.zeros(8)
    evidence[:7][present] = found
    evidence[7] = np.logaddexp.reduce(found)
    return evidence


def table(figures: dict[str, Any]) -> str:
    """The figures as lines for a person."""
    lines = [f"studies                {figures['studies']}, {len(figures['failed'])} failed", *area_lines(figures)]
    lines.append(f"AUC all vertebrae      {number(figures['vertebra_auc'])}")
    if "less_other" in figures:
        other = figures["less_other"]
        between = "{:+.3f} .. {:+.3f}".format(*other["interval"])
        lines.append(
            f"less the other's       {other['value']:+.3f}   95 % interval {between}, {other['studies']} studies"
        )
    return "\n".join(lines)
