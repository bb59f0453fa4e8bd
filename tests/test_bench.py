"""The benchmark's ratios are taken round by round, in turn, and a missing peer is named."""

import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.compare import Figures, Way, measured, ratios, table


def test_ways_take_turns_and_the_first_turn_does_not_count() -> None:
    calls: list[str] = []
    figures = measured([Way(name, lambda name=name: calls.append(name)) for name in "ab"], 2)
    assert "".join(calls) == "ababab"
    assert {name: (len(own.wall), len(own.cores)) for name, own in figures.items()} == {"a": (2, 2), "b": (2, 2)}


def test_a_ratio_is_that_of_one_round() -> None:
    """The machine is twice as slow in the second round, for both."""
    found = ratios({"ours": Figures([1, 2, 1], [1, 2, 1]), "other": Figures([3, 6, 2], [1.5, 3, 1])})
    assert found["ours"]["ratio"] == found["ours"]["ratio_high"] == 1
    assert found["other"] == {
        "wall_s": 3, "core_s": 1.5, "ratio": 3, "ratio_low": 2, "ratio_high": 3, "cores_ratio": 1.5,
    }  # fmt: skip
    assert "| other | 3.000 | 1.500 | 3.00 (2.00 to 3.00) | 1.50 |" in table(found)


def test_a_peer_that_is_not_installed_is_left_out_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse() -> None:
        raise AssertionError("not installed")

    ways = [Way("ours", lambda: None), Way("theirs", refuse, "pip install theirs")]
    monkeypatch.setattr(bench, "COMPARISONS", {"work": lambda out: ways})
    monkeypatch.setattr(sys, "argv", ["bench", "work", "--out", str(tmp_path), "--rounds", "1"])
    assert bench.main() == 0
    said = capsys.readouterr()
    assert "theirs is left out: pip install theirs" in said.err and "| ours |" in said.out
    assert '"ratio": 1.0' in (tmp_path / "work.json").read_text()
    monkeypatch.setattr(sys, "argv", ["bench", "nothing"])
    with pytest.raises(SystemExit):
        bench.main()
