"""A training that was stopped ends as one that never was, bit for bit; damaged checkpoints are never gone on from."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import forked
import pytest
import torch
from test_training import TinyTask, run
from torch import nn

from common.commandline import run as command
from common.errors import ConfigError, OutputError, ProjectError, RunBusy
from common.outputs.lock import only_one
from common.training import checkpoint
from common.training.weights import read_description

LONG = {"steps": 12, "checkpoint_every": 3, "warmup": 4, "ema": 0.9, "log_every": 5}


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def losses(folder: Path) -> list[dict]:
    """The log's lines but for the time that they took."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.mark.parametrize("stop_at", range(1, 24, 3))
def test_stopped_anywhere(tmp_path: Path, stop_at: int) -> None:
    """Warm-up, cosine, AdamW's moments, dropout, EMA and the samples: all go on as if nothing had happened."""
    run(tmp_path / "whole", TinyTask(), **LONG)
    for stop in (stop_at, stop_at + 7):
        if stop < 24:
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "stopped", TinyTask(stop_at=stop), **LONG)
    run(tmp_path / "stopped", TinyTask(), **LONG)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


class Waits(TinyTask):
    """Waits for ever once the checkpoint of a step is there."""

    def __init__(self, last: Path, step: int) -> None:
        super().__init__()
        self.last, self.step = last, step

    def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if _step(self.last) >= self.step:
            time.sleep(3600)
        return super().loss(network, batch)


def test_killed_with_workers(tmp_path: Path) -> None:
    """SIGKILL of the whole process, samples made in two processes, twice, in a step after a checkpoint."""
    folder = tmp_path / "killed"

    def start(wait_after_step: int) -> int:
        task = Waits(folder / "last.pt", wait_after_step)
        return forked.start(lambda: run(folder, task, steps=12, checkpoint_every=2, workers=2), tmp_path / "said.txt")

    for kill_after_step in (2, 6):
        process = start(kill_after_step)
        _wait_until(lambda step=kill_after_step: _step(folder / "last.pt") >= step)
        os.kill(process, signal.SIGKILL)
        assert forked.code_of(process) == -signal.SIGKILL
        assert _step(folder / "last.pt") == kill_after_step
    assert forked.code_of(start(99)) == 0, (tmp_path / "said.txt").read_text()
    run(tmp_path / "whole", TinyTask(), steps=12, checkpoint_every=2)
    assert weights(folder) == weights(tmp_path / "whole")


def _step(path: Path) -> int:
    try:
        return torch.load(path, weights_only=True)["step"]
    except (OSError, RuntimeError):
        return 0


def _wait_until(true, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class KillsItsMaker(TinyTask):
    """The process that makes sample 9 is killed the first time; `flag` remembers."""

    def __init__(self, flag: Path) -> None:
        super().__init__()
        self.flag = flag

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        if draw == 9 and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(draw)


@pytest.mark.slow
def test_a_sample_worker_that_dies(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(tmp_path / "whole", TinyTask(), **LONG)
    run(tmp_path / "killed", KillsItsMaker(tmp_path / "flag"), **LONG, workers=1)
    assert (tmp_path / "flag").exists()
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert "want of memory; starting new ones" in capsys.readouterr().err


@pytest.mark.slow
def test_sample_workers_that_always_die(tmp_path: Path) -> None:
    class Always(KillsItsMaker):
        def sample(self, draw: int) -> dict[str, torch.Tensor]:
            self.flag.unlink(missing_ok=True)
            return super().sample(draw)

    with pytest.raises(ProjectError, match=r"killed at step \d.*train\.workers=0"):
        run(tmp_path / "killed", Always(tmp_path / "flag"), **LONG, workers=1)


def stopped(folder: Path) -> None:
    """Stops in step 6; last.pt is of step 4, previous.pt of step 2."""
    with pytest.raises(KeyboardInterrupt):
        run(folder, TinyTask(stop_at=10))


@pytest.mark.parametrize("torn", [0, 1, 100, -1])
def test_torn_checkpoint_is_reported_and_never_becomes_previous(tmp_path: Path, capsys, torn: int) -> None:
    run(tmp_path / "whole", TinyTask())
    stopped(tmp_path / "torn")
    last = tmp_path / "torn/last.pt"
    last.write_bytes(last.read_bytes()[:torn])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "torn", TinyTask(stop_at=6))  # before the next checkpoint
    assert "last.pt: damaged checkpoint" in capsys.readouterr().err
    assert _step(tmp_path / "torn/previous.pt") == 2
    run(tmp_path / "torn", TinyTask())
    assert weights(tmp_path / "torn") == weights(tmp_path / "whole")


def _altered(state: dict, how: str) -> dict:
    if how == "step":
        return {**state, "step": 99}
    if how == "shape":
        return {**state, "ema": {**state["ema"], "0.weight": torch.zeros(1, 1)}}
    if how == "missing":
        return {name: value for name, value in state.items() if name != "optimizer"}
    return {**state, "optimizer": {"state": {}, "param_groups": []}}


@pytest.mark.parametrize("how", ["step", "shape", "missing", "groups"])
def test_checkpoint_that_does_not_fit(tmp_path: Path, how: str, capsys) -> None:
    run(tmp_path / "whole", TinyTask())
    stopped(tmp_path / "other")
    last = tmp_path / "other/last.pt"
    torch.save(_altered(torch.load(last, weights_only=True), how), last)
    run(tmp_path / "other", TinyTask())
    assert weights(tmp_path / "other") == weights(tmp_path / "whole")
    assert "doesn't fit" in capsys.readouterr().err


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"provenance": "a", "x": Payload(tmp_path / "was here")}, path)
    with pytest.raises(checkpoint.Damaged):
        checkpoint.read(path, "a")
    assert not (tmp_path / "was here").exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"provenance": "a", "x": torch.zeros(5_000_000)}, content)
    path = tmp_path / "last.pt"
    with zipfile.ZipFile(content) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    assert path.stat().st_size < 100_000
    with pytest.raises(checkpoint.Damaged, match="larger than the file"):
        checkpoint.read(path, "a")


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", f"from pathlib import Path; from common.outputs.lock import only_one; import time\n"
         f"with only_one(Path({str(tmp_path)!r})):\n print('held', flush=True); time.sleep(3600)"],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    holder.stdout.readline()
    try:
        with pytest.raises(RunBusy, match=f"process {holder.pid} on "):
            run(tmp_path, TinyTask())
    finally:
        holder.kill()
        holder.wait()
    run(tmp_path, TinyTask())  # the lock of a killed process is stale
    with only_one(tmp_path), only_one(tmp_path):
        assert (tmp_path / ".lock").read_text().count("pid") == 1


