"""The training loop: resuming, sharing work among processes, and the files it leaves."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from common.errors import ConfigError, WeightsError
from common.training.loop import learning_rate
from common.training.task import TrainSettings
from common.training.train import is_current, train
from common.training.weights import load_weights, read_description, save_weights

QUICK = {"steps": 6, "batch": 2, "warmup": 2, "lr": 0.05, "workers": 0, "precision": "32-true", "device": "cpu"}
QUICK |= {"checkpoint_every": 2, "log_every": 2}


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


class Sometimes(nn.Module):
    """For some samples adds what it learns, which a process may therefore have no gradient of; and has a layer that no
    loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.learns, self.unused = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        some = x[:, 0] > 0
        return x.index_add(0, some.nonzero()[:, 0], self.learns(x[some])) if some.any() else x


class TinyTask:
    """Fits y = sum(x) with dropout; can be interrupted at a draw."""

    def __init__(self, stop_at: int | None = None) -> None:
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.GroupNorm(2, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.stop_at = stop_at

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        if draw == self.stop_at:
            raise KeyboardInterrupt
        x = torch.randn(4, generator=torch.Generator().manual_seed(draw))
        return {"x": x, "y": x.sum(dim=0, keepdim=True)}

    def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": (network(batch["x"]) - batch["y"]).square().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"weight": float(network[0].weight.sum())}


def run(folder: Path, task: TinyTask, **changes: object) -> dict[str, torch.Tensor]:
    path = train(task, TrainSettings(**{**QUICK, **changes}), folder, {"data": "a"}, {"kind": "tiny"})
    return load_weights(path)[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def interrupt(folder: Path) -> None:
    """Stops in step 6, after the checkpoints of steps 2 and 4."""
    with pytest.raises(KeyboardInterrupt):
        run(folder, TinyTask(stop_at=10))


def test_files_and_log(tmp_path: Path) -> None:
    run(tmp_path, TinyTask())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".lock", "csv", "last.pt", "log.jsonl", "previous.pt", "tensorboard", "weights.safetensors",
        "weights.safetensors.record.json",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4, 6, 6]
    assert set(lines[1]) == {"step", "loss", "lr", "seconds"}
    assert "validation_weight" in lines[0] and "validation_weight" in lines[4]
    assert read_description(tmp_path / "weights.safetensors")["kind"] == "tiny"


def test_finished_training_is_not_repeated(tmp_path: Path) -> None:
    settings = TrainSettings(**QUICK)
    assert not is_current(tmp_path, settings, {"data": "a"})
    run(tmp_path, TinyTask())
    assert is_current(tmp_path, settings, {"data": "a"})
    assert is_current(tmp_path, settings.model_copy(update={"workers": 3}), {"data": "a"})
    assert not is_current(tmp_path, settings.model_copy(update={"lr": 0.1}), {"data": "a"})
    assert not is_current(tmp_path, settings, {"data": "b"})
    run(tmp_path, TinyTask(stop_at=0))  # would raise if it trained


def test_resumed_equals_never_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", TinyTask())
    interrupt(tmp_path / "resumed")
    assert torch.load(tmp_path / "resumed/last.pt", weights_only=True)["step"] == 4
    assert same(whole, run(tmp_path / "resumed", TinyTask()))
    steps = [json.loads(line)["step"] for line in (tmp_path / "resumed/log.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4, 6, 6]


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damaged_checkpoint_falls_back(tmp_path: Path, damage: str) -> None:
    whole = run(tmp_path / "whole", TinyTask())
    interrupt(tmp_path / "resumed")
    last = tmp_path / "resumed/last.pt"
    content = bytearray(last.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    else:
        with torch.no_grad():
            weight = torch.load(last, weights_only=True)["network"]["0.weight"].numpy().tobytes()
        content[content.index(weight)] ^= 0xFF
    last.write_bytes(content)
    assert same(whole, run(tmp_path / "resumed", TinyTask()))


def test_checkpoint_of_another_training_is_ignored(tmp_path: Path) -> None:
    interrupt(tmp_path / "a")
    fresh = run(tmp_path / "b", TinyTask(), lr=0.01)
    assert same(fresh, run(tmp_path / "a", TinyTask(), lr=0.01))


@pytest.mark.slow
@pytest.mark.parametrize(("by", "devices"), [("itself", 2), ("torchrun", 2), ("torchrun", 4), ("srun", 2)])
def test_several_processes_equal_one(tmp_path: Path, by: str, devices: int) -> None:
    """Weights and the curve of the loss, however they are started."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import atexit, sys
        from pathlib import Path
        import torch
        here = Path(sys.argv[1])
        sys.path[:0] = [str(here), str(here.parents[1]), str(here.parents[2])]
        from test_training import Sometimes, TinyTask, run
        torch.set_num_threads(1)
        atexit.register(lambda: print(f"at the end {torch.distributed.is_initialized()}", file=sys.stderr, flush=True))
        task = TinyTask()
        task.network[2] = Sometimes()  # dropout draws its own numbers in each process
        run(Path(sys.argv[2]), task, batch=4, devices=int(sys.argv[3]))
        """)
    )
    here, folder = tmp_path / "1", tmp_path / "several"
    task = TinyTask()
    task.network[2] = Sometimes()
    expected = run(here, task, batch=4)
    words = [*TORCHRUN, str(devices)] if by == "torchrun" else []
    command = [sys.executable, *words, str(script), str(Path(__file__).parent), str(folder), str(devices)]
    for process in _start(command, devices if by == "srun" else 1, tmp_path / "stderr"):
        assert process.wait(timeout=1800) == 0, (tmp_path / "stderr").read_text()
    said = (tmp_path / "stderr").read_text()
    assert said.count("at the end False") == devices, "threads of a group abort a process that ends before them"
    rows = (folder / "csv" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 5, "a header, three steps and two validations: one process writes"
    assert len(list((folder / "tensorboard").iterdir())) == 1
    found = load_weights(folder / "weights.safetensors")[0]
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    curves = [[json.loads(line) for line in (place / "log.jsonl").open()] for place in (here, folder)]
    losses = [[line["loss"] for line in curve if "loss" in line] for curve in curves]
    assert len(losses[0]) >= 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def _start(command: list[str], tasks: int, stderr: Path) -> list[subprocess.Popen]:
    """One process, or as many as `srun` starts on one node, with the variables that it sets in each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    step = {"MASTER_PORT": port, "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_STEP_ID": "0"}
    step |= {"SLURM_NODELIST": "127.0.0.1", "SLURM_NODEID": "0"}
    step |= {"SLURM_NTASKS": str(tasks), "SLURM_NTASKS_PER_NODE": str(tasks)}
    started = []
    for task in range(tasks):
        own = step | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)} if tasks > 1 else {}
        with stderr.open("a") as said:
            started.append(subprocess.Popen(command, cwd=Path(__file__).parents[3], env=os.environ | own, stderr=said))
    return started


def test_torchrun_and_the_settings_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"started 2 processes, but devices x nodes is 1 x 1; set devices"):
        run(tmp_path, TinyTask())


def test_batch_that_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 processes"):
        run(tmp_path, TinyTask(), devices=3)


def test_learning_rate_by_hand() -> None:
    settings = TrainSettings(steps=10, warmup=2, lr=1.0)
    assert learning_rate(1, settings) == 0.5
    assert learning_rate(2, settings) == 1.0
    assert learning_rate(6, settings) == pytest.approx(0.01 + 0.99 * 0.5)  # half of the way down
    assert learning_rate(10, settings) == pytest.approx(0.01)


def test_weights_errors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="no such"):
        load_weights(path)
    save_weights(path, nn.Linear(2, 2), {"kind": "tiny", "classes": ["a"]})
    assert load_weights(path, "tiny")[1]["classes"] == ["a"]
    with pytest.raises(WeightsError, match="'tiny', expected 'other'"):
        load_weights(path, "other")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError):
        load_weights(path)
