"""The slices of an Enhanced CT: many frames in one file, each with its own functional groups (PS3.3 C.7.6.16)."""

from collections.abc import Iterator
from typing import Any

import pydicom

from common.errors import CorruptFile
from common.reading.slice import Slice, one_slice, set_aside
from common.reading.sources import Source

MAX_FRAMES = 20_000


def frames_of(source: Source, dataset: pydicom.Dataset, has_pixels: bool) -> list[Slice] | str:
    """Every frame as a Slice; a few words when none is a slice in HU. Raises CorruptFile."""
    count = int(dataset.get("NumberOfFrames") or 1)
    each = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if not 1 <= count <= MAX_FRAMES or len(each) not in (0, count) or (count > 1 and not each):
        raise CorruptFile(
            f"{source.name}: {count} frames, but {len(each)} descriptions of frames; export the series again"
        )
    slices = []
    for index in range(count):
        groups = Groups(dataset, index)
        kind = tuple(
            str(word).strip().upper() for word in groups.value("CTImageFrameTypeSequence", "FrameType") or ()
        )
        if aside := set_aside(kind):
            return aside
        position = groups.value("PlanePositionSequence", "ImagePositionPatient")
        orientation = groups.value("PlaneOrientationSequence", "ImageOrientationPatient")
        if position is None or orientation is None:
            return "CT without position"
        slices.append(
            one_slice(
                source,
                dataset,
                position,
                orientation,
                groups.value("PixelMeasuresSequence", "PixelSpacing"),
                frame=index,
                image_type=kind,
                kernel=str(groups.value("CTReconstructionSequence", "ConvolutionKernel") or "").upper(),
                acquisition=str(groups.value("FrameContentSequence", "StackID") or "")
                + str(groups.value("FrameContentSequence", "FrameAcquisitionNumber") or ""),
                has_pixels=has_pixels,
            )
        )
    return slices


class Groups:
    """The functional groups that hold for frame `index`: its own, else those that all frames share."""

    def __init__(self, dataset: pydicom.Dataset, index: int):
        self._places = list(_first(dataset.get("SharedFunctionalGroupsSequence"), 0))
        self._places[:0] = _first(dataset.get("PerFrameFunctionalGroupsSequence"), index)

    def value(self, sequence: str, tag: str) -> Any:
        """The value of `tag` in the first item of `sequence`; None when no group has it."""
        for place in self._places:
            items = place.get(sequence)
            if items and items[0].get(tag) is not None:
                return items[0].get(tag)
        return None


def _first(sequence: pydicom.Sequence | None, index: int) -> Iterator[pydicom.Dataset]:
    if sequence is not None and index < len(sequence):
        yield sequence[index]
