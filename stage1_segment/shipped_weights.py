"""The weights that come with stage 1, and what a training of it begins with. Needs no torch."""

import sys
from pathlib import Path

from common import start_weights
from common.commandline import NOT_MEDICAL
from common.training import WEIGHTS
from common.weights import read_description
from stage1_segment.settings import KIND, NetworkSettings, SegmentSettings

SHIPPED = Path(__file__).parent / "shipped" / WEIGHTS
"""For real scans, used where a run has no weights of its own."""
PRACTICE = SHIPPED.with_name("practice.safetensors")
"""From the synthetic cohort made to practise on (configs/practice.yaml), for others of its kind to begin with."""


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
    """See `start_weights.start_path`."""
    wanted = {
        "network": (settings.network, set(NetworkSettings.model_fields)),
        "patch": (settings.patch, {"low_hu", "high_hu"}),
    }
    return start_weights.start_path(settings.train.start_from, "train.start_from", _names(), KIND, wanted)


def _names() -> dict[str, Path]:
    return {"shipped": SHIPPED, "practice": PRACTICE}


def ship(weights: Path, name: str = "shipped") -> Path:
    """Makes a trained run's weights come with the project, as `shipped` or `practice`. Raises WeightsError, and
    ConfigError when they are too large."""
    from stage1_segment.predict import load_segmenter

    description = read_description(weights, KIND)
    kept = {key: value for key, value in description.items() if key not in ("fold", "held_out", "version")}
    start_weights.ship(_names()[name], load_segmenter(weights, "cpu").network, kept)
    return _names()[name]
