"""Rare kinds of necks, made of a toy's label map whose vertebrae are 18 mm apart."""

import numpy as np
import pytest
from fake_subject import fake_affine, fake_labels

from common.phantom import tissues
from common.phantom.bank import variants
from common.phantom.tissues import CORTEX, LEVEL_CODES
from common.volume import Volume

PITCH = 6
"""Voxels."""


def toy() -> Volume:
    return Volume(fake_labels(), fake_affine())


def heights(subject: Volume) -> dict[int, float]:
    """Code of a vertebra -> middle of its spongy bone, voxels along z."""
    codes = LEVEL_CODES.values()
    return {code: np.argwhere(subject.array == code)[:, 2].mean() for code in codes if (subject.array == code).any()}


def test_one_vertebra_fewer() -> None:
    before, after = heights(toy()), heights(variants.without(toy(), "C5"))
    assert set(after) == set(before) - {max(before)}
    for code in after:
        assert after[code] == pytest.approx(before[code], abs=0.6)  # every place has a vertebra, counted anew
    shortened = variants.without(toy(), "C5").array
    assert (shortened[:, :, 10 + PITCH - 1] != fake_labels()[:, :, 10 + PITCH - 1]).any() or len(after) == 10


def test_one_vertebra_more() -> None:
    before, after = heights(toy()), heights(variants.doubled(toy(), "C4"))
    assert [code for code in before if code not in after] == [] and len(after) >= len(before)
    for code in before:
        assert after[code] == pytest.approx(before[code], abs=0.6)


def test_skin_and_air_stay_where_the_spine_moves() -> None:
    for changed in (variants.without(toy(), "C5"), variants.doubled(toy(), "C5")):
        above = slice(80, None)
        assert np.array_equal(changed.array[:, :, above], fake_labels()[:, :, above])
        assert changed.array.dtype == np.uint8


def test_ribs_at_c7_begin_like_those_of_t1() -> None:
    labels = fake_labels()
    t1 = np.argwhere(labels == LEVEL_CODES["T1"])[:, 2]
    labels[36:50, 20:24, t1.min() : t1.max() + 1] = tissues.RIB_CORTEX
    ribs = np.argwhere(variants.with_cervical_ribs(Volume(labels, fake_affine())).array == tissues.RIB_CORTEX)
    at_c7 = ribs[ribs[:, 2] >= t1.min() + PITCH]
    assert len(at_c7) and at_c7[:, 0].min() == 36
    assert (at_c7[:, 0].max() - 30) * 3.0 < variants.RIB_MM + 3  # short ones
    assert at_c7[:, 2].min() == t1.min() + PITCH and at_c7[:, 2].max() == t1.max() + PITCH


def test_atlas_grows_onto_the_skull() -> None:
    labels = fake_labels()
    top = np.argwhere(labels == CORTEX + 1)[:, 2].max()
    labels[25:35, 18:30, top + 2 : top + 6] = tissues.SKULL_CORTEX
    grown = variants.with_assimilated_atlas(Volume(labels, fake_affine())).array
    assert (grown[27:33, 20:28, top + 1] == 1).all()
    assert np.array_equal(grown == tissues.SKULL_CORTEX, labels == tissues.SKULL_CORTEX)
    alone = variants.with_assimilated_atlas(toy())
    assert np.array_equal(alone.array, fake_labels())
