"""What `predict` leaves beside mask.nii.gz for a PACS and for viewers."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.corrections.correction import corrections_beside
from common.errors import ConfigError, StudyError
from common.image_names import is_image_file
from common.labels import LEVEL_IDS
from common.masks.values import boxes_of
from common.operating_point import operating_point, suspected_levels
from common.outputs import store
from common.outputs.notices import tell
from common.outputs.out_folder import MASK as OF_MASK
from common.outputs.out_folder import STUDY, answer_at, fingerprint
from common.outputs.schema import PLAIN
from common.volume import Volume

MASK, RESULT, EVIDENCE = "mask.nii.gz", "result.json", "evidence.nii.gz"
SEG, REPORT, STRUCTURES = "segmentation.dcm", "report.dcm", "rtstruct.dcm"
SLICER, SUSPECTED = "mask.seg.nrrd", "suspected.seg.nrrd"
COLOUR_TABLE, LABEL_FILE = "colors.ctbl", "labels.txt"
USUAL = (SEG, REPORT, SLICER, SUSPECTED)
ON_REQUEST = (STRUCTURES, COLOUR_TABLE, LABEL_FILE)
IMPORTED_FOR = {
    SLICER: ("common.writing.seg_nrrd",),
    SEG: ("common.writing.source", "common.writing.dicom_seg"),
    REPORT: ("common.writing.dicom_sr",),
}
"""See `common.cli.registry.STEPS`."""


@dataclass(frozen=True)
class Asked:
    """`names` of `USUAL` and `ON_REQUEST` (others are no business of this folder); None: the usual ones that the study
    allows. `labelmap`, `anonymous`: as in `dicom_seg.segmentation`. `overwrite`: files that aren't ours, too."""

    names: tuple[str, ...] | None = None
    labelmap: bool = False
    anonymous: bool = False
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class Made:
    """What the stages made of a study: `mask` of common.labels; `result`, the content of result.json, None without one
    about this mask; `suspected`, as `suspected_bone` makes it, None where nothing is."""

    mask: Volume
    result: Mapping[str, Any] | None
    suspected: Volume | None

    @property
    def in_view(self) -> list[str]:
        """The levels that the mask holds."""
        boxes = boxes_of(self.mask.array, max(LEVEL_IDS.values()))
        return [level for level, value in LEVEL_IDS.items() if boxes[value - 1] is not None]


def check_outputs(study: Path, names: Sequence[str] | None) -> None:
    """Raises ConfigError for `names` that `study` can't get; None, as many as can be, is always right."""
    objects = [name for name in names or () if name.endswith(".dcm")]
    if objects and is_image_file(study):
        raise ConfigError(
            f"--outputs {','.join(objects)}: {study} isn't DICOM, so a DICOM object has nothing to refer to; give the "
            "DICOM study, or leave these outputs out"
        )


def write_outputs(out: Path, study: Path, series_uid: str | None = None, asked: Asked = Asked()) -> None:
    """Writes what is `asked` of `out`'s mask.nii.gz, result.json and evidence.nii.gz, each file with a record; a notice
    says which of the usual ones the study doesn't allow. Without a mask.nii.gz there is nothing to do.

    Raises StudyError when one of the names can't be made, and OutputError, RunBusy as `answer_at` does."""
    inputs = [out / name for name in (MASK, RESULT, EVIDENCE)]
    if not inputs[0].is_file():
        return
    wanted, notices = _wanted(study, asked.names, _is_of(out / RESULT, study))
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
                objects, about_source = _objects(wanted, study, series_uid, made, out, asked)
            except StudyError as error:
                if asked.names is not None:
                    raise
                objects, about_source = {}, (f"no DICOM objects: {error}",)
            notices += [*about_made, *about_source]
            for name, thing in objects.items():
                with store.atomic(out / name) as scratch, warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # they would quote values of the source
                    thing.save_as(scratch, enforce_file_format=True)
                store.write_record(out / name, provenance, PLAIN)
    tell(study.name, notices)


def _is_of(path: Path, study: Path) -> bool:
    """Whether a file is there and its record says that it is about `study` and the mask beside it."""
    provenance = store.provenance_of(path)
    return path.is_file() and provenance.get(OF_MASK) == MASK and provenance.get(STUDY) == fingerprint(study)


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


def _objects(
    wanted: Sequence[str], study: Path, series_uid: str | None, made: Made, out: Path, asked: Asked
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The DICOM objects among `wanted`, by name; what is to be said of their source. Each brings libraries that take
    a second to import, so that they are imported for those alone."""
    if not any(name.endswith(".dcm") for name in wanted):
        return {}, ()
    from common.writing.algorithm import Algorithm
    from common.writing.source import scan_source

    source = scan_source(study, series_uid)
    by_hand = bool(corrections_beside(out / MASK))
    name = "cervical-fracture segment" + (", corrected by hand" if by_hand else "")
    named = Algorithm(name, _digests(store.provenance_of(out / MASK).get("weights")), by_hand=by_hand)
    objects: dict[str, Any] = {}
    if SEG in wanted:
        from common.writing.dicom_seg import segmentation

        objects[SEG] = segmentation(made.mask, source, named, asked.labelmap, made.suspected, asked.anonymous)
    if REPORT in wanted and made.result is not None:
        from common.writing.dicom_sr import report

        classify = Algorithm("cervical-fracture classify", _digests(made.result.get("weights")))
        objects[REPORT] = report(
            made.result, source, [named, classify], objects.get(SEG), asked.anonymous, made.in_view
        )
    if STRUCTURES in wanted:
        from common.writing.rtstruct import structure_set

        objects[STRUCTURES] = structure_set(made.mask, source, named, asked.anonymous)
    return objects, source.notices


def _digests(weights: Any) -> tuple[str, ...]:
    return (weights,) if isinstance(weights, str) else tuple(map(str, weights or ()))
