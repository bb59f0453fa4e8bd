"""Where a training's log goes beside log.jsonl: CSV, TensorBoard, MLflow. All three are made of its lines."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lightning_fabric.loggers import CSVLogger, TensorBoardLogger

from common.errors import ConfigError
from common.outputs import store
from common.training.task import LoggerName

EXPERIMENT = "cervical-fracture"
"""MLflow's name of all trainings."""
TRACKING = "MLFLOW_TRACKING_URI"


class Logger(Protocol):
    """What Lightning Fabric's loggers can do."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Takes figures, by name, of a step."""
        ...

    def finalize(self, status: str) -> None:
        """The training has ended, with status "success"."""
        ...


def check_loggers(names: Sequence[str]) -> None:
    """Raises ConfigError for a logger that can't be opened here, before any work is done."""
    if "tensorboard" in names and not (find_spec("tensorboardX") or find_spec("tensorboard")):
        raise ConfigError("train.loggers has tensorboard, which needs tensorboardX: pip install tensorboardX")
    if "mlflow" in names and find_spec("mlflow") is None:
        raise ConfigError("train.loggers has mlflow: pip install 'cervical-fracture[mlflow]', or leave it out")
    if "mlflow" in names and not os.environ.get(TRACKING):
        raise ConfigError(
            f"train.loggers has mlflow, and {TRACKING} is empty: set it to your server's address"
        )


def open_loggers(names: Sequence[LoggerName], folder: Path) -> list[Logger]:
    """Empty loggers for the training in `folder`, for one process alone; what an interrupted training left in them is
    removed, and its finished runs stay in MLflow. Raises ConfigError, OutputError."""
    check_loggers(names)
    return [{"csv": _csv, "tensorboard": _tensorboard, "mlflow": _Mlflow}[name](folder) for name in names]


def _csv(folder: Path) -> Any:
    (folder / "csv" / "metrics.csv").unlink(missing_ok=True)
    return CSVLogger(folder, name="", version="csv", flush_logs_every_n_steps=1)


def _tensorboard(folder: Path) -> Any:
    for events in (folder / "tensorboard").glob("events.out.tfevents.*"):
        events.unlink()
    return TensorBoardLogger(folder, name="", version="tensorboard")


class _Mlflow:
    """A run of MLflow. An interrupted training's is replaced, since MLflow can't take back the steps that are done
    again."""

    def __init__(self, folder: Path) -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        place = store.digest_value(str(folder.resolve()))
        same = f"tags.place = '{place}' and attributes.status = 'RUNNING'"
        for run in self._client.search_runs([experiment], same):
            self._client.delete_run(run.info.run_id)
        run = self._client.create_run(experiment, tags={"place": place}, run_name=str(folder))
        self._run: str = run.info.run_id

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._run, name, value, step=step)

    def finalize(self, status: str) -> None:
        self._client.set_terminated(self._run, "FINISHED" if status == "success" else "FAILED")
