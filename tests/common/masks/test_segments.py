"""A mask edited in 3D Slicer: its segments' names count, not their values."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import UnsupportedStudy
from common.masks.segments import read_edited
from common.reading.itk import write_itk
from common.volume import Volume
from common.writing.seg_nrrd import write_seg_nrrd


def blocks(values: tuple[int, ...] = (3, 4, 8)) -> Volume:
    array = np.zeros((12, 8, 10), np.uint8)
    for k, value in enumerate(values):
        array[3 * k : 3 * k + 2, 2:5, 3:7] = value
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    affine[:3, 3] = (5.0, -7.0, 11.0)
    return Volume(array, affine)


def with_header(path: Path, *changes: tuple[str, str]) -> Path:
    """The file with words of its header exchanged."""
    head, voxels = path.read_bytes().split(b"\n\n", 1)
    text = head.decode()
    for old, new in changes:
        assert old in text, (old, text)
        text = text.replace(old, new)
    path.write_bytes(text.encode() + b"\n\n" + voxels)
    return path


def test_our_own_file_comes_back(tmp_path: Path) -> None:
    write_seg_nrrd(blocks(), tmp_path / "mask.seg.nrrd")
    mask, scheme = read_edited(tmp_path / "mask.seg.nrrd", "verse")
    assert scheme == "merged" and (mask.array == blocks().array).all() and np.allclose(mask.affine, blocks().affine)


def test_a_segment_renamed_in_slicer_is_what_its_name_says(tmp_path: Path) -> None:
    """Slicer renumbers segments and keeps their names; TotalSegmentator's are spelled otherwise."""
    write_itk(blocks((1, 2, 7)), tmp_path / "e.seg.nrrd", {
        "Segment0_Name": "C5", "Segment0_LabelValue": "1", "Segment1_Name": "vertebrae_C6", "Segment1_LabelValue": "2",
        "Segment2_Name": "T1 vertebra", "Segment2_LabelValue": "7", "Segment9_Name": "old", "Segment9_LabelValue": "9",
    })  # fmt: skip
    mask, scheme = read_edited(tmp_path / "e.seg.nrrd", "merged")
    assert scheme == "merged"
    assert (mask.array == blocks((5, 6, 8)).array).all()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Segment0_Name:=C3", "Segment0_Name:=Segment_1", "not every segment is named after a vertebra: `Segment_1`"),
        ("Segment0_Name:=C3", "Segment0_Name:=C4", "two segments are named"),
        ("Segment0_LabelValue:=3", "Segment0_LabelValue:=30", "`without a name`"),
        ("dimension: 3", "dimension: 4", "its segments overlap"),
    ],
)
def test_segments_that_say_nothing_are_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    write_seg_nrrd(blocks(), tmp_path / "mask.seg.nrrd")
    with pytest.raises(UnsupportedStudy, match=why):
        read_edited(with_header(tmp_path / "mask.seg.nrrd", (old, new)), "merged")


def test_values_count_where_nothing_has_a_name(tmp_path: Path) -> None:
    write_itk(blocks((20, 21, 22)), tmp_path / "e.seg.nrrd")
    mask, scheme = read_edited(tmp_path / "e.seg.nrrd", "verse")
    assert scheme == "verse" and set(np.unique(mask.array)) == {0, 20, 21, 22}
