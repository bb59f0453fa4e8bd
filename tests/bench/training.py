"""Samples of either training and the steps that are trained with them: by our loaders, and by plain ones that read the
study's NIfTI, cut and vary for every sample. Both vary alike."""

from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

from tests.bench import tasks
from tests.bench.compare import Way
from tests.bench.studies import SMALL, Pair, larger_pair, pair

STEPS = 2 if SMALL else 20
SAMPLES = 4 if SMALL else 24
"""That loaders make without a network."""
PLAIN, LARGER = "a plain loader of NIfTI", "the same of a scan of 512 x 512"


def load_segment(out: Path) -> list[Way]:
    """Samples of stage 1, without a network."""
    return _loading(*_segment(out))


def load_classify(out: Path) -> list[Way]:
    """Studies for stage 2's whole network, without it."""
    return _loading(*_classify(out))


def load_encoder(out: Path) -> list[Way]:
    """Patches for stage 2's encoder, without it."""
    return _loading(*_encoder(out))


def train_segment(out: Path) -> list[Way]:
    """Steps of stage 1's training."""
    return _training(*_segment(out))


def train_classify(out: Path) -> list[Way]:
    """Steps of stage 2's training."""
    return _training(*_classify(out))


def train_encoder(out: Path) -> list[Way]:
    """Steps of the training of stage 2's encoder alone."""
    return _training(*_encoder(out))


def _segment(out: Path) -> tuple[tasks.Training, Callable[[Pair], Any], Path]:
    from tests.bench.plain_stage1 import PlainPatches

    training = tasks.segment(*pair(out).volumes())
    return training, lambda study: PlainPatches(study, training.settings), out


def _classify(out: Path) -> tuple[tasks.Training, Callable[[Pair], Any], Path]:
    from tests.bench.plain_stage2 import PlainStudies

    training = tasks.classify(*pair(out).volumes())
    known = tasks.example(*pair(out).volumes(), training.settings)
    return training, lambda study: PlainStudies(study, known, training.settings), out


def _encoder(out: Path) -> tuple[tasks.Training, Callable[[Pair], Any], Path]:
    from tests.bench.plain_stage2 import PlainVertebrae

    training = tasks.encode(*pair(out).volumes())
    known = tasks.example(*pair(out).volumes(), training.settings)
    return training, lambda study: PlainVertebrae(study, known, training.settings), out


def _loading(training: tasks.Training, plain: Callable[[Pair], Any], out: Path) -> list[Way]:
    """SAMPLES samples in batches, made by this process itself, whose core-seconds they then are."""
    import torch

    from common.training.batches import batches
    from common.training.loop import make_fabric
    from common.workers.memory import keep_memory

    keep_memory()  # as the commands do
    batch = training.train.batch
    train = training.train.model_copy(update={"steps": max(SAMPLES // batch, 1), "workers": 0})
    fabric = make_fabric(train)

    def all_of(samples: Any) -> Callable[[], object]:
        def run() -> None:
            torch.set_num_threads(1)  # as in the processes that make samples
            for _ in batches(samples, train, 0, fabric):
                pass

        return run

    return [
        Way(f"ours, {train.steps * batch} samples", all_of(training.task)),
        Way(PLAIN, all_of(plain(pair(out)))),
        Way(LARGER, all_of(plain(larger_pair(out)))),
    ]


def _training(training: tasks.Training, plain: Callable[[Pair], Any], out: Path) -> list[Way]:
    """STEPS steps as `train` takes them; what ours take longer than those on a batch that is there is the loader's."""
    import torch

    from common.training.batches import batches
    from common.training.loop import make_fabric, threads
    from common.workers.memory import keep_memory

    keep_memory()  # as the commands do
    task, train = training.task, training.train.model_copy(update={"steps": STEPS})
    fabric = make_fabric(train)
    fabric.launch()
    network, optimizer = fabric.setup(task.network, torch.optim.AdamW(task.network.parameters(), 1e-4))
    there = next(iter(batches(task, train, 0, fabric)))

    def steps(coming: Callable[[], Iterable]) -> Callable[[], object]:
        def run() -> None:
            torch.set_num_threads(threads(train))
            for batch in coming():
                fabric.backward(task.loss(network, batch)["loss"])
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        return run

    return [
        Way(f"ours, {STEPS} steps", steps(lambda: batches(task, train, 0, fabric))),
        Way("the network's steps alone", steps(lambda: repeat(there, STEPS))),
        Way(PLAIN, steps(lambda: batches(plain(pair(out)), train, 0, fabric))),
    ]
