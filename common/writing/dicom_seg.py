"""DICOM SEG: a mask as a PACS stores it, on the frames of its source."""

import highdicom as hd
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from common.errors import NoCervicalLevel
from common.labels import BACKGROUND
from common.masks.values import boxes_of
from common.volume import Volume
from common.writing.algorithm import MANUFACTURER, MODEL, RESEARCH_ONLY, Algorithm
from common.writing.codes import CODED, SUSPECTED
from common.writing.on_frames import on_frames
from common.writing.patient import fill_in
from common.writing.references import refer, stand_in
from common.writing.source import ScanSource

SERIES_NUMBER = 7001


def segmentation(
    mask: Volume,
    source: ScanSource,
    algorithm: Algorithm,
    labelmap: bool = False,
    suspected: Volume | None = None,
    anonymous: bool = False,
) -> Segmentation:
    """`mask` (X, Y, Z), values of common.labels, on any grid in the source's place. `labelmap`: one number a pixel, the
    mask's own, instead of a bit for each segment; fewer viewers read it. `suspected` (X, Y, Z), on any grid too: not
    zero where a fracture is suspected, a segment of its own that overlaps the vertebrae, so not in a labelmap.

    Segments are those that the frames show; frames without any are left out. Raises GridMismatch when a mask lies
    elsewhere, NoCervicalLevel when no frame shows a label."""
    planes = on_frames(mask, source)
    beside = None if suspected is None or labelmap else on_frames(suspected, source) != 0
    beside = beside if beside is not None and beside.any() else None
    shown = (planes != BACKGROUND).any(axis=(1, 2))
    if beside is not None:
        shown |= beside.any(axis=(1, 2))
    if not shown.any():
        raise NoCervicalLevel("the mask names nothing that a frame of the source shows: there is no segment to write")
    frames = [frame for frame, there in zip(source.frames, shown) if there]
    planes = planes[shown]
    values = [value for value, box in enumerate(boxes_of(planes), start=1) if box is not None]
    if beside is not None:
        values.append(SUSPECTED)
        planes = np.stack([*(planes == value for value in values[:-1]), beside[shown]], axis=-1)
    elif not labelmap:
        numbers = np.zeros(max(values) + 1, np.uint8)
        numbers[values] = np.arange(1, len(values) + 1)
        planes = numbers[planes]
    described = [
        SegmentDescription(
            value if labelmap else number,
            CODED[value].name,
            CODED[value].category,
            CODED[value].kind,
            "SEMIAUTOMATIC" if algorithm.by_hand else "AUTOMATIC",
            algorithm.for_segment(),
            tracking_uid=hd.UID(),
            tracking_id=CODED[value].name,
            display_color=CODED[value].cielab,
        )
        for number, value in enumerate(values, start=1)
    ]
    made = Segmentation(
        [stand_in(source, frame, k) for k, frame in enumerate(frames)],
        planes,
        "LABELMAP" if labelmap else "BINARY",
        described,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=algorithm.version,
        device_serial_number=algorithm.weights[0] if algorithm.weights else "none",
        content_label="VERTEBRAE",
        content_description=RESEARCH_ONLY,
        series_description="Cervical vertebrae (research use only)",
        transfer_syntax_uid=RLELossless if labelmap else ExplicitVRLittleEndian,
    )
    refer(made, frames)
    fill_in(made, None if anonymous else source.patient)
    return made
