"""make: paths with spaces, and the exit code of the step that failed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import write_blind_weights, write_ct

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
ROOT = Path(__file__).parent.parent


def make(*words: object, of: str = "make", **environment: str) -> subprocess.CompletedProcess:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    line = [of, f"PY={sys.executable}", *map(str, words)]
    return subprocess.run(line, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)


def words_of(done: subprocess.CompletedProcess) -> list[list[str]]:
    """The arguments that each recipe's command would get, as the shell splits them."""
    return [shlex.split(line, posix=True) for line in done.stdout.splitlines() if " -m " in line]


@pytest.mark.parametrize("target", ["segment", "evaluate", "classify", "submit", "submission", "compare", "verify"])
def test_paths_with_spaces_stay_whole(target: str) -> None:
    places = ["DATA=/my data", "RUN=/my runs/it's one", "MASKS=/my masks", "CONFIG=/my configs/a b.yaml"]
    done = make("-n", target, *places)
    assert done.returncode == 0, done.stderr
    commands = words_of(done)
    assert commands
    for words in commands:
        if target == "verify":
            assert "/my data" in words
            continue
        assert {"data.root=/my data", "data.run=/my runs/it's one", "/my configs/a b.yaml"} <= set(words)
        if "stage2_classify" in words:
            assert "masks.folder=/my masks" in words


def test_a_run_is_named_after_its_configuration() -> None:
    done = make("-n", "evaluate", "CONFIG=/my configs/a b.yaml")
    assert "data.run=runs/a b" in words_of(done)[0]


def test_one_study_in_a_folder_with_spaces(tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "one ct.nii.gz")
    out, code = tmp_path / "my out", tmp_path / "code"
    weights = write_blind_weights(tmp_path / "my weights.safetensors")
    words = ["predict", f"STUDY={ct}", f"OUT={out}", f"RUN={tmp_path / 'my run'}", f"SEGMENT=--weights '{weights}'"]
    done = make(*words, EXIT_CODE_FILE=str(code))
    assert done.returncode == 2 and done.stderr.splitlines()[-1].endswith("Error 14"), done.stderr
    assert code.read_text() == "14\n"
    assert {path.name for path in out.glob("[!.]*")} >= {"mask.nii.gz", "mask.json", "preview.png"}
    assert not (out / "result.json").exists()


def predict_line(*words: str) -> list[str]:
    """The words of the command that `make predict` runs, behind the script's name."""
    done = make("-n", "predict", "STUDY=/my scan", *words)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('"$script"'))
    return shlex.split(line)[1:]


def test_what_reaches_the_script() -> None:
    assert predict_line() == ["predict", "/my scan", "-o", "out"]
    assert predict_line("CONFIG=my/c.yaml") == [
        *("predict", "/my scan", "-o", "out", "--config", "my/c.yaml", "--run", "runs/c")
    ]
    assert predict_line("RUN=my run", "SEGMENT=--weights 'my w' a=1", "CLASSIFY=b=2", "OUT=o p") == [
        *("predict", "/my scan", "-o", "o p", "--config", "configs/phantom.yaml", "--run", "my run"),
        *("--segment", "--weights", "my w", "a=1", "--classify", "b=2"),
    ]


def test_every_target_that_is_no_file_is_phony() -> None:
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    targets = set(re.findall(r"^([\w./-]+):(?!=)", text, re.MULTILINE)) - {".DEFAULT_GOAL", ".PHONY"}
    files = {target for target in targets if "/" in target}
    (phony,) = re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)
    assert set(phony.split()) == targets - files and files == {".venv/bin/cervical-fracture"}


def test_an_environment_without_the_script_is_told(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho '{tmp_path / 'bin'}'\n")
    python.chmod(0o755)
    done = make(f"PY={python}", "predict", "STUDY=x")
    assert done.returncode == 2 and "`make setup`" in done.stderr and f"`{python} -m pip install" in done.stderr


@pytest.mark.parametrize("words, code", [(["predict", "STUDY=/no such study"], 4), (["predict"], 2), (["help"], 0)])
def test_the_script_ends_with_the_code_that_is_documented(words: list[str], code: int, tmp_path: Path) -> None:
    done = make(*words, f"OUT={tmp_path / 'my out'}", of="./make.sh")
    assert done.returncode == code, done.stderr


def test_a_quick_submission_is_of_few_studies_in_folders_of_its_own():
    quick, usual = (make("-n", "submission", *words).stdout for words in (["QUICK=1"], []))
    cohort = next(line for line in quick.splitlines() if "common.phantom" in line)
    assert '--out "data/quick" --studies 12 --test-studies 8' in cohort
    trainings = [line for line in quick.splitlines() if " train " in line]
    assert len(trainings) == 2 and all('"data.run=runs/quick" data.folds=2' in line for line in trainings)
    assert "train.steps=20" in trainings[0] and "train.steps=20" in trainings[1]
    assert "quick" not in usual and "folds" not in usual and '--out "data/phantom" --studies 88' in usual


@pytest.mark.parametrize("words", [["DATA=/data/rsna"], ["DATA=/data/rsna", "QUICK=1"]])
def test_no_cohort_is_made_into_data_that_were_given(words):
    assert "common.phantom" not in make("-n", "submission", *words).stdout
