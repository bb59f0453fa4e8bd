"""The state of a training on disk: last.pt, and the one before it as previous.pt."""

import io
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.errors import ProjectError
from common.outputs import store

LAST, PREVIOUS = "last.pt", "previous.pt"
PROVENANCE = "provenance"
PRECISION = "precision"
"""Fabric's name of the precision that a state was trained in; no other goes on from it."""


class Unusable(ProjectError):
    """A checkpoint that can't be gone on from, and why."""


class Damaged(Unusable):
    """A checkpoint that isn't whole."""


def save(folder: Path, state: dict[str, Any], provenance: str) -> None:
    """Makes `state` (what torch.load(weights_only=True) reads back: tensors, numbers, text, lists, dicts) the last
    checkpoint; the one before it stays. `provenance`: digest of what the training is made from."""
    content = io.BytesIO()
    torch.save({**state, PROVENANCE: provenance}, content)  # to memory first: torch can't say that a disk is full
    with store.atomic(folder / LAST) as scratch:
        scratch.write_bytes(content.getbuffer())
        if (folder / LAST).exists():
            (folder / LAST).replace(folder / PREVIOUS)


def candidates(folder: Path, provenance: str) -> Iterator[dict[str, Any]]:
    """The states to go on from, the newest first. Others are reported on stderr, and a damaged one is removed, so that
    it never takes the place of a good one."""
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            yield read(path, provenance)
        except FileNotFoundError:
            continue
        except Unusable as error:
            print(f"{path}: {error}; not used", file=sys.stderr)
            if isinstance(error, Damaged):
                with suppress(OSError):
                    path.unlink()


def begun_in(folder: Path, provenance: str) -> str | None:
    """The precision of the training that may be gone on with in `folder`; None when there is none. Says nothing of
    checkpoints that can't be used: `candidates` does."""
    for path in (folder / LAST, folder / PREVIOUS):
        with suppress(FileNotFoundError, Unusable):
            found = read(path, provenance).get(PRECISION)
            if isinstance(found, str):
                return found
    return None


def read(path: Path, provenance: str) -> dict[str, Any]:
    """A checkpoint's content, on the CPU; no code in it is run. Raises FileNotFoundError, Unusable."""
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["came_from" if "came_from" in state else PROVENANCE]  # came_from: before 0.4
    except (FileNotFoundError, Unusable):
        raise
    except Exception as error:  # damaged files fail in many ways, and each of them means the same
        raise Damaged(f"damaged checkpoint ({type(error).__name__})") from None
    if found != provenance:
        raise Unusable("checkpoint of another training (other data or settings, or made by other code)")
    return state


def same_shapes(given: Any, expected: dict[str, Tensor]) -> bool:
    """Whether `given` is a state dict that fits where `expected` comes from."""
    return (
        isinstance(given, dict)
        and given.keys() == expected.keys()
        and all(isinstance(v, Tensor) and v.shape == expected[name].shape for name, v in given.items())
    )


def _check_archive(path: Path) -> None:
    """Checksums of every part. torch stores without compression: what unpacks to more than the file holds would be
    a zip bomb."""
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise Damaged("damaged checkpoint (its parts are larger than the file)")
        if archive.testzip() is not None:
            raise Damaged("damaged checkpoint (a checksum is wrong)")
