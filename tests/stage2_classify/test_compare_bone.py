"""Bone's features against shells whose figures are known, and how well real and synthetic bone are told apart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from small_study import write_ct, write_ground, write_mask

from common.errors import ConfigError, DatasetError
from common.resample import resample
from common.volume import Volume
from stage2_classify.__main__ import main
from stage2_classify.evaluation import compare_bone
from stage2_classify.evaluation.bone_features import BANDS, CELL_MM, bone_features, profiles, spectrum
from stage2_classify.evaluation.compare_bone import told
from stage2_classify.evaluation.same_scanner import blur_between, on_scanner


def ball(shell_mm: float, blur_mm: float, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A ball of marrow of 200 HU, 12 mm in radius, its outer shell of 1000 HU, in tissue of 50 HU."""
    x, y, z = (np.indices((72, 72, 72)) - 35.5) * CELL_MM
    radius = np.sqrt(x**2 + y**2 + z**2)
    fine = np.where(radius < 12 - shell_mm, 200.0, np.where(radius < 12, 1000.0, 50.0))
    hu = ndimage.gaussian_filter(fine, blur_mm / CELL_MM)
    return hu + np.random.default_rng(0).normal(0, noise, hu.shape), radius < 12


@pytest.mark.parametrize("shell_mm", [2.0, 3.0])
def test_cortical_thickness_is_the_shell_s(shell_mm: float) -> None:
    thickness, _ = profiles(*ball(shell_mm, 0.5))
    assert thickness == pytest.approx(shell_mm, abs=0.3)


def test_a_blurred_edge_is_as_wide_as_the_blur_makes_it() -> None:
    """A step blurred by a Gaussian goes from 20 to 80 % within 2 x 0.8416 standard deviations."""
    for blur in (0.8, 1.2):
        _, edge = profiles(*ball(4.0, blur))
        assert edge == pytest.approx(2 * 0.8416 * blur, rel=0.2)
    assert np.isnan(profiles(*ball(0.0, 0.5))).all()


def test_white_texture_has_the_same_power_at_every_frequency() -> None:
    hu, mask = ball(2.0, 0.0, noise=40.0)
    power = spectrum(hu, ndimage.binary_erosion(mask, iterations=6))
    assert power.shape == (len(BANDS) - 1,)
    assert power[1:] == pytest.approx(40**2 * CELL_MM**3, rel=0.15)


def test_features_are_of_cortex_and_marrow() -> None:
    found, curves = bone_features(*ball(2.0, 0.0, noise=10.0))
    assert found["marrow HU 50%"] == pytest.approx(200, abs=2) and found["cortex HU 50%"] == pytest.approx(1000, abs=2)
    assert found["noise HU"] == pytest.approx(10, rel=0.1)
    assert curves["cortex"].sum() == pytest.approx(1) == curves["marrow"].sum()
    assert bone_features(np.zeros((20, 20, 20)), np.ones((20, 20, 20), bool) & False) is None


def test_a_sharp_scan_on_a_blurred_one_s_scanner_is_as_blurred() -> None:
    """Gaussian blurs add by their squares: a shell of 0.6 mm blur put through 0.8 mm is one of 1 mm blur."""
    assert blur_between(3 * 0.6, 3 * 1.0) == pytest.approx(3 * 0.8 / (2 * 0.8416))
    assert blur_between(1.2, 0.9) == 0
    affine = np.diag([CELL_MM] * 3 + [1.0])
    hu, mask = ball(4.0, 0.6)
    ct, seen = on_scanner(Volume(hu, affine), Volume(mask.astype(np.uint8), affine), np.array([0.5, 0.5, 1.0]), 0.8)
    assert ct.spacing == pytest.approx([0.5, 0.5, 1.0]) and seen.grid.matches(ct.grid)
    assert seen.array.sum() * 0.25 == pytest.approx(mask.sum() * CELL_MM**3, rel=0.02)
    fine = resample(ct, Volume(hu, affine).grid, fill=50).array
    wanted = ball(4.0, 1.0)[0]
    assert np.abs(fine - wanted)[8:-8, 8:-8, 8:-8].max() < 90 < np.abs(hu - wanted).max()
    assert profiles(fine, mask)[1] == pytest.approx(profiles(wanted, mask)[1], rel=0.1)


