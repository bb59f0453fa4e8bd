"""Whether a training is already done, and running it where it isn't. The loop itself: `loop`."""

from pathlib import Path
from typing import Any

from common.outputs import store
from common.outputs.lock import only_one
from common.outputs.schema import TRAINING
from common.training.task import HOW_NOT_WHAT, WEIGHTS, Task, TrainSettings


def origin(settings: TrainSettings, came_from: dict[str, Any]) -> dict[str, Any]:
    """What the trained weights depend on: the caller's `came_from` (data, network, ...) and the settings."""
    return {**came_from, "train": settings.model_dump(mode="json", exclude=HOW_NOT_WHAT)}


def is_current(folder: Path, settings: TrainSettings, came_from: dict[str, Any]) -> bool:
    """True when `folder` holds the weights of just this training, finished. Needs no torch."""
    return store.is_current(folder / WEIGHTS, origin(settings, came_from), TRAINING)


def train(
    task: Task, settings: TrainSettings, folder: Path, came_from: dict[str, Any], description: dict[str, Any]
) -> Path:
    """Trains `task.network` and returns the path of its averaged weights, `folder`/weights.safetensors.

    `came_from` is what the weights depend on beside `settings`; `description` goes into the weights file
    (see `weights.save_weights`). A finished training returns at once, an interrupted one goes on from its last
    checkpoint and ends with the same weights. Raises ConfigError for a batch that the processes can't share
    evenly or a device that isn't there, RunBusy when another process trains in `folder`, OutputError when it can't
    be written.
    """
    if not is_current(folder, settings, came_from):
        from common.training.loop import fit

        with only_one(folder):
            fit(task, settings, folder, origin(settings, came_from), description)
    return folder / WEIGHTS
