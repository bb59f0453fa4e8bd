"""What headers and names hint at and don't prove: worth a notice, or a word about what to do."""

from pathlib import Path

from common.image_names import is_image_file
from common.reading.nifti import is_nifti
from common.reading.series import Series
from common.reading.sources import Source
from common.reading.stack import Stack

PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".gz", ".7z", ".rar", ".bz2", ".xz")


def fewer_than_counted(stack: Stack, series: list[Series], aside: int) -> tuple[str, ...]:
    """A sentence when ImagesInAcquisition (0020,1002) counts more images than there are: slices that are missing at an
    end leave no gap. `series`: all of the place; `aside`: how many CT pictures were set aside there.

    Silent where the header may count something else: slices that disagree about the number or the acquisition, and a
    multiple of what was found (several reconstructions of one scan). Every CT picture of the acquisition counts as
    found, in whatever series it lies, and so does a slice that was interpolated.
    """
    first = stack.slices[0]
    told = {(item.study_uid, item.acquisition, item.of_acquisition) for item in stack.slices}
    if len(told) > 1 or first.of_acquisition is None:
        return ()
    alike = [
        item
        for one in series
        for item in one.slices
        if (item.study_uid, item.acquisition) == (first.study_uid, first.acquisition)
    ]
    found = len(alike) + len(stack.stems) - len(stack.slices) + aside
    if first.of_acquisition <= found or first.of_acquisition % len(stack.slices) == 0:
        return ()
    return (
        f"the header counts {first.of_acquisition} images of this acquisition, {len(alike)} are there: the series may "
        "be incomplete at an end; compare with the archive",
    )


def instead(sources: list[Source]) -> str:
    """What to give where there is no DICOM, by what lies there."""
    names = [source.name for source in sources]
    images = [name for name in names if is_image_file(Path(name))]
    packed = [name for name in names if name.lower().endswith(PACKED)]
    if images:
        more = f" and {len(images) - 1} more" if len(images) > 1 else ""
        kind = "NIfTI" if is_nifti(Path(images[0])) else "NRRD or MetaImage"
        return f", but {kind}: {images[0]}{more}; give one such file itself (unpacked, where it lies in a zip)"
    if packed:
        return f", but a packed file: {packed[0]}; unpack it and give the folder or zip with the DICOM files"
    return "; give the folder that holds the CT series"
