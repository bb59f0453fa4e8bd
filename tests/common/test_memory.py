"""How much memory a worker asks for, beside the scan itself: no copies in wider types. numpy's own account of it."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from common.dataset.cache import CtCache, store_scan
from common.masks import values as label_values
from common.masks.segmentation import segmentation_on
from common.masks.values import boxes_of, count_values, translate
from common.phantom.file_style import FileStyle
from common.phantom.files.dicom import write_series
from common.reading.nifti import read_nifti
from common.volume import Volume
from stage1_segment.inference.preview import draw_preview
from stage1_segment.inference.segmenter import _confidence
from stage2_classify.crops.cut import cut_study
from stage2_classify.settings import CropSettings

SHAPE = (192, 160, 128)
VOXELS = int(np.prod(SHAPE))
AFFINE = np.diag([0.8, 0.8, 0.8, 1.0])
STYLE = FileStyle("1.2.840.10008.1.2.1", False, 1, (0,), True, 1.0, 0.0, None, 1.0, ((40, 400),), "B")


def bytes_per_voxel(work: Callable[[], object]) -> float:
    """At the peak, of what is asked for while it works."""
    work()  # what is imported and kept at the first time doesn't count
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / VOXELS
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def ct() -> Volume:
    return Volume(np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16), AFFINE)


@pytest.fixture(scope="module")
def mask() -> Volume:
    array = np.zeros(SHAPE, np.uint8)
    for level in range(1, 8):
        array[80:110, 60:90, 120 - 15 * level : 130 - 15 * level] = level
    return Volume(array, AFFINE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dicom", "nii", "nii.gz"])
def test_caching_needs_the_scan_once(
    tmp_path: Path, ct: Volume, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.reading.plausibility.judge.SAMPLE", 4096)  # as of a large scan
    source = tmp_path / ("series" if kind == "dicom" else f"scan.{kind}")
    if kind == "dicom":
        write_series(source, ct, "1.2", STYLE)
    else:
        nib.save(nib.Nifti1Image(ct.array, AFFINE), source)
    tries = iter(range(9))  # an entry that is current isn't made again
    used = bytes_per_voxel(lambda: store_scan(source, tmp_path / "1.2.b2nd", {"try": next(tries)}))
    assert 2 < used < 4.5  # int16 and what is being compressed; it was 8 to 10
    stored = CtCache(tmp_path).volume("1.2")
    assert stored.array.dtype == np.int16
    assert np.array_equal(stored.array, ct.array)


def test_fractions_are_rounded_to_even_in_the_cache(tmp_path: Path) -> None:
    array = np.full((70, 3, 3), -900.0, np.float32)
    array[:5, 0, 0] = 0.5, 1.5, 2.5, -0.5, 3.4
    array[69, 2, 2] = 7.6
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "scan.nii")
    store_scan(tmp_path / "scan.nii", tmp_path / "1.b2nd", {})
    stored = CtCache(tmp_path).volume("1").array
    assert stored[:5, 0, 0].tolist() == [0, 2, 2, 0, 3]
    assert stored[69, 2, 2] == 8


def test_crops_need_the_mask_a_few_times(tmp_path: Path, ct: Volume, mask: Volume) -> None:
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(mask.array, AFFINE), path)
    assert bytes_per_voxel(lambda: segmentation_on(ct, path, "merged", is_ct=False)) < 3.5  # it was 8 and more
    small = CropSettings(spacing_mm=4)
    assert bytes_per_voxel(lambda: cut_study(ct, mask, small)) < 4  # int64 counts alone were 8


def test_confidence_is_the_mean_over_the_voxels_of_a_class() -> None:
    """Thicker than a slab: class 1 twice with probabilities of 8/16 and 8/10, class 2 nowhere."""
    logits = torch.full((9, 1, 1, 40), -100.0)
    logits[0] = 0.0
    logits[:, 0, 0, 3] = torch.log(torch.tensor([1.0, 8, 1, 1, 1, 1, 1, 1, 1]))
    logits[:, 0, 0, 39] = torch.log(torch.tensor([2.0, 8, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9]))
    assert _confidence(logits) == {1: 0.65}


def test_a_picture_needs_less_than_the_scan(tmp_path: Path, ct: Volume, mask: Volume) -> None:
    assert bytes_per_voxel(lambda: draw_preview(ct, mask, tmp_path / "a.png")) < 4


def test_boxes_need_no_copy_of_the_mask(mask: Volume) -> None:
    wide = mask.array.astype(np.int32)
    wide[0, 0, 0] = wide[-1, -1, -1] = 1
    assert bytes_per_voxel(lambda: boxes_of(wide)) < 1


@pytest.mark.parametrize("slab", [1, 7, 10**9])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_values_are_counted_and_translated_in_any_order(
    slab: int, axes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_values, "SLAB", slab)
    whole = np.random.default_rng(1).integers(0, 9, (5, 4, 3))
    table = np.arange(10, 19, dtype=np.uint8)
    bordered = np.pad(whole, ((1, 2), (3, 0), (0, 4))).astype(np.uint8)
    turned_round = whole.astype(np.uint16)[::-1, :, ::-1]
    for array in (whole, whole.astype(np.uint8), turned_round, whole[:1], whole[:, 1:2], bordered, bordered * 0):
        turned = array.transpose(axes)
        expected = [(turned == value).sum() for value in range(256)]
        assert count_values(turned).tolist() == expected
        found = translate(turned, table)
        assert found.dtype == np.uint8
        assert np.array_equal(found, turned + 10)
    assert count_values(whole[:0]).sum() == 0
    assert translate(whole[:0], table).shape == (0, 4, 3)


def test_a_nifti_with_extensions_and_other_byte_order(tmp_path: Path) -> None:
    array = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    image = nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=">"))
    image.header.set_data_dtype(np.int16)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(image, tmp_path / "a.nii")
    found = read_nifti(tmp_path / "a.nii").array
    assert found.dtype == np.int16
    assert np.array_equal(found, array)
