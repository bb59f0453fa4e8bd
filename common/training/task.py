"""What a training is: its settings, and what a stage brings."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field

from common.config import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

WEIGHTS = "weights.safetensors"
LoggerName = Literal["csv", "tensorboard", "mlflow"]

RUNTIME_ONLY = {
    "device", "devices", "nodes", "strategy", "workers", "checkpoint_every", "log_every", "validate_every",
    "loggers",
}  # fmt: skip
"""Settings that say how a training is run; the weights don't depend on them (beyond floating-point rounding, and random
numbers that a task takes from the device: see `MakesOnDevice`)."""


class TrainSettings(Settings):
    """How a network is trained."""

    steps: int = Field(1000, ge=1)
    batch: int = Field(2, ge=1)
    """Samples a step, over all processes together; must be divisible by their number."""
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup: int = Field(50, ge=0)
    """Steps over which the learning rate rises; a cosine takes it down to a hundredth after that."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(0.99, ge=0, lt=1)
    """Decay of the running mean of the weights, which is what is kept; 0 keeps the last step's weights."""
    precision: str = "auto"
    """auto: 16-bit mixed where the device is fast at it, else 32-true, and where the training goes on elsewhere what it
    began in; or one of `device.TRAINING`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    strategy: str = "auto"
    """Lightning Fabric's: auto (several processes: ddp_find_unused_parameters_true), ddp, ddp_spawn ..."""
    workers: int = Field(1, ge=0)
    """Processes per device that make samples; 0 = the training process itself."""
    checkpoint_every: int = Field(200, ge=1)
    log_every: int = Field(20, ge=1)
    loggers: tuple[LoggerName, ...] = ("csv", "tensorboard")
    """What gets the lines of log.jsonl, too."""
    validate_every: int = Field(0, ge=0)
    """Steps between validations; 0 = only before the first step and after the last."""
    seed: int = 0


class InitTrainSettings(TrainSettings):
    """How a network is trained, and which weights it begins with."""

    RENAMED: ClassVar = {"start_from": "init_from"}
    init_from: str | None = Field(None, exclude=True)
    """Weights to begin with: the name of some that come with the project, a file, or null for random ones. What counts
    is the file's content, which belongs into what the training came from, so its name isn't dumped."""


class Task(Protocol):
    """What a stage brings to the loop."""

    network: "nn.Module"
    """Initialised from the seed; normalised by groups or instances, never by batches, whose statistics would
    make the result depend on how a batch is shared out."""

    def sample(self, draw: int) -> "dict[str, Tensor]":
        """Training sample number `draw` of the run, without a batch axis; a pure function of (seed, draw)."""
        ...

    def loss(self, network: "nn.Module", batch: "dict[str, Tensor]") -> "dict[str, Tensor]":
        """Scalars: "loss", the mean over the batch's samples, and others that are logged beside it."""
        ...

    def validate(self, network: "nn.Module") -> dict[str, float]:
        """Figures of the EMA of the network for the log, "loss" among them: of samples that are held out and always
        the same; {} when there is nothing to validate on."""
        ...


@runtime_checkable
class MakesOnDevice(Protocol):
    """A task whose batches are made on the GPU that trains, where there is one."""

    def draw(self, number: int) -> Any:
        """What chance decides about sample `number`, made by a process and small; a pure function of (seed, number)."""
        ...

    def make(self, drawn: "list[Any]", device: "torch.device") -> "dict[str, Tensor]":
        """A batch of those, on the device."""
        ...