def table(apart: float, seed: int = 0) -> pd.DataFrame:
    """Six scans of each kind, five vertebrae each; the feature `a` differs by `apart` standard deviations."""
    rng = np.random.default_rng(seed)
    rows = [
        {"kind": kind, "scan": str(scan), "level": f"C{n}", "a": rng.normal() + apart * (kind == "real"),
         "b": rng.normal()}
        for kind in ("real", "synthetic") for scan in range(6) for n in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_kinds_that_differ_are_told_apart_and_others_not() -> None:
    """Two normal distributions, 2 standard deviations apart: an AUC of Phi(2 / sqrt 2) = 0.921."""
    found = told(table(2.0), ["a", "b"], draws=100)
    assert found["auc"] == pytest.approx(0.921, abs=0.06) and found["low"] < found["auc"] < found["high"]
    assert np.mean([told(table(0.0, seed), ["a", "b"], draws=10)["auc"] for seed in range(6)]) < 0.65
    one = table(2.0).query("kind == 'synthetic' or scan == '0'")
    with pytest.raises(DatasetError, match="two real and two synthetic"):
        told(one, ["a", "b"])


def test_a_scan_s_own_mark_is_no_help() -> None:
    """Marks of each scan that say nothing of its kind: a fit that had seen the scan would know them."""
    marked = table(0.0)
    for scan in range(6):
        for kind in ("real", "synthetic"):
            marked[f"{kind} {scan}"] = ((marked["kind"] == kind) & (marked["scan"] == str(scan))).astype(float)
    names = [name for name in marked if name not in ("kind", "scan", "level")]
    assert told(marked, names, draws=10)["auc"] < 0.8


def test_the_command_writes_report_and_picture(tmp_path: Path) -> None:
    for name, seed in (("real", 1), ("drawn", 5)):
        folder = write_ground(tmp_path / name)
        write_ct(folder / "scans/bert.nii.gz", seed)
        write_mask(folder / "masks/bert.nii.gz")
    words = ["compare-bone", "--real", str(tmp_path / "real"), "--synthetic", str(tmp_path / "drawn")]
    words += ["--synthetic-scheme", "merged", "-o", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.png")]
    assert main(words) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["counts"]["real"] == {"scans": 2, "vertebrae": 10} and 0 <= report["told"]["auc"] <= 1
    assert len(report["curves"]["real"]["marrow"]) == len(report["axes"]["hu"]) - 1
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "same_scanner" not in report

    same = [*words, "--overwrite", "--same-scanner"]
    assert main([*same, "--blur", "3"]) == 0
    again = json.loads((tmp_path / "r.json").read_text())
    assert again["same_scanner"]["spacings_mm"] == [[4, 4, 4]] * 2 and again["same_scanner"]["blur_mm"] == 3
    assert {name: again[name] for name in report} == report
    synthetic = [part["features"]["marrow HU 95%"]["synthetic"]["median"] for part in (again, again["same_scanner"])]
    assert synthetic[1] < synthetic[0] - 100, "blurred noise of 200 HU"
    with pytest.raises(ConfigError, match="--blur 3"):
        main([*words, "--blur", "3"])


@pytest.mark.parametrize(("wanted", "blur"), [(1.2, 0.47), (0.8, 0.0)])
def test_scans_are_blurred_until_edges_are_as_wide(wanted: float, blur: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges of 0.9 mm that a blur widens by less than a Gaussian's: sqrt(1.2^2 - 0.9^2) / 1.683 = 0.472 mm isn't enough
    at once."""

    def measure(grounds: list, kind: str, spacings: list, blur_mm: float = 0.0) -> compare_bone.Measured:
        rows = pd.DataFrame({compare_bone.EDGE: [np.hypot(0.9, 0.8 * 1.683 * blur_mm)]})
        return compare_bone.Measured(rows, {}, [np.ones(3)])

    monkeypatch.setattr(compare_bone, "measure", measure)
    real = compare_bone.Measured(pd.DataFrame({compare_bone.EDGE: [wanted]}), {}, [np.ones(3)])
    found, drawn = compare_bone._on_theirs([], real, None)
    edge = drawn.rows[compare_bone.EDGE].item()
    assert found >= blur and edge == pytest.approx(max(wanted, 0.9), rel=0.03)
    assert compare_bone._on_theirs([], real, 0.3)[0] == 0.3
