"""CSV, TensorBoard and MLflow get the lines of log.jsonl, each once, whatever was interrupted."""

import csv
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from tensorboardX.proto.event_pb2 import Event
from test_training import QUICK, TinyTask, run

from common.errors import ConfigError
from common.training import loggers
from common.training.task import TrainSettings
from common.training.train import is_current


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "csv" / "metrics.csv").open(newline="") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def events(folder: Path) -> list[tuple[int, str, float]]:
    """(step, name, value) of all event files, by the format itself: length, its sum, content, its sum."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + size])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            content = content[16 + size :]
    return found


def timeless(found: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


def test_an_interrupted_training_logs_no_step_twice(tmp_path: Path) -> None:
    run(tmp_path / "whole", TinyTask(), log_every=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed", TinyTask(stop_at=10), log_every=1)
    assert [row["step"] for row in rows(tmp_path / "resumed")] == [0, 1, 2, 3, 4, 5]
    (written,) = (tmp_path / "whole" / "tensorboard").iterdir()
    shutil.copy(written, tmp_path / "resumed" / "tensorboard" / "events.out.tfevents.1.host")  # of a kill
    run(tmp_path / "resumed", TinyTask(), log_every=1)
    for folder in (tmp_path / "whole", tmp_path / "resumed"):
        assert rows(folder) == lines(folder)
        assert [row["step"] for row in rows(folder) if "loss" in row] == [1, 2, 3, 4, 5, 6]
        assert [row["step"] for row in rows(folder) if "validation_weight" in row] == [0, 6]
        steps = [step for step, name, _ in events(folder) if name == "loss"]
        assert steps == [1, 2, 3, 4, 5, 6]
    assert timeless(rows(tmp_path / "whole")) == timeless(rows(tmp_path / "resumed"))
    losses = [value for _, name, value in events(tmp_path / "resumed") if name == "loss"]
    assert losses == pytest.approx([row["loss"] for row in rows(tmp_path / "whole") if "loss" in row], rel=1e-6)


def test_loggers_are_no_part_of_what_is_trained(tmp_path: Path) -> None:
    run(tmp_path, TinyTask(), loggers=())
    assert not (tmp_path / "csv").exists() and not (tmp_path / "tensorboard").exists()
    assert is_current(tmp_path, TrainSettings(**{**QUICK, "loggers": ("csv",)}), {"data": "a"})


class Client:
    """MLflow's client as far as it is used, in memory."""

    runs: dict[str, SimpleNamespace]

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id="7") if self.runs else None

    def create_experiment(self, name: str) -> str:
        return "7"

    def search_runs(self, experiments: list[str], wanted: str) -> list[SimpleNamespace]:
        place = wanted.split("'")[1]
        assert experiments == ["7"] and wanted.endswith("attributes.status = 'RUNNING'")
        return [run for run in self.runs.values() if run.status == "RUNNING" and run.tags["place"] == place]

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        run = SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.runs))), tags=tags, status="RUNNING", logged=[])
        self.runs[run.info.run_id] = run
        return run

    def delete_run(self, run_id: str) -> None:
        self.runs[run_id].status = "DELETED"

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        self.runs[run_id].logged.append((step, name))

    def set_terminated(self, run_id: str, status: str) -> None:
        self.runs[run_id].status = status


def test_mlflow_has_one_run_for_a_training_that_was_interrupted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Client, "runs", {}, raising=False)
    tracking = ModuleType("mlflow.tracking")
    tracking.MlflowClient = Client
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    monkeypatch.setattr(loggers, "find_spec", lambda name: True)
    monkeypatch.setenv(loggers.TRACKING, "file:here")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", TinyTask(stop_at=10), loggers=("mlflow",))
    run(tmp_path / "b", TinyTask(), loggers=("mlflow",))
    run(tmp_path / "a", TinyTask(), loggers=("mlflow",))
    assert [one.status for one in Client.runs.values()] == ["DELETED", "FINISHED", "FINISHED"]
    steps = [step for step, name in Client.runs["2"].logged if name == "loss"]
    assert steps == [2, 4, 6]


def test_a_logger_that_is_not_there_is_refused_before_the_work(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'cervical-fracture\[mlflow\]'"):
        run(tmp_path, TinyTask(), loggers=("mlflow",))
    with pytest.raises(ConfigError, match="pip install tensorboardX"):
        run(tmp_path, TinyTask())
    monkeypatch.setattr(loggers, "find_spec", lambda name: True)
    monkeypatch.delenv(loggers.TRACKING, raising=False)
    with pytest.raises(ConfigError, match=loggers.TRACKING):
        run(tmp_path, TinyTask(), loggers=("mlflow",))
    assert not list(tmp_path.glob("*.pt"))
