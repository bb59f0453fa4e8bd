"""Seconds of a piece of work on a device, those within a network, its operations, and how many the hardware reaches."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.bench.studies import SMALL

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
def _time_within(network: nn.Module | None, device: torch.device) -> Iterator[list[float]]:
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
