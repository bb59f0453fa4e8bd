"""A network's weights with everything needed to use them: safetensors, the description in the header as JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import __version__
from common.errors import WeightsError
from common.outputs import store

if TYPE_CHECKING:
    from torch import Tensor, nn

KEY = "description"


def save_weights(path: Path, network: "nn.Module", description: dict[str, Any]) -> None:
    """Writes a network's weights atomically. `description`: JSON values; "kind" (such as "segmentation") is
    required and checked at loading; the project's version is added."""
    from safetensors.torch import save

    if "kind" not in description:
        raise ValueError(f"description must have a `kind`, got {sorted(description)}")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    with store.atomic(path) as scratch:
        scratch.write_bytes(save(tensors, {KEY: json.dumps({"version": __version__, **description})}))


def load_weights(
    path: Path, kind: str | None = None, needs: tuple[str, ...] = ()
) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """The state dict (on the CPU) and the description of a weights file.

    Raises WeightsError when the file is missing, damaged, without a description, or not of `kind`, or when its
    description lacks one of `needs`.
    """
    description = read_description(path, kind)
    missing = [name for name in needs if name not in description]
    if missing:
        raise WeightsError(f"{path}: its description lacks {', '.join(missing)}; train again or copy the file again")
    return read_tensors(path), description


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file, this project's or not, on the CPU. Raises WeightsError when it is damaged."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except Exception as error:
        raise WeightsError(f"{path}: damaged weights file ({error}); train again or copy it again") from None


def load_state(network: "nn.Module", state: "dict[str, Tensor]", path: Path) -> None:
    """Gives a network the weights read from `path`; WeightsError when they aren't those of such a network."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path}: the weights don't fit the network they describe: {error}") from None


def read_description(path: Path, kind: str | None = None) -> dict[str, Any]:
    """The description alone, without torch; raises as `load_weights`."""
    try:
        description = json.loads(_header(path)[KEY])
        if not isinstance(description, dict):
            raise ValueError
    except (KeyError, ValueError, RecursionError):
        raise WeightsError(f"{path}: has no description; expected weights that this project saved") from None
    if kind is not None and description.get("kind") != kind:
        raise WeightsError(f"{path}: weights of kind {description.get('kind')!r}, expected {kind!r}")
    return description


def is_described(path: Path) -> bool:
    """Whether this project saved the file: another's has no description. WeightsError when it is missing or damaged."""
    return KEY in _header(path)


def _header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; train first, or name one with --weights")
    try:
        with safe_open(path, framework="np") as stream:
            return stream.metadata() or {}
    except Exception as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); train again or copy it again") from None
