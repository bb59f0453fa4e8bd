"""What anatomy allows: one connected vertebra per level, levels in order down the spine, no specks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from common.labels import CLASS_NAMES, LEVELS, THORACIC
from stage1_segment.settings import CleanSettings

TOUCHING = np.ones((3, 3, 3))
PITCH_MM = 17.0
"""From one cervical vertebra to the next: body 12-14 mm and disc 4-6 mm high (Gilad & Nissan 1986, Spine 11:154)."""
LABEL_COST = 1.0
"""Of a vertebra that is given another level than the network's, by its share of the mean volume; against it
stands the squared error of its distance to its neighbours, in pitches."""


@dataclass(eq=False)
class Piece:
    """A connected piece of one label: `box` of the mask, `inside` bool (box shape), `centre` (3,) mm."""

    label: int
    box: tuple[slice, slice, slice]
    inside: np.ndarray
    volume: float
    centre: np.ndarray


def clean(mask: np.ndarray, spacing: np.ndarray, settings: CleanSettings) -> tuple[np.ndarray, tuple[str, ...]]:
    """mask (X, Y, Z) uint8 of `labels.CLASS_NAMES`, axes nearest to R, A, S, `spacing` (3,) mm -> the mask as
    anatomy allows it, and what was changed, a sentence each. A level with too little bone becomes absent."""
    pieces = [piece for label in range(1, len(CLASS_NAMES)) for piece in find_pieces(mask, label, spacing)]
    vertebrae, rest = _vertebrae(pieces, settings)
    if not vertebrae:
        return np.zeros_like(mask), ("no piece is large enough for a vertebra",) if pieces else ()
    cleaned = np.zeros_like(mask)
    for piece in vertebrae:
        cleaned[piece.box][piece.inside] = piece.label
    removed = _place_rest(cleaned, rest, spacing, settings)
    cleaned, notices = _in_order(cleaned, vertebrae)
    if removed >= settings.level_mm3:
        notices.append(f"{removed / 1000:.1f} ml of stray bone removed")
    return cleaned, tuple(notices)


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
        middle = np.argwhere(inside).mean(axis=0) + [s.start for s in whole]
        volume = float(sizes[number - 1] * np.prod(spacing))
        pieces.append(Piece(label, whole, inside, volume, middle * spacing))
    return sorted(pieces, key=lambda piece: -piece.volume)


def _vertebrae(pieces: list[Piece], settings: CleanSettings) -> tuple[list[Piece], list[Piece]]:
    """The pieces that are vertebrae, and the others. A second piece of a level is a vertebra of its own only
    when it is large and lies more than half a pitch up or down: the network gave one name to two. All
    thoracic pieces are."""
    vertebrae, rest = [], []
    for piece in pieces:
        first = [v for v in vertebrae if v.label == piece.label]
        large = piece.volume >= settings.level_mm3 * (4 if first and piece.label != THORACIC else 1)
        apart = all(abs(v.centre[2] - piece.centre[2]) > PITCH_MM / 2 for v in first)
        (vertebrae if large and (apart or piece.label == THORACIC) else rest).append(piece)
    return vertebrae, rest


def _place_rest(cleaned: np.ndarray, rest: list[Piece], spacing: np.ndarray, settings: CleanSettings) -> float:
    """Gives each other piece to its own vertebra when it is near, else to the one it touches most, else
    drops it. Returns the mm3 that were dropped."""
    removed = 0.0
    margin = np.ceil(settings.fragment_mm / spacing).astype(int)
    for piece in rest:
        start = np.array([s.start for s in piece.box])
        stop = np.array([s.stop for s in piece.box])
        low, high = np.maximum(start - margin, 0), np.minimum(stop + margin, cleaned.shape)
        around = tuple(map(slice, low, high))
        inside = np.zeros(tuple(high - low), bool)
        inside[tuple(map(slice, start - low, stop - low))] = piece.inside
        nearby = cleaned[around][_ball_about(inside, spacing, settings.fragment_mm)]
        touching = cleaned[around][ndimage.binary_dilation(inside, TOUCHING) & ~inside]
        touching = touching[touching > 0]
        if (nearby == piece.label).any():
            label = piece.label
        elif touching.size:
            label = int(np.bincount(touching).argmax())
        else:
            removed += piece.volume
            continue
        cleaned[around][inside & (cleaned[around] == 0)] = label
    return removed


def _ball_about(inside: np.ndarray, spacing: np.ndarray, reach_mm: float) -> np.ndarray:
    return ndimage.distance_transform_edt(~inside, sampling=spacing) <= reach_mm


def _in_order(cleaned: np.ndarray, vertebrae: list[Piece]) -> tuple[np.ndarray, list[str]]:
    """Names the vertebrae so that levels follow each other down the spine."""
    ordered = sorted(vertebrae, key=lambda piece: -piece.centre[2])
    names = best_levels(
        [p.label for p in ordered], np.array([p.centre for p in ordered]), np.array([p.volume for p in ordered])
    )
    notices = []
    if names == [p.label for p in ordered]:
        return cleaned, notices
    # Fragments that were given to a vertebra go with it: they bear its old label and lie nearest to it.
    renamed = cleaned.copy()
    changed = sorted({p.label for p, name in zip(ordered, names) if p.label != name})
    for label in changed:
        owners = [(p, name) for p, name in zip(ordered, names) if p.label == label]
        where = np.argwhere(cleaned == label)
        nearest = np.zeros(len(where), int)
        if len(owners) > 1:
            scale = owners[0][0].centre / np.maximum([(s.start + s.stop - 1) / 2 for s in owners[0][0].box], 1e-6)
            levels = np.array([p.centre[2] for p, _ in owners])
            nearest = np.abs(where[:, 2:] * _z_spacing(owners[0][0], scale) - levels).argmin(axis=1)
        renamed[tuple(where.T)] = np.array([name for _, name in owners], np.uint8)[nearest]
        told = ", ".join(CLASS_NAMES[name] for _, name in owners)
        notices.append(f"what the network called {CLASS_NAMES[label]} was named {told}, by its place in the row")
    return renamed, notices


def best_levels(labels: list[int], centres: np.ndarray, volumes: np.ndarray) -> list[int]:
    """Levels of vertebrae from top to bottom, strictly descending the spine (thoracic may repeat), that agree
    best with the network's `labels` and with their distances; centres (N, 3) mm, volumes (N,) mm3. Viterbi.
    """
    states = np.arange(1, THORACIC + 1)
    weight = np.minimum(volumes / np.median(volumes), 1.5) * LABEL_COST
    cost = weight[:, None] * (states[None] != np.array(labels)[:, None])
    total, came = cost[0], []
    for k in range(1, len(labels)):
        gap = np.linalg.norm(centres[k] - centres[k - 1]) / PITCH_MM
        step = states[None] - states[:, None]  # from (row) to (column)
        move = np.minimum((gap - step) ** 2, 4.0)
        move = np.where(step > 0, move, np.inf)
        move[:, -1] = np.minimum(move[:, -1], np.where(states == THORACIC, 0.0, move[:, -1]))
        through = total[:, None] + move
        came.append(through.argmin(axis=0))
        total = through.min(axis=0) + cost[k]
    state = int(total.argmin())
    path = [state]
    for back in reversed(came):
        state = int(back[state])
        path.append(state)
    return [int(states[s]) for s in reversed(path)]
