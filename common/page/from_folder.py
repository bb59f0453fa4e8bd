"""result.html of one study, from what the stages left in its folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.outputs import store
from common.outputs.notices import json_beside
from common.outputs.out_folder import MASK, STUDY, answer_at
from common.outputs.schema import PAGE

if TYPE_CHECKING:
    from common.reading.study import Reader

NAME = "result.html"
IMPORTED_FOR = {NAME: ("common.page.page",)}
"""See `common.cli.registry.STEPS`."""


def write_page(
    out: Path, study: Path, series_uid: str | None = None, overwrite: bool = False, read: "Reader | None" = None
) -> None:
    """Writes `out`/result.html from mask.nii.gz, mask.json and, where stage 2 wrote one about them, result.json;
    nothing where there is no mask.

    `study`: DICOM folder, zip or image file; `series_uid`: the series that the mask is of; `read`: None for
    `read_study`. Raises what `read_study` does, OutputError, RunBusy."""
    mask, result, evidence = (out / name for name in ("mask.nii.gz", "result.json", "evidence.nii.gz"))
    if not mask.is_file():
        return
    from common.masks.segmentation import onto
    from common.page.page import page
    from common.reading.images import read_image
    from common.reading.study import read_study

    with answer_at([out / NAME], study, mask, [mask, json_beside(mask), result, evidence], overwrite) as about:
        about_mask, about_study = _content(json_beside(mask), about), _content(result, about)
        scan = (read or read_study)(study, series_uid)
        labels = onto(read_image(mask), scan.volume.grid)
        seen = read_image(evidence) if _is_about(evidence, about) else None
        text = page(scan.volume, labels, about_study, about_mask, seen, scan.uid or "")
        store.write_text(out / NAME, text)
        provenance = {path.name: store.digest_file(path) for path in (mask, result, evidence) if path.is_file()}
        store.write_record(out / NAME, {**about, **provenance, "series": series_uid}, PAGE)


def _content(path: Path, about: dict[str, str]) -> dict[str, Any] | None:
    """A JSON file's content, where it is about this study and this mask; else None."""
    return dict(store.read_json(path)) if _is_about(path, about) else None


def _is_about(path: Path, about: dict[str, str]) -> bool:
    """Whether there is a file whose record names this study and this mask."""
    provenance = store.provenance_of(path)
    return path.is_file() and all(provenance.get(name) == about[name] for name in (STUDY, MASK))
