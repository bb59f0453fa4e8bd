"""DICOM SEG: every label lies in the world where the mask has it, whichever way the slices lie, as four readers that
share no code see it: highdicom, dcmqi, cornerstone's adapters (OHIF's), and one written here."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_study import BALLS, COLUMNS, COUNT, ROWS, SPACING, Place, balls, check_balls, turned, write_study
from scipy.spatial import cKDTree

from common.errors import GridMismatch, NoCervicalLevel, UnsupportedStudy
from common.reading.selftest.specimens import random_hu, write_slice
from common.reading.stack import LPS_TO_RAS
from common.reading.study import read_study
from common.volume import Volume
from common.writing.algorithm import Algorithm
from common.writing.codes import CODED
from common.writing.dicom_seg import segmentation
from common.writing.source import scan_source

WHO = Algorithm("a segmenter", ("0123456789abcdef",), "1.2")
NAMES = {coded.name: value for value, coded in CODED.items()}
HALF = float(np.linalg.norm([SPACING[0], SPACING[1], 2.0])) / 2
"""mm from a voxel's centre to its corner: as far may the nearest voxel lie."""
PLACES = {
    "axial": (Place(), 0.0),
    "head to feet": (Place(step=-2.0), 0.0),
    "sagittal": (Place(directions=((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))), 0.0),
    "coronal": (Place(directions=((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))), 0.0),
    "negated": (Place(directions=((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))), 0.0),
    "mirrored rows": (Place(directions=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))), 0.0),
    "swapped": (Place(directions=((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))), 0.0),
    "oblique": (Place(directions=turned(3)), 0.0),
    "oblique too": (Place(directions=turned(8)), 0.0),
    "one slice is missing": (Place(gone=(7,)), 0.0),
    "a jolt": (Place(jolt=0.4), HALF),
    "tilted": (Place(aside=0.61), HALF),
    "tilted, oblique, one missing": (Place(aside=-0.43, directions=turned(5), gone=(9,)), HALF),
}
CORNERSTONE = Path(__file__).parents[2] / "cornerstone"
"""Reads a SEG by npm's packages; CONTRIBUTING.md says how to install them."""
NO_CORNERSTONE = (
    "node isn't installed"
    if not shutil.which("node")
    else "npm's @cornerstonejs/adapters isn't installed: npm install --prefix tests/cornerstone --no-package-lock"
    if not (CORNERSTONE / "node_modules" / "@cornerstonejs" / "adapters").is_dir()
    else ""
)
KINDS = [("single frames", "BINARY"), ("Enhanced", "LABELMAP")]
ALL = [(name, *kind) for name in PLACES for kind in KINDS]
ALL += [("oblique", "single frames", "LABELMAP"), ("oblique", "Enhanced", "BINARY")]


@dataclass(frozen=True)
class Made:
    """A SEG at `path` of a study with `slices` at `place`, made from `mask` on the grid of the volume that the reader
    makes of it; `tolerance` mm by which a pixel may lie beside its voxel."""

    path: Path
    slices: list
    place: Place
    tolerance: float
    mask: Volume


@pytest.fixture(scope="module", params=ALL, ids=", ".join)
def made(request, tmp_path_factory) -> Made:
    name, files, kind = request.param
    place, tolerance = PLACES[name]
    folder = tmp_path_factory.mktemp("study")
    slices = write_study(folder / "in", place, files == "Enhanced")
    mask = balls(read_study(folder / "in").volume, place)
    return Made(written(folder, mask, labelmap=kind == "LABELMAP"), slices, place, tolerance + 1e-4, mask)


def written(folder: Path, mask: Volume, **how) -> Path:
    segmentation(mask, scan_source(folder / "in"), WHO, **how).save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def test_it_refers_to_files_of_the_source_alone(made: Made) -> None:
    referred = set()
    pydicom.dcmread(made.path).walk(
        lambda _, element: referred.add(element.value) if element.keyword == "ReferencedSOPInstanceUID" else None
    )
    assert referred <= {uid for uid, *_ in made.slices}
    assert len(referred) > (0 if made.slices[0][1] else 10)


def test_an_independent_reader_sees_each_label_in_its_place(made: Made) -> None:
    check_balls(_by_positions(made.path), made.slices, made.place, made.tolerance)


def test_highdicom_sees_each_label_on_the_source_that_is_referred_to(made: Made) -> None:
    check_balls(_by_sources(made.path, made.slices, made.place), made.slices, made.place, made.tolerance)


@pytest.mark.skipif(not shutil.which("segimage2itkimage"), reason="dcmqi isn't installed")
def test_dcmqi_sees_each_label_in_its_place(made: Made) -> None:
    if made.place.aside or made.place.jolt:
        pytest.skip("its images have one straight, even stack of slices")
    check_balls(_by_dcmqi(made.path), made.slices, made.place, made.tolerance)


@pytest.mark.skipif(bool(NO_CORNERSTONE), reason=NO_CORNERSTONE)
def test_cornerstone_sees_each_label_on_the_source_that_is_referred_to(made: Made) -> None:
    check_balls(_by_cornerstone(made.path), made.slices, made.place, made.tolerance)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools isn't installed")
