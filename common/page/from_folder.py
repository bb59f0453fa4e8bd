"""result.html of one study, from what the stages left in its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.outputs import store
from common.outputs.notices import json_beside
from common.outputs.out_folder import MASK, STUDY, answer_at
from common.outputs.schema import PAGE

if TYPE_CHECKING:
    from common.page.page import Shown
    from common.reading.study import Reader

NAME, MASK_FILE = "result.html", "mask.nii.gz"
IMPORTED_FOR = {NAME: ("common.page.page",)}
"""See `common.cli.registry.STEPS`."""


@dataclass(frozen=True, eq=False)
class Early:
    """What a page `shown` of scan and mask, and the `digest` of the mask's file."""

    shown: "Shown"
    digest: str


def show_early(out: Path, study: Path, series_uid: str | None = None, read: "Reader | None" = None) -> Early:
    """The largest part of `write_page`'s work, which needs nothing but scan and mask. Arguments and errors as there."""
    from common.masks.segmentation import onto
    from common.page.page import show
    from common.reading.images import read_image
    from common.reading.study import read_study

    mask = out / MASK_FILE
    digest, scan = store.digest_file(mask), (read or read_study)(study, series_uid).volume
    return Early(show(scan, onto(read_image(mask), scan.grid)), digest)


def write_page(
    out: Path,
    study: Path,
    series_uid: str | None = None,
    overwrite: bool = False,
    read: "Reader | None" = None,
    early: Callable[[], Early] | None = None,
) -> None:
    """Writes `out`/result.html from mask.nii.gz, mask.json and, where stage 2 wrote one about them, result.json;
    nothing where there is no mask.

    `study`: DICOM folder, zip or image file; `series_uid`: the series that the mask is of; `read`: None for
    `read_study`. `early`: gives what `show_early` has made; of another mask it isn't used. Raises what `read_study`
    does, OutputError, RunBusy."""
    mask, result, evidence = (out / name for name in (MASK_FILE, "result.json", "evidence.nii.gz"))
    if not mask.is_file():
        return
    from common.page.page import page_of
    from common.reading.images import read_image
    from common.reading.study import read_study

    with answer_at([out / NAME], study, mask, [mask, json_beside(mask), result, evidence], overwrite) as about:
        about_mask, about_study = _content(json_beside(mask), about), _content(result, about)
        scan = (read or read_study)(study, series_uid)
        done = early() if early else None
        if done is None or done.digest != store.digest_file(mask):
            done = show_early(out, study, series_uid, read)
        seen = read_image(evidence) if _is_about(evidence, about) else None
        text = page_of(done.shown, about_study, about_mask, seen, scan.uid or "")
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
