"""`predict --levels` and `--mask` as commands: stage 2 and all outputs are made from the corrected mask."""

import json
from pathlib import Path

import highdicom
import pydicom
import pytest
from installed_command import install
from small_study import write_ct, write_mask, write_untrained_classifier

from common.cli.predict import main as predict
from common.cli.request import Request
from common.corrections.correction import Correction
from common.errors import ConfigError, ProjectError
from common.outputs import store
from common.outputs.schema import PLAIN
from common.reading.images import read_image
from common.reading.selftest.specimens import write_slice
from common.reading.stack import LPS_TO_RAS


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return install(tmp_path)


def write_dicom(ct: Path, folder: Path) -> Path:
    scan = read_image(ct)
    for k, pixels in enumerate(scan.array.T):
        position = scan.grid.to_world([0, 0, k]) * LPS_TO_RAS
        about = {"SOPInstanceUID": f"1.2.3.77.{k}", "BodyPartExamined": "NECK"}
        write_slice(folder / f"{k}.dcm", pixels, position, ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)), (4.0, 4.0), **about)
    return folder


def comments(report: pydicom.Dataset) -> str:
    """All texts of an SR."""
    return " ".join(str(item.get("TextValue", "")) + comments(item) for item in report.get("ContentSequence", ()))


def test_corrected_levels_reach_every_output(installed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """The first version is an edited mask, so that no network of stage 1 is asked at all."""
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(tmp_path)
    weights = write_untrained_classifier(tmp_path / "w.safetensors")
    study, mask = write_dicom(write_ct(tmp_path / "ct.nii.gz"), Path("study")), write_mask(tmp_path / "mine.nii.gz")
    words = [str(study), "-o", "out", "--device", "cpu"]
    own = ["--classify", "--weights", str(weights)]
    assert predict([*words, "--mask", str(mask), "--reason", "von Hand, größer", *own]) == 0
    first = json.loads(Path("out/result.json").read_text())
    assert predict([*words, "--levels", "C4=C5", "--reason", "rib at <b>T1</b>", *own]) == 0
    result = json.loads(Path("out/result.json").read_text())
    assert [one["reason"] for one in result["corrections"]] == ["von Hand, größer", "rib at <b>T1</b>"]
    last = result["corrections"][-1]
    assert last["earlier"] == "before-1" and last["said_before"]["probabilities"] == first["probabilities"]
    assert json.loads(Path("out/before-1/result.json").read_text()) == first
    assert first["flags"]["C7"] == ["not in view"] and "not in view" in result["flags"]["C2"]
    segments = pydicom.dcmread("out/segmentation.dcm").SegmentSequence
    assert [item.SegmentLabel for item in segments] == ["C3", "C4", "C5", "C6", "C7"]
    assert {item.SegmentAlgorithmType for item in segments} == {"SEMIAUTOMATIC"}
    assert segments[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName.endswith("corrected by hand")
    report = highdicom.sr.srread("out/report.dcm")
    assert "levels named by hand (C4=C5)" in comments(report) and "größer" in comments(report)
    page = Path("out/result.html").read_text()
    assert '<p class="corrected">Levels named by hand (C4=C5)' in page and "rib at &lt;b&gt;T1&lt;/b&gt;" in page
    fields = Path("out/mask.seg.nrrd").read_bytes()[:4000].decode("latin1")
    assert "Segment0_Name:=C3" in fields and Path("out/preview.png").is_file()
    kept = {path.name for path in Path("out/before-1").iterdir()}
    assert {"segmentation.dcm", "report.dcm", "mask.seg.nrrd", "result.html", "preview.png", "mask.json"} <= kept
    assert not any("than before the correction" in text for text in result["notices"])
    other = write_untrained_classifier(tmp_path / "other.safetensors", synthetic=False)
    assert predict([*words, "--levels", "C4=C3", "--classify", "--weights", str(other)]) == 0
    again = json.loads(Path("out/result.json").read_text())
    assert any("other networks judged than before the correction" in text for text in again["notices"])
    capsys.readouterr()
    with pytest.raises(ConfigError, match="say more of a correction"):
        predict([*words, "--reason", "alone"])
    assert json.loads(Path("out/result.json").read_text()) == again


def test_the_command_refuses_what_is_ambiguous_and_leaves_all_as_it_was(
    installed: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    study, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"

    def ends(*words: object) -> tuple[int, str]:
        try:
            return predict([str(study), "-o", str(out), "--device", "cpu", *map(str, words)]), ""
        except ProjectError as error:
            return error.exit_code, str(error)

    code, said = ends("--levels", "C4=C5")
    assert code == 4 and "there is no mask to correct" in said
    code, said = ends("--levels", "C4=C5", "--mask", study)
    assert code == 2 and "give one of them" in said
    few = ("--outputs", "mask.nii.gz")
    assert ends("--mask", write_mask(tmp_path / "mine.nii.gz"), *few) == (0, "")
    before = (out / "mask.nii.gz").read_bytes()
    code, said = ends("--levels", "C4=57", *few)
    assert code == 2 and "slice's number" in said and "what is called C4 is C5" in said
    assert (out / "mask.nii.gz").read_bytes() == before and not (out / "before-1").exists()


def test_a_prediction_anew_keeps_what_was_corrected(tmp_path: Path, monkeypatch, capsys) -> None:
    study, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    write_mask(out / "mask.nii.gz")
    store.write_json(out / "mask.json", {"levels": {}, "notices": [], "corrections": [{"levels": ["C4=C5"]}]})
    for name in ("mask.nii.gz", "mask.json"):
        store.write_record(out / name, {"series": "1.2.3"}, PLAIN)
    asked: list[Request] = []
    steps = {"1-a": lambda request: asked.append(request) or 20}
    monkeypatch.setattr("common.cli.predict.registered", lambda group: steps)
    assert predict([str(study), "-o", str(out), "--levels", "C4=C3"]) == 20
    assert asked[-1].series_uid == "1.2.3" and asked[-1].correction == Correction(("C4=C3",))
    assert not (out / "before-1").exists()
    assert predict([str(study), "-o", str(out)]) == 20
    assert asked[-1].series_uid is None and asked[-1].correction is None
    assert "was corrected by hand; that version is in before-1 now" in capsys.readouterr().err
    assert (out / "before-1" / "mask.nii.gz").read_bytes() == (out / "mask.nii.gz").read_bytes()
