"""3D Slicer's own libraries read what is written for it: names, colours, codes, and each voxel's place in the world."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.labels import CLASS_NAMES, COLOURS
from common.volume import Volume
from common.writing import colour_tables
from common.writing.codes import SUSPECTED
from common.writing.seg_nrrd import write_seg_nrrd

READER = Path(__file__).parents[2] / "slicer" / "read_files.py"
PYTHON = os.environ.get("SLICER_PYTHON") or (sys.executable if importlib.util.find_spec("slicer_core") else "")
pytestmark = pytest.mark.skipif(
    not PYTHON,
    reason="PyPI's slicer-core isn't installed: name the Python of an environment with it, SLICER_PYTHON=...",
)


def in_slicer(*paths: Path) -> dict:
    done = subprocess.run([PYTHON, READER, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("seed", [None, 3, 8])
def test_segments_lie_where_the_mask_has_them(tmp_path: Path, seed: int | None) -> None:
    """Voxels of 0.8 x 0.9 x 1.5 mm on axes as drawn, half of which are left-handed; None: L, P, S."""
    turned = np.diag([-1.0, -1, 1]) if seed is None else np.random.default_rng(seed).normal(size=(3, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(turned)[0] * [0.8, 0.9, 1.5]
    affine[:3, 3] = 30, -20, 70
    values = np.zeros((10, 12, 14), np.uint8)
    values[2:5, 3:9, 10:13], values[6:8, 1:2, 0:4], values[4:7, 0:1, 5:8] = 1, 8, SUSPECTED
    mask = Volume(values, affine)
    write_seg_nrrd(mask, tmp_path / "mask.seg.nrrd")
    found = in_slicer(tmp_path / "mask.seg.nrrd")["mask.seg.nrrd"]
    assert set(found) == {"C1", "thoracic", "suspected fracture"}
    for name, value in (("C1", 1), ("thoracic", 8), ("suspected fracture", SUSPECTED)):
        expected = mask.grid.to_world(np.argwhere(values == value))
        got = np.array(found[name]["points"])
        assert len(got) == len(expected)
        apart = np.linalg.norm(got[:, None] - expected[None], axis=2)
        assert apart.min(axis=0).max() < 1e-3 and apart.min(axis=1).max() < 1e-3
    np.testing.assert_allclose(found["C1"]["rgb"], COLOURS[1], atol=1e-3)
    assert "SCT^14806007^C1 vertebra" in found["C1"]["tags"] and "SCT^72704001" in found["suspected fracture"]["tags"]


def test_the_colour_table(tmp_path: Path) -> None:
    (tmp_path / "colors.ctbl").write_text(colour_tables.of_slicer())
    found = in_slicer(tmp_path / "colors.ctbl")["colors.ctbl"]
    assert [found[str(value)][0] for value in range(9)] == list(CLASS_NAMES) and len(found) == 9
    for value, rgb in COLOURS.items():
        np.testing.assert_allclose(found[str(value)][1:], [*rgb, 1], atol=1 / 255)
    assert found["0"][4] == 0
