"""Refusals that a person can act on: which file, what was found there, what to do; and what is read all the same."""

import io
import os
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from common.dataset.cache import CtCache
from common.errors import CorruptFile, NothingFound, StudyError, UnsupportedStudy
from common.outputs.fingerprints import files_below
from common.outputs.store import fingerprint
from common.reading.selftest.specimens import random_hu, write_series, write_slice
from common.reading.study import read_study

HU = random_hu((6, 4, 6))


def own_uids(folder, places=range(6), **tags):
    for number, z in enumerate(places):
        write_slice(
            folder / f"{number}.dcm", HU[number], (0, 0, 2.5 * z), SeriesInstanceUID=f"1.2.3.{number}", **tags
        )
    return folder


def test_slices_with_a_series_uid_each_are_one_series_where_they_lie_evenly(tmp_path):
    volume = read_study(own_uids(tmp_path)).volume
    np.testing.assert_array_equal(volume.array, HU.transpose(2, 1, 0))
    assert volume.notices == ("6 series of one slice each, evenly one above the other: read as one",)


def test_single_slices_that_make_no_volume_stay_apart(tmp_path):
    with pytest.raises(UnsupportedStudy, match=r"a single slice.*SeriesInstanceUID of its own.*evenly"):
        read_study(own_uids(tmp_path / "a", (0, 1, 2, 7, 8, 20)))
    with pytest.raises(UnsupportedStudy, match="a single slice"):
        read_study(own_uids(tmp_path / "b", (3, 3, 3)))
    own_uids(tmp_path / "c")
    write_series(tmp_path / "c" / "whole", HU, SeriesInstanceUID="1.2.9")
    assert "left out 6 x" in read_study(tmp_path / "c").volume.notices[0]


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PixelSpacing": None}, "is missing: the size"),
        ({"PixelSpacing": ""}, "is empty"),
        (
            {"PixelSpacing": None, "ImagerPixelSpacing": [0.4, 0.3]},
            r"is missing; ImagerPixelSpacing \[0\.4, 0\.3\] is there, but",
        ),
    ],
)
def test_pixel_spacing_that_is_not_there_is_named(tmp_path, tags, says):
    write_series(tmp_path, HU, **tags)
    with pytest.raises(CorruptFile, match=rf"1\.dcm: PixelSpacing \(0028,0030\) {says}.*export the series again"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("tags", "text", "says"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, b"0.5\\0.25", "PixelSpacing is `0,5"),
        ({"ImagePositionPatient": [1.5, 2.5, 3.25]}, b"1.5\\2.5\\3.25", "ImagePositionPatient is `1,5"),
        ({"RescaleIntercept": -1023.75}, b"-1023.75", "RescaleIntercept is `-1023,75"),
    ],
)
def test_decimal_commas_are_named(tmp_path, tags, text, says):
    write_series(tmp_path, HU, **tags)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert content.count(text) == 1
        path.write_bytes(content.replace(text, text.replace(b".", b",")))
    with pytest.raises(CorruptFile, match=rf"\.dcm: {says}.*decimal commas"):
        read_study(tmp_path)


def _nifti(path, affine=None, unit="mm", shape=(12, 12, 12)):
    image = nib.Nifti1Image(random_hu(shape), np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def test_folder_or_zip_that_holds_nifti_or_a_zip_says_what_to_give(tmp_path):
    _nifti(tmp_path / "a" / "sub" / "ct.nii.gz")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a" / "sub" / "ct.nii.gz", "x/ct.nii.gz")
    write_series(tmp_path / "dicom", HU)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for path in (tmp_path / "dicom").iterdir():
            archive.write(path, path.name)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("study.zip", inner.getvalue())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "study.zip").write_bytes(inner.getvalue())
    for name, says in (
        ("a", "NIfTI: sub/ct.nii.gz; give"),
        ("a.zip", "NIfTI: x/ct.nii.gz; give"),
        ("b", "packed file: study.zip; unpack"),
        ("b.zip", "packed file: study.zip; unpack"),
    ):
        with pytest.raises(NothingFound, match=says):
            read_study(tmp_path / name)


@pytest.mark.parametrize(("unit", "wrong"), [("meter", "500 x 500 x 1000"), ("micron", "0.0005 x 0.0005 x 0.001")])
def test_nifti_in_a_unit_by_mistake_names_it(tmp_path, unit, wrong):
    path = _nifti(tmp_path / "ct.nii.gz", np.diag([0.5, 0.5, 1, 1]), unit, (40, 40, 40))
    with pytest.raises(UnsupportedStudy, match=rf"says `{unit}`.*0.5 x 0.5 x 1 would be {wrong} mm.*mistake"):
        read_study(path)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 0.001), ("micron", 1000.0)])
