"""What a training writes down of its way: log.jsonl, and what is made of its lines."""

import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from common.errors import ProjectError
from common.outputs import store
from common.training.loggers import Logger, open_loggers
from common.training.task import LoggerName, Task


class TrainingLog:
    """log.jsonl: a line per `log_every` steps with the means since the line before, over all processes. The first
    process alone writes. `loggers` get every line, and at the start those of the steps that are done already, so that
    none has a step twice."""

    def __init__(
        self,
        path: Path,
        start: int,
        fabric: Fabric,
        since: dict[str, Any] | None = None,
        loggers: Sequence[LoggerName] = (),
    ) -> None:
        """`since`: the `state` of the log of the training that this one goes on from, after `start` steps. Raises
        ConfigError, OutputError."""
        self.path, self.fabric = path, fabric
        since = since or {"sums": {}, "count": 0}
        self.sums: dict[str, Tensor] = {name: total.to(fabric.device) for name, total in since["sums"].items()}
        self.count: int = since["count"]
        self.since = time.monotonic()
        self.loggers: list[Logger] = []
        if fabric.is_global_zero:
            kept = list(_lines_until(path, start))
            store.write_text(path, "".join(f"{line}\n" for line in kept))
            with store.can_be_written(path.parent):
                self.loggers = open_loggers(loggers, path.parent)
                for line in kept:
                    self._tell(json.loads(line))

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().float()
        self.count += 1

    def state(self) -> dict[str, Any]:
        """What was added since the last line, so that a resumed training's next line is the same."""
        return {"sums": {name: total.cpu() for name, total in self.sums.items()}, "count": self.count}

    def write(self, step: int, lr: float) -> None:
        means: Any = self.fabric.all_reduce({name: total / self.count for name, total in self.sums.items()})
        means = {name: float(value) for name, value in means.items()}
        if not math.isfinite(means["loss"]):
            raise ProjectError(f"{self.path.parent}: the loss is {means['loss']} at step {step}; lower train.lr")
        seconds = time.monotonic() - self.since
        self.sums, self.count, self.since = {}, 0, time.monotonic()
        self._append({"step": step, **means, "lr": lr, "seconds": round(seconds, 3)})

    def validation(self, step: int, task: Task, ema: nn.Module) -> None:
        if self.fabric.is_global_zero:
            was_training = ema.training
            ema.eval()
            with torch.no_grad(), self.fabric.autocast():
                figures = task.validate(ema)
            ema.train(was_training)
            if figures:
                self._append({"step": step, **{f"validation_{name}": v for name, v in figures.items()}})
        self.fabric.barrier()

    def _append(self, line: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            with store.can_be_written(self.path), self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
                self._tell(line)

    def _tell(self, line: dict[str, Any]) -> None:
        figures = {name: value for name, value in line.items() if name != "step"}
        for logger in self.loggers:
            logger.log_metrics(figures, line["step"])

    def close(self) -> None:
        """The training is done."""
        with store.can_be_written(self.path.parent):
            for logger in self.loggers:
                logger.finalize("success")


def _lines_until(path: Path, start: int) -> Iterable[str]:
    """The log's whole lines of the first `start` steps; what came after them is done again."""
    if not path.exists() or start == 0:
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= start:
                yield line
        except (ValueError, KeyError, TypeError):
            continue
