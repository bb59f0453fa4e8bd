"""A training's batches: samples made in processes, or on the GPU that trains, while it computes the step before."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from common.errors import ProjectError
from common.training.task import MakesOnDevice, Task, TrainSettings

MAX_DEATHS = 3
"""Times that the processes which make samples are replaced when one was killed."""


def batches(task: Task, settings: TrainSettings, start: int, fabric: Fabric) -> Iterator[dict[str, Tensor]]:
    """The batches of the steps after `start`, this rank's share of each, on its device."""
    if isinstance(task, MakesOnDevice) and fabric.device.type == "cuda":
        drawn = _from_processes(_Numbered(task.draw), list, settings, start, fabric)
        return _made_beside(task, drawn, fabric.device)
    return _from_processes(_Numbered(task.sample), default_collate, settings, start, fabric)


def _made_beside(task: MakesOnDevice, drawn: Iterator[list], device: torch.device) -> Iterator[dict[str, Tensor]]:
    """Made on a stream of its own: the step before a batch is queued already, and goes on meanwhile."""
    stream, training = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    for of_batch in drawn:
        with torch.cuda.stream(stream):
            batch = task.make(of_batch, device)
        training.wait_stream(stream)
        for value in batch.values():
            value.record_stream(training)
        yield batch


class _Numbered(Dataset):
    """What a function has for the samples' numbers, as a map-style dataset."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        self.function = function

    def __getitem__(self, number: int) -> Any:
        return self.function(number)


def _from_processes(
    samples: Dataset, collate: Callable, settings: TrainSettings, start: int, fabric: Fabric
) -> Iterator[Any]:
    """When a process that makes samples is killed, new ones go on with the batch that is due; samples depend on their
    number alone. Raises ProjectError when that happens too often."""
    done = start
    for deaths in range(MAX_DEATHS + 1):
        try:
            loader = fabric.setup_dataloaders(
                _loader(samples, collate, settings, done, fabric),
                use_distributed_sampler=False,
                move_to_device=collate is default_collate,
            )
            coming = iter(loader)
            _deaths_are_polled()
            for batch in coming:
                yield batch
                done += 1
            return
        except (RuntimeError, OSError, EOFError) as error:
            if settings.workers == 0 or not _tells_of_a_death(error):
                raise
            said = f"a process that makes samples was killed at step {done}, most likely for want of memory"
            if deaths == MAX_DEATHS:
                raise ProjectError(f"{said}; set train.workers=0, then run the same command again") from None
            print(f"{said}; starting new ones", file=sys.stderr)


def _deaths_are_polled() -> None:
    """Takes torch's handler for the death of a loader's process away: it raises wherever the training just is, in the
    middle of a step. The loader notices by itself, within five seconds."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _tells_of_a_death(error: Exception) -> bool:
    """torch's own words, or a connection that broke while a batch was fetched; not what a sample raised."""
    text = str(error)
    broken = isinstance(error, ConnectionError | EOFError | FileNotFoundError)
    return "DataLoader worker (pid" in text or (broken and "in DataLoader worker process" not in text)


def _loader(samples: Dataset, collate: Callable, settings: TrainSettings, start: int, fabric: Fabric) -> DataLoader:
    """The rank's share of every global batch from step `start` (steps done) on: batch s holds the samples s * batch ..
    (s + 1) * batch - 1, rank r the r-th part of them."""
    share = settings.batch // fabric.world_size
    first = [step * settings.batch + fabric.global_rank * share for step in range(start, settings.steps)]
    return DataLoader(
        samples,
        batch_sampler=[list(range(number, number + share)) for number in first],
        collate_fn=collate,
        num_workers=settings.workers,
        pin_memory=fabric.device.type == "cuda" and collate is default_collate,
        prefetch_factor=4 if settings.workers else None,
    )
