"""Damaged studies get a volume or a typed error. `python -m common.reading.selftest.fuzz` runs more."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import StudyError
from common.reading.selftest.fuzz import __main__ as fuzzing
from common.reading.selftest.fuzz.__main__ import GOOD, fuzz
from common.reading.selftest.fuzz.worker import volume_fault
from common.reading.selftest.specimens import random_hu, write_series
from common.reading.study import read_study

FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = st.one_of(st.floats(width=32), st.integers(-(2**31), 2**31 - 1).map(float))


def answers(path):
    """True when a volume came that is one, False for a typed error; anything else is raised."""
    try:
        study = read_study(path)
    except StudyError as error:
        assert path.name in str(error)
        return False
    assert volume_fault(study) == ""
    return True


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is watched through Linux's /proc"
)
def test_two_hundred_damaged_studies(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(fuzzing, "CASE_SECONDS", 600.0)  # against a hang; how fast a machine is says nothing
    tally, findings = fuzz(200, seed=11)
    assert findings == []
    assert sum(tally.values()) == 200 and set(tally) <= GOOD
    assert tally["read"] > 10 and tally["CorruptFile"] > 10


@FEW
@given(place=st.sampled_from(range(40, 348)), value=st.binary(min_size=1, max_size=8), packed=st.booleans())
def test_any_bytes_in_a_nifti_header(tmp_path, place, value, packed):
    content = bytearray(nib.Nifti1Image(random_hu((5, 4, 3)), np.eye(4)).to_bytes())
    content[place : place + len(value)] = value
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    answers(path)


@FEW
@given(numbers=st.lists(NUMBERS, min_size=12, max_size=12))
def test_any_affine_in_a_nifti_header(tmp_path, numbers):
    content = bytearray(nib.Nifti1Image(random_hu((5, 4, 3)), np.eye(4)).to_bytes())
    values = [float(np.float32(number)) for number in numbers]
    struct.pack_into("<12f", content, 280, *values)
    (tmp_path / "a.nii").write_bytes(content)
    answers(tmp_path / "a.nii")


@FEW
@given(
    slice_number=st.integers(0, 3),
    text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=16),
    tag=st.sampled_from(
        [b"\x20\x00\x32\x00DS", b"\x20\x00\x37\x00DS", b"\x28\x00\x30\x00DS", b"\x28\x00\x53\x10DS"]
    ),
)
def test_any_text_in_place_of_a_slices_geometry(tmp_path, slice_number, text, tag):
    """Position, orientation, spacing, slope: overwritten where they stand, so that the file stays DICOM."""
    folder = tmp_path / "study"
    write_series(folder, random_hu((4, 5, 6)))
    path = folder / f"{slice_number + 1}.dcm"
    content = bytearray(path.read_bytes())
    start = content.index(tag) + 6
    (length,) = struct.unpack("<H", content[start : start + 2])
    content[start + 2 : start + 2 + length] = text.encode().ljust(length)[:length]
    path.write_bytes(content)
    answers(folder)


@FEW
@given(end=st.integers(0, 1400), slice_number=st.integers(0, 3))
def test_a_file_cut_off_anywhere_is_never_read_as_whole(tmp_path, end, slice_number):
    folder = tmp_path / "study"
    write_series(folder, random_hu((4, 5, 6)))
    path = folder / f"{slice_number + 1}.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: min(end, len(content) - 1)])
    assert not answers(folder)
