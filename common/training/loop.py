"""The one training loop, on one CPU, one GPU or many machines alike (Lightning Fabric)."""

import atexit
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from common.device import check_device, choose_precision
from common.errors import ConfigError
from common.outputs import store
from common.outputs.own_files import refuse_unrecorded, run_outputs_at
from common.outputs.schema import TRAINING
from common.progress import progress
from common.training import checkpoint
from common.training.batches import batches
from common.training.log import TrainingLog
from common.training.loggers import check_loggers
from common.training.task import WEIGHTS, Task, TrainSettings
from common.training.weights import save_weights
from common.workers.cores import usable_cores

NEEDS_GPU = ("16-mixed", "16-true")
"""Fabric would train in another precision on a CPU, saying so only in passing."""
UNUSED_TOO = "ddp_find_unused_parameters_true"
"""Allows weights without a gradient: a loss may leave a head out, one process' samples may have no vertebra."""


def fit(
    task: Task, settings: TrainSettings, folder: Path, provenance: dict[str, Any], description: dict[str, Any]
) -> None:
    """Trains in as many processes as the settings say; see `training.train`."""
    check_loggers(settings.loggers)
    digest = store.digest_value({**provenance, "schema": str(TRAINING)})
    fabric = make_fabric(settings, checkpoint.begun_in(folder, digest))
    if fabric.device.type == "cpu":
        torch.set_num_threads(threads(settings))
    refuse_unrecorded(folder / WEIGHTS)
    fit_process: Any = _fit_process  # Fabric's own type knows no arguments beside itself
    fabric.launch(fit_process, task, settings, folder, provenance, digest, description)


def _fit_process(
    fabric: Fabric,
    task: Task,
    settings: TrainSettings,
    folder: Path,
    provenance: dict[str, Any],
    digest: str,
    description: dict[str, Any],
) -> None:
    ema = _ema_of(task.network)
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    network, optimizer = fabric.setup(task.network, optimizer)
    ema = ema.to(fabric.device)

    start, since = _resume(folder, digest, network, ema, optimizer, fabric, settings.steps)
    log = TrainingLog(folder / "log.jsonl", start, fabric, since, settings.loggers)
    coming = batches(task, settings, start, fabric)
    if fabric.is_global_zero:
        coming = progress(coming, settings.steps - start, f"training {folder}")

    if start == 0:
        log.validation(0, task, ema.module)
    for step, batch in enumerate(coming, start=start + 1):
        lr = learning_rate(step, settings)
        _train_step(fabric, task, network, optimizer, batch, settings, step, lr, log)
        _update_ema(ema, network.module, settings.ema, step)
        last = step == settings.steps
        if last or step % settings.log_every == 0:
            log.write(step, lr)
        if last or (settings.validate_every and step % settings.validate_every == 0):
            log.validation(step, task, ema.module)
        if last or step % settings.checkpoint_every == 0:
            if fabric.is_global_zero:
                state = _state(network, ema, optimizer, fabric, step)
                checkpoint.save(folder, {**state, "log": log.state()}, digest)
            fabric.barrier()

    log.close()
    if fabric.is_global_zero:
        with run_outputs_at([folder / WEIGHTS]):
            save_weights(folder / WEIGHTS, ema.module, {**description, "trained_in": precision_of(fabric)})
            store.write_record(folder / WEIGHTS, provenance, TRAINING)
    fabric.barrier()


def threads(settings: TrainSettings) -> int:
    """Threads of a training process on the CPU: a core for each process that makes samples stays free, since
    threads that wait for a busy core slow every step down several times."""
    return max(usable_cores() // settings.devices - settings.workers, 1)


def make_fabric(settings: TrainSettings, begun_in: str | None = None) -> Fabric:
    """The processes, devices and precision of a training, which goes on in the precision that it has `begun_in` (of
    settings with another fixed one there is no checkpoint to go on from). Raises ConfigError for what isn't there."""
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    check_device("cuda" if cuda else "cpu")
    world = settings.devices * settings.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ and (started := os.environ.get("WORLD_SIZE")) != str(world):
        raise ConfigError(
            f"torchrun started {started} processes, but devices x nodes is {settings.devices} x {settings.nodes}; set "
            "devices to its --nproc-per-node and nodes to its --nnodes, of train and of encoder where there is one"
        )
    if settings.batch % world:
        raise ConfigError(f"batch is {settings.batch}, which {world} processes can't share evenly; make it a multiple")
    if world > 1:
        atexit.register(_leave_the_others)
    return Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=UNUSED_TOO if world > 1 and settings.strategy == "auto" else settings.strategy,
        precision=_precision(settings.precision, cuda, begun_in),
    )


