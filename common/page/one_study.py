"""result.html of one study, from what the stages left in its folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.outputs import store
from common.outputs.notices import json_beside
from common.outputs.out_folder import MASK, STUDY, answer_at

if TYPE_CHECKING:
    from common.reading.study import Reader

NAME = "result.html"


def write_page(
    out: Path, study: Path, series_uid: str | None = None, overwrite: bool = False, read: "Reader | None" = None
) -> None:
    """Writes `out`/result.html from mask.nii.gz, mask.json and, where stage 2 wrote one about them, result.json;
    nothing where there is no mask.

    `study`: DICOM folder, zip or image file; `series_uid`: the series that the mask is of; `read`: None for
    `read_study`. Raises what `read_study` does, OutputError, RunBusy."""
    mask, result = out / "mask.nii.gz", out / "result.json"
    if not mask.is_file():
        return
    from common.masks.segmentation import onto
    from common.page.page import save_page
    from common.reading.images import read_image
    from common.reading.study import read_study

    with answer_at([out / NAME], study, mask, [mask, json_beside(mask), result], overwrite) as about:
        about_mask, about_study = _content(json_beside(mask), about), _content(result, about)
        scan = (read or read_study)(study, series_uid)
        labels = onto(read_image(mask), scan.volume.grid)
        save_page(out / NAME, scan.volume, labels, about_study, about_mask, study=scan.uid or "")
        provenance = {path.name: store.digest_file(path) for path in (mask, result) if path.is_file()}
        store.write_record(out / NAME, {**about, **provenance, "series": series_uid})


def _content(path: Path, about: dict[str, str]) -> dict[str, Any] | None:
    """A JSON file's content, where its record says that it is about this study and this mask; else None."""
    provenance = store.provenance_of(path)
    if not path.is_file() or any(provenance.get(name) != about[name] for name in (STUDY, MASK)):
        return None
    return dict(store.read_json(path))
