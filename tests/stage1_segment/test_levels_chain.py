"""The chain of vertebrae against sums over every segmentation, written out by brute force."""

from itertools import pairwise, product

import numpy as np
import pytest

from stage1_segment.inference.levels.chain import Chain, forward_backward, log_total


def random_chain(count: int, seed: int = 0, sizes: int = 2, longest: int = 3, states: int = 3) -> Chain:
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=shape) for shape in ((count, states), count + 1, *[(sizes, longest + 1, states)] * 3)]
    return Chain(*drawn, rng.normal(size=states), rng.normal(size=(states, states)), rng.normal(size=sizes))


def segmentations(count: int, longest: int):
    """Every row of lengths that sums to count."""
    if count == 0:
        yield ()
    for first in range(1, min(longest, count) + 1):
        for rest in segmentations(count - first, longest):
            yield (first, *rest)


def weights(chain: Chain):
    """(log weight, [(begin, end, state)]) of every segmentation, states and size."""
    count, states = chain.places.shape
    for lengths in segmentations(count, chain.length.shape[1] - 1):
        ends = np.cumsum(lengths)
        for names in product(range(states), repeat=len(lengths)):
            for size in range(len(chain.size)):
                log = chain.start[names[0]] + chain.size[size]
                log += sum(chain.step[a, b] for a, b in pairwise(names)) + sum(chain.boundary[ends[:-1]])
                parts = [(end - length, end, name) for length, end, name in zip(lengths, ends, names)]
                for begin, end, name in parts:
                    table = [chain.length]
                    if begin == 0 or end == count:
                        table = [*([chain.first] if begin == 0 else []), *([chain.last] if end == count else [])]
                    log += min(of[size, end - begin, name] for of in table) + chain.places[begin:end, name].sum()
                yield log, parts


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_those_of_every_segmentation(seed: int) -> None:
    chain = random_chain(5, seed)
    every = list(weights(chain))
    total = np.logaddexp.reduce([log for log, _ in every])
    sums = forward_backward(chain)
    assert sums.total == pytest.approx(total) == log_total(chain)
    states = np.zeros(chain.places.shape)
    for log, parts in every:
        for begin, end, name in parts:
            states[begin:end, name] += np.exp(log - total)
    assert sums.states == pytest.approx(states)
    assert sums.states.sum(axis=1) == pytest.approx(np.ones(5))


def test_sum_over_allowed_vertebrae_alone() -> None:
    chain = random_chain(5, seed=9)
    allowed = np.random.default_rng(1).random((6, 3, 3)) < 0.7
    kept = [
        log for log, parts in weights(chain) if all(allowed[end, end - begin - 1, name] for begin, end, name in parts)
    ]
    assert log_total(chain, allowed) == pytest.approx(np.logaddexp.reduce(kept))


def test_three_vertebrae_by_hand() -> None:
    """Three places, each a vertebra of one place: two states, the second must follow the first and then itself. Only
    AAA is forbidden, so that three rows are left: ABB, BBB, AAB weigh 0.6 * 0.5 * 0.5, 0.4 * 0.5 * 0.5 and nothing."""
    never = -1e9
    places = np.log([[0.6, 0.4], [0.5, 0.5], [0.5, 0.5]])
    step = np.array([[never, 0.0], [never, 0.0]])
    one = np.array([[[never, never], [0.0, 0.0]]])
    chain = Chain(places, np.zeros(4), one, one, one, np.zeros(2), step, np.zeros(1))
    sums = forward_backward(chain)
    assert np.exp(sums.total) == pytest.approx(0.25)
    assert sums.states[:, 0] == pytest.approx([0.6, 0, 0])
