"""What `predict` leaves beside mask.nii.gz for a PACS and for viewers."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from common.errors import StudyError
from common.operating_point import operating_point, suspected_levels
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.out_folder import MASK as OF_MASK
from common.outputs.out_folder import STUDY, answer_at, fingerprint
from common.outputs.schema import PLAIN
from common.writing.asked import COLOUR_TABLE, LABEL_FILE, RESULT, SEG, SLICER, SUSPECTED, USUALLY, Asked
from common.writing.objects import Made, Prepared, objects, prepare

MASK, EVIDENCE = "mask.nii.gz", "evidence.nii.gz"


def prepare_outputs(out: Path, study: Path, series_uid: str | None = None, asked: Asked = USUALLY) -> Prepared | None:
    """The largest part of `write_outputs`' work, which needs nothing but scan and mask. Arguments as there. Raises
    StudyError."""
    return prepare(asked.wanted(study, has_result=True)[0], out / MASK, study, series_uid, asked)


def write_outputs(
    out: Path,
    study: Path,
    series_uid: str | None = None,
    asked: Asked = USUALLY,
    prepared: Callable[[], Prepared | None] | None = None,
) -> None:
    """Writes what is `asked` of `out`'s mask.nii.gz, result.json and evidence.nii.gz, each file with a record; a notice
    says which of the usual ones the study doesn't allow. Without a mask.nii.gz there is nothing to do.

    `prepared`: gives what `prepare_outputs` has made; of another mask it isn't used. Raises StudyError when one of the
    names can't be made, and OutputError, RunBusy as `answer_at` does."""
    inputs = [out / name for name in (MASK, RESULT, EVIDENCE)]
    if not inputs[0].is_file():
        return
    wanted, notices = asked.wanted(study, _is_of(out / RESULT, study))
    if wanted:
        with answer_at([out / name for name in wanted], study, inputs[0], inputs, asked.overwrite) as about:
            provenance = {
                **about,
                **{path.name: store.digest_file(path) for path in inputs if path.is_file()},
                "series": series_uid,
                "labelmap": asked.labelmap,
                "anonymous": asked.anonymous,
            }
            made, about_made = _made(out, study, wanted, asked.labelmap)
            for name in _write_files(made, out, wanted):
                store.write_record(out / name, provenance, PLAIN)
            try:
                done = prepared() if prepared else None
                if done is None or done.digest != provenance[MASK]:
                    done = prepare(wanted, inputs[0], study, series_uid, asked)
                things, about_source = objects(wanted, inputs[0], made, asked, done)
            except StudyError as error:
                if asked.names is not None:
                    raise
                things, about_source = {}, (f"no DICOM objects: {error}",)
            notices += [*about_made, *about_source]
            for name, thing in things.items():
                with store.atomic(out / name) as scratch, warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # they would quote values of the source
                    thing.save_as(scratch, enforce_file_format=True)
                store.write_record(out / name, provenance, PLAIN)
    tell(study.name, notices)


def _is_of(path: Path, study: Path) -> bool:
    """Whether a file is there and its record says that it is about `study` and the mask beside it."""
    provenance = store.provenance_of(path)
    return path.is_file() and provenance.get(OF_MASK) == MASK and provenance.get(STUDY) == fingerprint(study)


def _made(out: Path, study: Path, wanted: Sequence[str], labelmap: bool) -> tuple[Made, list[str]]:
    """What the stages left in `out`, and what is to be said of the suspected bone."""
    from common.masks.files import read_mask_files

    result = store.read_json(out / RESULT) if _is_of(out / RESULT, study) else None
    made = Made(read_mask_files(out / MASK), result, None)
    levels = suspected_levels(made.result, made.in_view)
    if not levels or not {SEG, SUSPECTED} & set(wanted) or not _is_of(out / EVIDENCE, study):
        return made, []
    from common.reading.images import read_image
    from common.writing.suspected import suspected_bone

    least = operating_point(made.result)
    bone = suspected_bone(read_image(out / EVIDENCE), made.mask, levels, least)
    if bone is None:
        where = f"suspected at {', '.join(levels)}, where the evidence nowhere reaches {least:g}"
        return made, [f"{where}: no segment shows the place"]
    no_room = labelmap and SEG in wanted
    return replace(made, suspected=bone), [f"{SEG} as a labelmap has no room for what is suspected"] if no_room else []


def _write_files(made: Made, out: Path, wanted: Sequence[str]) -> Iterator[str]:
    """Writes those of `wanted` that aren't DICOM, and gives their names."""
    from common.writing import colour_tables
    from common.writing.seg_nrrd import write_seg_nrrd

    for name, volume in ((SLICER, made.mask), (SUSPECTED, made.suspected)):
        if name in wanted and volume is not None:
            write_seg_nrrd(volume, out / name)
            yield name
    for name, text in ((COLOUR_TABLE, colour_tables.of_slicer), (LABEL_FILE, colour_tables.of_itk_snap)):
        if name in wanted:
            store.write_text(out / name, text())
            yield name
