"""Exact sums over all ways to divide a line into vertebrae: a hidden semi-Markov chain, by forward-backward.

A segmentation is a row of vertebrae from the top of the line down, each with a state and a length in places. Its weight
is the product of what each vertebra weighs and of each boundary's (Rabiner 1989, Proc. IEEE 77:257, section IV.D;
Yu 2010, Artificial Intelligence 174:215). A vertebra split in two, two taken for one, or one that was missed need no
rules of their own: they are other segmentations of the same line.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

NEVER = -1e9
"""The log of what can't be."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Of N places, S states and H sizes of a person, all in logs. `places` (N, S): of each place in each state.
    `boundary` (N + 1,): of a boundary before place n; both ends count nothing. `length` (H, D + 1, S): of a whole
    vertebra of d places; `first`, `last` (H, D + 1, S): of the topmost and of the lowest, which the ends of the line
    may cut. `start` (S,), `step` (S, S): of the first state, and from one to the next. `size` (H,)."""

    places: np.ndarray
    boundary: np.ndarray
    length: np.ndarray
    first: np.ndarray
    last: np.ndarray
    start: np.ndarray
    step: np.ndarray
    size: np.ndarray

    @property
    def along(self) -> np.ndarray:
        """(N + 1, S): sum of `places` before each place."""
        return np.vstack([np.zeros(self.places.shape[1]), np.cumsum(self.places, axis=0)])


@dataclass(frozen=True, eq=False)
class Sums:
    """`total`: log of the weight of all segmentations. `states` (N, S): probability of each place's state. `count`
    (S,): expected number of vertebrae of each state; `agreed` (S,): of those that are allowed."""

    total: float
    states: np.ndarray
    count: np.ndarray
    agreed: np.ndarray


def forward_backward(chain: Chain, allowed: np.ndarray | None = None) -> Sums:
    """The sums over all segmentations and sizes; `allowed` as in `log_total`, by default all."""
    count, states = chain.places.shape
    before, total = _forward(chain, None)
    after, along = _backward(chain), chain.along
    change, number, agreed = np.zeros((count + 1, states)), np.zeros(states), np.zeros(states)
    for end in range(1, count + 1):
        weights = _segments(chain, along, end, before) + after[:, None, end] + chain.size[:, None, None]
        of_length = np.exp(weights - total).sum(axis=0)  # (D, S): probability of a vertebra of 1 ... D that ends here
        number += of_length.sum(axis=0)
        agreed += (of_length if allowed is None else of_length * allowed[end, : len(of_length)]).sum(axis=0)
        change[end] -= of_length.sum(axis=0)
        change[end - len(of_length) : end] += of_length[::-1]
    return Sums(total, np.cumsum(change, axis=0)[:-1], number, agreed)


def log_total(chain: Chain, allowed: np.ndarray | None = None) -> float:
    """Log of the weight of all segmentations, or of those alone whose every vertebra is allowed: `allowed`
    (N + 1, D, S) bool, for one of d + 1 places that ends before place n."""
    return _forward(chain, allowed)[1]


def _forward(chain: Chain, allowed: np.ndarray | None) -> tuple[np.ndarray, float]:
    """(H, N + 1, S): log of all that leads to a vertebra of a state that begins at place n; and of all there is."""
    count, states = chain.places.shape
    along = chain.along
    before = np.full((len(chain.size), count + 1, states), NEVER)
    before[:, 0] = chain.start
    for end in range(1, count + 1):
        weights = _segments(chain, along, end, before)
        if allowed is not None:
            weights = np.where(allowed[end, : weights.shape[1]], weights, NEVER)
        reached = _log_sum(weights, 1)
        if end < count:
            before[:, end] = _log_sum(reached[:, :, None] + chain.step, 1) + chain.boundary[end]
    return before, float(logsumexp(reached + chain.size[:, None]))


def _backward(chain: Chain) -> np.ndarray:
    """(H, N + 1, S): log of all that may follow a vertebra of a state that ends before place n; 0 at the line's end."""
    count, states = chain.places.shape
    along = chain.along
    after = np.full((len(chain.size), count + 1, states), NEVER)
    after[:, count] = 0
    longest = chain.length.shape[1] - 1
    for begin in range(count - 1, 0, -1):
        reach = min(longest, count - begin)
        lengths = chain.length[:, 1 : reach + 1]
        if begin + reach == count:
            lengths = np.concatenate([lengths[:, :-1], chain.last[:, reach : reach + 1]], axis=1)
        onward = _log_sum(lengths + along[begin + 1 : begin + reach + 1] + after[:, begin + 1 : begin + reach + 1], 1)
        onward -= along[begin]
        after[:, begin] = _log_sum(chain.step.T + onward[:, :, None], 1) + chain.boundary[begin]
    return after


def _segments(chain: Chain, along: np.ndarray, end: int, before: np.ndarray) -> np.ndarray:
    """(H, D, S): log of all that leads to and into a vertebra of 1 ... D places that ends before place `end`."""
    count = len(chain.places)
    reach = min(chain.length.shape[1] - 1, end)
    lengths = (chain.last if end == count else chain.length)[:, 1 : reach + 1]
    if end == reach:  # the longest begins at the top
        whole = chain.first[:, reach] if end < count else np.minimum(chain.first[:, reach], chain.last[:, reach])
        lengths = np.concatenate([lengths[:, :-1], whole[:, None]], axis=1)
    begins = slice(end - reach, end)
    return (before[:, begins] - along[begins])[:, ::-1] + lengths + along[end]


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """Log of the sum of exponentials along an axis."""
    most = values.max(axis=axis, keepdims=True)
    return np.squeeze(most, axis) + np.log(np.exp(values - most).sum(axis=axis))
