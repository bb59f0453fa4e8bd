"""What one DICOM file says about where its slices lie and what they are."""

import warnings
from collections.abc import Sequence

import pydicom
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from common.errors import CorruptFile, StudyError, UnsupportedStudy
from common.reading import plain
from common.reading.parse import brief, opened, parse, whole_number
from common.reading.slice import Slice, one_slice, set_aside
from common.reading.sources import Source

TAGS = [
    Tag(name)
    for name in (
        "SOPClassUID",
        "ImageType",
        "Modality",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "AcquisitionNumber",
        "ImagesInAcquisition",
        "ConvolutionKernel",
        "BodyPartExamined",
        "StudyDescription",
        "SeriesDescription",
        "ProtocolName",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "Rows",
        "Columns",
        "PixelSpacing",
        "ImagerPixelSpacing",
        "NumberOfFrames",
        "LossyImageCompression",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        *plain.TAGS,
    )
]
"""As numbers: pydicom looks names up for every file."""
MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


def read_header(source: Source) -> list[Slice] | str | None:
    """The slices a file holds; None when it isn't DICOM; a few words ("MR", "CT localizer") for DICOM of
    another kind. Raises CorruptFile, UnsupportedStudy."""
    kind = _kind(source.start(132))
    if kind is None:
        if source.name.lower().endswith(".dcm"):
            raise CorruptFile(f"{source.name}: named .dcm but not DICOM, or cut off; copy the study again")
        return None
    if source.stem.upper() == "DICOMDIR":
        return None
    with opened(source) as stream:
        dataset = parse(source, stream, TAGS, force=kind == "bare", stop_before_pixels=True)
        start = stream.read(plain.LONGEST_START)
        values = plain.plain(stream, start, dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _slices(source, dataset, start != b"", values)
        except StudyError:
            raise
        except Exception as error:  # values are converted when looked at, and damaged ones may raise anything
            raise CorruptFile(
                f"{source.name}: header values are missing or damaged ({brief(error)}); copy the study again"
            ) from None


def _kind(start: bytes) -> str | None:
    """ "part10" for a file with DICOM's preamble, "bare" for one that begins with its first element."""
    if start[128:132] == b"DICM":
        return "part10"
    if (
        len(start) > 8
        and start[:2] in (b"\x02\x00", b"\x08\x00")
        and start[2:4] in (b"\x00\x00", b"\x05\x00", b"\x08\x00")
    ):
        return "bare"
    return None


def _slices(
    source: Source, dataset: pydicom.Dataset, has_pixels: bool, values: plain.Plain | None
) -> list[Slice] | str:
    directory = _class(dataset) == MediaStorageDirectoryStorage
    if not has_pixels and not dataset.get("StudyInstanceUID") and not directory:
        raise CorruptFile(f"{source.name}: cut off within its header; copy the study again")
    modality = _modality(dataset)
    if modality != "CT":
        return modality
    image_type = _words(dataset.get("ImageType"))
    if aside := set_aside(image_type):
        return aside
    if _class(dataset) in MULTI_FRAME:
        from common.reading.multi_frame import frames_of

        return frames_of(source, dataset, has_pixels)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedStudy(
            f"{source.name}: {dataset.NumberOfFrames} frames but not an Enhanced CT, so their places are unknown; "
            "export single slices or Enhanced CT"
        )
    if not all(dataset.get(tag) is not None for tag in ("ImagePositionPatient", "ImageOrientationPatient")):
        if not has_pixels and _class(dataset) in (None, CTImageStorage):
            raise CorruptFile(f"{source.name}: cut off within its header; copy the study again")
        return "CT without position"
    return [
        one_slice(
            source,
            dataset,
            dataset.ImagePositionPatient,
            dataset.ImageOrientationPatient,
            dataset.get("PixelSpacing"),
            image_type=image_type,
            kernel=" ".join(_words(dataset.get("ConvolutionKernel"))),
            acquisition=str(dataset.get("AcquisitionNumber") or ""),
            of_acquisition=whole_number(dataset, "ImagesInAcquisition"),
            has_pixels=has_pixels,
            plain=values,
        )
    ]


def _class(dataset: pydicom.Dataset) -> str | None:
    return dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")


def _modality(dataset: pydicom.Dataset) -> str:
    """The competition's files have neither Modality nor SOPClassUID: there the file meta tells the class."""
    if dataset.get("Modality"):
        modality = str(dataset.Modality)
        return modality if modality.isalnum() and len(modality) <= 16 else "DICOM of unclear modality"
    sop_class = _class(dataset)
    return (
        "CT"
        if sop_class in (None, CTImageStorage, *MULTI_FRAME)
        else f"class {pydicom.uid.UID(sop_class).name}"
    )


def _words(value: Sequence | str | None) -> tuple[str, ...]:
    values = () if value is None else (value,) if isinstance(value, str) else value
    return tuple(str(item).strip().upper() for item in values)
