"""The DICOM objects about a study. What they need of scan and mask alone can be prepared while stage 2 computes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.corrections.correction import corrections_beside
from common.labels import LEVEL_IDS
from common.masks.values import boxes_of
from common.outputs import store
from common.volume import Volume
from common.writing.asked import REPORT, SEG, STRUCTURES, Asked

if TYPE_CHECKING:
    from common.writing.algorithm import Algorithm
    from common.writing.source import ScanSource


@dataclass(frozen=True, eq=False)
class Made:
    """What the stages made of a study: `mask` of common.labels; `result`, the content of result.json, None without one
    about this mask; `suspected`, as `suspected_bone` makes it, None where nothing is."""

    mask: Volume
    result: Mapping[str, Any] | None
    suspected: Volume | None

    @cached_property
    def in_view(self) -> list[str]:
        """The levels that the mask holds."""
        boxes = boxes_of(self.mask.array, max(LEVEL_IDS.values()))
        return [level for level, value in LEVEL_IDS.items() if boxes[value - 1] is not None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The `source` that objects refer to; `segments`, a study's DICOM SEG without what is suspected, None where none is
    asked for; the `digest` of the mask's file."""

    source: "ScanSource"
    segments: Any
    digest: str


def prepare(wanted: Sequence[str], mask: Path, study: Path, series_uid: str | None, asked: Asked) -> Prepared | None:
    """The largest part of `objects`' work, which needs nothing but a study and its mask's file; None where none of
    `wanted` is DICOM. Each object brings libraries that take a second to import, so that they are imported for those
    alone. Raises StudyError."""
    if not any(name.endswith(".dcm") for name in wanted):
        return None
    from common.masks.files import read_mask_files
    from common.writing.source import scan_source

    digest, source, segments = store.digest_file(mask), scan_source(study, series_uid), None
    if SEG in wanted:
        from common.writing.dicom_seg import segmentation

        segments = segmentation(read_mask_files(mask), source, _segmenter(mask), asked.labelmap, None, asked.anonymous)
    return Prepared(source, segments, digest)


def objects(
    wanted: Sequence[str], mask: Path, made: Made, asked: Asked, prepared: Prepared | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The DICOM objects among `wanted`, by name; what is to be said of their source. `made`: of the `mask`'s file;
    `prepared`: what `prepare` made of it, for the same names. Raises StudyError."""
    if prepared is None:
        return {}, ()
    source, segments, found = prepared.source, prepared.segments, dict[str, Any]()
    if SEG in wanted:
        if made.suspected is not None and not asked.labelmap:
            from common.writing.dicom_seg import segmentation

            segments = segmentation(made.mask, source, _segmenter(mask), False, made.suspected, asked.anonymous)
        found[SEG] = segments
    if REPORT in wanted and made.result is not None:
        from common.writing.algorithm import Algorithm
        from common.writing.dicom_sr import report

        named = [_segmenter(mask), Algorithm("cervical-fracture classify", _digests(made.result.get("weights")))]
        found[REPORT] = report(made.result, source, named, found.get(SEG), asked.anonymous, made.in_view)
    if STRUCTURES in wanted:
        from common.writing.rtstruct import structure_set

        found[STRUCTURES] = structure_set(made.mask, source, _segmenter(mask), asked.anonymous)
    return found, source.notices


def _segmenter(mask: Path) -> "Algorithm":
    """Who made a mask's file."""
    from common.writing.algorithm import Algorithm

    by_hand = bool(corrections_beside(mask))
    name = "cervical-fracture segment" + (", corrected by hand" if by_hand else "")
    return Algorithm(name, _digests(store.provenance_of(mask).get("weights")), by_hand=by_hand)


def _digests(weights: Any) -> tuple[str, ...]:
    return (weights,) if isinstance(weights, str) else tuple(map(str, weights or ()))
