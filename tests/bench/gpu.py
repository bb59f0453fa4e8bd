"""`python -m tests.bench.gpu`: on one GPU, how many studies and training steps a minute, how much of what the hardware
multiplies at most that is, and which part of a study's time isn't the networks'. Ten minutes at most."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common.commandline import run
from common.device import autocast, choose_device
from tests.bench.comparisons import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.volume import Volume
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.samples import Example

PRECISIONS = ("32-true", "bf16-mixed")
STEPS = 2 if SMALL else 20
EDGE = 256 if SMALL else 8192
"""Of the square matrices whose product says what the hardware reaches."""


@dataclass(frozen=True, eq=False)
class Work:
    """`run` does it once; `network`: whose forward passes are all that the device should be busy with, None where its
    backward passes count as well."""

    name: str
    run: Callable[[], Any]
    network: nn.Module | None = None


@dataclass(frozen=True)
class Row:
    """One kind of work: seconds each time (median), of which within the network (None: not asked); operations of all
    networks each time; peak memory of the device in MB (0 on CPUs)."""

    work: str
    precision: str
    seconds: float
    in_network: float | None
    flops: float
    peak_mb: float


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: %(default)s)")
    arguments = parser.parse_args(words)
    device = choose_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows, reached = [], {}
    for precision in PRECISIONS:
        reached[precision] = peak_flops(device, precision)
        for work in works(arguments.out, device, precision):
            rows.append(measured(work, device, precision, arguments.rounds))
    found = {"device": name_of(device), "torch": torch.__version__, "reached_flops": reached}
    found["rows"] = [asdict(row) for row in rows]
    (arguments.out / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['device']}\n{table(rows, reached)}")
    return 0


def works(out: Path, device: torch.device, precision: str) -> "Iterator[Work]":
    """A study through either stage, from arrays on the CPU to arrays on the CPU; a window of the peer's network, where
    it is installed; steps of either training."""
    from stage1_segment import Segmenter
    from stage1_segment.pretrained import PRETRAINED
    from stage2_classify import Classifier
    from tests.bench.comparisons import _lacks, _pair, _volume
    from tests.bench.nnunet import STAGES, build

    volume, (ct, mask) = _volume(out), _pair(out)
    plain = Segmenter.pretrained(str(device))
    segmenter = Segmenter.load(PRETRAINED, str(device), plain.predict.model_copy(update={"precision": precision}))
    yield Work(f"segment {' x '.join(map(str, volume.array.shape))}", lambda: segmenter(volume), segmenter.network)
    classifier = Classifier.pretrained(str(device), precision)
    yield Work("classify", lambda: classifier(ct, mask, with_map=False), classifier.predictors[0].network)
    if not _lacks("dynamic_network_architectures"):
        network = build((4, 8, 8) if SMALL else STAGES).to(device)
        edge = 32 if SMALL else 128
        window = torch.randn(1, 1, edge, edge, edge, device=device)
        yield Work(f"a window of {edge} of nnU-Net", lambda: _forward(network, window, precision), network)
    yield from trainings(ct, mask, device, precision)


def _forward(network: nn.Module, batch: torch.Tensor, precision: str) -> None:
    with torch.inference_mode(), autocast(batch.device, precision):
        network(batch)


def trainings(ct: "Volume", mask: "Volume", device: torch.device, precision: str) -> "Iterator[Work]":
    """STEPS steps of stage 1's training, and of stage 2's encoder, on samples that are there already."""
    from torch.utils.data import default_collate

    from common.config import load
    from stage1_segment.settings import SegmentSettings
    from stage1_segment.training.patches import CohortSamples
    from stage1_segment.training.samples import make_sample
    from stage1_segment.training.task import SegmentTask
    from stage2_classify.settings import ClassifySettings
    from stage2_classify.training.encoder_task import EncoderTask

    own = load(Path("configs/phantom.yaml"), "segment", SegmentSettings, [])[1]
    segment = SegmentTask(own, CohortSamples([make_sample(ct, mask, own.patch.fine_mm)], own), [])
    other = load(Path("configs/real.yaml"), "classify", ClassifySettings, ["encoder.init_from=null"])[1]
    encode = EncoderTask([], other, _examples(ct, mask, other))
    for name, task, size in (("stage 1", segment, own.train.batch), ("stage 2's encoder", encode, other.encoder.batch)):
        batch = default_collate([task.sample(number) for number in range(size)])
        yield Work(f"{STEPS} steps of {name}, batch of {size}", _steps(task, batch, device, precision))


def _examples(ct: "Volume", mask: "Volume", settings: "ClassifySettings") -> "list[Example]":
    from stage2_classify.grounds.rescan import rescan
    from stage2_classify.grounds.variants import broken_levels
    from stage2_classify.training.samples import Example

    crops = [rescan(ct, mask, settings.crops, np.random.default_rng(seed)) for seed in range(2)]
    return [Example(str(n), crop, np.append(broken_levels(crop), 1).astype(np.float32)) for n, crop in enumerate(crops)]


def _steps(task: Any, batch: dict, device: torch.device, precision: str) -> Callable[[], None]:
    network = task.network.to(device).train()
    batch = {name: value.to(device) for name, value in batch.items()}
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            with autocast(device, precision):
                loss = task.loss(network, batch)["loss"]
            loss.backward()
            optimizer.step()

    return run


def measured(work: Work, device: torch.device, precision: str, rounds: int) -> Row:
    """One run for nothing, one whose operations are counted, then `rounds` that are timed, with the time within the
    network's forward passes."""
    work.run()
    with FlopCounterMode(display=False) as counter:
        work.run()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds, inside = [], []
    for _ in range(rounds):
        with _time_within(work.network, device) as spent:
            began = time.perf_counter()
            work.run()
            _wait(device)
            seconds.append(time.perf_counter() - began)
        inside.append(sum(spent))
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    flops = float(counter.get_total_flops())
    in_network = None if work.network is None else statistics.median(inside)
    return Row(work.name, precision, statistics.median(seconds), in_network, flops, peak)


@contextmanager
def _time_within(network: nn.Module | None, device: torch.device) -> "Iterator[list[float]]":
    """Seconds of every forward pass of a network, the device waited for before and after each."""
    spent: list[float] = []
    began = []

    def before(*_: Any) -> None:
        _wait(device)
        began.append(time.perf_counter())

    def after(*_: Any) -> None:
        _wait(device)
        spent.append(time.perf_counter() - began.pop())

    hooks = []
    if network is not None:
        hooks = [network.register_forward_pre_hook(before), network.register_forward_hook(after)]
    try:
        yield spent
    finally:
        for hook in hooks:
            hook.remove()


def peak_flops(device: torch.device, precision: str) -> float:
    """Operations a second of a product of large square matrices in a precision; the best of ten."""
    kind = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    one, other = (torch.randn(EDGE, EDGE, device=device, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(device)
        began = time.perf_counter()
        one @ other
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * EDGE**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def table(rows: list[Row], reached: dict[str, float]) -> str:
    """For people. The shares are of what a product of large matrices reaches in the same precision: of the whole time,
    and of the time within the network."""
    lines = [
        "| work | precision | seconds | a minute | of that in the network | share of the hardware | there | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        possible_s = row.flops / reached[row.precision]
        inside = there = "-"
        if row.in_network is not None:
            inside, there = f"{row.in_network / row.seconds:.0%}", f"{possible_s / row.in_network:.1%}"
        lines.append(
            f"| {row.work} | {row.precision} | {row.seconds:.3f} | {60 / row.seconds:.0f} | {inside} | "
            f"{possible_s / row.seconds:.1%} | {there} | {row.peak_mb:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
