"""The weights that come with stage 1, and what a training of it begins with. Needs no torch."""

import sys
from pathlib import Path

from common.commandline import NOT_MEDICAL
from common.training import initial_weights
from common.training.task import WEIGHTS
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
    """See `initial_weights.start_path`."""
    wanted = {
        "network": (settings.network, set(NetworkSettings.model_fields)),
        "patch": (settings.patch, {"low_hu", "high_hu"}),
    }
    return initial_weights.start_path(settings.train.start_from, "train.start_from", names(), KIND, wanted)


def names() -> dict[str, Path]:
    return {"shipped": SHIPPED, "practice": PRACTICE}
