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
from common.workers.threads import at_once
from stage2_classify.crops.batch import MAP_STEP, as_batch
from stage2_classify.crops.cut import Crops
from stage2_classify.networks import build
from stage2_classify.networks.blocks import VOXEL_START, evidence
from stage2_classify.prediction import OF_SYNTHETIC_ONLY
from stage2_classify.settings import KIND, ClassifySettings


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network makes of a study: `logits` (8,), and `places` (N, X', Y', Z'), the evidence of each place of the N
    vertebrae in view less that of its vertebra, in nats, at a quarter of the crops' resolution and -inf beside the
    vertebra; None of networks that have no voxel logits of a vertebra."""

    logits: np.ndarray
    places: np.ndarray | None


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
    def look(self, crops: Crops, augmented: bool) -> Seen:
        """The network's prediction: logits are the mean over the crops and their `other_view` when `augmented`, places
        are of the crops as they are."""
        size = tuple(-(-n // MAP_STEP) for n in crops.images.shape[2:])
        has_places = self.settings.network.kind == "vertebra3d"
        if not crops.present.any():
            return Seen(np.log(self.prior / (1 - self.prior)), np.zeros((0, *size)) if has_places else None)
        views = (False, True)[: 2 if augmented else 1]
        if self.device.type == "cpu":
            passes = at_once(lambda other: self._pass(crops, other), views)
        else:
            passes = [self._pass(crops, other) for other in views]
        logits = np.mean([found["logits"][0].float().cpu().numpy() for found in passes], axis=0)
        if not has_places:
            return Seen(logits, None)
        voxels, inside = (passes[0][name][0].cpu()[crops.present] for name in ("voxel_logits", "vertebra_mask"))
        own = evidence(voxels.float(), inside, self.settings.network.top_places) + VOXEL_START
        places = (voxels.float() - own[:, None]).masked_fill(~inside, -torch.inf)
        return Seen(logits, places.reshape(-1, *size).numpy())

    @torch.inference_mode()
    def _pass(self, crops: Crops, other: bool) -> dict[str, torch.Tensor]:
        batch = {name: value.to(self.device) for name, value in as_batch(crops, other).items()}
        with self.autocast():
            found: dict[str, torch.Tensor] = self.network(batch)
        return found

    def logits(self, crops: Crops, augmented: bool) -> np.ndarray:
        """(8,): those of `look`."""
        return self.look(crops, augmented).logits

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
