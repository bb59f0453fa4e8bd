"""Which of several series is read, how they are listed, and what is set aside."""

import numpy as np
import pytest

from common.errors import ConfigError, NothingFound, UnsupportedStudy
from common.reading.listing import series_table
from common.reading.selftest.specimens import AXIAL, write_slice
from common.reading.study import read_layout, read_study

PLAIN = np.zeros((4, 6), np.int16)
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def series(folder, uid, count, step, directions=AXIAL, normal=(0, 0, 1), **tags):
    """`count` flat slices, their HU the series's number, as `folder`/<uid>-<k>.dcm."""
    pixels = PLAIN + np.int16(int(uid.split(".")[-1]))
    for k in range(count):
        position = np.array(normal) * step * k
        number = {"SeriesInstanceUID": uid, "SOPInstanceUID": f"{uid}.{k}", **tags}
        write_slice(folder / f"{uid}-{k}.dcm", pixels, position, directions, **number)


def chosen(folder, uid=None):
    return int(read_study(folder, uid).volume.array[0, 0, 0])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "count": 44}),
        ({}, {"directions": SAGITTAL, "normal": (-1, 0, 0), "count": 44}),
        ({}, {"count": 10, "step": 1.0}),  # 9 mm hold no neck
        ({"BodyPartExamined": "CSPINE"}, {"BodyPartExamined": "CHEST", "step": 1.2, "count": 52}),
        ({"SeriesDescription": "neck 1.0 Hr59"}, {"count": 44}),
        ({"step": 1.2, "count": 52}, {"step": 3.0, "count": 60}),
        ({"ConvolutionKernel": "B70s"}, {"ConvolutionKernel": "B30s", "count": 44}),
        ({"ConvolutionKernel": "BONEPLUS"}, {"ConvolutionKernel": "STANDARD", "count": 44}),
        ({"count": 44}, {}),
    ],
    ids=["original", "axial", "long", "neck", "neck named", "thin", "bone", "bone GE", "most"],
)
def test_the_best_neck_ct_is_read_by_the_rules(tmp_path, better, worse):
    usual = {"count": 34, "step": 2.0}
    series(tmp_path, "1.2.3.7", **{**usual, **worse})
    series(tmp_path, "1.2.3.8", **{**usual, **better})
    study = read_study(tmp_path)
    assert int(study.volume.array[0, 0, 0]) == 8
    assert study.volume.notices[0].startswith("2 CT series: read the best one")
    assert chosen(tmp_path, "1.2.3.7") == 7
    assert read_layout(tmp_path, "1.2.3.7").slices[0].startswith("1.2.3.7")


def test_unknown_series_uid_names_those_there_are(tmp_path):
    series(tmp_path, "1.2.3.7", 3, 1.0)
    with pytest.raises(NothingFound, match=r"no CT series 9; there are: 1\.2\.3\.7"):
        read_study(tmp_path, "9")


def test_acquisitions_of_one_series_that_repeat_positions_are_kept_apart(tmp_path):
    """The same ten positions scanned twice under one UID, before and after contrast."""
    for number in (1, 2):
        for k in range(10):
            uid = {
                "SeriesInstanceUID": "1.2.3.5",
                "AcquisitionNumber": number,
                "SOPInstanceUID": f"1.2.3.{number}.{k}",
            }
            write_slice(tmp_path / f"{number}-{k}", PLAIN + np.int16(number), (0, 0, k), **uid)
    volume = read_study(tmp_path).volume
    assert volume.array.shape[2] == 10
    assert len(np.unique(volume.array)) == 1
    assert "2 CT series" in volume.notices[0]


def test_acquisition_numbers_that_count_the_slices_dont_split_a_series(tmp_path):
    for k in range(10):
        write_slice(tmp_path / f"{k}", PLAIN, (0, 0, k), AcquisitionNumber=k, SOPInstanceUID=f"1.2.3.{k}")
    assert read_study(tmp_path).volume.array.shape[2] == 10


def test_series_of_two_studies_are_refused_until_one_is_chosen(tmp_path):
    series(tmp_path, "1.2.3.7", 5, 1.0, StudyInstanceUID="1.2.100")
    series(tmp_path, "1.2.3.8", 9, 1.0, StudyInstanceUID="1.2.200")
    with pytest.raises(UnsupportedStudy, match=r"2 studies lie in one place.*--series-uid"):
        read_study(tmp_path)
    assert read_study(tmp_path, "1.2.3.7").uid == "1.2.100"
    assert "none is read by itself" in series_table(tmp_path)


def test_table_shows_best_first_and_what_is_set_aside_but_no_text_of_the_files(tmp_path):
    secret = {"SeriesDescription": "Doe^Jane neck", "PatientName": "Doe^Jane", "ConvolutionKernel": "B70s"}
    series(tmp_path, "1.2.3.7", 34, 2.0, **secret)
    series(tmp_path, "1.2.3.8", 12, 3.0)
    series(tmp_path, "1.2.3.9", 2, 1.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(tmp_path, "1.2.3.6", 1, 1.0, Modality="SR")
    heading, first, second, aside = series_table(tmp_path).splitlines()
    assert first.startswith("*") and first.endswith("1.2.3.7") and " bone " in first and " yes " in first
    assert second.startswith(" ") and second.endswith("1.2.3.8") and "3.000" in second
    assert aside == "set aside: 2 x CT localizer, 1 x SR"
    assert "SeriesInstanceUID" in heading and "Doe" not in series_table(tmp_path)
    assert not any("Doe" in notice for notice in read_study(tmp_path).volume.notices)
    with pytest.raises(ConfigError):
        series_table(tmp_path / "a.nii.gz")
