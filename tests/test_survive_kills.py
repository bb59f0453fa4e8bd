"""Runs that are killed and started again end as one that was left alone. Many more kills: `make test-kills`."""

import random
import shutil
from pathlib import Path

import kill_runs
import pytest
import tiny_run

WINDOW = (0.4, 3.0)
"""Seconds after its start in which a command is killed; they take about that long. The first one is killed when it
first writes something, however long that takes."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference() -> tuple[Path, Path, dict[str, bytes]]:
    _, data, folder = tiny_run.finished()
    return data, folder, tiny_run.results(folder)


def test_a_second_run_changes_nothing(reference) -> None:
    data, folder, expected = reference
    for words in tiny_run.commands(data, folder).values():
        tiny_run.run(*words, log=data.parent / "again.txt")
    assert kill_runs.compare(expected, folder) == []


@pytest.mark.parametrize("again", ["segment", "classify"])
def test_killed_in_each_stage(reference, again: str, tmp_path: Path) -> None:
    """Each command of a stage is killed once, all but the first at a random moment; what lies before it is taken from
    the reference."""
    data, done, expected = reference
    folder = tmp_path / "run"
    shutil.copytree(done, folder, copy_function=shutil.copy2)
    for gone in ("stage1", "masks") if again == "segment" else ("stage2", "submission.csv", "cache"):
        path = folder / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rng, kills = random.Random(again), 0
    for name, words in tiny_run.commands(data, folder).items():
        if name.startswith(again) and name not in kill_runs.EVALUATE_AND_REPORT:
            first = kills == 0
            kills += kill_runs.kill_once(words, WINDOW, folder, tmp_path / "killed.txt", rng, at_first_change=first)
        tiny_run.run(*words, log=tmp_path / "said.txt")
    assert kill_runs.compare(expected, folder) == []
    assert kills >= 1


@pytest.mark.parametrize(
    "name", ["masks/*.nii.gz", "stage2/fold0/weights.safetensors", "submission.csv", "stage2/test.csv"]
)
def test_an_edited_result_is_made_again(reference, name: str) -> None:
    data, folder, expected = reference
    path = sorted(folder.glob(name))[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for words in tiny_run.commands(data, folder).values():
        tiny_run.run(*words, log=data.parent / "again.txt")
    assert kill_runs.compare(expected, folder) == []
