"""The ledger of a run: what is done, what failed and why, what is left, at which rate."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from common.cli.status import main
from common.dataset.cache import CtCache
from common.errors import OutputError
from common.outputs import store
from common.outputs.ledger import Step
from common.outputs.schema import PLAIN, Schema
from common.outputs.status import as_table, status
from common.reading.nifti import write_nifti
from common.volume import Volume

HOUR = 3600


def make(step: Step, uid: str, provenance: dict, at: float, schema: Schema = PLAIN) -> None:
    """An output with its record, as if made at that time."""
    output = step.root / step.folder / f"{uid}{step.suffix}"
    store.write_text(output, uid)
    store.write_record(output, provenance, schema)
    os.utime(store.record_path(output), (at, at))


def test_counts_rate_and_time_to_go_by_hand(tmp_path: Path) -> None:
    """Eleven masks wanted; three before this command began and three in its hour: 3 an hour, and 2 are left. One is by
    other weights, one of an older kind, one has lost its file, one is of no study that is wanted: none counts."""
    began = time.time() - 2 * HOUR
    step = Step(tmp_path, 2, "masks", "masks", ".nii.gz", PLAIN)
    step.begin([f"1.{n}" for n in range(5)], {"weights": ["a", "b"]})
    step.begin([f"1.{n}" for n in range(4, 11)], {"weights": ["a", "b"]})
    os.utime(step.place / "plan.json", (began, began))
    for n in range(3):
        make(step, f"1.{n}", {"weights": "a"}, began - 60)
    for n, minutes in ((3, 10), (4, 30), (5, 60)):
        make(step, f"1.{n}", {"weights": "b"}, began + 60 * minutes)
    make(step, "1.6", {"weights": "c"}, began + 60)
    make(step, "1.7", {"weights": "a"}, began + 60, Schema("output", 0))
    make(step, "1.8", {"weights": "a"}, began + 60)
    (tmp_path / "masks" / "1.8.nii.gz").unlink()
    make(step, "9.9", {"weights": "a"}, began + 60)
    step.note("1.6", "CorruptFile: x.dcm: cut off")
    step.note("1.7", "its process was killed, most likely for want of memory")
    step.note("1.9", "CorruptFile: y.dcm: cut off")
    step.note("1.5", "CorruptFile: it failed once, and is made")
    (found,) = status(tmp_path)
    assert (found.step, found.studies, found.done, found.left) == ("masks", 11, 6, 2)
    assert found.failed == {"CorruptFile": 2, "killed": 1} and found.reasons["1.6"] == "CorruptFile: x.dcm: cut off"
    assert found.per_hour == pytest.approx(3)
    assert found.to_go_s == pytest.approx(2 * HOUR / 3)
    assert found.last_s == pytest.approx(HOUR, abs=30)
    assert as_table([found]).splitlines()[1:] == [
        "masks              11        6       3        2         3   0:40:00  1:00:00 ago",
        "  failed: 2 CorruptFile, 1 killed",
    ]


def test_a_failure_is_forgotten_when_the_study_is_made(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By the cache itself: one study is damaged at first."""
    studies = {}
    for uid in ("1.1", "1.2"):
        studies[uid] = tmp_path / f"{uid}.nii.gz"
        array = np.random.default_rng(1).integers(-1000, 1000, (8, 8, 8)).astype(np.int16)
        write_nifti(Volume(array, np.eye(4)), studies[uid])
    whole = studies["1.2"].read_bytes()
    studies["1.2"].write_bytes(whole[:200])
    run = tmp_path / "run"
    assert list(CtCache(run / "cache").fill(studies)) == ["1.2"]
    assert main([str(run), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["step"], found["done"], found["left"], found["failed"]) == ("cache", 1, 0, {"CorruptFile": 1})
    studies["1.2"].write_bytes(whole)
    assert CtCache(run / "cache").fill(studies) == {}
    (now,) = status(run)
    assert (now.done, now.failed, now.left) == (2, {}, 0)


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no ledger there"):
        status(tmp_path)
    step = Step(tmp_path, 1, "cache", "cache", ".b2nd", PLAIN)
    step.begin(["1.1"])
    assert status(tmp_path)[0].left == 1
    (step.place / "plan.json").write_text("{")
    with pytest.raises(OutputError, match="not a ledger"):
        status(tmp_path)
