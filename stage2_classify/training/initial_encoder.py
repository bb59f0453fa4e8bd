"""The encoder before its training: random weights, or those that `encoder.init_from` names."""

from pathlib import Path

from torch import nn

from common.training.weights import is_described, load_state, load_weights, read_tensors
from stage2_classify.networks import build_encoder
from stage2_classify.pretrained import from_imagenet, from_segmenter
from stage2_classify.pretrained.encoder import init_path
from stage2_classify.settings import ClassifySettings

RUNNING = ("running_mean", "running_var", "num_batches_tracked")
"""What batch normalisation keeps besides weights: an encoder that was normalised by instances has none of it yet."""


def initial_encoder(settings: ClassifySettings) -> nn.Module:
    """The encoder of `settings.network` with the weights that `init_path` names: an encoder's, stage 1's network, or
    ImageNet's. Raises WeightsError (absent, damaged, of another network)."""
    network = build_encoder(settings.network, settings.encoder.seed)
    start = init_path(settings)
    if start is not None:
        _load(network, start, settings.network.encoder)
    return network


def _load(network: nn.Module, start: Path, encoder: str) -> None:
    if not is_described(start):
        from_imagenet.begin_from_imagenet(network, encoder, read_tensors(start), start)
        return
    state, description = load_weights(start)
    if description["kind"] == from_segmenter.KIND:
        from_segmenter.begin_from_segmenter(network, state, start)
    else:
        own = network.state_dict()
        running = {name: own[name] for name in own if name not in state and name.endswith(RUNNING)}
        load_state(network, {**running, **state}, start)
