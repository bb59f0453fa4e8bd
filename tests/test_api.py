"""The packages as a library: what a few lines of Python give, and that importing them costs nothing."""

import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from small_study import write_blind_weights, write_ct, write_mask, write_untrained_classifier

from common import read_study
from common.errors import GridMismatch, UnsupportedStudy, WeightsError
from common.labels import LEVELS, TARGETS
from common.masks.segmentation import segmentation_on
from common.masks.turned import turned
from common.page.words import percent
from common.reading.nifti import read_nifti
from common.resample import canonical
from common.volume import Volume
from stage1_segment import Segmentation, Segmenter
from stage1_segment.inference.segmenter import Segmentation as Defined
from stage1_segment.pretrained import PRETRAINED
from stage2_classify import Classifier, Result
from stage2_classify.inference.one_study import predict_study

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "torch", "pydicom", "pandas", "matplotlib", "pydantic")


@pytest.mark.parametrize("package", ["common", "stage1_segment", "stage2_classify"])
def test_importing_a_package_imports_no_library(package: str) -> None:
    code = f"import sys, {package}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    module = sys.modules[package]
    assert (Path(module.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_a_segmenter_takes_any_orientation_and_answers_on_the_study_s_own_grid(tmp_path: Path) -> None:
    segmenter = Segmenter.load(write_blind_weights(tmp_path / "w.safetensors"), "cpu")
    study = read_study(write_ct(tmp_path / "ct.nii.gz"))
    ct = study.volume
    lying = Volume(np.ascontiguousarray(ct.array.transpose(2, 0, 1)), ct.affine[:, [2, 0, 1, 3]])
    for given, volume in ((study, ct), (ct, ct), (lying, lying)):
        answer = segmenter(given)
        assert isinstance(answer, Segmentation) and Segmentation is Defined
        assert answer.mask.grid.matches(volume.grid) and answer.mask.array.dtype == np.uint8
    with pytest.raises(TypeError, match=r"found PosixPath.*read_study"):
        segmenter(tmp_path / "ct.nii.gz")
    with pytest.raises(WeightsError):
        Segmenter.load(tmp_path / "none.safetensors", "cpu")


def test_a_segmenter_holds_its_answer_against_anatomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for in the call goes before what the weights say."""
    segmenter = Segmenter.load(write_blind_weights(tmp_path / "w.safetensors"), "cpu")
    ct = canonical(turned(read_study(write_ct(tmp_path / "ct.nii.gz")).volume, ("up",)))
    asked = []
    monkeypatch.setattr(
        "stage1_segment.inference.anatomy.orientation.checked",
        lambda volume, segment, orientation: asked.append((volume, orientation)),
    )
    segmenter(ct), segmenter(ct, "repair")
    assert asked == [(ct, segmenter.predict.orientation), (ct, "repair")] and asked[0][1] == "refuse"


def test_the_pretrained_segmenter_has_the_weights_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda cls, *given: given))
    assert Segmenter.pretrained("cpu") == (PRETRAINED, "cpu") and PRETRAINED.is_file()


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes stage 1 answer with the mask of `write_mask`, C2 to C6, whose path this is."""
    mask = write_mask(tmp_path / "truth.nii.gz")

    def answer(volume: Volume, *_: object) -> Segmentation:
        return Segmentation(segmentation_on(volume, mask, "merged"), {}, ("a notice of stage 1",))

    monkeypatch.setattr("stage1_segment.inference.anatomy.orientation.checked", answer)
    return mask


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with two networks of stage 2 that have learned nothing."""
    for seed in (0, 1):
        (tmp_path / "run" / "stage2" / f"fold{seed}").mkdir(parents=True)
        write_untrained_classifier(tmp_path / "run" / "stage2" / f"fold{seed}" / "weights.safetensors")
    return tmp_path / "run"


def test_five_lines_from_a_scan_to_a_table_and_a_figure(tmp_path: Path, run: Path, sees: Path) -> None:
    write_ct(tmp_path / "scan.nii.gz")
    write_blind_weights(tmp_path / "stage1.safetensors")

    study = read_study(tmp_path / "scan.nii.gz")
    segmentation = Segmenter.load(tmp_path / "stage1.safetensors", "cpu")(study)
    result = Classifier.load(run, "cpu")(study, segmentation)
    table, figure = result.table, result.plot()

    assert isinstance(result, Result)
    assert list(table.columns) == ["level", "probability", "calibrated", "flags"]
    assert tuple(table["level"]) == TARGETS and table["probability"].between(0, 1).all()
    assert table["calibrated"].isna().all()
    flags = table.set_index("level")["flags"]
    assert flags["C1"] == flags["C7"] == "not in view" and "not in view" not in flags["C3"]
    assert "a notice of stage 1" in result.notices
    figure.savefig(picture := BytesIO(), format="png")
    assert picture.getvalue().startswith(b"\x89PNG")
    titles = [panel.get_title() for panel in figure.axes]
    assert {"C1  not in view", f"C3  {table['probability'][2]:.2f}"} <= set(titles)
    assert sum(len(panel.images) for panel in figure.axes) == 5
    result.save_page(tmp_path / "page.html", study, segmentation, name="a scan")
    page = (tmp_path / "page.html").read_text()
    assert "Study a scan" in page and percent(table["probability"][7]) in page and "a notice of stage 1" in page
    assert re.findall(r'data-level="(C\d)" disabled', page) == ["C1", "C7"]


def test_the_library_answers_as_the_command_does(tmp_path: Path, run: Path, sees: Path) -> None:
    """From a mask in memory on another grid, from the file, and by the command."""
    scan = write_ct(tmp_path / "scan.nii.gz")
    classifier, study = Classifier.load(str(run), "cpu"), read_study(scan)
    predict_study(scan, sees, tmp_path / "result.json", [run / "stage2"], "merged", "cpu")
    command = json.loads((tmp_path / "result.json").read_text())
    assert len(command["weights"]) == 2
    lying = read_nifti(sees)
    lying = Volume(lying.array.transpose(2, 0, 1), lying.affine[:, [2, 0, 1, 3]])
    for mask in (sees, str(sees), read_nifti(sees), lying):
        assert classifier(study, mask).to_json() == command
    assert classifier(study.volume, sees).to_json() == command


def test_what_is_no_mask_of_the_scan_is_refused(tmp_path: Path, run: Path, sees: Path) -> None:
    classifier, study = Classifier.load(run, "cpu"), read_study(write_ct(tmp_path / "scan.nii.gz"))
    mask = read_nifti(sees)
    elsewhere = mask.affine.copy()
    elsewhere[:3, 3] += 500
    with pytest.raises(GridMismatch):
        classifier(study, Volume(mask.array, elsewhere))
    with pytest.raises(UnsupportedStudy, match="fractions"):
        classifier(study, mask.with_array(mask.array * 0.5))
    with pytest.raises(TypeError, match="found ndarray"):
        classifier(study, mask.array)
    with pytest.raises(TypeError, match="read_study"):
        classifier(tmp_path / "scan.nii.gz", mask)
    with pytest.raises(WeightsError):
        Classifier.load(tmp_path / "no run", "cpu")


def test_a_segmentation_in_memory_turns_scan_and_mask(tmp_path: Path, run: Path, monkeypatch) -> None:
    """A header that stage 1 has found out to be upside down: what is cut is upright."""
    ct, mask = (read_nifti(write(tmp_path / f"{write.__name__}.nii.gz")) for write in (write_ct, write_mask))
    classifier = Classifier.load(run, "cpu")
    upright = classifier(ct, mask)
    fallen = Segmentation(turned(mask, ("up",)), {}, (), ("up",))
    found = classifier(turned(ct, ("up",)), fallen)
    np.testing.assert_array_equal(found.pictures, upright.pictures)
    assert found.to_json()["probabilities"] == upright.to_json()["probabilities"]
    assert np.flatnonzero(found.pictures.any(axis=(1, 2, 3))).tolist() == [LEVELS.index(f"C{n}") for n in range(2, 7)]


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_what_the_pages_show_runs(page: str, tmp_path: Path, run: Path, sees: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run.rename("runs/phantom")
    blind = Segmenter.load(write_blind_weights(tmp_path / "w.safetensors"), "cpu")
    monkeypatch.setattr(Segmenter, "pretrained", lambda: blind)
    scan = write_ct(tmp_path / "ct.nii.gz")
    names: dict[str, object] = {}
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    exec(block.replace("/scans/one", str(scan)), names)
    result = names["result"]
    assert isinstance(result, Result) and "a notice of stage 1" in result.notices