def test_disk_full_while_training(tmp_path: Path) -> None:
    """The files may hold 3000 bytes at most: the first checkpoint doesn't fit; without that limit it goes on."""

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        command(lambda: run(tmp_path / "a", TinyTask()))

    assert forked.code_of(forked.start(work, tmp_path / "said.txt")) == OutputError.exit_code
    said = (tmp_path / "said.txt").read_text()
    assert "last.pt: can't be written" in said and "Traceback" not in said
    assert {p.name for p in (tmp_path / "a").iterdir()} == {".lock", "log.jsonl", "csv", "tensorboard"}
    run(tmp_path / "a", TinyTask())
    run(tmp_path / "b", TinyTask())
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_other_errors_of_a_training_are_raised(tmp_path: Path) -> None:
    class Broken(TinyTask):
        def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run(tmp_path, Broken())


def _fast_at_bfloat16(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast}, raising=False)


@pytest.mark.parametrize("first", [True, False])
def test_begun_on_one_machine_and_gone_on_with_on_another(tmp_path: Path, monkeypatch, capsys, first: bool) -> None:
    """precision auto is bf16-mixed on one of them and 32-true on the other: it ends as it would have on the first."""
    began = "bf16-mixed" if first else "32-true"
    _fast_at_bfloat16(monkeypatch, first)
    run(tmp_path / "whole", TinyTask(), precision="auto")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "moved", TinyTask(stop_at=10), precision="auto")
    assert "going on in" not in capsys.readouterr().err
    _fast_at_bfloat16(monkeypatch, not first)
    run(tmp_path / "moved", TinyTask(), precision="auto")
    assert f"going on in {began}, as this training began" in capsys.readouterr().err
    assert weights(tmp_path / "moved") == weights(tmp_path / "whole")
    assert read_description(tmp_path / "moved/weights.safetensors")["trained_in"] == began
    run(tmp_path / "there", TinyTask(), precision="auto")
    assert weights(tmp_path / "there") != weights(tmp_path / "whole")


def test_a_precision_that_needs_a_gpu(tmp_path: Path, monkeypatch) -> None:
    """Begun in 16-mixed on a GPU, as its checkpoint says, and gone on with on a CPU; or asked for there."""
    with pytest.raises(ConfigError, match="16-mixed, which needs a GPU; use auto"):
        run(tmp_path / "asked", TinyTask(), precision="16-mixed")
    with pytest.raises(ConfigError, match="expected one of"):
        run(tmp_path / "asked", TinyTask(), precision="half")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "moved", TinyTask(stop_at=10), precision="auto")
    last = tmp_path / "moved/last.pt"
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000}
    torch.save({**torch.load(last, weights_only=True), "precision": "16-mixed", "scaler": scaler}, last)
    before = last.read_bytes()
    with pytest.raises(ConfigError, match=r"began in 16-mixed, which needs a GPU.*remove its last\.pt"):
        run(tmp_path / "moved", TinyTask(), precision="auto")
    assert last.read_bytes() == before


def test_a_state_of_another_precision_is_never_loaded(tmp_path: Path, capsys) -> None:
    run(tmp_path / "whole", TinyTask())
    stopped(tmp_path / "other")
    last = tmp_path / "other/last.pt"
    state = torch.load(last, weights_only=True)
    torch.save({**state, "scaler": {"scale": 1.0}}, last)  # says 32-true and holds what 16-mixed leaves
    run(tmp_path / "other", TinyTask())
    assert weights(tmp_path / "other") == weights(tmp_path / "whole")
    assert "doesn't fit" in capsys.readouterr().err
