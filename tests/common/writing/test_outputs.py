"""What `predict` leaves for a PACS and viewers: which files, and nothing of the patient but in DICOM."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_study import Place, balls, write_study

from common.errors import ConfigError, OutputError, UnsupportedStudy
from common.labels import CLASS_NAMES, COLOURS, TARGETS
from common.outputs import store
from common.outputs.out_folder import MASK, STUDY, answer_at, fingerprint
from common.outputs.schema import PLAIN
from common.reading.images import read_image
from common.reading.nifti import write_nifti
from common.reading.study import read_study
from common.volume import Volume
from common.writing.asked import Asked, check_outputs
from common.writing.outputs import prepare_outputs, write_outputs
from common.writing.patient import MUST_BE_THERE
from common.writing.suspected import suspected_bone

SECRETS = {
    "PatientName": "Müller^Änne",
    "PatientID": "ID-4711-0815",
    "PatientBirthDate": "19491231",
    "PatientSex": "F",
    "PatientAge": "076Y",
    "StudyDate": "20250203",
    "StudyTime": "040506",
    "StudyID": "STUDY-8899",
    "AccessionNumber": "ACC-5544",
    "ReferringPhysicianName": "Dr^Geheim",
    "StudyDescription": "Sturz von der Leiter",
    "SpecificCharacterSet": "ISO_IR 100",
}
OBJECTS = ("segmentation.dcm", "report.dcm", "rtstruct.dcm")


def predicted(folder: Path, place: Place, result: bool = True) -> tuple[Path, Path]:
    """A DICOM study, and the folder with what the stages would have left of it."""
    study, out = folder / "in", folder / "out"
    write_study(study, place)
    volume = read_study(study).volume
    with answer_at([out / "mask.nii.gz", out / "result.json"], study, out / "mask.nii.gz") as about:
        write_nifti(balls(volume, place), out / "mask.nii.gz")
        store.write_record(out / "mask.nii.gz", {**about, "weights": "5e6d"}, PLAIN)
        if result:
            said = {"probabilities": dict.fromkeys(TARGETS, 0.25), "calibrated": None, "weights": ["c1a5"]}
            store.write_json(out / "result.json", {**said, "flags": {}, "notices": []})
            store.write_record(out / "result.json", about, PLAIN)
    return study, out


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if not path.name.startswith(".")} - {"mask.nii.gz", "result.json"}


def made(out: Path) -> set[str]:
    return {name for name in names(out) if not name.endswith(".record.json")}


def test_all_that_the_study_allows_with_records(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    write_outputs(out, study)
    assert made(out) == {"segmentation.dcm", "report.dcm", "mask.seg.nrrd"}
    for name in made(out):
        provenance = store.provenance_of(out / name)
        assert provenance["mask.nii.gz"] == store.digest_file(out / "mask.nii.gz")
        assert provenance["study"] and provenance["mask_file"] == "mask.nii.gz"
    segments = pydicom.dcmread(out / "segmentation.dcm").SegmentSequence
    assert "5e6d" in str(segments[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters)
    report = (out / "report.dcm").read_bytes()
    assert b"weights c1a5" in report and b"weights: 5e6d" in report
    assert sitk.ReadImage(str(out / "mask.seg.nrrd")).GetMetaData("Segment0_Name") == "C1"
    write_outputs(out, study, asked=Asked(labelmap=True))  # again: what is ours may be replaced
    assert pydicom.dcmread(out / "segmentation.dcm").SegmentationType == "LABELMAP"


def suspects(out: Path, study: Path, spots: dict[str, tuple[int, int, int]], **said) -> None:
    """A result.json that says so, and evidence of 0.9 in 3 x 3 x 3 voxels about the `spots`."""
    chances = {**dict.fromkeys(TARGETS, 0.1), "C1": 0.8, "C4": 0.4}
    mask = read_image(out / "mask.nii.gz")
    evidence = np.zeros(mask.array.shape, np.float32)
    for x, y, z in spots.values():
        evidence[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 0.9
        evidence[x - 2, y, z] = 0.3
    with answer_at([out / "result.json", out / "evidence.nii.gz"], study, out / "mask.nii.gz") as about:
        write_nifti(Volume(evidence, mask.affine), out / "evidence.nii.gz")
        store.write_json(out / "result.json", {"probabilities": chances, "weights": ["c1a5"], "flags": {}, **said})
        for name in ("result.json", "evidence.nii.gz"):
            store.write_record(out / name, about, PLAIN)


SPOTS = {"C1": (9, 8, 5), "C4": (20, 12, 9)}
"""The middles of the two balls, which are voxels of the repaired volume, too."""


def test_what_is_suspected_is_a_segment_in_dicom_and_in_slicer(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    suspects(out, study, SPOTS)
    write_outputs(out, study)
    assert made(out) == {"segmentation.dcm", "report.dcm", "mask.seg.nrrd", "suspected.seg.nrrd", "evidence.nii.gz"}
    seg = pydicom.dcmread(out / "segmentation.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["C1", "C4", "thoracic", "suspected fracture"]
    bone = sitk.ReadImage(str(out / "suspected.seg.nrrd"))
    assert bone.GetMetaData("Segment0_Name") == "suspected fracture"
    index = np.argwhere(sitk.GetArrayFromImage(bone).T)
    assert len(index) == 27 and index.mean(axis=0).tolist() == [9, 8, 5]  # C1, and not C4, which is below 50 %
    assert "evidence.nii.gz" in store.provenance_of(out / "suspected.seg.nrrd")
    suspects(out, study, SPOTS, operating_point=0.4)
    write_outputs(out, study)
    assert np.count_nonzero(read_image(out / "suspected.seg.nrrd").array) == 54


def test_nothing_is_suspected_below_the_operating_point_or_of_another_mask(tmp_path, capsys) -> None:
    study, out = predicted(tmp_path, Place())
    for said in ({"operating_point": 0.81}, {"not_judged": ["C1"]}, {"calibrated": dict.fromkeys(TARGETS, 0.2)}):
        suspects(out, study, SPOTS, **said)
        write_outputs(out, study)
        assert "suspected.seg.nrrd" not in made(out), said
        assert len(pydicom.dcmread(out / "segmentation.dcm").SegmentSequence) == 3
    suspects(out, study, {})
    write_outputs(out, study)
    assert "suspected at C1, where the evidence nowhere reaches 0.5" in capsys.readouterr().err
    suspects(out, study, SPOTS)
    write_outputs(out, study, asked=Asked(labelmap=True))
    assert "no room" in capsys.readouterr().err and "suspected.seg.nrrd" in made(out)
    provenance = store.provenance_of(out / "evidence.nii.gz")
    store.write_record(out / "evidence.nii.gz", {**provenance, MASK: "another.nii.gz"}, PLAIN)
    write_outputs(out, study)
    assert "suspected.seg.nrrd" not in made(out)


def test_what_was_prepared_of_the_mask_is_what_is_written(tmp_path) -> None:
    """Unless something is suspected, which needs a segment more, or the mask has changed since."""
    study, out = predicted(tmp_path, Place())
    prepared = prepare_outputs(out, study)
    prepared.segments.ContentLabel = "PREPARED"
    for _ in range(2):
        write_outputs(out, study, prepared=lambda: prepared)
        assert pydicom.dcmread(out / "segmentation.dcm").ContentLabel == "PREPARED"
    referred = pydicom.dcmread(out / "report.dcm").CurrentRequestedProcedureEvidenceSequence
    assert prepared.segments.SOPInstanceUID in str(referred)
    write_outputs(out, study, prepared=lambda: replace(prepared, digest="of another mask"))
    assert pydicom.dcmread(out / "segmentation.dcm").ContentLabel == "VERTEBRAE"
    suspects(out, study, SPOTS)
    write_outputs(out, study, prepared=lambda: prepared)
    seg = pydicom.dcmread(out / "segmentation.dcm")
    assert seg.ContentLabel == "VERTEBRAE" and seg.SegmentSequence[-1].SegmentLabel == "suspected fracture"
    by_number = Asked(labelmap=True)
    labelmap = prepare_outputs(out, study, asked=by_number)
    labelmap.segments.ContentLabel = "PREPARED"
    write_outputs(out, study, asked=by_number, prepared=lambda: labelmap)
    seg = pydicom.dcmread(out / "segmentation.dcm")
    assert seg.ContentLabel == "PREPARED" and seg.SegmentationType == "LABELMAP"


def test_nothing_is_prepared_for_what_is_no_dicom_object(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    assert prepare_outputs(out, study, asked=Asked(("mask.seg.nrrd",))) is None
    assert prepare_outputs(out, study, asked=Asked(("report.dcm",))).segments is None
    assert prepare_outputs(out, tmp_path / "ct.nii.gz") is None


def test_an_error_of_what_was_prepared_is_told_as_if_it_had_come_now(tmp_path, capsys) -> None:
    study, out = predicted(tmp_path, Place(tags={"SOPInstanceUID": "1.2.3.4"}))

    def fails() -> None:
        prepare_outputs(out, study)

    write_outputs(out, study, prepared=fails)
    assert made(out) == {"mask.seg.nrrd"} and "no DICOM objects" in capsys.readouterr().err
    with pytest.raises(UnsupportedStudy, match="SOPInstanceUID"):
        write_outputs(out, study, asked=Asked(("segmentation.dcm", "mask.seg.nrrd")), prepared=fails)
    assert made(out) == set()


def test_evidence_beside_a_vertebra_is_of_the_nearest_one() -> None:
    """Voxels of 1 x 1 x 2 mm; C3 ends at 9, C4 begins at 20: index 13 is 4 mm from C3 and 7 from C4."""
    labels, evidence = np.zeros((30, 8, 6), np.uint8), np.zeros((30, 8, 6), np.float32)
    labels[2:10], labels[20:28] = 3, 4
    labels[28:] = 8
    evidence[13, 4, 3], evidence[16, 4, 3], evidence[5, 2, 2], evidence[28, 2, 2] = 0.5, 0.6, 0.49, 1
    evidence[0, 0, 0] = np.nan
    affine = np.diag([1.0, 1, 2, 1])
    scan, mask = Volume(evidence, affine), Volume(labels[::-1].copy(), affine @ _flipped(30))
    assert np.argwhere(suspected_bone(scan, mask, ["C3"], 0.5).array).tolist() == [[13, 4, 3]]
    assert np.argwhere(suspected_bone(scan, mask, ["C4"], 0.5).array).tolist() == [[16, 4, 3], [28, 2, 2]]
    assert np.argwhere(suspected_bone(scan, mask, ["C4"], 0.7).array).tolist() == [[28, 2, 2]]
    assert suspected_bone(scan, mask, ["C5"], 0.5) is None and suspected_bone(scan, mask, [], 0.5) is None


def _flipped(count: int) -> np.ndarray:
    affine = np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = count - 1
    return affine


def test_colour_tables_on_request(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    write_outputs(out, study, asked=Asked(("colors.ctbl", "labels.txt")))
    assert made(out) == {"colors.ctbl", "labels.txt"}
    slicer = [line.split() for line in (out / "colors.ctbl").read_text().splitlines() if line[0] != "#"]
    snap = [line.split(maxsplit=7) for line in (out / "labels.txt").read_text().splitlines() if line[0] != "#"]
    assert [row[1] for row in slicer] == [row[7].strip('"') for row in snap] == list(CLASS_NAMES)
    for value, (row, other) in enumerate(zip(slicer, snap)):
        rgb = [str(round(255 * part)) for part in COLOURS.get(value, (0, 0, 0))]
        assert row == [str(value), CLASS_NAMES[value], *rgb, "255" if value else "0"]
        assert other[:7] == [str(value), *rgb, *("111" if value else "000")]


def test_libraries_are_imported_for_what_is_asked_alone(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    code = f"""
import sys
from pathlib import Path
from common.writing.asked import Asked
from common.writing.outputs import write_outputs
for name, brought in (("mask.seg.nrrd", set()), ("segmentation.dcm", {{"highdicom"}})):
    write_outputs(Path({str(out)!r}), Path({str(study)!r}), asked=Asked((name,)))
    assert {{"highdicom", "cv2"}} & set(sys.modules) == brought, name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_what_is_named(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    write_outputs(out, study, asked=Asked(("rtstruct.dcm", "preview.png")))
    assert made(out) == {"rtstruct.dcm"}


def test_without_probabilities_there_is_no_report(tmp_path, capsys) -> None:
    study, out = predicted(tmp_path, Place(), result=False)
    write_outputs(out, study)
    assert made(out) == {"segmentation.dcm", "mask.seg.nrrd"}
    assert "no result.json, so there is no report.dcm" in capsys.readouterr().err
    said = {"probabilities": dict.fromkeys(TARGETS, 0.25), "calibrated": None, "weights": ["c1a5"]}
    (out / "result.json").write_text(json.dumps(said))  # of nobody knows which study
    write_outputs(out, study)
    assert "report.dcm" not in made(out)
    for study_of, mask_of in (("another", "mask.nii.gz"), (fingerprint(study), "another.nii.gz")):
        store.write_record(out / "result.json", {STUDY: study_of, MASK: mask_of}, PLAIN)
        write_outputs(out, study)
        assert "report.dcm" not in made(out)


def test_nifti_gets_no_dicom_objects_and_a_line_says_why(tmp_path, capsys) -> None:
    study, out = predicted(tmp_path, Place())
    write_nifti(read_study(study).volume, tmp_path / "ct.nii.gz")
    write_outputs(out, tmp_path / "ct.nii.gz")
    assert made(out) == {"mask.seg.nrrd"}
    assert "ct.nii.gz: not DICOM, so there is no segmentation.dcm and no report.dcm" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"rtstruct\.dcm: .*isn't DICOM"):
        check_outputs(tmp_path / "ct.nii.gz", ("rtstruct.dcm", "mask.seg.nrrd"))
    check_outputs(tmp_path / "ct.nii.gz", ("mask.seg.nrrd",))


