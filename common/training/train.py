"""Whether a training is already done, and running it where it isn't. The loop itself: `loop`."""

from pathlib import Path
from typing import Any

from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.schema import TRAINING
from common.training.task import RUNTIME_ONLY, WEIGHTS, Task, TrainSettings


def with_settings(provenance: dict[str, Any], settings: TrainSettings) -> dict[str, Any]:
    """What the trained weights depend on: the caller's `provenance` (data, network, ...) and the settings."""
    return {**provenance, "train": settings.model_dump(mode="json", exclude=RUNTIME_ONLY)}


def is_current(folder: Path, settings: TrainSettings, provenance: dict[str, Any]) -> bool:
    """True when `folder` holds the weights of just this training, finished. Needs no torch."""
    return store.is_current(folder / WEIGHTS, with_settings(provenance, settings), TRAINING)


def train(
    task: Task, settings: TrainSettings, folder: Path, provenance: dict[str, Any], description: dict[str, Any]
) -> Path:
    """Trains `task.network` and returns the path of the EMA of its weights, `folder`/weights.safetensors.

    `provenance` is what the weights depend on beside `settings`; `description` goes into the weights file
    (see `weights.save_weights`). A finished training returns at once, an interrupted one goes on from its last
    checkpoint and ends with the same weights. Raises ConfigError for a batch that the processes can't share
    evenly or a device that isn't there, RunBusy when another process trains in `folder`, OutputError when it can't
    be written.
    """
    if not is_current(folder, settings, provenance):
        from common.training.loop import fit

        with only_one(folder):
            fit(task, settings, folder, with_settings(provenance, settings), description)
    return folder / WEIGHTS
