"""What anatomy allows: one connected vertebra per level, levels in order down the spine, no specks."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from common.labels import BACKGROUND, CLASS_NAMES, THORACIC
from common.masks.values import TOUCHING, translate
from stage1_segment.inference.pieces import AROUND, pieces_of
from stage1_segment.settings import PostprocessSettings

PITCH_MM = 17.0
"""From one cervical vertebra to the next: body 12-14 mm and disc 4-6 mm high (Gilad & Nissan 1986, Spine 11:154)."""
LABEL_COST = 1.0
"""Of giving a vertebra of median volume another level than the network did; against it stands the squared error
of the distances between neighbours, in pitches."""
GAP_COST = 3.0
SECOND = 0.4
"""Part of a level's largest piece that a second vertebra of the same name must have; a second thoracic piece that of
the largest cervical vertebra."""
GROWN_ON = 0.25
"""Part of the voxels about a piece that are of one vertebra, from which on it is bone of that vertebra. A fragment
pressed against the neighbour by one of its six sides has less. For pieces of arches alone: a dens that has broken off
lies within the ring of C1, and is of C2."""
DISC_MM = 5.0
"""Between the bone of one vertebra and the next, at most."""
NO_NECK = (
    "what looks like vertebrae of a neck stands in no row of levels, is too large, or is less than lies astray; "
    "none is named"
)


@dataclass(eq=False)
class Piece:
    """A connected piece of one label: `box` of the mask, `inside` bool (box shape), `volume` mm3; `middle` (3,) mm from
    the mask's first voxel."""

    label: int
    box: tuple[slice, ...]
    inside: np.ndarray
    volume: float
    middle: np.ndarray


def postprocess(
    mask: np.ndarray, spacing: np.ndarray, settings: PostprocessSettings
) -> tuple[np.ndarray, tuple[str, ...]]:
    """mask (X, Y, Z) uint8 of `labels.CLASS_NAMES`, axes nearest to R, A, S, `spacing` (3,) mm -> the mask as
    anatomy allows it, and what was changed, a sentence each. A level with too little bone becomes absent, and
    all of a neck where most of it stands in no row of levels, or more bone lies astray than in it."""
    vertebrae, rest = _vertebrae(find_pieces(mask, spacing), settings)
    owner = np.zeros_like(mask, np.uint16)  # number of the vertebra that each voxel belongs to
    for number, vertebra in enumerate(vertebrae, start=1):
        owner[vertebra.box][vertebra.inside] = number
    labels = np.array([0] + [v.label for v in vertebrae])
    removed = sum(p.volume for p in rest if not _adopt(owner, labels, p, _of_arch(p, vertebrae), spacing, settings))
    gaps = gaps_between(vertebrae, spacing)
    names = best_levels([v.label for v in vertebrae], gaps, np.array([v.volume for v in vertebrae]))
    renamed = [(v.label, name) for v, name in zip(vertebrae, names) if v.label != name]
    notices = [
        f"what the network called {CLASS_NAMES[label]} is named {CLASS_NAMES[name]}, by its place in the row"
        for label, name in renamed
    ]
    cervical = [v for v in vertebrae if v.label != THORACIC]
    kept = [v for v, name in zip(vertebrae, names) if v.label == name != THORACIC]
    no_row = 2 * len(renamed) > len(cervical) or (renamed and len(kept) < 2)  # one alone says nothing of a row
    neck = sum(v.volume for v, name in zip(vertebrae, names) if name != THORACIC)
    if no_row or 0 < neck < removed or any(v.volume > settings.max_level_mm3 for v in cervical):
        names = [name if name == THORACIC else BACKGROUND for name in names]
        notices = [NO_NECK]
    if removed >= settings.min_level_mm3:
        notices.append(f"{removed / 1000:.1f} ml of stray bone removed")
    return translate(owner, np.array([0, *names], np.uint8)), tuple(notices)


def find_pieces(mask: np.ndarray, spacing: np.ndarray) -> list[Piece]:
    """The connected pieces (26 neighbours) of each label in turn, its largest first."""
    found = pieces_of(mask, AROUND)
    volumes, middles = found.sizes * np.prod(spacing), found.middles * spacing
    pieces = [
        Piece(int(label), found.box(number), found.inside(number), float(volume), middle)
        for number, (label, volume, middle) in enumerate(zip(found.values, volumes, middles))
    ]
    return sorted(pieces, key=lambda piece: (piece.label, -piece.volume))


def _vertebrae(pieces: list[Piece], settings: PostprocessSettings) -> tuple[list[Piece], list[Piece]]:
    """The pieces that are vertebrae, from top to bottom, and the others. A second piece of a cervical level is
    a vertebra of its own only when it is nearly as large as the first and lies more than half a pitch higher or lower,
    and rather so than before or behind it: one name given to two. An arch that has come off lies behind its body, and
    that of C2, whose dens reaches up, lower as well."""
    vertebrae: list[Piece] = []
    rest: list[Piece] = []
    for piece in pieces:
        same = [v for v in vertebrae if v.label == piece.label]
        if piece.label == THORACIC:
            least = SECOND * max((v.volume for v in vertebrae if v.label != THORACIC), default=0.0) if same else 0.0
            apart = True
        else:
            least = max((SECOND * v.volume for v in same), default=0.0)
            away = [np.abs(v.middle - piece.middle) for v in same]
            apart = all(up > max(PITCH_MM / 2, back) for _, back, up in away)
        (vertebrae if piece.volume >= max(settings.min_level_mm3, least) and apart else rest).append(piece)
    return sorted(vertebrae, key=lambda v: -v.middle[2]), rest