def test_a_source_that_cannot_be_referred_to_is_said_or_refused(tmp_path, capsys) -> None:
    study, out = predicted(tmp_path, Place(tags={"SOPInstanceUID": "1.2.3.4"}))
    write_outputs(out, study)
    assert made(out) == {"mask.seg.nrrd"}
    assert "no DICOM objects" in capsys.readouterr().err
    with pytest.raises(UnsupportedStudy, match="SOPInstanceUID"):
        write_outputs(out, study, asked=Asked(("segmentation.dcm", "mask.seg.nrrd")))
    assert made(out) == set()


@pytest.mark.parametrize("name", ["segmentation.dcm", "mask.seg.nrrd"])
def test_a_file_of_somebody_elses_is_not_replaced(tmp_path, name: str) -> None:
    study, out = predicted(tmp_path, Place())
    (out / name).write_text("mine")
    with pytest.raises(OutputError, match="isn't an output of this project"):
        write_outputs(out, study)
    assert (out / name).read_text() == "mine" and made(out) == {name}
    write_outputs(out, study, asked=Asked(overwrite=True))
    assert (out / name).read_bytes() != b"mine"


def test_the_patient_is_in_the_dicom_objects_and_nowhere_else(tmp_path, capfd) -> None:
    study, out = predicted(tmp_path, Place(tags=SECRETS))
    write_outputs(out, study, asked=Asked((*OBJECTS, "mask.seg.nrrd")))
    for name in OBJECTS:
        found = pydicom.dcmread(out / name)
        for tag, value in SECRETS.items():
            assert str(found[tag].value) == (value if tag != "SpecificCharacterSet" else "ISO_IR 192"), (name, tag)
    printed = capfd.readouterr()
    texts = [printed.out.encode(), printed.err.encode()]
    texts += [path.read_bytes() for path in out.iterdir() if path.is_file() and path.name not in OBJECTS]
    for tag, value in SECRETS.items():
        if len(value) > 3:
            assert not any(part.encode() in text for text in texts for part in value.split("^")), tag


