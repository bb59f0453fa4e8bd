"""The row of levels moved by what a person says of one vertebra: values and places worked out by hand."""

import numpy as np
import pytest
from fake_neck import SPACING, neck, renamed

from common.corrections.levels import Named, moved, parse, steps
from common.corrections.thoracic import thoracic_vertebrae
from common.errors import ConfigError
from common.volume import Volume

OURS = (1, 2, 3, 4, 5, 6, 7, 8, 8)
"""What this project calls C1..C7, T1, T2."""
BODY_OF_C4 = (0.0, 12.0, 19.5)
"""RAS mm: its top is at 80 - 3 * 18 = 26, it is 13 mm high, and its body begins at 10 - 6 * sin(3/8 pi) = 4.5."""


@pytest.fixture(scope="module")
def truth() -> Volume:
    """Values 1..9 = C1..C7, T1, T2."""
    return neck()[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("C4=C5", Named("C4=C5", 5, called=4)),
        ("t1=c7", Named("t1=c7", 7, called=8)),
        ("C7=T1", Named("C7=T1", 8, called=7)),
        ("C4=1,-20.5,+41", Named("C4=1,-20.5,+41", 4, at=(1.0, -20.5, 41.0))),
        ("C4=R 3.1, P 20.5, S 41.0 mm", Named("C4=R 3.1, P 20.5, S 41.0 mm", 4, at=(3.1, -20.5, 41.0))),
        ("C4=(I 7, L2, A 5)", Named("C4=(I 7, L2, A 5)", 4, at=(-2.0, 5.0, -7.0))),
    ],
)
def test_what_can_be_said(words: str, expected: Named) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("C4", "expected one of C1"), ("=C5", "expected one of C1"), ("C8=C1", "expected one of C1"),
        ("C4=57", "slice's number"), ("C4=#3", "slice's number"), ("C4=1,2", "neither a level nor a point"),
        ("C4=R 1, L 2, S 3", "neither a level nor a point"), ("C4=C5,C5=C6", "neither"), ("C4=nan,1,2", "neither"),
        ("C4=R 1, 2, 3", "neither"), ("C4=T2", "neither"), ("C4=", "neither"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_refused_with_what_to_say(words: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        parse(words)
    assert "what is called C4 is C5" in str(error.value)


def test_down_what_goes_beyond_c7_is_thoracic(truth: Volume) -> None:
    mask = renamed(truth, OURS)
    by = steps(mask, [parse("C4=C5"), parse("C2=C3")])
    made, names, said = moved(mask, by)
    assert by == 1 and (made.array == renamed(truth, (2, 3, 4, 5, 6, 7, 8, 8, 8)).array).all() and not said
    assert names == {f"C{n}": f"C{n + 1}" for n in range(1, 7)} | {"C7": "thoracic"}


def test_up_the_highest_thoracic_vertebra_becomes_c7_and_c1_is_left_out_aloud(truth: Volume) -> None:
    mask = renamed(truth, OURS)
    made, names, said = moved(mask, steps(mask, [parse("T1=C7")]))
    assert (made.array == renamed(truth, (0, 1, 2, 3, 4, 5, 6, 7, 8)).array).all()
    assert names == {"C1": "", **{f"C{n}": f"C{n - 1}" for n in range(2, 8)}, "T1": "C7"}
    assert len(said) == 1 and "C1 would lie above C1" in said[0]
    two = moved(mask, -2)[0]
    assert (two.array == renamed(truth, (0, 0, 1, 2, 3, 4, 5, 6, 7)).array).all()


def test_any_order_and_direction_of_axes(truth: Volume) -> None:
    mask = renamed(truth, OURS)
    to = np.zeros((4, 4))
    to[2, 0], to[0, 1], to[1, 2], to[3, 3] = -1, 1, 1, 1  # new axes: z from above, x, y
    to[2, 3] = mask.array.shape[2] - 1
    other = Volume(np.ascontiguousarray(mask.array.transpose(2, 0, 1)[::-1]), mask.affine @ to)
    made = moved(other, -1)[0]
    assert (made.array == moved(mask, -1)[0].array.transpose(2, 0, 1)[::-1]).all()
    assert np.allclose(made.affine, other.affine)


def test_a_point_says_which_one(truth: Volume) -> None:
    mask = renamed(truth, OURS)
    x, y, z = BODY_OF_C4
    assert steps(mask, [parse(f"C5={x},{y},{z}")]) == 1
    assert steps(mask, [parse(f"C3=S {z}, A {y}, R {x}")]) == -1
    assert steps(mask, [parse(f"C3={x},{y},{z}"), parse("C7=C6")]) == -1
    in_t2 = (0.0, 15.0, 80.0 - 8 * 18 - 6.5)
    assert steps(mask, [parse("C7={},{},{}".format(*in_t2))]) == -2
    with pytest.raises(ConfigError, match="says already"):
        steps(mask, [parse(f"C4={x},{y},{z}")])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("C5=0,-60,19.5", "no vertebra lies there; C4, the nearest"),
        ("C5=0,500,19.5", "no vertebra of the mask lies within"),
        ("C5=0,13,10", "between C4 and C5"),
        ("C5=C6 C4=C6", "don't agree"),
        ("C5=C5", "says already"),
    ],
)
def test_what_contradicts_the_mask_is_refused(truth: Volume, words: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        steps(renamed(truth, OURS), [parse(one) for one in words.split()])


def test_a_point_as_dicom_counts_is_found_out(truth: Volume) -> None:
    x, y, z = BODY_OF_C4
    aside = Volume(truth.array, truth.affine + np.array([[0, 0, 0, 0], [0, 0, 0, 60], [0, 0, 0, 0], [0, 0, 0, 0.0]]))
    with pytest.raises(ConfigError, match="left, posterior, superior it is in C4"):
        steps(renamed(aside, OURS), [parse(f"C5={-x},{-(y + 60)},{z}")])


def test_a_level_that_is_not_there_and_none_that_would_be_left(truth: Volume) -> None:
    c3_only = renamed(truth, (0, 0, 3, 0, 0, 0, 0, 0, 0))
    with pytest.raises(ConfigError, match="has no C4; it has C3"):
        steps(c3_only, [parse("C4=C5")])
    with pytest.raises(ConfigError, match="no cervical level would be left"):
        moved(c3_only, 5)
    with pytest.raises(ConfigError, match="no cervical level would be left"):
        moved(c3_only, -3)


def bridged(truth: Volume, width_mm: float) -> Volume:
    """The mask with T1's and T2's bodies joined by a bar so wide across."""
    x, y, z = np.moveaxis(truth.grid.to_world(np.moveaxis(np.indices(truth.array.shape), 0, -1)), -1, 0)
    top = 80.0 - 7 * 18
    bar = (np.abs(x) < width_mm / 2) & (np.abs(y - 15) < width_mm / 2) & (z <= top - 12) & (z > top - 20)
    return truth.with_array(np.where(bar & (truth.array == 0), np.uint8(9), truth.array))


def test_a_thin_bridge_is_cut_and_what_hangs_together_is_not_guessed(truth: Volume) -> None:
    mask = renamed(bridged(truth, 5.0), OURS)
    pieces, why = thoracic_vertebrae(mask, 1)
    assert why == "" and len(pieces) == 1
    wrong = pieces[0] != (truth.array == 8)
    assert wrong.sum() * SPACING**3 < 0.1 * 7392  # of T1's mm3, near the bridge
    whole = renamed(bridged(truth, 60.0), OURS)
    made, names, said = moved(whole, -1)
    assert not (made.array == 7).any() and (made.array == 6).any() and "T1" not in names
    assert any("C7 can't be told from the thoracic vertebrae below (they hang together)" in text for text in said)
    none = moved(renamed(truth, (1, 2, 3, 4, 5, 6, 7, 0, 0)), -1)
    assert "T1" not in none[1] and not (none[0].array == 7).any()