def test_dciodvfy_finds_no_error(made: Made) -> None:
    done = subprocess.run(["dciodvfy", made.path], capture_output=True, text=True)
    assert "Error" not in done.stdout + done.stderr, done.stderr
    assert "Segmentation" in done.stderr


def test_a_volume_that_is_not_repaired_comes_back_voxel_by_voxel(made: Made) -> None:
    if made.tolerance > 1e-3 or made.place.gone:
        pytest.skip("repaired")
    for label, points in _by_positions(made.path).items():
        _same_points(points, made.mask.grid.to_world(np.argwhere(made.mask.array == label)) * LPS_TO_RAS)


def test_codes_colours_names_and_who_made_it(tmp_path) -> None:
    write_study(tmp_path / "in", Place())
    seg = pydicom.dcmread(written(tmp_path, balls(read_study(tmp_path / "in").volume, Place())))
    first, _, last = seg.SegmentSequence
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["C1", "C4", "thoracic"]
    kinds = [item.SegmentedPropertyTypeCodeSequence[0].CodeValue for item in seg.SegmentSequence]
    assert kinds == ["14806007", "5329002", "122495006"]  # SNOMED CT, PS3.16 CID 7603 and 7155
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    assert (first.SegmentAlgorithmType, first.SegmentAlgorithmName) == ("AUTOMATIC", "a segmenter")
    about = last.SegmentationAlgorithmIdentificationSequence[0]
    assert about.AlgorithmVersion == "1.2" and "0123456789abcdef" in str(about.AlgorithmParameters)
    # sRGB (0.6, 0.6, 0.6) is L* 63.2, a* 0, b* 0 (CIE 1976); DICOM has 0..100 as 0..65535, -128..127 with 0 at 0x8080
    assert np.abs(np.array(last.RecommendedDisplayCIELabValue) - [63.22 / 100 * 65535, 0x8080, 0x8080]).max() < 100
    assert "esearch use only" in seg.SeriesDescription and seg.StudyInstanceUID == "1.2.3"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.1"


def test_a_labelmap_holds_the_masks_own_numbers(tmp_path) -> None:
    write_study(tmp_path / "in", Place())
    seg = pydicom.dcmread(written(tmp_path, balls(read_study(tmp_path / "in").volume, Place()), labelmap=True))
    assert seg.SegmentationType == "LABELMAP" and set(np.unique(seg.pixel_array)) == {0, *BALLS}


def test_a_suspected_fracture_is_a_segment_over_its_vertebra(tmp_path) -> None:
    """From head to feet: where segments overlap, cornerstone's adapters 5.14 lose frames of a segment that ends before
    the one in front of it, in the order of the stack (docs/outputs.md)."""
    place = Place(step=-2.0)
    write_study(tmp_path / "in", place)
    mask = balls(read_study(tmp_path / "in").volume, place)
    evidence = np.zeros(mask.array.shape, np.float32)
    evidence[20:22, 12:15, 8:11] = 0.7
    path = written(tmp_path, mask, suspected=mask.with_array(evidence))
    found = _by_positions(path)
    assert set(found) == {*BALLS, NAMES["suspected fracture"]}
    truth = mask.grid.to_world(np.argwhere(evidence > 0)) * LPS_TO_RAS
    _same_points(found[NAMES["suspected fracture"]], truth)
    assert len(found[4]) == (mask.array == 4).sum()
    if not NO_CORNERSTONE:
        seen = _by_cornerstone(path)
        _same_points(seen.pop(NAMES["suspected fracture"]), truth)
        assert {label: len(points) for label, points in seen.items()} == {
            label: (mask.array == label).sum() for label in BALLS
        }
    kind = pydicom.dcmread(path).SegmentSequence[-1].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("72704001", "SCT")


def test_a_mask_of_another_place_is_refused(tmp_path) -> None:
    write_study(tmp_path / "in", Place())
    mask = balls(read_study(tmp_path / "in").volume, Place())
    affine = mask.affine.copy()
    affine[2, 3] += 60
    with pytest.raises(GridMismatch, match="mask of this study"):
        written(tmp_path, Volume(mask.array, affine))
    with pytest.raises(NoCervicalLevel, match="names nothing"):
        written(tmp_path, mask.with_array(np.zeros_like(mask.array)))


@pytest.mark.parametrize("tag", ["SOPInstanceUID", "StudyInstanceUID"])
def test_a_source_that_cannot_be_referred_to_is_refused(tmp_path, tag: str) -> None:
    for k in range(4):
        tags = {tag: "" if tag == "StudyInstanceUID" else "1.2.3.4"}
        write_slice(tmp_path / f"{k}.dcm", np.zeros((8, 8), np.int16), (0, 0, 2 * k), **tags)
    with pytest.raises(UnsupportedStudy, match=f"{tag}.*no DICOM object can refer"):
        scan_source(tmp_path)


