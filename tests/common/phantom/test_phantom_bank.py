"""A bank's plan keeps its shares, its files say what they are, and the drawn anatomy gives tissue codes for nothing."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError, OutputError
from common.outputs import store
from common.phantom import tissues
from common.phantom.anatomy.person import make_person
from common.phantom.anatomy.posture import make_column
from common.phantom.bank import files as bank_files
from common.phantom.bank.files import ANALYTIC, SubjectPlan, make_bank, make_one, plan_bank, shares_of
from common.phantom.painting.canvas import Canvas
from common.phantom.painting.surroundings import paint_surroundings
from common.phantom.tissues import CORTEX, LEVEL_CODES
from common.reading.nifti import read_nifti
from common.volume import Grid


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SubjectPlan]:
    out = tmp_path_factory.mktemp("bank")
    plan = plan_bank(1, 4, [], [1.0])[0]
    make_one(out, plan, bank_files._record(plan, {}))
    return out, plan


def test_the_drawn_subject_has_tissues_and_levels_in_order(bank: tuple[Path, SubjectPlan]) -> None:
    out, plan = bank
    volume = read_nifti(out / f"{plan.name}.nii.gz")
    assert volume.array.dtype == np.uint8 and np.allclose(volume.affine[:3, :3], np.eye(3) * 1.5)
    assert store.read_json(out / f"{plan.name}.json") == {"source": ANALYTIC, "seed": plan.seed, "lowest": "T2"}
    heights = []
    for level in ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1", "T2"):
        code = LEVEL_CODES[level]
        assert (volume.array == code).any() and (volume.array == code + CORTEX).any()
        heights.append(np.argwhere(volume.array == code)[:, 2].mean())
    assert (np.diff(heights) < 0).all()
    here = set(np.unique(volume.array))
    assert {tissues.MUSCLE, tissues.FAT, tissues.SKIN, tissues.AIR, tissues.DISC, tissues.CANAL, tissues.BRAIN} <= here


def test_what_is_current_is_left_and_what_is_foreign_is_not_touched(bank: tuple[Path, SubjectPlan]) -> None:
    out, plan = bank
    assert make_bank(out, [plan], 1) == (0, {})
    foreign = out / "mine.nii.gz"
    foreign.write_bytes(b"")
    with pytest.raises(OutputError, match=r"mine\.nii\.gz"):
        make_bank(out, [plan], 1)
    foreign.unlink()


def test_noting_tissues_changes_no_hu() -> None:
    person = make_person(1, 2)
    column = make_column(person)
    grid = Grid.around(column.centre("C5"), np.full(3, 90.0), np.full(3, 3.0))
    plain, noted = Canvas.filled(grid), Canvas.filled(grid)
    noted.tissues = np.zeros(grid.shape, np.uint8)
    for canvas in (plain, noted):
        paint_surroundings(canvas, column, person)
    assert (plain.hu == noted.hu).all() and plain.tissues is None
    assert np.median(noted.hu[noted.tissues == tissues.AIR]) < -800
    assert -130 < np.median(noted.hu[noted.tissues == tissues.FAT]) < -70
    assert 30 < np.median(noted.hu[noted.tissues == tissues.MUSCLE]) < 75


def test_shares_are_kept_over_any_run_of_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_files, "atlas_name", lambda where: where.name)
    monkeypatch.setattr(bank_files, "_has_skin", lambda where: where.name == "a")
    atlases = [Path("a"), Path("b")]
    plans = plan_bank(40, 0, atlases, shares_of(None, atlases))
    sources = [plan.source for plan in plans]
    assert [sources.count(k) for k in ("a", "b", ANALYTIC)] == [20, 10, 10]
    assert set(sources[:4]) == {"a", "b", ANALYTIC}
    assert len({plan.seed for plan in plans}) == 40
    assert next(plan.atlases for plan in plans if plan.source == "b") == (Path("b"), Path("a"))
    assert plans[:10] == plan_bank(10, 0, atlases, shares_of(None, atlases))


def test_wrong_shares_are_refused() -> None:
    assert shares_of(None, []) == [1.0]
    assert shares_of("1,3", [Path("a")]) == [0.25, 0.75]
    for text in ("1", "1,2,3", "1,-1", "0,0", "1,x"):
        with pytest.raises(ConfigError, match="--shares"):
            shares_of(text, [Path("a")])
