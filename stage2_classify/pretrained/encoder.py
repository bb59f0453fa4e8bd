"""The encoder that comes with stage 2, and what a training of an encoder begins with. Needs no torch."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.commandline import NOT_MEDICAL
from common.errors import WeightsError
from common.outputs import store
from common.training import initial_weights
from common.training.task import WEIGHTS
from common.training.weights import is_described, read_description
from stage2_classify.pretrained import from_segmenter
from stage2_classify.settings import ClassifySettings, NetworkSettings

if TYPE_CHECKING:
    from torch import nn

KIND = "vertebra encoder"
PRETRAINED = Path(__file__).parents[1] / "weights" / "pretrained"
"""For scans of people, laid out as a run's stage2/: fold0/weights.safetensors and decision.json."""
PRETRAINED_PHANTOM = Path(__file__).parents[1] / "weights" / "pretrained-phantom.safetensors"
NOT_OF_THE_ENCODER = {"head", "hidden", "dropout", "norm", "top_places"}
"""Settings of the network that an encoder's weights can differ in from those that begin with it."""


def own_or_pretrained(folder: Path) -> Path:
    """A run's stage2/ with a trained network; without one the folder of the weights that come with the project, which
    is said aloud. Without these either, the run's, so that the error names what is missing."""
    if any(folder.glob("fold*/weights.safetensors")) or not (PRETRAINED / "fold0" / WEIGHTS).is_file():
        return folder
    return pretrained(f", as {folder} holds none of yours")


def pretrained(reason: str = "") -> Path:
    """The folder of the weights that come with the project, which is said aloud."""
    print(
        f"stage 2 uses the network that comes with the project{reason}. It has seen no real fracture, only drawn ones; "
        f"what it is worth: {PRETRAINED.parent / 'CARD.md'}. {NOT_MEDICAL}",
        file=sys.stderr,
    )
    return PRETRAINED


def init_path(settings: ClassifySettings) -> Path | None:
    """See `initial_weights.init_path`; None as well for the naive network, which has no encoder. A file may also be a
    network of stage 1, see `from_segmenter`, and for an encoder of a library ImageNet weights, see `from_imagenet`."""
    if settings.network.kind == "naive":
        return None
    wanted = {
        "network": (settings.network, set(NetworkSettings.model_fields) - NOT_OF_THE_ENCODER),
        "crops": (settings.crops, {"window_hu", "oriented"}),
    }
    named = settings.encoder.init_from
    if named not in (None, "pretrained-phantom") and Path(named).is_file():
        if settings.network.encoder != "own" and not is_described(Path(named)):
            return Path(named)
        if read_description(Path(named)).get("kind") == from_segmenter.KIND:
            from_segmenter.check_segmenter(Path(named), settings.network)
            return Path(named)
    return initial_weights.init_path(
        named, "encoder.init_from", {"pretrained-phantom": PRETRAINED_PHANTOM}, KIND, wanted
    )


def init_provenance(settings: ClassifySettings) -> dict[str, Any]:
    """What the weights that the training begins with add to what its result came from."""
    start = init_path(settings)
    return {} if start is None else {"start": store.digest_file(start)}


def description(settings: ClassifySettings) -> dict[str, Any]:
    """What the file of an encoder says of it."""
    return {"kind": KIND, **settings.model_dump(mode="json", exclude={"masks", "folds", "decision", "train"})}


def set_pretrained(weights: Path) -> Path:
    """Makes a trained encoder the one that comes with the project. Raises WeightsError, ConfigError (too large)."""
    said = read_description(weights, KIND)
    initial_weights.save_pretrained(
        PRETRAINED_PHANTOM, load_encoder(weights)[0], {key: said[key] for key in said if key != "version"}
    )
    return PRETRAINED_PHANTOM


def load_encoder(path: Path) -> "tuple[nn.Module, ClassifySettings]":
    """The file of an encoder -> it, and the settings of its network and its crops; WeightsError when it isn't one."""
    from common.config import parse_saved
    from common.training.weights import load_state, load_weights
    from stage2_classify.networks import build_encoder

    state, description = load_weights(path, KIND, ("network", "crops"))
    own = {name: description[name] for name in ("network", "crops")}
    settings = parse_saved(own, ClassifySettings, str(path))
    network = build_encoder(settings.network)
    load_state(network, state, path)
    return network.eval(), settings


def load_encoders(paths: Sequence[Path]) -> "tuple[list[nn.Module], list[ClassifySettings]]":
    """The files of encoders that look at the same crops. Raises WeightsError when one isn't an encoder's, or was made
    for other crops than the first."""
    loaded = [load_encoder(path) for path in paths]
    for path, (_, settings) in zip(paths, loaded):
        if settings.crops != loaded[0][1].crops:
            raise WeightsError(f"{path}: learned from other crops than {paths[0]}; name encoders of the same crops")
    return [encoder for encoder, _ in loaded], [settings for _, settings in loaded]
