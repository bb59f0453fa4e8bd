"""The one training loop, on one CPU, one GPU or many machines alike (Lightning Fabric)."""

import copy
import json
import math
import os
import time
import zipfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from common import __version__, store
from common.errors import ConfigError, ProjectError
from common.progress import progress
from common.training import WEIGHTS, Task, TrainSettings
from common.weights import save_weights


def fit(
    task: Task, settings: TrainSettings, folder: Path, came_from: dict[str, Any], description: dict[str, Any]
) -> None:
    """Trains in as many processes as the settings say; see `training.train`."""
    fabric = make_fabric(settings)
    if fabric.device.type == "cpu":
        torch.set_num_threads(threads(settings))
    fabric.launch(_fit_process, task, settings, folder, came_from, description)


def _fit_process(
    fabric: Fabric,
    task: Task,
    settings: TrainSettings,
    folder: Path,
    came_from: dict[str, Any],
    description: dict[str, Any],
) -> None:
    digest = store.digest_value({**came_from, "version": __version__})
    averaged = copy.deepcopy(task.network).float().requires_grad_(False)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    network, optimizer = fabric.setup(task.network, optimizer)
    averaged = averaged.to(fabric.device)

    start = _resume(folder, digest, network, averaged, optimizer, fabric)
    log = _Log(folder / "log.jsonl", start, fabric)
    batches = fabric.setup_dataloaders(_loader(task, settings, start, fabric), use_distributed_sampler=False)
    if fabric.is_global_zero:
        batches = progress(batches, settings.steps - start, f"training {folder}")

    for step, batch in enumerate(batches, start=start + 1):
        lr = learning_rate(step, settings)
        _train_step(fabric, task, network, optimizer, batch, settings, step, lr, log)
        _average(averaged, network.module, settings.ema, step)
        last = step == settings.steps
        if last or step % settings.log_every == 0:
            log.write(step, lr)
        if last or (settings.validate_every and step % settings.validate_every == 0):
            log.validation(step, task, averaged)
        if last or step % settings.checkpoint_every == 0:
            _checkpoint(folder, digest, network, averaged, optimizer, step, fabric)

    if fabric.is_global_zero:
        save_weights(folder / WEIGHTS, averaged, description)
        store.write_record(folder / WEIGHTS, came_from)
    fabric.barrier()


def threads(settings: TrainSettings) -> int:
    """Threads of a training process on the CPU: a core for each process that makes samples stays free, since
    threads that wait for a busy core slow every step down several times."""
    return max((os.cpu_count() or 1) // settings.devices - settings.workers, 1)


def make_fabric(settings: TrainSettings) -> Fabric:
    """The processes, devices and precision of a training."""
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU here; set device=auto or device=cpu")
    world = settings.devices * settings.nodes
    if settings.batch % world:
        raise ConfigError(f"batch is {settings.batch}, which {world} processes can't share evenly; make it a multiple")
    return Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=settings.strategy,
        precision=choose_precision(settings.precision, cuda),
    )


