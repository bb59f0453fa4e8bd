"""The packages as a library: what a few lines of Python give, and that importing them costs nothing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_study import write_blind_weights, write_ct

from common import read_study
from common.errors import WeightsError
from common.masks.turned import turned
from common.resample import canonical
from common.volume import Volume
from stage1_segment import Segmentation, Segmenter
from stage1_segment.inference.segmenter import Segmentation as Defined
from stage1_segment.pretrained import SHIPPED

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


def test_the_pretrained_segmenter_is_the_shipped_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda cls, *given: given))
    assert Segmenter.pretrained("cpu") == (SHIPPED, "cpu") and SHIPPED.is_file()
