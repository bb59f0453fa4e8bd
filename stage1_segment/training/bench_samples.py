"""Times samples of an anatomy bank against the training step that they are for:
`python -m stage1_segment.training.bench_samples --config configs/atlas.yaml [segment.train.batch=16 ...]`."""

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from common import commandline, config
from common.training.batches import batches
from common.training.loop import make_fabric, threads
from stage1_segment.provenance import bank_split
from stage1_segment.settings import SegmentSettings
from stage1_segment.training.synthetic.sample import BankSamples
from stage1_segment.training.synthetic.subject import load_subject
from stage1_segment.training.task import BankTask


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stage1_segment.training.bench_samples", description=__doc__)
    parser.add_argument("--subjects", type=int, default=8, help="of the bank, to read")
    parser.add_argument("--repeats", type=int, default=20, help="batches that are timed")
    commandline.add_config(parser)
    given = parser.parse_args(arguments)
    _, settings = config.load(given.config, "segment", SegmentSettings, given.overrides)
    fabric = make_fabric(settings.train)
    if fabric.device.type == "cpu":
        torch.set_num_threads(threads(settings.train))
    fabric.launch()
    files = bank_split(settings).learned[: given.subjects]
    task = BankTask(settings, BankSamples([load_subject(Path(path)) for path in files], settings), [])
    network, optimizer = fabric.setup(task.network, torch.optim.AdamW(task.network.parameters(), settings.train.lr))
    size = settings.train.batch

    def step(batch: dict[str, torch.Tensor]) -> None:
        fabric.backward(task.loss(network, batch)["loss"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    drawn = [[task.draw(number) for number in range(k * size, (k + 1) * size)] for k in range(given.repeats)]
    coarse = [of_batch for of_batch in drawn if of_batch[0].coarse]
    ready = task.make(coarse[0], fabric.device)
    coming = batches(task, settings.train, 0, fabric)
    rows = {
        "drawing (one process)": _median_s(lambda k: [task.draw(number) for number in range(size)], given.repeats),
        "making": _median_s(lambda k: task.make(drawn[k], fabric.device), given.repeats),
        "a step": _median_s(lambda k: step(ready), given.repeats),
    }
    for _ in islice(coming, 3):
        pass
    started = _now()
    for batch in islice(coming, given.repeats):
        step(batch)
    rows["both, as in training"] = (_now() - started) / given.repeats
    name = torch.cuda.get_device_name() if fabric.device.type == "cuda" else "CPU"
    print(f"{name}, batch {size}, {settings.train.workers} processes that draw or make\n")
    print("| | ms per sample |\n|---|---|")
    for row, seconds in rows.items():
        print(f"| {row} | {seconds / size * 1e3:.2f} |")
    return 0


def _median_s(work: Callable[[int], object], repeats: int) -> float:
    """Of `work(0)`, `work(1)`, ..., after one call that isn't counted."""
    work(0)
    taken = []
    for number in range(repeats):
        started = _now()
        work(number)
        taken.append(_now() - started)
    return float(np.median(taken))


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    commandline.run(main)
