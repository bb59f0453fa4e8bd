"""A GPU that is too small: less at a time, then the CPU, said aloud; nothing else is swallowed."""

import pytest
import torch

from common.training.gpu_memory import within_memory

GPU = torch.device("cuda")


class Network:
    """Takes `room` windows on a GPU at most."""

    def __init__(self, room: int) -> None:
        self.room, self.asked = room, []

    def __call__(self, at_once: int, device: torch.device) -> str:
        self.asked.append((at_once, device.type))
        if device.type == "cuda" and at_once > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return "answer"


@pytest.mark.parametrize(
    ("room", "asked"),
    [
        (8, [(8, "cuda")]),
        (3, [(8, "cuda"), (4, "cuda"), (2, "cuda")]),
        (0, [(8, "cuda"), (4, "cuda"), (2, "cuda"), (1, "cuda"), (1, "cpu")]),
    ],
)
def test_less_and_less(room: int, asked: list, capsys: pytest.CaptureFixture) -> None:
    network = Network(room)
    assert within_memory(network, 8, GPU, "study 1.2.3") == "answer"
    assert network.asked == asked
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(asked) - 1
    assert all(line.startswith("study 1.2.3: the GPU's memory is full") for line in said)
    assert (room == 0) == any("CPU" in line for line in said)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert"), ValueError("x"), MemoryError()])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_other_errors_are_raised(error: Exception, device: str) -> None:
    asked = []

    def fails(at_once: int, device: torch.device) -> None:
        asked.append(at_once)
        raise error

    with pytest.raises(type(error)):
        within_memory(fails, 4, torch.device(device), "x")
    assert asked == [4]


def test_out_of_memory_on_the_cpu_is_raised() -> None:
    def full(at_once: int, device: torch.device) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        within_memory(full, 1, torch.device("cpu"), "x")
