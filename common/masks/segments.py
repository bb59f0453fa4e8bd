"""A mask that a person has edited. Segments of 3D Slicer's .seg.nrrd say by their names which vertebra they are."""

import re
from pathlib import Path

import numpy as np

from common.errors import UnsupportedStudy
from common.labels import LEVEL_IDS, THORACIC
from common.masks.files import OF_FOLDER, level_in_name, read_mask_files
from common.masks.schemes import values_in
from common.reading.itk_header import LONGEST_HEADER
from common.volume import Volume

ENDING = ".seg.nrrd"


def read_edited(path: Path, scheme: str) -> tuple[Volume, str]:
    """An image file, or a folder with one file per vertebra: array (X, Y, Z) of whole numbers, affine voxel -> RAS mm;
    and the scheme that its values follow: `scheme`, or this project's own where names say what the parts are, as in a
    .seg.nrrd (`C4`, `vertebra C4`, `T1`, `thoracic`).

    Raises UnsupportedStudy for segments that overlap (Slicer writes these as layers), that aren't named after a
    vertebra, or of which two have one name; and what reading an image raises."""
    if path.is_dir():
        return read_mask_files(path), OF_FOLDER
    if not path.name.lower().endswith(ENDING):
        return read_mask_files(path), scheme
    fields = _fields(path)
    if fields.get("dimension") == "4":
        raise UnsupportedStudy(
            f"{path}: its segments overlap, so 3D Slicer wrote them as layers; in the Segment Editor set Modify other "
            "segments: Overwrite all, take away what two segments share, and save again"
        )
    mask = read_mask_files(path)
    segments = {
        int(fields[f"Segment{number}_LabelValue"]): fields.get(f"Segment{number}_Name", "")
        for number in _numbers(fields)
        if fields.get(f"Segment{number}_LabelValue", "").isdecimal()
    }
    if not segments:
        return mask, scheme
    values = values_in(mask.array)
    table = np.zeros(max([*values, *segments]) + 1, np.uint8)
    named: dict[int, str] = {}
    for value in values:
        ours = _value(segments.get(value, ""))
        if ours is None or (ours in named and ours != THORACIC):
            found = ", ".join(f"`{segments.get(one, 'without a name')}`" for one in values)
            why = "two segments are" if ours else "not every segment is"
            raise UnsupportedStudy(
                f"{path}: {why} named after a vertebra: {found}; expected C1 to C7, T1 to T12 or thoracic, each once. "
                "Rename or delete them in 3D Slicer and save again"
            )
        named[ours] = segments[value]
        table[value] = ours
    return mask.with_array(table[mask.array]), OF_FOLDER


def _numbers(fields: dict[str, str]) -> list[int]:
    return sorted({int(match[1]) for name in fields if (match := re.match(r"Segment(\d+)_", name))})


def _value(name: str) -> int | None:
    if "thoracic" in name.lower():
        return THORACIC
    level = level_in_name(Path(name.strip().replace(" ", "_").replace("/", "_") or "-"))
    return None if level is None else LEVEL_IDS.get(level, THORACIC)


def _fields(path: Path) -> dict[str, str]:
    """The header's fields and key/value pairs; {} where there is no such file, which reading it tells."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    end = re.search(rb"\r?\n\r?\n", start)
    lines = (start[: end.start()] if end else b"").decode("utf-8", "replace").splitlines()
    pairs = (re.match(r"([^:]+):=?\s?(.*)", line) for line in lines if not line.startswith("#"))
    return {match[1].strip(): match[2].strip() for match in pairs if match}
