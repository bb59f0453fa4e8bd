"""Mask files as other tools leave them: one with a number per vertebra, or a folder with one file per vertebra."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import GridMismatch, NothingFound, StudyError, UnsupportedStudy
from common.image_names import is_image_file, stem
from common.labels import BACKGROUND, LEVEL_IDS, THORACIC
from common.masks.schemes import values_in, whole_numbers
from common.outputs import store
from common.reading.images import files_of, read_image
from common.volume import Volume

OF_FOLDER = "merged"
"""The scheme of what `read_mask_files` makes of a folder."""
SAME_PLACE_MM = 0.1
LARGEST_SHARED = 0.1
"""Part of the smaller of two vertebrae that both files may claim."""
_LEVEL = re.compile(r"(?:^|[^a-z0-9])(?:vertebrae?)?[_-]?(c[1-7]|t(?:1[0-2]|[1-9]))(?![a-z0-9])")


def level_in_name(path: Path) -> str | None:
    """`vertebrae_C3.nii.gz`, `C3.nii.gz` -> C3; None where the name holds no level, or several."""
    found = set(_LEVEL.findall(stem(path).lower()))
    return found.pop().upper() if len(found) == 1 else None


def vertebra_files(folder: Path) -> dict[str, Path]:
    """Level C1..C7, T1..T12 -> its file in a folder with one per vertebra; other files (organs, ribs) are left out.
    Raises NothingFound when there is none, UnsupportedStudy when two claim one level."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_image_file(path) or path.name.startswith(".") or (level := level_in_name(path)) is None:
            continue
        if level in found:
            raise UnsupportedStudy(f"{folder}: {found[level].name} and {path.name} are both {level}; keep one")
        found[level] = path
    if not any(level in LEVEL_IDS for level in found):
        raise NothingFound(
            f"{folder}: holds no file of a cervical vertebra, expected vertebrae_C1.nii.gz to vertebrae_C7.nii.gz; "
            "a mask that numbers its vertebrae is named by its own path"
        )
    return found


def read_mask_files(path: Path) -> Volume:
    """A mask as its file has it: array (X, Y, Z) of whole numbers, affine voxel -> RAS mm. Of a folder with one file
    per vertebra: uint8 values of common.labels. Raises NothingFound, CorruptFile, UnsupportedStudy, GridMismatch."""
    if path.is_dir():
        return _joined(path)
    mask = read_image(path)
    return mask.with_array(whole_numbers(mask.array, path))


def digest(path: Path) -> Any:
    """What a use of the mask depends on: the bytes of the file, or of each file of a folder; "absent" without one."""
    if path.is_dir():
        with suppress(NothingFound, UnsupportedStudy):
            return {level: store.digest_file(file) for level, file in vertebra_files(path).items()}
        return "absent"
    files = [path]
    with suppress(StudyError):
        files = files_of(path)
    digests = [store.digest_file(file) for file in files if file.is_file()]
    return (digests[0] if len(digests) == 1 else digests) or "absent"


def is_own(path: Path) -> bool:
    """Whether stage 1 left this very file: its record speaks of weights, and the bytes are those recorded."""
    return "weights" in store.provenance_of(path) and store.recorded_digest(path) == store.digest_file(path)


def _joined(folder: Path) -> Volume:
    """One array of the folder's files; where two overlap a little, the upper level keeps the voxel."""
    files = sorted(vertebra_files(folder).items(), key=lambda item: (item[0][0], int(item[0][1:])))
    whole: Volume | None = None
    for level, path in files:
        part = read_image(path)
        values = values_in(whole_numbers(part.array, path))
        if len(values) > 1:
            raise UnsupportedStudy(
                f"{path}: holds the values {', '.join(map(str, values[:10]))}, expected one vertebra, 0 and 1; "
                "a mask that numbers its vertebrae is named by its own path"
            )
        if whole is None:
            whole = Volume(np.zeros(part.array.shape, np.uint8), part.affine)
        if not part.grid.matches(whole.grid, SAME_PLACE_MM):
            raise GridMismatch(f"{path}: lies on another grid than the other files of {folder}")
        inside = part.array != 0
        free = inside & (whole.array == BACKGROUND)
        _check_shared(path, inside, free, whole)
        whole.array[free] = LEVEL_IDS.get(level, THORACIC)
    if whole is None:
        raise NothingFound(f"{folder}: no file of a vertebra")
    return whole


def _check_shared(path: Path, inside: np.ndarray, free: np.ndarray, whole: Volume) -> None:
    count = int(inside.sum())
    shared = count - int(free.sum())
    if shared == 0:
        return
    other = int(np.bincount(whole.array[inside & ~free]).argmax())
    if shared > LARGEST_SHARED * min(count, int((whole.array == other).sum())):
        raise UnsupportedStudy(f"{path}: {shared} of its {count} voxels are another vertebra's in the same folder")