def gaps_between(vertebrae: list[Piece], spacing: np.ndarray) -> np.ndarray:
    """(N - 1,): from each to the next, in pitches, whichever way the spine leans. Between the middles of cervical
    ones; to or from thoracic ones, many of which may be one piece, a pitch and what is free of bone beyond a disc."""
    thoracic = [v for v in vertebrae if v.label == THORACIC]
    gaps = []
    for pair in pairwise(vertebrae):
        cervical = [v for v in pair if v.label != THORACIC]
        if len(cervical) == 2:
            gaps.append(float(np.linalg.norm(pair[0].middle - pair[1].middle)) / PITCH_MM)
        else:
            free = clearance(cervical[0], thoracic, spacing) if cervical else 0.0
            gaps.append(1 + max(free - DISC_MM, 0.0) / PITCH_MM)
    return np.array(gaps)


def clearance(piece: Piece, others: list[Piece], spacing: np.ndarray) -> float:
    """The least distance mm of a piece's voxels to those of others, none of them the piece's; two pitches at most."""
    own = _surface(piece) * spacing
    low, high = own.min(axis=0) - 2 * PITCH_MM, own.max(axis=0) + 2 * PITCH_MM
    near = np.concatenate([np.empty((0, 3)), *(_surface(other) * spacing for other in others)])
    near = near[((near >= low) & (near <= high)).all(axis=1)]
    least, tree = 2 * PITCH_MM, cKDTree(own)
    for step in (100, 1):  # what a few find is how far the others must look
        away, _ = tree.query(near[::step], distance_upper_bound=least)
        least = min(least, float(away.min(initial=np.inf)))
    return least


def _surface(piece: Piece) -> np.ndarray:
    """(n, 3) indices of the piece's voxels that have a side free: one of them is nearest to whatever lies outside."""
    return np.argwhere(piece.inside & ~ndimage.binary_erosion(piece.inside)) + [s.start for s in piece.box]


def _with_room(piece: Piece, room: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], np.ndarray]:
    """The piece's box with `room` (3,) voxels more on each side, as far as a mask of `shape` reaches, and the piece's
    voxels in it, bool."""
    start, stop = np.array([(s.start, s.stop) for s in piece.box]).T
    low, high = np.maximum(start - room, 0), np.minimum(stop + room, shape)
    return tuple(map(slice, low, high)), np.pad(piece.inside, np.column_stack([start - low, high - stop]))


def _of_arch(piece: Piece, vertebrae: list[Piece]) -> bool:
    """Whether a piece lies behind the middle of each vertebra of its label, the second axis running forward."""
    return all(piece.middle[1] < v.middle[1] for v in vertebrae if v.label == piece.label)


def _adopt(
    owner: np.ndarray,
    labels: np.ndarray,
    piece: Piece,
    of_arch: bool,
    spacing: np.ndarray,
    settings: PostprocessSettings,
) -> bool:
    """Gives a piece of an arch to a vertebra that is `GROWN_ON` of what lies around it, whatever its label: part of
    another vertebra's arch that the network took for its own. Else to one of its label within
    `max_fragment_distance_mm`, or within a pitch when it is as large as a level in view (an arch whose pedicles were
    missed), else to the one that it touches most; False when there is none. A speck is never a fragment."""
    arch = piece.label != THORACIC and piece.volume >= settings.min_level_mm3
    around, inside = _with_room(piece, np.ones(3, int), owner.shape)
    beside = owner[around][ndimage.binary_dilation(inside, TOUCHING) & ~inside]
    near = touched = beside[beside > 0]
    grown_on = of_arch and np.bincount(touched, minlength=1).max() >= GROWN_ON * beside.size
    if not grown_on and piece.volume >= settings.min_component_mm3:
        reach_mm = PITCH_MM if arch else settings.max_fragment_distance_mm
        around, inside = _with_room(piece, np.ceil(reach_mm / spacing).astype(int), owner.shape)
        reach = ndimage.distance_transform_edt(~inside, sampling=spacing) <= reach_mm
        within = owner[around][reach]
        same = within[(within > 0) & (labels[within] == piece.label)]
        near = same if same.size else touched
    if near.size:
        owner[piece.box][piece.inside] = np.bincount(near).argmax()
    return bool(near.size)


def best_levels(labels: list[int], gaps: np.ndarray, volumes: np.ndarray) -> list[int]:
    """Levels of vertebrae from top to bottom, strictly down the spine (thoracic may repeat), that agree best
    with the network's `labels` and with `gaps` (N - 1,) pitches from each to the next; volumes (N,) mm3. By Viterbi."""
    if not labels:
        return []
    states = np.arange(1, THORACIC + 1)
    weight = LABEL_COST * np.minimum(volumes / np.median(volumes), 1.5)
    cost = weight[:, None] * (states[None] != np.array(labels)[:, None])
    step = states[None] - states[:, None]  # from (row) to (column)
    again = (step == 0) & (states[None] == THORACIC)
    total, came = cost[0], []
    for k in range(1, len(labels)):
        far = np.minimum(GAP_COST * (gaps[k - 1] - step) ** 2, 6.0)
        move = np.where(step > 0, far, np.where(again, 0.0, np.inf))
        came.append((total[:, None] + move).argmin(axis=0))
        total = (total[:, None] + move).min(axis=0) + cost[k]
    path = [int(total.argmin())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return [int(states[s]) for s in reversed(path)]
