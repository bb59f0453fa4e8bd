"""What tables, and the attributes of a batch's scans, say of every cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def values_at(table: Tensor, places: Tensor) -> Tensor:
    """table (n,), places int of any shape -> table's values there, of that shape; several times as fast as indexing."""
    return table.to(places.device).index_select(0, places.view(-1)).view(places.shape)


def each_values_at(tables: Sequence[np.ndarray], codes: Tensor) -> Tensor:
    """A table (256,) for each scan, codes int32 (B, X, Y, Z) -> each table's values at its scan's codes."""
    flat = torch.from_numpy(np.concatenate(tables))
    if len(tables) > 1:
        codes = codes + 256 * torch.arange(len(tables), device=codes.device, dtype=torch.int32)[:, None, None, None]
    return values_at(flat, codes)


def among(codes: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """codes uint8 of any shape -> whether each is one of those wanted, bool of that shape."""
    table = torch.zeros(256, dtype=torch.bool)
    table[list(wanted)] = True
    return values_at(table, codes.int())


def stacked(scans: Sequence[Any], name: str, like: Tensor | torch.device, dims: int = 0) -> Tensor:
    """An attribute of each scan as float32 (B, ...), on a device, with `dims` axes of length one behind."""
    values = np.stack([np.asarray(getattr(scan, name), np.float32) for scan in scans])
    device = like if isinstance(like, torch.device) else like.device
    return torch.from_numpy(values.reshape(values.shape + (1,) * dims)).to(device)


def those(scans: Sequence[Any]) -> list[int]:
    """Numbers of the scans that have the thing."""
    return [number for number, thing in enumerate(scans) if thing is not None]
