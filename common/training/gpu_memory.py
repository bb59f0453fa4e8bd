"""Less at a time, then the CPU, when a GPU's memory doesn't suffice."""

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def within_memory(infer: Callable[[int, torch.device], T], at_once: int, device: torch.device, what: str) -> T:
    """infer(at_once, device), where `at_once` is how many windows (or studies) go through the network together.

    When the GPU runs out of memory it is asked again for half as many, down to one, and then on the CPU; each time
    a line on stderr says so, with `what`. The result is the same but for rounding. `infer` moves network and data
    to the device that it is given. Every other error is raised, and so is the CPU's want of memory.
    """
    while device.type != "cpu":
        try:
            return infer(at_once, device)
        except torch.OutOfMemoryError:
            pass  # left before going on: the traceback holds what filled the memory
        torch.cuda.empty_cache()
        if at_once > 1:
            at_once //= 2
            print(f"{what}: the GPU's memory is full; {at_once} at a time now", file=sys.stderr)
        else:
            device = torch.device("cpu")
            print(f"{what}: the GPU's memory is full even with one at a time; on the CPU now, slower", file=sys.stderr)
    return infer(at_once, device)
