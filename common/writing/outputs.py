"""What `predict` leaves beside mask.nii.gz for a PACS and for viewers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.corrections.correction import corrections_beside
from common.errors import ConfigError, StudyError
from common.image_names import is_image_file
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.out_folder import MASK as OF_MASK
from common.outputs.out_folder import STUDY, answer_at, fingerprint
from common.outputs.schema import PLAIN
from common.volume import Volume

MASK, RESULT = "mask.nii.gz", "result.json"
SEG, REPORT, STRUCTURES, SLICER = "segmentation.dcm", "report.dcm", "rtstruct.dcm", "mask.seg.nrrd"
USUAL = (SEG, REPORT, SLICER)
ON_REQUEST = (STRUCTURES,)


@dataclass(frozen=True)
class Asked:
    """`names` of `USUAL` and `ON_REQUEST` (others are no business of this folder); None: the usual ones that the study
    allows. `labelmap`, `anonymous`: as in `dicom_seg.segmentation`. `overwrite`: files that aren't ours, too."""

    names: tuple[str, ...] | None = None
    labelmap: bool = False
    anonymous: bool = False
    overwrite: bool = False


def check_outputs(study: Path, names: Sequence[str] | None) -> None:
    """Raises ConfigError for `names` that `study` can't get; None, as many as can be, is always right."""
    objects = [name for name in names or () if name.endswith(".dcm")]
    if objects and is_image_file(study):
        raise ConfigError(
            f"--outputs {','.join(objects)}: {study} isn't DICOM, so a DICOM object has nothing to refer to; give the "
            "DICOM study, or leave these outputs out"
        )


def write_outputs(
    out: Path, study: Path, series_uid: str | None = None, asked: Asked = Asked(), suspected: Volume | None = None
) -> None:
    """Writes what is `asked` of `out`'s mask.nii.gz and result.json, each file with a record; a notice says which of
    the usual ones the study doesn't allow. Without a mask.nii.gz there is nothing to do. `suspected` (X, Y, Z): not
    zero where a fracture is suspected.

    Raises StudyError when one of the names can't be made, and OutputError, RunBusy as `answer_at` does."""
    mask_path, result_path = out / MASK, out / RESULT
    if not mask_path.is_file():
        return
    wanted, notices = _wanted(study, asked.names, _is_of(result_path, study))
    inputs = [mask_path, result_path]
    if wanted:
        with answer_at([out / name for name in wanted], study, mask_path, inputs, asked.overwrite) as about:
            provenance = {
                **about,
                **{path.name: store.digest_file(path) for path in inputs if path.is_file()},
                "series": series_uid,
                "labelmap": asked.labelmap,
                "anonymous": asked.anonymous,
            }
            from common.masks.files import read_mask_files
            from common.writing.seg_nrrd import write_seg_nrrd

            mask = read_mask_files(mask_path)
            if SLICER in wanted:
                write_seg_nrrd(mask, out / SLICER)
                store.write_record(out / SLICER, provenance, PLAIN)
            try:
                made, about_source = _objects(wanted, study, series_uid, mask, out, asked, suspected)
            except StudyError as error:
                if asked.names is not None:
                    raise
                made, about_source = {}, (f"no DICOM objects: {error}",)
            notices += about_source
            for name, thing in made.items():
                with store.atomic(out / name) as scratch, warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # they would quote values of the source
                    thing.save_as(scratch, enforce_file_format=True)
                store.write_record(out / name, provenance, PLAIN)
    tell(study.name, notices)


def _is_of(result: Path, study: Path) -> bool:
    """Whether a result.json is there and its record says that it is about `study` and the mask beside it."""
    provenance = store.provenance_of(result)
    return result.is_file() and provenance.get(OF_MASK) == MASK and provenance.get(STUDY) == fingerprint(study)


def _wanted(study: Path, names: tuple[str, ...] | None, has_result: bool) -> tuple[list[str], list[str]]:
    """What to write, and a sentence for what can't be."""
    wanted = [name for name in (*USUAL, *ON_REQUEST) if name in (USUAL if names is None else names)]
    notices = []
    if names is None and is_image_file(study):
        notices.append(f"not DICOM, so there is no {SEG} and no {REPORT}: they would have nothing to refer to")
        wanted = [name for name in wanted if not name.endswith(".dcm")]
    if REPORT in wanted and not has_result:
        notices.append(f"there is no {RESULT}, so there is no {REPORT}")
        wanted.remove(REPORT)
    return wanted, notices


def _objects(
    wanted: Sequence[str],
    study: Path,
    series_uid: str | None,
    mask: Volume,
    out: Path,
    asked: Asked,
    suspected: Volume | None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The DICOM objects among `wanted`, by name; what is to be said of their source."""
    if not any(name.endswith(".dcm") for name in wanted):
        return {}, ()
    from common.writing.algorithm import Algorithm  # the library behind these takes a second to import
    from common.writing.dicom_seg import segmentation
    from common.writing.dicom_sr import report
    from common.writing.rtstruct import structure_set
    from common.writing.source import scan_source

    source = scan_source(study, series_uid)
    by_hand = bool(corrections_beside(out / MASK))
    name = "cervical-fracture segment" + (", corrected by hand" if by_hand else "")
    named = Algorithm(name, _digests(store.provenance_of(out / MASK).get("weights")), by_hand=by_hand)
    made: dict[str, Any] = {}
    if SEG in wanted:
        made[SEG] = segmentation(mask, source, named, asked.labelmap, suspected, asked.anonymous)
    if REPORT in wanted:
        result = store.read_json(out / RESULT)
        classify = Algorithm("cervical-fracture classify", _digests(result.get("weights")))
        made[REPORT] = report(result, source, [named, classify], made.get(SEG), asked.anonymous)
    if STRUCTURES in wanted:
        made[STRUCTURES] = structure_set(mask, source, named, asked.anonymous)
    return made, source.notices


def _digests(weights: Any) -> tuple[str, ...]:
    return (weights,) if isinstance(weights, str) else tuple(map(str, weights or ()))
