"""Earlier versions of one study's outputs: copied aside whole, before a correction replaces them."""

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import GridMismatch, NothingFound
from common.outputs import store
from common.outputs.notices import json_beside
from common.outputs.out_folder import MASK, STUDY, TOGETHER, fingerprint
from common.volume import Volume

MASK_NAME, RESULT_NAME = "mask.nii.gz", "result.json"
FOLDER = "before-{}"


@dataclass(frozen=True, eq=False)
class Earlier:
    """What lies in a folder: the `mask` (X, Y, Z) of `labels.CLASS_NAMES`, `about` it (mask.json, {} without one), the
    `result` about it or None, and the mask's `provenance`."""

    mask: Volume
    about: dict[str, Any]
    result: dict[str, Any] | None
    provenance: dict[str, Any]


def earlier_version(out: Path, study: Path) -> Earlier:
    """The version in `out`. Raises NothingFound without a mask, GridMismatch where it is another study's, and what
    reading an image raises."""
    from common.masks.files import read_mask_files

    mask = out / MASK_NAME
    if not mask.is_file():
        kept = sorted(path.name for path in out.glob(FOLDER.format("*")))
        more = f"; {out / kept[-1]} holds an earlier version" if kept else ""
        raise NothingFound(
            f"{mask}: there is no mask to correct{more}. Run `cervical-fracture predict {study} -o {out}` first, or "
            "name the folder that it wrote with -o"
        )
    provenance = store.provenance_of(mask)
    if provenance.get(STUDY) not in (None, fingerprint(study)):
        raise GridMismatch(f"{mask}: is the mask of another study than {study}; name that study's folder with -o")
    about, result = json_beside(mask), out / RESULT_NAME
    is_about = result.is_file() and store.provenance_of(result).get(MASK) == MASK_NAME
    return Earlier(
        read_mask_files(mask),
        dict(store.read_json(about)) if about.is_file() else {},
        dict(store.read_json(result)) if is_about else None,
        provenance,
    )


def keep(out: Path) -> str | None:
    """Copies what this project left in `out` for one study into `out`/before-N, whole or not at all, with its records;
    N is the first that is free. Returns the folder's name, None where there is nothing. Raises OutputError."""
    files = [path for name in sorted(TOGETHER) if (path := out / name).is_file() and store.record_path(path).is_file()]
    if not files:
        return None
    names = (FOLDER.format(number) for number in itertools.count(1))
    name = next(name for name in names if not os.path.lexists(out / name))
    with store.atomic(out / name) as folder:
        folder.mkdir()
        for path in files:
            for file in (path, store.record_path(path)):
                shutil.copy2(file, folder / file.name)
    return name
