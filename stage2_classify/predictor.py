"""Trained networks at work on crops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.config import parse_saved
from common.device import autocast, choose_device, prediction_precision
from common.outputs import store
from common.training.weights import load_state, load_weights
from stage2_classify.crops.batch import as_batch
from stage2_classify.crops.cut import Crops
from stage2_classify.networks import build
from stage2_classify.prediction import OF_SYNTHETIC_ONLY
from stage2_classify.settings import KIND, ClassifySettings


@dataclass(frozen=True, eq=False)
class Predictor:
    """One network with what its weights file says: settings, `prior` (8,), digest of the file, and a sentence on
    what it learned from that its user must know, or ""; `ranges`: see `crops.likeness`."""

    network: torch.nn.Module
    settings: ClassifySettings
    prior: np.ndarray
    digest: str
    device: torch.device
    caveat: str = ""
    precision: str = "32-true"
    ranges: Mapping[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def logits(self, crops: Crops, flip: bool) -> np.ndarray:
        """(8,): the network's prediction, the mean over the crops and their mirror images when `flip`."""
        if not crops.present.any():
            return np.log(self.prior / (1 - self.prior))
        outputs = []
        for mirrored in (False, True)[: 2 if flip else 1]:
            batch = {name: value.to(self.device) for name, value in as_batch(crops, mirrored).items()}
            with self.autocast():
                outputs.append(self.network(batch)["logits"][0].float().cpu().numpy())
        return np.mean(outputs, axis=0)

    def autocast(self) -> torch.autocast:
        """The context of its precision."""
        return autocast(self.device, self.precision)


def load_predictor(path: Path, device: str = "auto", precision: str = "32-true") -> Predictor:
    """A weights file -> a network ready to predict, in a precision of `common.device`. Raises WeightsError when it
    isn't one of this stage's, ConfigError for a device that isn't there or no such precision."""
    precision = prediction_precision(precision, device)
    where = choose_device(device)
    state, description = load_weights(path, KIND, ("settings", "prior"))
    settings = parse_saved(description["settings"], ClassifySettings, str(path), "settings")
    prior = np.array(description["prior"], dtype=np.float64)
    network = build(settings.network, torch.from_numpy(prior))
    load_state(network, state, path)
    network = network.requires_grad_(False).eval().to(where)
    caveat = str(description.get("caveat", OF_SYNTHETIC_ONLY if description.get("synthetic") else ""))
    usual = description.get("ranges") or {}
    return Predictor(network, settings, prior, store.digest_file(path), where, caveat, precision, usual)