def _leave_the_others() -> None:
    """Ends the threads that talk to other processes, while Python still runs: one that asks for Python's lock later
    aborts the process (exit code -6), after all of its work. Fabric does so for NCCL alone."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _precision(wanted: str, cuda: bool, begun_in: str | None) -> Any:
    """One of the words that Fabric knows."""
    chosen = choose_precision(wanted, cuda)
    if begun_in is not None and begun_in != chosen:
        if begun_in in NEEDS_GPU and not cuda:
            raise ConfigError(
                f"this training began in {begun_in}, which needs a GPU, and there is none here (or device=cpu): go on "
                f"where it began, or remove its {checkpoint.LAST} and {checkpoint.PREVIOUS} to begin again"
            )
        print(f"going on in {begun_in}, as this training began; {wanted} would be {chosen} here", file=sys.stderr)
        return choose_precision(begun_in, cuda)
    if chosen in NEEDS_GPU and not cuda:
        raise ConfigError(f"precision is {wanted}, which needs a GPU; use auto, bf16-mixed or 32-true")
    return chosen


def precision_of(fabric: Fabric) -> str:
    """Fabric's name of the precision that it works in."""
    return str(fabric.strategy.precision.precision)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Of step 1..steps: linear warm-up, then a cosine from lr down to lr / 100."""
    if step <= settings.warmup:
        return settings.lr * step / settings.warmup
    part = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _train_step(
    fabric: Fabric,
    task: Task,
    network: nn.Module,
    optimizer: Any,
    batch: dict[str, Tensor],
    settings: TrainSettings,
    step: int,
    lr: float,
    log: TrainingLog,
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    torch.manual_seed(settings.seed * 1_000_003 + step * 1009 + fabric.global_rank)  # dropout, whatever came before
    losses = task.loss(network, batch)
    fabric.backward(losses["loss"])
    fabric.clip_gradients(network, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    log.add(losses)


def _ema_of(network: nn.Module) -> AveragedModel:
    """The EMA of the weights before the first step: the network's own, in float32."""
    ema = AveragedModel(network, use_buffers=True)
    ema.module.float().requires_grad_(False)
    ema.update_parameters(network)  # torch takes the first ones over as they are; from now on it averages
    return ema


@torch.no_grad()
def _update_ema(ema: AveragedModel, network: nn.Module, decay: float, step: int) -> None:
    """The EMA after a step; its memory is short at first (as in TensorFlow's ExponentialMovingAverage)."""
    decay = min(decay, step / (step + 9))

    def blend(mean: Tensor, now: Tensor, _: Tensor | int) -> Tensor:
        return mean.lerp(now.to(mean.dtype), 1 - decay) if mean.is_floating_point() else now

    ema.avg_fn = blend
    ema.update_parameters(network)


def _state(network: Any, ema: AveragedModel, optimizer: Any, fabric: Fabric, step: int) -> dict[str, Any]:
    """All that a training's further way depends on: dropout and samples depend on the step alone, as the rate does."""
    return {
        "network": network.module.state_dict(),
        "ema": ema.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        checkpoint.PRECISION: precision_of(fabric),
        "scaler": fabric.strategy.precision.state_dict(),
        "step": step,
    }


def _resume(
    folder: Path, digest: str, network: Any, ema: AveragedModel, optimizer: Any, fabric: Fabric, steps: int
) -> tuple[int, dict | None]:
    """Loads the newest usable checkpoint of this training; returns the steps done and the log's state, 0 and None when
    there is none."""
    now = _state(network, ema, optimizer, fabric, 0)
    for state in checkpoint.candidates(folder, digest):
        if _fits(state, now, steps):
            network.module.load_state_dict(state["network"])
            ema.module.load_state_dict(state["ema"])
            optimizer.load_state_dict(state["optimizer"])
            fabric.strategy.precision.load_state_dict(state["scaler"])
            return state["step"], state.get("log")
        print(f"{folder}: a checkpoint that doesn't fit this network; not used", file=sys.stderr)
    return 0, None


def _fits(state: dict[str, Any], now: dict[str, Any], steps: int) -> bool:
    """Whether a checkpoint can be loaded without fail; half a state would be worse than none."""
    try:
        groups = [group["params"] for group in state["optimizer"]["param_groups"]]
        moments = state["optimizer"]["state"]
        return (
            checkpoint.same_shapes(state["network"], now["network"])
            and checkpoint.same_shapes(state["ema"], now["ema"])
            and groups == [group["params"] for group in now["optimizer"]["param_groups"]]
            and set(moments) <= {number for group in groups for number in group}
            and state[checkpoint.PRECISION] == now[checkpoint.PRECISION]
            and isinstance(state["scaler"], dict)
            and state["scaler"].keys() == now["scaler"].keys()
            and 0 <= state["step"] <= steps
        )
    except (KeyError, TypeError):
        return False
