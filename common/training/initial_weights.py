"""Weights that come with the project, and what a training may begin with. Needs no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import Settings, parse_saved
from common.errors import ConfigError, WeightsError
from common.training.weights import read_description, save_weights

if TYPE_CHECKING:
    from torch import nn

CARD = "CARD.md"
LARGEST = 40_000_000
"""Bytes that a file in the repository may have."""


def init_path(
    named: str | None, key: str, pretrained: dict[str, Path], kind: str, wanted: dict[str, tuple[Settings, set[str]]]
) -> Path | None:
    """The weights that a training begins with, checked to fit; None for random ones.

    `named`: what the configuration's `key` says: a name in `pretrained`, a path, or None. `wanted`: part of the
    weights' description -> the configuration's settings, and those of them that have to be alike; what the description
    doesn't know, since the file is older, counts as the default. Raises WeightsError (missing, damaged, not of `kind`),
    ConfigError (of another network or another window)."""
    if named is None:
        return None
    path = pretrained.get(named, Path(named))
    if named in pretrained and not path.is_file():
        raise WeightsError(f"{path}: no weights come with this version; set {key}=null or name a file")
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; set {key} to {', '.join(pretrained)}, a file, or null")
    description = read_description(path, kind)
    for part, (own, names) in wanted.items():
        theirs = parse_saved(description.get(part, {}), type(own), str(path)).model_dump(mode="json")
        for name, value in own.model_dump(mode="json", include=names).items():
            if (found := theirs[name]) != value:
                raise ConfigError(
                    f"{path}: can't begin from these weights: their {part}.{name} is {found}, the configuration's "
                    f"{value}; set {part}.{name}={found} or {key}=null"
                )
    return path


def save_pretrained(path: Path, network: "nn.Module", description: dict[str, Any]) -> None:
    """Writes weights that come with the project; of the paths in their description the last name stays. Raises
    ConfigError when they are too large."""
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    if size > LARGEST:
        raise ConfigError(f"{path}: {size / 1e6:.0f} MB; it may have {LARGEST / 1e6:.0f}: train a smaller network")
    save_weights(path, network, _without_places(description))
    print(f"{path}: {size / 1e6:.1f} MB; now write what was measured into {card_of(path)}")


def _without_places(content: Any) -> Any:
    """The same, with the name alone of what has a place on this machine."""
    if isinstance(content, dict):
        return {key: _without_places(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_places(value) for value in content]
    return Path(content).name if isinstance(content, str) and Path(content).is_absolute() else content


def card_of(weights: Path) -> Path:
    """The page that says how weights were made and measured: beside them or above; beside them where there is none."""
    return next((folder / CARD for folder in weights.parents if (folder / CARD).is_file()), weights.with_name(CARD))
