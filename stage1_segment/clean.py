"""What anatomy allows: one connected vertebra per level, levels in order down the spine, no specks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.labels import CLASS_NAMES, THORACIC
from stage1_segment.settings import CleanSettings

TOUCHING = np.ones((3, 3, 3))
PITCH_MM = 17.0
"""From one cervical vertebra to the next: body 12-14 mm and disc 4-6 mm high (Gilad & Nissan 1986, Spine 11:154)."""
LABEL_COST = 1.0
"""Of giving a vertebra of median volume another level than the network did; against it stands the squared error
of the distances between neighbours, in pitches."""
GAP_COST = 3.0
SECOND = 0.4
"""Part of a level's largest piece that a second vertebra of the same name must have."""


@dataclass(eq=False)
class Piece:
    """A connected piece of one label: `box` of the mask, `inside` bool (box shape), `volume` mm3; `height` mm
    of its middle along axis 2, of its upper end less half a pitch for thoracic ones, which hang together."""

    label: int
    box: tuple[slice, slice, slice]
    inside: np.ndarray
    volume: float
    height: float


def clean(mask: np.ndarray, spacing: np.ndarray, settings: CleanSettings) -> tuple[np.ndarray, tuple[str, ...]]:
    """mask (X, Y, Z) uint8 of `labels.CLASS_NAMES`, axes nearest to R, A, S, `spacing` (3,) mm -> the mask as
    anatomy allows it, and what was changed, a sentence each. A level with too little bone becomes absent."""
    pieces = [piece for label in range(1, len(CLASS_NAMES)) for piece in find_pieces(mask, label, spacing)]
    vertebrae, rest = _vertebrae(pieces, settings)
    owner = np.zeros(mask.shape, np.uint16)  # number of the vertebra that each voxel belongs to
    for number, vertebra in enumerate(vertebrae, start=1):
        owner[vertebra.box][vertebra.inside] = number
    labels = np.array([0] + [v.label for v in vertebrae])
    removed = sum(p.volume for p in rest if not _adopt(owner, labels, p, spacing, settings))
    names = best_levels(
        [v.label for v in vertebrae], np.array([v.height for v in vertebrae]), np.array([v.volume for v in vertebrae])
    )
    notices = [
        f"what the network called {CLASS_NAMES[v.label]} is named {CLASS_NAMES[name]}, by its place in the row"
        for v, name in zip(vertebrae, names)
        if v.label != name
    ]
    if removed >= settings.level_mm3:
        notices.append(f"{removed / 1000:.1f} ml of stray bone removed")
    return np.array([0, *names], np.uint8)[owner], tuple(notices)


def find_pieces(mask: np.ndarray, label: int, spacing: np.ndarray) -> list[Piece]:
    """The connected pieces (26 neighbours) of a label, largest first."""
    box = ndimage.find_objects((mask == label).view(np.uint8))
    if not box:
        return []
    origin = np.array([s.start for s in box[0]])
    parts, _ = ndimage.label(mask[box[0]] == label, TOUCHING)
    sizes = np.bincount(parts.ravel())[1:]
    pieces = []
    for number, part_box in enumerate(ndimage.find_objects(parts), start=1):
        inside = parts[part_box] == number
        whole = tuple(slice(s.start + o, s.stop + o) for s, o in zip(part_box, origin))
        height = (whole[2].start + inside.sum(axis=(0, 1)) @ np.arange(inside.shape[2]) / inside.sum()) * spacing[2]
        if label == THORACIC:
            height = (whole[2].stop - 1) * spacing[2] - PITCH_MM / 2
        volume = float(sizes[number - 1] * np.prod(spacing))
        pieces.append(Piece(label, whole, inside, volume, height))
    return sorted(pieces, key=lambda piece: -piece.volume)


def _vertebrae(pieces: list[Piece], settings: CleanSettings) -> tuple[list[Piece], list[Piece]]:
    """The pieces that are vertebrae, from top to bottom, and the others. A second piece of a cervical level is
    a vertebra of its own only when it is nearly as large as the first and lies more than half a pitch away: one name
    given to two. A spinous process that has come off is smaller by far."""
    vertebrae, rest = [], []
    for piece in pieces:
        same = [v for v in vertebrae if v.label == piece.label] if piece.label != THORACIC else []
        large = piece.volume >= max([settings.level_mm3, *(SECOND * v.volume for v in same)])
        apart = all(abs(v.height - piece.height) > PITCH_MM / 2 for v in same)
        (vertebrae if large and apart else rest).append(piece)
    return sorted(vertebrae, key=lambda v: -v.height), rest


def _adopt(owner: np.ndarray, labels: np.ndarray, piece: Piece, spacing: np.ndarray, settings: CleanSettings) -> bool:
    """Gives a piece to a vertebra of its label within `fragment_mm`, else to the one that it touches most;
    False when there is neither. A speck is never a fragment."""
    margin = np.ceil(settings.fragment_mm / spacing).astype(int)
    start = np.array([s.start for s in piece.box])
    low = np.maximum(start - margin, 0)
    high = np.minimum([s.stop for s in piece.box] + margin, owner.shape)
    around = tuple(map(slice, low, high))
    inside = np.zeros(tuple(high - low), bool)
    inside[tuple(slice(a, a + n) for a, n in zip(start - low, piece.inside.shape))] = piece.inside
    near = np.zeros(0, int)
    if piece.volume >= settings.speck_mm3:
        reach = ndimage.distance_transform_edt(~inside, sampling=spacing) <= settings.fragment_mm
        near = owner[around][reach]
        near = near[(near > 0) & (labels[near] == piece.label)]
    if near.size == 0:
        near = owner[around][ndimage.binary_dilation(inside, TOUCHING) & ~inside]
        near = near[near > 0]
    if near.size:
        owner[around][inside] = np.bincount(near).argmax()
    return bool(near.size)


def best_levels(labels: list[int], heights: np.ndarray, volumes: np.ndarray) -> list[int]:
    """Levels of vertebrae from top to bottom, strictly down the spine (thoracic may repeat), that agree best
    with the network's `labels` and with their distances; heights (N,) mm, volumes (N,) mm3. By Viterbi."""
    if not labels:
        return []
    states = np.arange(1, THORACIC + 1)
    weight = LABEL_COST * np.minimum(volumes / np.median(volumes), 1.5)
    cost = weight[:, None] * (states[None] != np.array(labels)[:, None])
    step = states[None] - states[:, None]  # from (row) to (column)
    again = (step == 0) & (states[None] == THORACIC)
    total, came = cost[0], []
    for k in range(1, len(labels)):
        gap = (heights[k - 1] - heights[k]) / PITCH_MM
        move = np.where(step > 0, np.minimum(GAP_COST * (gap - step) ** 2, 6.0), np.where(again, 0.0, np.inf))
        came.append((total[:, None] + move).argmin(axis=0))
        total = (total[:, None] + move).min(axis=0) + cost[k]
    path = [int(total.argmin())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return [int(states[s]) for s in reversed(path)]
