"""Bone drawn nearer to real scans: only how it looks changes, and the default stays as it is."""

import dataclasses

import numpy as np
import pytest

from common.phantom.__main__ import parse_arguments
from common.phantom.painting.bone_look import LOOKS
from common.phantom.render import render
from common.phantom.study_plan import AS_DICOM, plan_cohort


def test_a_skewed_texture_keeps_mean_and_spread_and_has_a_tail_of_dense_places() -> None:
    texture = np.random.default_rng(0).standard_normal(200_000, dtype=np.float32)
    assert LOOKS["drawn"].skewed(texture) is texture
    found = LOOKS["real"].skewed(texture)
    assert found.mean() == pytest.approx(0, abs=0.02) and found.std() == pytest.approx(1, abs=0.03)
    # A log-normal distribution of s = 0.6: skewness (e^(s^2) + 2) sqrt(e^(s^2) - 1) = 2.26.
    assert (found**3).mean() == pytest.approx(2.26, abs=0.3)


def test_the_default_is_the_drawn_look() -> None:
    assert parse_arguments(["--out", "x"]).bone == "drawn"
    assert {plan.bone for plan in plan_cohort(2, 1, 0)} == {"drawn"}
    drawn, real = (plan_cohort(2, 1, 0, bone=bone) for bone in ("drawn", "real"))
    assert [dataclasses.replace(plan, bone="drawn") for plan in real] == drawn
    assert {plan.digest() for plan in real}.isdisjoint(plan.digest() for plan in drawn)


def test_real_bone_has_the_same_shape_and_a_longer_tail() -> None:
    plan = dataclasses.replace(plan_cohort(1, 0, 4)[0], segmentation=AS_DICOM, fractures={})
    drawn, real = (render(dataclasses.replace(plan, bone=bone), 96) for bone in ("drawn", "real"))
    assert np.array_equal(drawn.labels.array, real.labels.array)
    bone = (drawn.labels.array > 2) & (drawn.labels.array < 8)
    spread = [np.quantile(of.ct.array[bone], [0.05, 0.5, 0.95]) for of in (drawn, real)]
    tail = [(high - middle) / (middle - low) for low, middle, high in spread]
    assert tail[1] > 1.15 * tail[0]
