"""The weights that come with the project, and what a training may begin with. Needs no torch."""

import sys
from pathlib import Path

from common.commandline import NOT_MEDICAL
from common.errors import ConfigError, WeightsError
from common.training import WEIGHTS
from common.weights import read_description, save_weights
from stage1_segment.settings import KIND, SegmentSettings

SHIPPED = Path(__file__).parent / "shipped" / WEIGHTS
LARGEST = 40_000_000
"""Bytes that a file in the repository may have."""


def own_or_shipped(own: Path) -> Path:
    """The run's own weights; without any, those that come with the project, which is said aloud. Without these
    either, `own`, so that the error names what is missing."""
    if own.is_file() or not SHIPPED.is_file():
        return own
    print(
        f"{own} doesn't exist: using the weights that come with the project, which have learned from synthetic CT "
        f"alone (see {SHIPPED.parent / 'CARD.md'}). {NOT_MEDICAL}",
        file=sys.stderr,
    )
    return SHIPPED


def start_path(settings: SegmentSettings) -> Path | None:
    """The weights that training begins with, checked to fit; None for random ones. Raises WeightsError (missing,
    damaged), ConfigError (of another network or HU window)."""
    named = settings.train.start_from
    if named is None:
        return None
    path = SHIPPED if named == "shipped" else Path(named)
    if named == "shipped" and not path.is_file():
        raise WeightsError(f"{path}: no weights come with this version; set train.start_from=null or name a file")
    description = read_description(path, KIND)
    wanted = {
        "network": settings.network.model_dump(mode="json"),
        "patch": settings.patch.model_dump(mode="json", include={"low_hu", "high_hu"}),
    }
    for part, values in wanted.items():
        for key, value in values.items():
            found = description.get(part, {}).get(key)
            if found != value:
                raise ConfigError(
                    f"{path}: can't begin from these weights: their {part}.{key} is {found}, the configuration's "
                    f"{value}; set {part}.{key}={found} or train.start_from=null"
                )
    return path


def ship(weights: Path) -> Path:
    """Makes a trained run's weights those that come with the project. Raises WeightsError, ConfigError (too large)."""
    from stage1_segment.predict import load_segmenter

    description = read_description(weights, KIND)
    network = load_segmenter(weights, "cpu").network
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    if size > LARGEST:
        raise ConfigError(f"{weights}: {size / 1e6:.0f} MB; a shipped file may have {LARGEST / 1e6:.0f}: train smaller")
    kept = {key: value for key, value in description.items() if key not in ("fold", "held_out", "version")}
    save_weights(SHIPPED, network, kept)
    print(f"{SHIPPED}: {size / 1e6:.1f} MB; now write what was measured into {SHIPPED.parent / 'CARD.md'}")
    return SHIPPED
