"""Connected pieces of all values of a mask at once, from its runs."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from common.masks.runs import runs_of
from common.volume import memory_order

FACES, AROUND = ((0, 1), (1, 0)), ((0, 1), (1, -1), (1, 0), (1, 1))
"""Voxels touch by a face (6 neighbours), or by an edge or a corner too (26): steps across a line of voxels to those
beside it, to one of each two that lie opposite each other."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """N pieces in the order of their first voxels: `values` (N,) of the mask; `sizes` (N,) voxels; `first`, `last`
    (N, 3): first and last voxel of their boxes; `middles` (N, 3): means of their voxels' indices."""

    values: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    last: np.ndarray
    middles: np.ndarray
    _starts: np.ndarray
    """(M, 3): where runs begin; `_lengths` (M,) voxels along axis `_along`. Those of piece n: `_runs[n]`, (N, 2)."""
    _lengths: np.ndarray
    _along: int
    _runs: np.ndarray

    def box(self, number: int) -> tuple[slice, ...]:
        return tuple(slice(a, b + 1) for a, b in zip(self.first[number].tolist(), self.last[number].tolist()))

    def inside(self, number: int) -> np.ndarray:
        """The piece's voxels: bool, of its box's shape."""
        own = slice(*self._runs[number])
        starts = self._starts[own] - self.first[number]
        size = self.last[number] - self.first[number] + 1
        room = np.arange(3) == self._along  # for the end of a run that reaches the box's last voxel
        changes = np.zeros(size + room, bool)
        changes[tuple(starts.T)] = True
        starts[:, self._along] += self._lengths[own]
        changes[tuple(starts.T)] = True
        return np.logical_xor.accumulate(changes, self._along)[tuple(map(slice, size))]


def pieces_of(mask: np.ndarray, neighbours: tuple[tuple[int, int], ...]) -> Pieces:
    """The connected pieces of each value but 0 of mask (X, Y, Z), bool or uint8; `neighbours`: `FACES` or `AROUND`."""
    axes = memory_order(mask)
    starts, stops, values, shape = runs_of(mask.transpose(axes))
    aside = int(neighbours == AROUND)
    pairs = [_touching(starts, stops, (x * shape[1] + y) * shape[2], aside) for x, y in neighbours]
    one, other = np.concatenate(pairs, axis=1)
    same = values[one] == values[other]
    graph = coo_array((same[same], (one[same], other[same])), shape=(len(values), len(values)))
    count, numbers = connected_components(graph, directed=False)
    order = np.argsort(numbers, kind="stable")
    begin = np.searchsorted(numbers[order], np.arange(count + 1))
    places = np.column_stack(np.unravel_index(starts[order], shape))[:, np.argsort(axes)]
    return _measured(values[order], places, (stops - starts)[order], int(axes[-1]), begin, mask.shape)


def _touching(starts: np.ndarray, stops: np.ndarray, step: int, aside: int) -> np.ndarray:
    """(2, P) numbers of runs that touch: of a line, and of the line `step` voxels on. By a voxel `aside`, 0 or 1."""
    first = np.searchsorted(stops, starts + (step - aside), "right")
    counts = np.searchsorted(starts, stops + (step + aside), "left") - first
    one = np.repeat(np.arange(len(starts)), counts)
    return np.stack([one, np.arange(len(one)) + np.repeat(first - (np.cumsum(counts) - counts), counts)])


def _measured(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, along: int, begin: np.ndarray, shape: tuple[int, ...]
) -> Pieces:
    """Pieces of a mask of `shape`, each from its run `begin[n]` on: `values` (M,), `starts` (M, 3), `lengths` (M,)."""
    last = starts.copy()
    last[:, along] += lengths - 1
    sums = (starts + last) * lengths[:, None]  # twice those of the voxels' indices
    of = begin[:-1]
    order = np.argsort(np.minimum.reduceat(np.ravel_multi_index(tuple(starts.T), shape), of))
    sizes = np.add.reduceat(lengths, of)
    return Pieces(
        values[of][order],
        sizes[order],
        np.minimum.reduceat(starts, of)[order],
        np.maximum.reduceat(last, of)[order],
        (np.add.reduceat(sums, of) / (2 * sizes[:, None]))[order],
        starts,
        lengths,
        along,
        np.column_stack([of, begin[1:]])[order],
    )
