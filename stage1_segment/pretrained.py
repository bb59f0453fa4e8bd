"""The weights that come with stage 1, and what a training of it begins with. Needs no torch."""

import sys
from pathlib import Path

from common.commandline import NOT_MEDICAL
from common.training import initial_weights
from stage1_segment.settings import KIND, NetworkSettings, SegmentSettings

PRETRAINED = Path(__file__).parent / "weights" / "pretrained.safetensors"
"""For real scans: used where a run has no weights of its own, and for trainings to begin with."""


def own_or_pretrained(own: Path) -> Path:
    """The run's own weights; without any, those that come with the project, which is said aloud. Without these
    either, `own`, so that the error names what is missing."""
    if own.is_file() or not PRETRAINED.is_file():
        return own
    print(
        f"stage 1 uses the weights that come with the project, as {own.parent} holds none of yours. They learned from "
        f"synthetic CT alone; what they can do: {PRETRAINED.parent / 'CARD.md'}. {NOT_MEDICAL}",
        file=sys.stderr,
    )
    return PRETRAINED


def init_path(settings: SegmentSettings) -> Path | None:
    """See `initial_weights.init_path`."""
    wanted = {
        "network": (settings.network, set(NetworkSettings.model_fields)),
        "patch": (settings.patch, {"low_hu", "high_hu"}),
    }
    named = {"pretrained": PRETRAINED}
    return initial_weights.init_path(settings.train.init_from, "train.init_from", named, KIND, wanted)
