"""What the scans of a batch have, side by side on a device; and tables looked up at every cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def stacked(scans: Sequence[Any], name: str, like: Tensor | torch.device, dims: int = 0) -> Tensor:
    """An attribute of each scan as float32 (B, ...), on a device, with `dims` axes of length one behind."""
    return to_device(np.stack([np.asarray(getattr(scan, name), np.float32) for scan in scans]), like, dims)


def to_device(values: Any, like: Tensor | torch.device, dims: int = 0) -> Tensor:
    """Values (B, ...) on a device, with `dims` axes of length one behind; nothing waits for them."""
    device = like if isinstance(like, torch.device) else like.device
    values = np.asarray(values)
    return torch.from_numpy(values.reshape(values.shape + (1,) * dims)).to(device, non_blocking=True)


def those(chosen: Sequence[bool]) -> list[int]:
    """Numbers of the scans for which that is so."""
    return [number for number, is_so in enumerate(chosen) if is_so]


def picked(values: Tensor, numbers: Sequence[int]) -> Tensor:
    """Those scans of values (B, ...); the same tensor when that is all of them."""
    return values if len(numbers) == len(values) else values[to_device(numbers, values)]


def values_at(table: Tensor, places: Tensor) -> Tensor:
    """table (n,), places int of any shape -> table's values there, of that shape; several times as fast as indexing."""
    return table.to(places.device, non_blocking=True).index_select(0, places.view(-1)).view(places.shape)


def each_values_at(tables: Sequence[np.ndarray], codes: Tensor) -> Tensor:
    """A table (256,) for each scan, codes int32 (B, X, Y, Z) -> each table's values at its scan's codes."""
    if len(tables) > 1:
        codes = codes + 256 * torch.arange(len(tables), device=codes.device, dtype=torch.int32)[:, None, None, None]
    return values_at(torch.from_numpy(np.concatenate(tables)), codes)


def among(codes: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """codes uint8 of any shape -> whether each is one of those wanted, bool of that shape."""
    table = torch.zeros(256, dtype=torch.bool)
    table[list(wanted)] = True
    return values_at(table, codes.int())