def test_nifti_in_a_unit_on_purpose_is_read(tmp_path, unit, factor):
    path = _nifti(tmp_path / "ct.nii.gz", np.diag([0.5 * factor] * 3 + [1]), unit, (40, 40, 40))
    np.testing.assert_allclose(read_study(path).volume.spacing, 0.5, rtol=1e-6)


@pytest.mark.parametrize("step", [13.0, 40.0])
def test_slices_far_apart_are_no_volume(tmp_path, step):
    write_series(tmp_path / "ct", HU, step)
    with pytest.raises(UnsupportedStudy, match=rf"slices lie {step:.1f} mm apart \(1\.dcm, 2\.dcm.*thin series"):
        read_study(tmp_path / "ct")
    with pytest.raises(UnsupportedStudy):
        read_study(_nifti(tmp_path / "ct.nii", np.diag([1, 1, step, 1])))


def test_what_may_not_be_read_is_not_called_corrupt(tmp_path, monkeypatch):
    write_series(tmp_path / "ct", HU)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.write(tmp_path / "ct" / "1.dcm", "1.dcm")
    _nifti(tmp_path / "ct.nii.gz")
    whole = io.open

    def locked(file, *rest, **options):
        if str(file).endswith(("3.dcm", ".zip", ".nii.gz")):
            raise PermissionError(13, "Permission denied", str(file))
        return whole(file, *rest, **options)

    monkeypatch.setattr(io, "open", locked)
    for name, says in (("ct", "3.dcm"), ("ct.zip", "zip"), ("ct.nii.gz", "ct.nii.gz")):
        with pytest.raises(StudyError, match=f"{says}: no permission to read it") as caught:
            read_study(tmp_path / name)
        assert type(caught.value) is StudyError


def test_a_folder_that_may_not_be_listed_is_refused(tmp_path, monkeypatch):
    write_series(tmp_path / "ct", HU)
    write_series(tmp_path / "ct" / "locked", HU)
    listed = os.scandir

    def scandir(path="."):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StudyError, match="locked: no permission"):
        read_study(tmp_path / "ct")


LEFT = ["__MACOSX/._1.dcm", "._1.dcm", ".DS_Store", "sub/Thumbs.db", "Desktop.ini", "@eaDir/1.dcm"]


@pytest.mark.parametrize("packed", [False, True])
def test_leftovers_of_systems_are_passed_over(tmp_path, packed):
    write_series(tmp_path / "ct", HU)
    for name in LEFT:
        path = tmp_path / "ct" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 200)
    if packed:
        with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
            for path in (tmp_path / "ct").rglob("*"):
                archive.write(path, path.relative_to(tmp_path / "ct"))
    volume = read_study(tmp_path / ("ct.zip" if packed else "ct")).volume
    assert volume.array.shape == (6, 4, 6) and volume.notices == ()
    for path in (tmp_path / "ct").glob("*.dcm"):
        path.unlink()
    with pytest.raises(NothingFound, match="among 0 files"):
        read_study(tmp_path / "ct")


# Links


def linked(folder):
    """A study whose upper half lies elsewhere behind a link, with a link back to itself."""
    write_series(folder / "all", HU)
    (folder / "elsewhere").mkdir()
    (folder / "study").mkdir()
    for k in range(1, 7):
        home = "study" if k < 4 else "elsewhere"
        (folder / "all" / f"{k}.dcm").rename(folder / home / f"{k}.dcm")
    (folder / "study" / "more").symlink_to(folder / "elsewhere")
    (folder / "study" / "loop").symlink_to(folder / "study")
    (folder / "elsewhere" / "back").symlink_to(folder / "study")
    return folder / "study"


def test_links_to_folders_are_followed_without_going_round(tmp_path):
    study = read_study(linked(tmp_path))
    np.testing.assert_array_equal(study.volume.array, HU.transpose(2, 1, 0))
    assert study.volume.notices == ()


def test_fingerprint_and_cache_see_the_files_that_the_reader_sees(tmp_path):
    study, cache = linked(tmp_path), CtCache(tmp_path / "cache")
    here, behind = [f"{k}.dcm" for k in (1, 2, 3)], [f"more/{k}.dcm" for k in (4, 5, 6)]
    assert [name for name, _ in files_below(study)] == here + behind
    assert cache.fill({"a": study}) == {}
    before, shape = fingerprint(study), cache.volume("a").array.shape
    (tmp_path / "elsewhere" / "6.dcm").unlink()
    assert fingerprint(study) != before
    assert cache.fill({"a": study}) == {}
    assert (shape[2], cache.volume("a").array.shape[2]) == (6, 5)


def test_a_link_that_leads_nowhere_is_refused_by_name(tmp_path):
    study = linked(tmp_path)
    (study / "7.dcm").symlink_to(tmp_path / "gone.dcm")
    with pytest.raises(CorruptFile, match=r"7\.dcm: can't be read \(a link that leads nowhere\)"):
        read_study(study)
