"""Makes trained weights of stage 1 those that come with the project."""

from pathlib import Path

import torch

from common.errors import WeightsError
from common.training import initial_weights
from common.training.weights import read_description
from stage1_segment import pretrained
from stage1_segment.inference.levels.model import path_beside
from stage1_segment.inference.segmenter import Segmenter
from stage1_segment.settings import KIND, PredictSettings


def set_pretrained(weights: list[Path], predict: PredictSettings | None = None) -> Path:
    """Makes trained weights those that come with the project; of several, which one training should have led to from
    the other, their mean (Wortsman et al. 2022, model soups). `predict`: how they are to be used; None: as they were
    trained. The numbers of the level count beside the older ones go: `calibrate-levels` makes them again. Raises
    WeightsError, and ConfigError when they are too large."""
    description = read_description(weights[-1], KIND)
    kept = {key: value for key, value in description.items() if key not in ("fold", "learned", "held_out", "version")}
    if predict is not None:
        kept["predict"] = predict.model_dump(mode="json")
    networks = [Segmenter.load(path, "cpu").network for path in weights]
    states = [network.state_dict() for network in networks]
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    if any(one != shapes[-1] for one in shapes):
        raise WeightsError(f"{weights[0]} and {weights[-1]} are of different networks, which have no mean")
    mean = {key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[-1]}
    networks[-1].load_state_dict(mean)
    initial_weights.save_pretrained(pretrained.PRETRAINED, networks[-1], kept)
    path_beside(pretrained.PRETRAINED).unlink(missing_ok=True)  # those were for the weights before
    return pretrained.PRETRAINED