def choose_precision(wanted: str, cuda: bool) -> str:
    """Fabric's name of a precision; "auto" is mixed 16-bit where the hardware multiplies in it."""
    if wanted != "auto":
        return wanted
    if cuda:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if fast else "32-true"


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Of step 1..steps: linear warm-up, then a cosine from lr down to lr / 100."""
    if step <= settings.warmup:
        return settings.lr * step / settings.warmup
    part = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _train_step(fabric, task, network, optimizer, batch, settings, step, lr, log) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    torch.manual_seed(settings.seed * 1_000_003 + step * 1009 + fabric.global_rank)  # dropout, whatever came before
    losses = task.loss(network, batch)
    fabric.backward(losses["loss"])
    fabric.clip_gradients(network, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    log.add(losses)


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Running mean of the weights; its memory is short at first (as in TensorFlow's ExponentialMovingAverage)."""
    decay = min(decay, step / (step + 9))
    for mean, now in zip(averaged.state_dict().values(), network.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(now.to(mean.dtype), 1 - decay)
        else:
            mean.copy_(now)


class _Draws(Dataset):
    """Sample number n of the run, as a map-style dataset."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __getitem__(self, draw: int) -> dict[str, Tensor]:
        return self.task.sample(draw)


def _loader(task: Task, settings: TrainSettings, start: int, fabric: Fabric) -> DataLoader:
    """The rank's share of every global batch from step `start` (steps done) on: batch s holds the draws
    s * batch .. (s + 1) * batch - 1, rank r the r-th part of them."""
    share = settings.batch // fabric.world_size
    first = [step * settings.batch + fabric.global_rank * share for step in range(start, settings.steps)]
    return DataLoader(
        _Draws(task),
        batch_sampler=[list(range(draw, draw + share)) for draw in first],
        num_workers=settings.workers,
        pin_memory=fabric.device.type == "cuda",
        prefetch_factor=4 if settings.workers else None,
    )


def _checkpoint(folder, digest, network, averaged, optimizer, step, fabric) -> None:
    if fabric.is_global_zero:
        last = folder / "last.pt"
        if last.exists():
            last.replace(folder / "previous.pt")
        with store.atomic(last) as scratch:
            torch.save(
                {
                    "network": network.module.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "precision": fabric.strategy.precision.state_dict(),
                    "step": step,
                    "came_from": digest,
                },
                scratch,
            )
    fabric.barrier()


def _resume(folder, digest, network, averaged, optimizer, fabric) -> int:
    """Loads the newest whole checkpoint of this training; returns the steps done, 0 when there is none."""
    for name in ("last.pt", "previous.pt"):
        state = _read_checkpoint(folder / name, digest)
        if state is not None:
            network.module.load_state_dict(state["network"])
            averaged.load_state_dict(state["averaged"])
            optimizer.load_state_dict(state["optimizer"])
            fabric.strategy.precision.load_state_dict(state["precision"])
            return state["step"]
    return 0


def _read_checkpoint(path: Path, digest: str) -> dict[str, Any] | None:
    """A checkpoint's content; None when it is absent, damaged, or of another training."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state if state["came_from"] == digest else None
    except Exception:  # a damaged file fails in many ways, and each of them means the same
        return None


class _Log:
    """log.jsonl: a line per `log_every` steps with the means since the line before, over all processes."""

    def __init__(self, path: Path, start: int, fabric: Fabric) -> None:
        self.path, self.fabric = path, fabric
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.since = time.monotonic()
        if fabric.is_global_zero:
            store.write_text(path, "".join(f"{line}\n" for line in _lines_until(path, start)))

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().float()
        self.count += 1

    def write(self, step: int, lr: float) -> None:
        means = self.fabric.all_reduce({name: total / self.count for name, total in self.sums.items()})
        means = {name: float(value) for name, value in means.items()}
        if not math.isfinite(means["loss"]):
            raise ProjectError(f"{self.path.parent}: the loss is {means['loss']} at step {step}; lower train.lr")
        seconds = time.monotonic() - self.since
        self.sums, self.count, self.since = {}, 0, time.monotonic()
        self._append({"step": step, **means, "lr": lr, "seconds": round(seconds, 3)})

    def validation(self, step: int, task: Task, averaged: nn.Module) -> None:
        if self.fabric.is_global_zero:
            was_training = averaged.training
            averaged.eval()
            with torch.no_grad(), self.fabric.autocast() if self.fabric.device.type == "cuda" else nullcontext():
                figures = task.validate(averaged)
            averaged.train(was_training)
            if figures:
                self._append({"step": step, **{f"validation_{name}": v for name, v in figures.items()}})
        self.fabric.barrier()

    def _append(self, line: dict[str, Any]) -> None:
        if self.fabric.is_global_zero:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")


def _lines_until(path: Path, start: int) -> Iterable[str]:
    """The log's whole lines of the first `start` steps; what came after them is done again."""
    if not path.exists() or start == 0:
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= start:
                yield line
        except (ValueError, KeyError, TypeError):
            continue
