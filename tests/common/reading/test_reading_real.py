"""Real DICOM files of many scanners, where they lie beside the checkout; skipped elsewhere."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from common.errors import CorruptFile, IncompleteSeries, UnsupportedStudy
from common.reading import gdcm_frame
from common.reading.decode import Decoder
from common.reading.header import read_header
from common.reading.sources import Source
from common.reading.study import read_study

FOLDER = Path(__file__).parents[4] / "shared" / "dicom"
SYNTAXES, SERIES = FOLDER / "transfer_syntaxes", FOLDER / "gantry_tilt" / "dicom2nifti"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="no ../shared/dicom beside the checkout")

CT = [
    "pydicomdata__693_UNCI",
    "pydicomdata__bad_sequence",
    "pydicomdata__explicit_VR-UN",
    "pylibjpeg__693_J2KI",
    "pylibjpeg__693_J2KR",
    "pylibjpeg__CT1_JLSN",
    "pylibjpeg__CT_small",
    "pylibjpeg__J2K_pixelrep_mismatch",
    "pylibjpeg__JPEGLossless_1s_1f_i_16_16_bad",
    "pylibjpeg__TOSHIBA_J2K_OpenJPEGv2Regression",
    "pylibjpeg__TOSHIBA_J2K_SIZ0_PixRep1",
]
SET_ASIDE = {
    "pydicomdata__eCT_Supplemental": "CT perfusion map",
    "pylibjpeg__JPEG-LL": "NM",
    "pylibjpeg__JPEGBaseline_1s_1f_u_08_08": "OT",
    "pylibjpeg__JPEGExtended_1s_1f_u_16_12": "NM",
    "pylibjpeg__JPEGLosslessP14SV1_1s_1f_u_08_08": "US",
    "pylibjpeg__MAROTECH_CT_JP2Lossy": "CT localizer",
    "pylibjpeg__MR_small_RLE": "MR",
    "pylibjpeg__MR_small_jpeg_ls_lossless": "MR",
    "pylibjpeg__OBXXXX1A_rle": "US",
    "pylibjpeg__SC_rgb_dcmtk_+eb+cr": "OT",
}


def header(name):
    return read_header(Source(f"{name}.dcm", path=SYNTAXES / f"{name}.dcm"))


@pytest.mark.parametrize("name", CT)
def test_ct_slices_have_the_hu_that_simpleitk_reads(name):
    (item,) = header(name)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(SYNTAXES / f"{name}.dcm")))[0]
    np.testing.assert_array_equal(Decoder().hounsfield(item), np.clip(expected, -1024, 32767))


@pytest.mark.parametrize(("name", "kind"), SET_ASIDE.items())
def test_what_is_no_ct_slice_is_set_aside_by_its_kind(name, kind):
    assert header(name) == kind


def test_signed_stream_under_an_unsigned_header_is_refused():
    (item,) = header("pylibjpeg__TOSHIBA_J2K_SIZ1_PixRep0")
    with pytest.raises(CorruptFile, match="signed values, its header says unsigned"):
        Decoder().hounsfield(item)


def test_every_sample_is_one_of_these():
    assert len(list(SYNTAXES.iterdir())) == len(CT) + len(SET_ASIDE) + 1


def test_twelve_bit_extended_jpeg_of_a_bone_scan_is_near_its_lossless_twin():
    import pydicom
    from pydicom.encaps import generate_frames

    dataset = pydicom.dcmread(SYNTAXES / "pylibjpeg__JPEGExtended_1s_1f_u_16_12.dcm")
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    pixels = gdcm_frame.decode(stream, dataset, 12)
    twin = pydicom.dcmread(SYNTAXES / "pylibjpeg__JPEG-LL.dcm").pixel_array
    assert np.abs(pixels.astype(int) - twin).max() < 50
    assert np.abs(pixels.astype(int) - twin).mean() < 3


def test_real_gantry_tilt_comes_upright_with_each_pixel_in_its_place():
    folder = SERIES / "gantrytilting" / "001"
    study = read_study(folder)
    assert "gantry tilt of 14.0 degrees" in study.volume.notices[0]
    image = sitk.ReadImage(str(folder / "IM-0001-0003.dcm"))
    rows = sitk.GetArrayFromImage(image)[0].astype(float)
    lps = np.array(image.TransformIndexToPhysicalPoint((200, 300, 0)))
    column, row, k = study.volume.grid.to_index(lps * [-1, -1, 1])
    assert k == pytest.approx(2, abs=1e-3) and column == pytest.approx(200, abs=1e-3)
    low = int(np.floor(row))
    part = row - low
    ours = study.volume.array[200, [low, low + 1], 2].astype(float)
    # a row of the volume lies between two of the file's, so going back gives a mean over three of them
    first = (1 - part) * rows[300, 200] + part * rows[299, 200]
    second = (1 - part) * rows[301, 200] + part * rows[300, 200]
    expected = (1 - part) * first + part * second
    assert (1 - part) * ours[0] + part * ours[1] == pytest.approx(max(expected, -1024), abs=1.5)


def test_real_tilted_series_with_a_hole_is_repaired():
    study = read_study(SERIES / "sliceincrement" / "002")
    assert study.slices == ("IM-0001-0001", "IM-0001-0002", "IM-0001-0003", "", "IM-0001-0005")
    np.testing.assert_allclose(study.volume.spacing[2], 0.778 * 0.96363, atol=1e-3)


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("notavolume/001", "lie at the same place but differ"),
        ("sliceincrement/001", "1 slice is missing.*10.00 mm"),
    ],
)
def test_real_series_that_make_no_volume_are_refused(folder, says):
    with pytest.raises(IncompleteSeries, match=says):
        read_study(SERIES / folder)


def test_real_head_scanned_in_two_spacings_is_refused(tmp_path):
    with tarfile.open(FOLDER / "gantry_tilt" / "dcm_qa_ct_GE_head_tilt18.5.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with pytest.raises(IncompleteSeries, match="gap between"):
        read_study(tmp_path)


def test_samples_of_many_studies_in_one_folder_are_refused():
    with pytest.raises(UnsupportedStudy, match="9 studies lie in one place"):
        read_study(SYNTAXES)
