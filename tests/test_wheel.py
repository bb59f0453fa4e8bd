"""What is installed is whole: the wheel, in an empty folder, does a tiny job far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from tiny_run import CLASSIFY, SEGMENT

from common.errors import NoCervicalLevel

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "stage1_segment", "stage2_classify")
NOT_BUILT_FROM = (
    *(".git", ".venv", "tests", "data", "runs", "build", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".ci"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that has been used: there are files that Python has compiled."""
    pytest.importorskip("setuptools", minversion="77")
    place = tmp_path_factory.mktemp("checkout") / "source"
    shutil.copytree(ROOT, place, symlinks=True, ignore=shutil.ignore_patterns(*NOT_BUILT_FROM))
    for folder in ("common", "stage1_segment/training"):
        (place / folder / "__pycache__").mkdir()
        (place / folder / "__pycache__" / "__init__.cpython-311.pyc").touch()
    return place


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("built")
    _pip("wheel", "--no-build-isolation", "--wheel-dir", place, source)
    (built,) = place.glob("*.whl")
    return built


def _pip(*arguments: object) -> None:
    words = [sys.executable, "-m", "pip", *map(str, arguments), "--no-deps", "--no-index", "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    lying = [p for package in PACKAGES for p in (ROOT / package).rglob("*") if p.is_file()]
    expected = {str(p.relative_to(ROOT)) for p in lying if not {"__pycache__", "configs"} & set(p.parts[:-1])}
    expected |= {f"common/configs/{p.name}" for p in (ROOT / "configs").glob("*.yaml")}
    assert expected <= names, sorted(expected - names)
    assert {"common/configs/phantom.yaml", "stage2_classify/report/report.html.j2"} <= names
    others = {name for name in names - expected if ".dist-info/" not in name}
    assert not others, others
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.parametrize("build", ["build_wheel", "build_editable"])
def test_building_warns_of_nothing(source: Path, build: str, tmp_path: Path) -> None:
    """The backend itself is asked, since older versions of pip keep to themselves what it says."""
    words = f"import setuptools.build_meta as backend; print(backend.{build}({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", words], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert len(list(tmp_path.glob("*.whl"))) == 1


@pytest.mark.slow
def test_a_tiny_job_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """In folders with spaces in their names; nothing of the checkout is imported."""
    home, place = tmp_path / "an empty environment", tmp_path / "some where else"
    place.mkdir()
    _pip("install", "--target", home, wheel)
    environment = {**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"}

    def run(*words: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=place, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    for package in PACKAGES:
        assert run("-c", f"import {package}; print({package}.__file__)").strip() == str(home / package / "__init__.py")

    script = home / "bin" / "cervical-fracture"
    said = run(script, "--help")
    for name in ("segment", "classify", "predict", "phantom", "verify", "info", "status"):
        assert f"  {name} " in said
    weights = json.loads(run(script, "info", "--json"))["parts"]["segment"]["weights"]
    assert all(Path(entry["file"]).is_relative_to(home) for entry in weights)

    data, folder = Path("my data") / "a cohort", Path("my runs") / "the first"
    run("-m", "common.phantom", "--out", data, "--studies", 6, "--test-studies", 2, "--seed", 5, "--matrix", 64)
    assert "0 faults" in run("-m", "common.dataset", "verify", data)
    places = ["--config", "phantom", f"data.root={data}", f"data.run={folder}", "data.folds=2"]
    for name in ("train", "predict", "evaluate"):
        run("-m", "stage1_segment", name, *places, *SEGMENT)
    masks = place / "my masks"
    masks.mkdir()
    for uid in pd.read_csv(place / data / "test.csv")["StudyInstanceUID"].unique():
        shutil.copy(place / data / "test_segmentations" / f"{uid}.nii", masks / f"{uid}.nii")
    for path in (place / data / "segmentations").glob("*.nii"):
        shutil.copy(path, masks / path.name)
    has_mask = {path.stem for path in masks.iterdir()}
    train = pd.read_csv(place / data / "train.csv")["StudyInstanceUID"]
    partly = 20 if not set(train) <= has_mask else 0
    other = [f"masks.folder={masks}", "masks.scheme=rsna"]
    run("-m", "stage2_classify", "train", *places, *other, *CLASSIFY, code=partly)
    for name in ("predict", "submit", "report"):
        run("-m", "stage2_classify", name, *places, *other, *CLASSIFY)
    assert len(pd.read_csv(place / folder / "submission.csv")) == 2 * 8
    assert "not a medical device" in (place / folder / "report.html").read_text()

    study, mask = next((place / data / "test_images").iterdir()), Path("my answer") / "the mask.nii.gz"
    one = ["-i", study, "-o", mask, "--preview", "a picture.png"]
    # A network that has learned nothing finds nothing, and says so.
    run("-m", "stage1_segment", "predict", *places, *SEGMENT, *one, code=NoCervicalLevel.exit_code)
    found = ["predict", study, "-o", "both stages", "--run", folder]
    run(script, *found, code=NoCervicalLevel.exit_code)
    assert (place / "both stages" / "mask.nii.gz").is_file()
    assert (place / mask).is_file() and (place / "a picture.png").is_file()
    words = ["-i", study, "--mask", masks / f"{study.name}.nii", "-o", Path("my answer") / "the result.json"]
    run("-m", "stage2_classify", "predict", *places, *other, *CLASSIFY, *words)
    assert (place / "my answer" / "the result.json").is_file()
