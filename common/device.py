"""Where networks run and in which precision: what is asked for is there, or refused in words. Imports torch late."""

import re
from typing import TYPE_CHECKING, Literal, get_args

from common.errors import ConfigError

if TYPE_CHECKING:
    import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "auto"]
"""Of prediction. "auto" is what the machine is fast at, so that predictions differ between machines."""
TRAINING = (*get_args(Precision), "64-true", "bf16-true", "16-true")
"""Of training: Lightning Fabric's names."""


def check_device(name: str) -> None:
    """Raises ConfigError unless `name` is auto, cpu, cuda or cuda:N, and such a GPU is there. Needs torch for GPUs
    alone."""
    if name in ("auto", "cpu"):
        return
    asked = re.fullmatch(r"cuda(?::(\d{1,4}))?", name) if isinstance(name, str) else None
    if asked is None:
        raise ConfigError(f"device is {str(name)[:100]!r}; expected auto, cpu, cuda or cuda:N")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ConfigError(f"device is {name}, but torch finds no GPU here; use auto or cpu")
    if int(asked[1] or 0) >= count:
        raise ConfigError(f"device is {name}, but torch finds {count} here: cuda:0 to cuda:{count - 1}; use auto")


def choose_device(name: str = "auto") -> "torch.device":
    """`name` as a device; auto: a GPU when there is one. Raises ConfigError, see `check_device`."""
    import torch

    check_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_precision(wanted: str, cuda: bool) -> str:
    """Fabric's name of a precision; "auto" is mixed 16-bit where the hardware multiplies in it. Raises ConfigError."""
    if wanted not in TRAINING:
        raise ConfigError(f"precision is {str(wanted)[:100]!r}; expected one of {', '.join(TRAINING)}")
    if wanted != "auto":
        return wanted
    import torch

    if cuda:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if fast else "32-true"


def prediction_precision(wanted: str, device: str) -> str:
    """The precision that a prediction on the device so named runs in; needs torch only to know what "auto" means.
    Raises ConfigError."""
    if wanted != "auto":
        return choose_precision(wanted, cuda=False)
    return choose_precision(wanted, choose_device(device).type == "cuda")


def autocast(device: "torch.device", precision: str) -> "torch.autocast":
    """The context that a network predicts in; of a precision that isn't mixed, one that changes nothing."""
    import torch

    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(
        choose_precision(precision, device.type == "cuda")
    )
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)