def test_anonymous_leaves_the_patient_empty(tmp_path) -> None:
    study, out = predicted(tmp_path, Place(tags=SECRETS))
    write_outputs(out, study, asked=Asked(OBJECTS, anonymous=True))
    for name in OBJECTS:
        found, content = pydicom.dcmread(out / name), (out / name).read_bytes()
        assert all(found[tag].value in ("", None) for tag in MUST_BE_THERE), name
        assert found.PatientIdentityRemoved == "YES" and found.StudyInstanceUID == "1.2.3"
        for tag, value in SECRETS.items():
            if len(value) > 3 and tag != "SpecificCharacterSet":
                assert not any(part.encode(code) in content for part in value.split("^") for code in ("utf8", "latin1"))


def test_values_that_break_the_rules_are_copied_and_not_quoted(tmp_path, capfd) -> None:
    odd = {"PatientBirthDate": "31.12.1949", "PatientSex": "weiblich", "PatientName": "Nobody", "StudyTime": "nachts"}
    with pytest.warns(UserWarning, match="Invalid value"):
        study, out = predicted(tmp_path, Place(tags=odd))
    capfd.readouterr()
    with np.errstate(all="raise"):
        write_outputs(out, study)
    assert pydicom.dcmread(out / "segmentation.dcm").PatientName == "Nobody"
    said = "".join(capfd.readouterr())
    assert not any(value in said for value in odd.values())


def test_a_zip_and_an_output_folder_within_the_study(tmp_path) -> None:
    study, out = predicted(tmp_path, Place())
    packed = Path(shutil.make_archive(str(tmp_path / "study"), "zip", study))
    write_outputs(out, study, asked=Asked(("segmentation.dcm",)))
    plain = pydicom.dcmread(out / "segmentation.dcm")
    write_outputs(out, packed, asked=Asked(("segmentation.dcm",)))
    zipped = pydicom.dcmread(out / "segmentation.dcm")
    assert zipped.PixelData == plain.PixelData
    assert zipped.PerFrameFunctionalGroupsSequence == plain.PerFrameFunctionalGroupsSequence
    shutil.copytree(out, study / "out")
    write_outputs(study / "out", study, asked=Asked(OBJECTS[::2]))
    write_outputs(study / "out", study, asked=Asked(OBJECTS[::2]))
    assert pydicom.dcmread(study / "out" / "segmentation.dcm").PixelData == plain.PixelData
