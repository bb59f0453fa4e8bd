"""NRRD and MetaImage: the same place as nibabel's reading of the same volume, and what is refused."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from small_study import write_ct

from common.errors import ConfigError, CorruptFile, NothingFound, StudyError, UnsupportedStudy
from common.masks.files import digest, read_mask_files, vertebra_files
from common.outputs.notices import json_beside
from common.reading import itk
from common.reading.images import read_image, write_image
from common.reading.listing import series_table
from common.reading.study import read_study
from common.volume import Volume

FORMATS = (".nrrd", ".seg.nrrd", ".mha", ".mhd")


def oblique(flips: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (12, -25, 40), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(np.multiply(flips, (0.4, 0.7, 1.3)))
    affine[:3, 3] = (31.7, -112.3, 1e3 / 7)
    return affine


def through_nifti(array: np.ndarray, affine: np.ndarray, path: Path, packed: bool = False) -> Path:
    """A file of another maker: ITK's own conversion of nibabel's NIfTI."""
    plain = path.parent / "made_by_nibabel.nii"
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, plain)
    sitk.WriteImage(sitk.ReadImage(str(plain)), str(path), useCompression=packed)
    return path


def numbers(shape: tuple[int, ...] = (5, 6, 7), kind: type = np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, 1, -1)])
def test_voxels_lie_where_nibabel_has_them(tmp_path, suffix, packed, flips) -> None:
    path = through_nifti(numbers(), oblique(flips), tmp_path / f"a{suffix}", packed)
    volume, expected = read_image(path), nib.load(tmp_path / "made_by_nibabel.nii")
    np.testing.assert_array_equal(volume.array, np.asarray(expected.dataobj))
    for index in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (4, 5, 6)):
        np.testing.assert_allclose(
            volume.grid.to_world(index), nib.affines.apply_affine(expected.affine, index), atol=1e-3
        )


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("sheared", [False, True])
def test_what_is_written_lies_on_the_same_grid(tmp_path, suffix, sheared) -> None:
    affine = oblique((-1, 1, -1))
    affine[:3, 2] += sheared * 0.3 * affine[:3, 1]
    for kind in (np.uint8, bool, np.int16, np.float32):
        write_image(Volume(numbers(kind=kind), affine), tmp_path / f"m{suffix}")
        back = read_image(tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(back.array, numbers(kind=kind))
        assert back.grid.matches(Volume(back.array, affine).grid, 1e-9)
        origin = sitk.ReadImage(str(tmp_path / f"m{suffix}")).GetOrigin()
        np.testing.assert_allclose(origin, affine[:3, 3] * (-1, -1, 1))


def test_nrrd_of_other_spaces_lies_in_the_same_place(tmp_path) -> None:
    lines = "NRRD0004\ntype: short\ndimension: 3\nspace: {}\nsizes: 2 3 4\nspace directions: {} (0,2,0) (0,0,3)\n"
    lines += "endian: little\nencoding: raw\nspace origin: (5,6,7)\n\n"
    for space, sign in (("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1)), ("LPS", (-1, -1, 1))):
        (tmp_path / "a.nrrd").write_bytes(lines.format(space, "(1.5,0,0)").encode() + numbers((4, 3, 2)).tobytes())
        volume = read_image(tmp_path / "a.nrrd")
        np.testing.assert_allclose(volume.affine[:3, :3], np.diag(np.multiply(sign, (1.5, 2, 3))))
        np.testing.assert_allclose(volume.affine[:3, 3], np.multiply(sign, (5, 6, 7)))
        assert volume.array[1, 0, 0] == 1 and volume.array[0, 0, 1] == 6
    for space in ("scanner-xyz", "3D-right-handed", ""):
        (tmp_path / "a.nrrd").write_bytes(lines.format(space, "(1.5,0,0)").encode() + numbers((4, 3, 2)).tobytes())
        with pytest.raises(UnsupportedStudy, match="place is unknown"):
            read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_study_is_read_as_its_nifti_is(tmp_path, suffix) -> None:
    scan = read_study(write_ct(tmp_path / "a.nii.gz"))
    write_image(scan.volume, tmp_path / f"a{suffix}")
    again = read_study(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again.volume.array, scan.volume.array)
    assert again.volume.grid.matches(scan.volume.grid) and again.volume.array.dtype == np.int16
    write_image(scan.volume.with_array(scan.volume.array + np.int16(1024)), tmp_path / f"b{suffix}")
    moved = read_study(tmp_path / f"b{suffix}")  # intercept left out: judged as a NIfTI is
    assert moved.volume.notices and np.array_equal(moved.volume.array, scan.volume.array)
    write_image(scan.volume.with_array(np.clip(scan.volume.array // 100, -10, 30)), tmp_path / f"c{suffix}")
    with pytest.raises(UnsupportedStudy):
        read_study(tmp_path / f"c{suffix}")
    with pytest.raises(NothingFound, match="leave --series-uid out"):
        read_study(tmp_path / f"a{suffix}", "1.2.3")
    with pytest.raises(ConfigError):
        series_table(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_cut_off_or_damaged_is_refused(tmp_path, suffix, packed) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(-900, 900, (9, 9, 9)).astype(np.int16)
    path = through_nifti(noise, oblique(), tmp_path / f"a{suffix}", packed)
    data = next((p for p in (tmp_path / "a.raw", tmp_path / "a.zraw") if p.exists()), path)
    whole = data.read_bytes()
    for content in (whole[:-1], whole[:-9], whole[:-300], whole[:80], b"", *((_flipped(whole),) * packed)):
        data.write_bytes(content)
        with pytest.raises(CorruptFile, match=r"a\."):
            read_image(path)
    data.write_bytes(whole + b"\0" * (not packed))
    if not packed:
        with pytest.raises(CorruptFile, match="expected 1458"):
            read_image(path)
    if data != path:
        data.unlink()
        with pytest.raises(CorruptFile, match="beside it"):
            read_image(path)


def _flipped(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 64]) + content[-199:]


def test_files_elsewhere_are_never_opened(tmp_path) -> None:
    (tmp_path / "secret.raw").write_bytes(numbers((2, 2, 2)).tobytes())
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.raw").symlink_to(tmp_path / "secret.raw")
    (inside / "loop.raw").symlink_to(inside / "loop.raw")
    mha = "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
    mha += "ElementSpacing = 1 1 1\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = "
    names = ("../secret.raw", str(tmp_path / "secret.raw"), "link.raw", "..\\secret.raw", "LIST\n../secret.raw")
    for name in (*names, "LOC\0AL", "secret\0.raw", "", "..", "LISTED\n../secret.raw", "%d.raw 1 2 1"):
        for path in (inside / "a.mhd", inside / "a.mha"):
            path.write_text(mha + name + "\n")
            with pytest.raises(UnsupportedStudy, match="refused"):
                read_image(path)
    for name in ("loop.raw", "absent.raw", "a" * 300):
        (inside / "a.mhd").write_text(mha + name)
        with pytest.raises(CorruptFile):
            read_image(inside / "a.mhd")
    for own in ("a.mhd", "a.mha"):
        (inside / own).write_text(mha + own + "\n" + "x" * 16)
        with pytest.raises(UnsupportedStudy, match="refused"):
            read_image(inside / own)
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 2 2 2\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    nrrd += "space origin: (0,0,0)\nencoding: raw\nendian: little\n"
    for name in ("data file", "datafile", "Data File"):
        (inside / "a.nrrd").write_text(nrrd + f"{name}: ../secret.raw\n\n")
        with pytest.raises(UnsupportedStudy, match="refused"):
            read_image(inside / "a.nrrd")
    (inside / "a.nhdr").write_text(nrrd + "data file: ../secret.raw\n\n")
    with pytest.raises(UnsupportedStudy, match="expected a DICOM folder"):
        read_study(inside / "a.nhdr")


def edited(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


MHA = (
    (b"DimSize = 5 6 7", b"DimSize = 100000 100000 1000", "GiB"),
    (b"NDims = 3", b"NDims = 4", "three"),
    (b"ElementType = MET_SHORT", b"ElementNumberOfChannels = 3\nElementType = MET_SHORT", "several numbers"),
    (b"ElementType = MET_SHORT", b"ElementType = MET_STRING", "plain numbers"),
    (b"ElementType = MET_SHORT", b"ElementToIntensityFunctionSlope = 2\nElementType = MET_SHORT", "Slope is 2"),
    (b"BinaryData = True", b"BinaryData = False", "BinaryData is False"),
    (b"Offset", b"Comment", "place is unknown"),
    (b"Offset = ", b"Offset = DOE ", "place is unknown"),
    (b"TransformMatrix = ", b"TransformMatrix = x", "place is unknown"),
    (b"ElementSpacing = 0.4", b"ElementSpacing = 99.4", "affine isn't usable"),
)
NRRD = (
    (b"sizes: 5 6 7", b"sizes: 100000 100000 1000", "GiB"),
    (b"dimension: 3", b"dimension: 4", "three"),
    (b"type: short", b"type: block", "plain numbers"),
    (b"encoding: raw", b"encoding: ascii", "raw or gzip"),
    (b"endian: little", b"endian: little\nbyte skip: 2", "raw or gzip"),
    (b"endian: little", b'endian: little\nspace units: "m" "m" "m"', "units are m"),
    (b"space origin", b"# no origin", "place is unknown"),
    (b"space directions: (", b"space directions: (99", "affine isn't usable"),
)


@pytest.mark.parametrize(("suffix", "old", "new", "said"), [(".mha", *m) for m in MHA] + [(".nrrd", *n) for n in NRRD])
def test_what_is_no_plain_volume_is_refused_by_name(tmp_path, suffix, old, new, said) -> None:
    path = edited(through_nifti(numbers(), oblique(), tmp_path / f"a{suffix}"), old, new)
    with pytest.raises(UnsupportedStudy, match=said):
        read_image(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_vectors_4d_nan_and_what_is_no_such_file_are_refused(tmp_path, suffix, monkeypatch) -> None:
    path = tmp_path / f"a{suffix}"
    for image in (
        sitk.GetImageFromArray(np.zeros((3, 3, 3, 3), np.int16), isVector=True),
        sitk.JoinSeries([sitk.GetImageFromArray(np.zeros((3, 3, 3), np.int16))] * 2),
        sitk.GetImageFromArray(np.zeros((3, 3), np.int16)),
        sitk.GetImageFromArray(np.full((3, 3, 3), np.nan, np.float32)),
    ):
        sitk.WriteImage(image, str(path))
        with pytest.raises(UnsupportedStudy):
            read_image(path)
    for content in (b"", b"hello", b"NRRD0004\n", b"NDims = 3\n", gzip.compress(b"x" * 500)):
        path.write_bytes(content)
        with pytest.raises(CorruptFile):
            read_image(path)
    with pytest.raises(NothingFound):
        read_image(tmp_path / f"absent{suffix}")
    with pytest.raises(UnsupportedStudy):
        read_image(_made(tmp_path / f"folder{suffix}"))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StudyError, match="no permission"):
        read_image(path)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_packed_bomb_is_not_unpacked_to_its_end(tmp_path, monkeypatch) -> None:
    path = through_nifti(numbers(), oblique(), tmp_path / "a.nrrd", packed=True)
    head = path.read_bytes().split(b"\n\n")[0] + b"\n\n"
    path.write_bytes(head + gzip.compress(bytes(200 * 2**20)))
    monkeypatch.setattr(itk, "CHUNK", 1000)
    with pytest.raises(CorruptFile, match="its voxels take 1000 bytes, expected 420"):
        read_image(path)


def test_no_word_of_a_header_is_quoted(tmp_path, capfd) -> None:
    path = edited(through_nifti(numbers(), oblique(), tmp_path / "a.nrrd"), b"endian: little", b"endian: DOE^JANE")
    with pytest.raises(CorruptFile) as error:
        read_image(path)
    assert "DOE" not in str(error.value) + "".join(capfd.readouterr())


def test_masks_are_read_in_every_format(tmp_path) -> None:
    mask = Volume((numbers() % 8).astype(np.uint8), oblique())
    for suffix in (".nrrd", ".seg.nrrd", ".mha"):
        write_image(mask, tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(read_mask_files(tmp_path / f"m{suffix}").array, mask.array)
    folder = _made(tmp_path / "parts")
    for level in ("C2", "C3"):
        write_image(mask.with_array((mask.array == int(level[1])).astype(np.uint8)), folder / f"vertebrae_{level}.nrrd")
    assert set(vertebra_files(folder)) == {"C2", "C3"}
    assert set(np.unique(read_mask_files(folder).array)) == {0, 2, 3}
    pair = through_nifti(mask.array, mask.affine, tmp_path / "pair.mhd")
    before = digest(pair)
    (tmp_path / "pair.raw").write_bytes(bytes(210))
    assert digest(pair) != before and digest(tmp_path / "absent.mhd") == "absent"
    assert json_beside(tmp_path / "m.MHA").name == "m.json" == json_beside(tmp_path / "m.nii.gz").name


def test_two_files_are_not_written(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"\.mha"):
        write_image(Volume(numbers(), oblique()), tmp_path / "a.mhd")
    assert not list(tmp_path.iterdir())
