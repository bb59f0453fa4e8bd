"""The encoder initialised with stage 1's weights: its first stages are built of the same blocks, under other names.

Stage 1 has learned from every segmented study what bone looks like, in coarser voxels and a narrower window of HU; what
the encoder has beyond that keeps its random weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError, WeightsError
from common.training.weights import read_description
from stage2_classify.settings import NetworkSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

KIND = "segmentation"
"""What the weights of stage 1 call themselves."""
NAMES = {
    "conv1": "first",
    "bn1": "first_norm",
    "conv2": "second",
    "bn2": "second_norm",
    "downsample.0": "around.0",
    "downsample.1": "around.1",
}


def check_segmenter(path: Path, network: NetworkSettings) -> None:
    """Raises ConfigError when the encoder isn't built like that of the segmentation network in `path`, WeightsError
    when that doesn't say how it is built."""
    try:
        theirs = read_description(path, KIND)["network"]
        channels = [int(number) for number in theirs.get("channels") or theirs["widths"]]  # widths: before 0.4
        blocks = int(theirs.get("blocks", 1))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise WeightsError(
            f"{path}: its description doesn't tell the network's channels; copy the file again"
        ) from None
    own = (network.kind, network.encoder, list(network.channels), network.fine_blocks)
    wanted = ("vertebra3d", "own", channels[: len(network.channels)], 0)
    if own != wanted or blocks != 1:
        raise ConfigError(
            f"{path}: can't begin from this network of stage 1, of channels {channels} and {blocks} blocks; that needs "
            f"one block there, and here network.kind=vertebra3d network.encoder=own network.fine_blocks=0 "
            f"network.channels={channels[: len(network.channels)]}"
        )


def begin_from_segmenter(encoder: "nn.Module", state: "dict[str, Tensor]", path: Path) -> None:
    """Copies stem and stages from stage 1's weights, read from `path`, into a `Vertebra3d`; of the stem what looks at
    the CT. Raises WeightsError when they aren't there or of another size."""
    own = encoder.state_dict()
    try:
        own["stem.0.0.weight"][:, :1] = state["encoder.stem.0.weight"][:, :1]
        for part in ("weight", "bias"):
            own[f"stem.0.1.{part}"].copy_(state[f"encoder.stem.1.{part}"])
        for stage in range(len(list(encoder.get_submodule("stages").children()))):
            for theirs, name in NAMES.items():
                for part in ("weight", "bias"):
                    if f"stages.{stage}.{name}.{part}" in own:
                        own[f"stages.{stage}.{name}.{part}"].copy_(state[f"encoder.stages.{stage}.0.{theirs}.{part}"])
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{path}: the weights don't fit the network they describe: {error}") from None
