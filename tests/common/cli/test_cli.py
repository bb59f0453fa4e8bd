"""The installed command, by entry points as an installation of this tree would have them."""

import hashlib
import json
import re
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import yaml
from installed_command import ROOT, install, run
from small_study import write_blind_weights, write_ct, write_mask, write_untrained_classifier

from common.cli import registry
from common.cli.predict import main as predict
from common.errors import ConfigError, GridMismatch
from common.labels import CLASS_NAMES, TARGETS
from common.masks.segmentation import segmentation_on
from common.page.words import percent
from common.reading.images import read_image
from common.reading.selftest.specimens import write_slice
from common.reading.stack import LPS_TO_RAS
from common.volume import Volume
from stage1_segment.inference.segmenter import Segmentation

COMMANDS = ("classify", "doctor", "info", "phantom", "predict", "segment", "status", "verify")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return install(tmp_path)


def test_help_and_info_load_no_torch(installed: Path) -> None:
    """One after another in one process."""
    code = f"""
import sys
from common.cli.__main__ import main
for words in (["--help"], *([name, "--help"] for name in {COMMANDS}), ["info"], ["info", "--json"]):
    print("--", *words)
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
    assert "torch" not in sys.modules, words
"""
    done = run(installed, code=code)
    assert done.returncode == 0, done.stderr
    _, everything, *each, text, listed = re.split(r"^-- .*\n", done.stdout, flags=re.MULTILINE)
    assert all(f"\n  {name} " in everything for name in COMMANDS)
    for name, said in zip(COMMANDS, each, strict=True):
        assert "usage: " in said.splitlines()[0] and name in said.splitlines()[0], said
    found = json.loads(listed)
    assert found["parts"]["segment"]["classes"] == list(CLASS_NAMES)
    assert found["parts"]["classify"]["classes"] == list(TARGETS)
    weights = [entry for part in found["parts"].values() for entry in part["weights"]]
    assert len(weights) == len(list(ROOT.glob("stage*/weights/**/*.safetensors")))
    for entry in weights:
        assert hashlib.sha256(Path(entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert Path(entry["card"]).is_file() and entry["license"] == "Apache-2.0"
    assert all(entry["sha256"] in text and entry["card"] in text for entry in weights)


HEAVY = {
    "albumentations", "blosc2", "cv2", "lightning_fabric", "monai", "pandas", "segmentation_models_pytorch_3d",
    "sklearn", "sympy", "tensorboardX", "timm", "torchvision",
}  # fmt: skip
"""What learning, tables and reports need, and no prediction about one study; seconds to import, all together."""
WATCHED = f"""
import sys
import common.reading.study as study
from common.cli.__main__ import main
read, times = study.read_study, []
study.read_study = lambda *which: times.append(which) or read(*which)
try:
    main()
except Exception as error:  # what has learned nothing finds no level
    assert type(error).__name__ == "NoCervicalLevel", error
print(sorted({HEAVY | {"matplotlib"}} & set(sys.modules)), len(times))
"""


@pytest.mark.slow
def test_a_prediction_imports_nothing_heavy_that_it_does_not_use(installed: Path, tmp_path: Path) -> None:
    blind, study = write_blind_weights(tmp_path / "w.safetensors"), write_ct(tmp_path / "ct.nii.gz")
    trained, mask = write_untrained_classifier(tmp_path / "c.safetensors"), write_mask(tmp_path / "mask.nii.gz")
    segment = ("segment", "predict", "-i", study, "-o", tmp_path / "m.nii.gz", "--weights", blind)
    classify = ("classify", "predict", "-i", study, "--mask", mask, "-o", tmp_path / "r.json", "--weights", trained)
    for words in (segment, classify):
        done = run(installed, *words, code=WATCHED)
        assert done.stdout.splitlines()[-1:] == ["[] 1"], (words[0], done.stdout, done.stderr)
    assert (tmp_path / "m.nii.gz").is_file() and json.loads((tmp_path / "r.json").read_text())["probabilities"]


@pytest.mark.slow
def test_both_steps_are_one_process_that_reads_the_study_once(installed: Path, tmp_path: Path) -> None:
    """Weights that have learned nothing end the first step with NoCervicalLevel: here the second one follows it."""
    blind, study = write_blind_weights(tmp_path / "w.safetensors"), write_ct(tmp_path / "ct.nii.gz")
    trained = write_untrained_classifier(tmp_path / "run" / "stage2" / "fold0" / "weights.safetensors")
    (installed / "going_on.py").write_text(
        "from common.errors import NoCervicalLevel\nfrom stage1_segment import commands\n\n\n"
        "def answer_study(request):\n    try:\n        return commands.answer_study(request)\n"
        "    except NoCervicalLevel:\n        return 0\n"
    )
    registered = installed / "cervical_fracture-0.dist-info" / "entry_points.txt"
    registered.write_text(registered.read_text().replace("= stage1_segment.commands:answer", "= going_on:answer"))
    words = ("predict", study, "-o", tmp_path / "out", "--run", tmp_path / "run")
    done = run(installed, *words, "--segment", "--weights", blind, "--classify", "--weights", trained, code=WATCHED)
    assert done.stdout.splitlines()[-1:] == ["['matplotlib'] 1"], (done.stdout, done.stderr)  # for the preview
    assert {"mask.nii.gz", "preview.png", "result.json"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.slow
def test_commands_end_with_their_own_exit_codes(installed: Path, tmp_path: Path) -> None:
    """One after another in one process, which ends with the code of the last."""
    weights = tmp_path / "runs" / "mine" / "stage1" / "fold0" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    write_blind_weights(weights)
    ct, out = write_ct(tmp_path / "ct.nii.gz"), tmp_path / "out"
    lines = [
        ["no-such-command"],
        ["predict", tmp_path / "none", "-o", out],
        ["verify", tmp_path / "none"],
        ["predict", ct, "-o", out, "--run", tmp_path / "runs" / "mine"],
    ]
    code = f"""
import sys
from common.cli.__main__ import start
for words in {[list(map(str, words)) for words in lines]}:
    sys.argv[1:] = words
    try:
        start()
    except SystemExit as end:
        print("ended with", end.code)
        last = end.code
sys.exit(last)
"""
    done = run(installed, code=code)
    assert re.findall(r"^ended with (.*)", done.stdout, re.MULTILINE) == ["2", "4", "9", "14"], done.stderr
    assert done.returncode == 14 and "no such file or folder" in done.stderr
    assert {"mask.nii.gz", "mask.json", "preview.png"} <= {path.name for path in out.iterdir()}
    assert not (out / "result.json").exists()


@pytest.mark.slow
def test_both_stages_meet_in_the_folder(installed: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """`--help` apart, in this process, so that stage 1 can be made to see."""
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    truth, ct = write_mask(tmp_path / "truth.nii.gz"), write_ct(tmp_path / "ct.nii.gz")

    def answer(volume: Volume, *_: object) -> Segmentation:
        return Segmentation(segmentation_on(volume, truth, "merged"), {}, ("a notice of stage 1",))

    monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", answer)
    # The networks of a run that nobody named are for its own cohort.
    write_untrained_classifier(Path("runs/phantom/stage2/fold0/weights.safetensors"))
    assert predict([str(ct), "-o", "without", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "the network that comes with the project" in said.err
    assert "without/result.html opens in a browser" in said.out
    pretrained = json.loads(Path("without/result.json").read_text())
    assert pretrained["not_judged"] == ["C2", "C3", "C4", "C5", "C6"]  # voxels of 4 mm
    assert "has seen no real fracture" in pretrained["notice"] and Path("without/evidence.nii.gz").is_file()
    page = Path("without/result.html").read_text()
    assert "<h1>Not examined for fractures</h1>" in page and "a notice of stage 1" in page
    assert "None of the levels in view could be judged" in page
    network = {"network": {"channels": [4, 8], "embedding": 8, "hidden": 4}, "crops": {"spacing_mm": 4}}
    settings = {**network, "encoder": {"init_from": None}, "folds": [0]}
    Path("tiny.yaml").write_text(yaml.safe_dump({"classify": settings}))
    Path("runs/tiny/stage2/fold0").mkdir(parents=True)
    Path("runs/tiny/stage1/fold0").mkdir(parents=True)
    write_untrained_classifier(Path("runs/tiny/stage2/fold0/weights.safetensors"))
    write_blind_weights(Path("runs/tiny/stage1/fold0/weights.safetensors"))
    assert predict([str(ct), "-o", "out", "--config", "tiny.yaml", "--device", "cpu"]) == 0
    result = json.loads(Path("out/result.json").read_text())
    assert "a notice of stage 1" in result["notices"]
    overall = percent(result["probabilities"]["patient_overall"])
    assert f"Probability (not calibrated) of any fracture: {overall}" in Path("out/result.html").read_text()
    assert Path("out/mask.seg.nrrd").is_file() and "no segmentation.dcm" in capsys.readouterr().err
    scan = read_image(ct)
    for k, pixels in enumerate(scan.array.T):
        position = scan.grid.to_world([0, 0, k]) * LPS_TO_RAS
        about = {"SOPInstanceUID": f"1.2.3.77.{k}", "BodyPartExamined": "NECK"}
        directions = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
        write_slice(Path(f"dicom/{k}.dcm"), pixels, position, directions, (4.0, 4.0), **about)
    words = ["dicom", "--config", "tiny.yaml", "--device", "cpu"]
    assert predict([*words, "-o", "all"]) == 0
    assert {"segmentation.dcm", "report.dcm", "mask.seg.nrrd", "result.html"} <= {p.name for p in Path("all").iterdir()}
    segments = pydicom.dcmread("all/segmentation.dcm").SegmentSequence
    assert [item.SegmentLabel for item in segments] == ["C2", "C3", "C4", "C5", "C6"]
    assert predict([*words, "-o", "some", "--outputs", "segmentation.dcm,rtstruct.dcm", "--anonymous"]) == 0
    left = {path.name for path in Path("some").iterdir() if not path.name.endswith((".record.json", ".lock"))}
    made_of = {"mask.nii.gz", "mask.json", "result.json", "evidence.nii.gz"}  # the SEG says what is suspected
    assert left == {*made_of, "segmentation.dcm", "rtstruct.dcm"}
    assert not pydicom.dcmread("some/rtstruct.dcm").PatientID
    with pytest.raises(ConfigError, match="isn't DICOM"):
        predict([str(ct), "-o", "no", "--outputs", "segmentation.dcm"])
    with pytest.raises(SystemExit):
        predict([*words, "-o", "no", "--outputs", "segmentation.png"])
    assert not Path("no").exists() and "unknown output `segmentation.png`" in capsys.readouterr().err
    for step in ("segment", "classify"):
        with pytest.raises(ConfigError, match=f"unknown key `{step}.no_such`"):
            predict([str(ct), "-o", "out", "--config", "tiny.yaml", "--device", "cpu", f"--{step}", "no_such=1"])
    monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", _refuse)
    with pytest.raises(GridMismatch):
        predict([str(ct), "-o", "out", "--config", "tiny.yaml", "--device", "cpu"])
    assert not Path("out/result.json").exists() and not Path("out/result.html").exists()


def _refuse(*_: object) -> None:
    raise GridMismatch("not this one")


def test_steps_go_in_the_order_of_their_names_and_the_first_code_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    class Entry:
        def __init__(self, name: str, code: int) -> None:
            self.name, self.code = name, code

        def load(self):
            return lambda request: done.append(self.name) or self.code

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry("2-b", 20), Entry("3-c", 0), Entry("1-a", 0)])
    assert predict(["x", "-o", "y"]) == 20
    assert done == ["1-a", "2-b"]
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(ConfigError, match="make setup"):
        predict(["x", "-o", "y"])


def test_page_and_objects_are_made_together_and_either_s_error_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each waits for the other to have begun."""
    begun, failing = threading.Barrier(2, timeout=60), []

    def write(name: str) -> Callable[..., None]:
        def run(out: Path, study: Path, *_: object) -> None:
            begun.wait()
            if name in failing:
                raise GridMismatch(f"{name} of {study} in {out.name}")

        return run

    monkeypatch.setattr("common.cli.predict.registered", lambda group: {"1-a": lambda request: 0})
    for name in ("write_page", "write_outputs"):
        monkeypatch.setattr(f"common.cli.predict.{name}", write(name))
    monkeypatch.setattr("common.cli.predict.show_early", lambda *_: None)
    words = ["scan", "-o", str(tmp_path / "out")]
    assert predict(words) == 0 and not (tmp_path / "out").exists()  # no step left a mask
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mask.nii.gz").touch()
    assert predict(words) == 0
    for failing[:] in ("write_page",), ("write_outputs",):
        with pytest.raises(GridMismatch, match=f"{failing[0]} of scan in out"):
            predict(words)


@pytest.mark.parametrize("name, taken_by", [("show_early", "write_page"), ("prepare_outputs", "write_outputs")])
def test_what_needs_the_mask_alone_is_made_beside_the_steps_after_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, taken_by: str
) -> None:
    """Of the page and of what is for a PACS: the second step waits for it to have begun, and who writes gets what was
    made, or its error."""
    begun, made, out = threading.Event(), [], tmp_path / "out"
    out.mkdir()

    def early(*_: object) -> str:
        begun.set()
        if len(made) == 1:
            raise GridMismatch(f"of {name}")
        return "made early"

    def first(request) -> int:
        (request.out / "mask.nii.gz").touch()
        return 0

    steps = {"1-a": first, "2-b": lambda request: 0 if begun.wait(60) else 1}
    monkeypatch.setattr("common.cli.predict.registered", lambda group: steps)
    for other in ("show_early", "prepare_outputs", "write_page", "write_outputs"):
        monkeypatch.setattr(f"common.cli.predict.{other}", lambda *_: None)
    monkeypatch.setattr(f"common.cli.predict.{name}", early)
    monkeypatch.setattr(f"common.cli.predict.{taken_by}", lambda *asked: made.append(asked[-1]()))
    words = ["scan", "-o", str(out)]
    assert predict(words) == 0 and made == ["made early"]
    with pytest.raises(GridMismatch, match=f"of {name}"):
        predict(words)


def test_threads_take_quick_turns_and_no_warning_of_a_library_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turn = sys.getswitchinterval()

    def step(request) -> int:
        warnings.warn("Invalid value: Doe^Jane", UserWarning, stacklevel=1)
        assert sys.getswitchinterval() < turn / 4
        return 0

    monkeypatch.setattr("common.cli.predict.registered", lambda group: {"1-a": step})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert predict(["scan", "-o", str(tmp_path / "out")]) == 0
    assert not seen and sys.getswitchinterval() == turn


def test_words_for_one_step_reach_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []
    steps = {"1-a": requests.append, "2-b": requests.append}
    monkeypatch.setattr("common.cli.predict.registered", lambda group: steps)
    words = ["x", "-o", "y", "--device", "cpu", "--b", "--weights", "my w", "train.steps=3", "--a", "-q", "--b", "c"]
    assert not predict(words)
    assert len(requests) == 2
    assert requests[0].words == {"b": ["--weights", "my w", "train.steps=3", "c"], "a": ["-q"]}
    assert (str(requests[0].out), requests[0].device, requests[0].common) == ("y", "cpu", ["--device", "cpu"])
    with pytest.raises(SystemExit) as end:
        predict(["x", "--c", "1"])
    assert end.value.code == 2