def test_a_missing_frame_of_reference_is_made_up_and_said(tmp_path) -> None:
    write_study(tmp_path, Place(tags={"FrameOfReferenceUID": None}))
    source = scan_source(tmp_path)
    assert source.frame_of_reference == scan_source(tmp_path).frame_of_reference
    assert "FrameOfReferenceUID" in source.notices[0] and len(source.notices) == 1


@pytest.mark.parametrize("aside", [0.0, 0.61])
def test_a_tilted_source_is_said_since_some_viewers_stack_its_frames_straight(tmp_path, aside: float) -> None:
    write_study(tmp_path, Place(aside=aside))
    assert any("tilted" in notice for notice in scan_source(tmp_path).notices) == (aside > 0)


def test_slices_with_a_series_each_are_all_referred_to(tmp_path) -> None:
    place, hu = Place(), random_hu((COUNT, ROWS, COLUMNS))
    for k in range(COUNT):
        tags = {"SOPInstanceUID": f"1.2.3.77.{k}", "SeriesInstanceUID": f"1.2.3.5.{k}"}
        write_slice(tmp_path / "in" / f"{k}.dcm", hu[k], place.position(k), place.directions, SPACING, **tags)
    seg = pydicom.dcmread(written(tmp_path, balls(read_study(tmp_path / "in").volume, place)))
    series = {item.SeriesInstanceUID: item.ReferencedInstanceSequence for item in seg.ReferencedSeriesSequence}
    assert len(series) > 5
    for uid, instances in series.items():
        assert [item.ReferencedSOPInstanceUID for item in instances] == [f"1.2.3.77.{uid.rpartition('.')[2]}"]


def _by_positions(path: Path) -> dict[int, np.ndarray]:
    """Label -> LPS mm of its pixels, by the rules of PS3.3 C.7.6.16 and C.7.6.2.1.1, bits unpacked by hand."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    names = {int(item.SegmentNumber): item.SegmentLabel for item in seg.SegmentSequence}
    if seg.SegmentationType == "BINARY":
        bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
        frames = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    else:
        frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found: dict[int, list[np.ndarray]] = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for value in np.unique(frame[frame > 0]):
            binary = seg.SegmentationType == "BINARY"
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber if binary else value
            row, column = np.nonzero(frame == value)
            along = np.outer(column * between_columns, cosines[:3]) + np.outer(row * between_rows, cosines[3:])
            found.setdefault(NAMES[names[int(number)]], []).append(corner + along)
    return {label: np.concatenate(parts) for label, parts in found.items()}


def _by_sources(path: Path, slices: list, place: Place) -> dict[int, np.ndarray]:
    """The same by the frames of the source that highdicom says each frame was derived from."""
    seg = hd.seg.segread(path)
    numbers = {NAMES[seg.get_segment_description(n).segment_label]: n for n in seg.segment_numbers}
    referred = {(uid, number) for uid, number in _references(path)}
    there = [one for one in slices if (one[0], one[1]) in referred]
    how = {"segment_numbers": list(numbers.values()), "assert_missing_frames_are_empty": True}
    if there[0][1] is None:
        pixels = seg.get_pixels_by_source_instance([uid for uid, *_ in there], **how)
    else:
        pixels = seg.get_pixels_by_source_frame(there[0][0], [number for _, number, _ in there], **how)
    found = {}
    for k, label in enumerate(numbers):
        points = [place.points(position)[plane[..., k] > 0] for plane, (*_, position) in zip(pixels, there)]
        found[label] = np.concatenate(points)
    return found


def _references(path: Path):
    for groups in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        yield source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber")


def _by_dcmqi(path: Path) -> dict[int, np.ndarray]:
    """The same from the images that dcmqi makes."""
    made = path.with_name("itk")
    made.mkdir()
    words = ["segimage2itkimage", "--inputDICOM", path, "--outputDirectory", made, "--outputType", "nrrd"]
    subprocess.run(words, check=True, capture_output=True)
    meta = json.loads((made / "meta.json").read_text())["segmentAttributes"]
    found = {}
    for number, group in enumerate(meta, start=1):
        image = sitk.ReadImage(str(made / f"{number}.nrrd"))
        values = sitk.GetArrayFromImage(image).T
        affine = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        for segment in group:
            index = np.argwhere(values == segment["labelID"])
            if len(index):
                found[NAMES[segment["SegmentLabel"]]] = index @ affine.T + image.GetOrigin()
    return found


def _by_cornerstone(path: Path) -> dict[int, np.ndarray]:
    """The same by cornerstone's adapters, on the pixels of the source as dcmjs reads it."""
    words = ["node", CORNERSTONE / "read_seg.mjs", path, *sorted(path.with_name("in").iterdir())]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return {NAMES[label]: np.array(points) for label, points in json.loads(done.stdout).items()}


def _same_points(found: np.ndarray, truth: np.ndarray) -> None:
    distance, which = cKDTree(truth).query(found)
    assert len(found) == len(truth) == len(set(which.tolist())) and distance.max() < 1e-3
