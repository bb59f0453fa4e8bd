"""One subject of an atlas, from its seed to its posed surfaces and its map of tissue codes."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from common.phantom.bank.mesh.body import Body, draw_body
from common.phantom.bank.mesh.posing import Motion, pose, rest_lordosis
from common.phantom.bank.mesh.reshape import reshape, reshape_tubes
from common.phantom.bank.mesh.rest_pose import RestPose
from common.phantom.bank.mesh.spinal_canal import Sections
from common.phantom.bank.mesh.tissue_map import fill_tissues
from common.phantom.tissues import CORTEX, LEVEL_CODES, SKIN_HULL, VERTEBRA
from common.volume import Grid, Volume

VOXEL_MM = 1.5
WIDTH_MM = 240.0
ABOVE_MM = 6.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A person made of an atlas. `moved`: vertices (N, 3) of each of `rest.parts`, RAS mm, C4 near the world's origin;
    `tubes`: the canal and the throat."""

    rest: RestPose
    body: Body
    motion: Motion
    moved: list[np.ndarray]
    tubes: list[Sections]

    @classmethod
    def drawn(cls, rest: RestPose, seed: int, bent: float = 1.0) -> "Subject":
        """Posed and reshaped as the seed says; joints turn by `bent` times what is drawn."""
        body = draw_body(seed, len(rest.levels), rest_lordosis(rest))
        body = dataclasses.replace(body, lean=bent * body.lean, bend=bent * body.bend, turn=bent * body.turn)
        motion = pose(rest, body)
        return cls(rest, body, motion, reshape(rest, motion, body), reshape_tubes(rest, motion, body))

    def to_frame(self, level: str) -> np.ndarray:
        """(3, 4): the subject's RAS mm -> the level's own mm: right, anterior, up from its body's middle."""
        frame, move = self.rest.frames[level], self.motion.moves[level]
        number = self._number(level)
        swayed = (self.moved[number] - self.motion.anchor(level, self.rest.parts[number].vertices)).mean(axis=0)
        turn = move[:, :3] @ frame.axes
        turn = turn / np.linalg.norm(turn, axis=0)
        middle = self.motion.anchor(level, frame.origin[None])[0] + swayed
        return np.c_[turn.T, -turn.T @ middle]

    def centre(self, level: str) -> np.ndarray:
        """World RAS mm (3,) of the middle of a level's body; of C1, where the dens is."""
        to_local = self.to_frame(level)
        return -to_local[:, :3].T @ to_local[:, 3]

    def vertebra(self, level: str) -> np.ndarray:
        """Vertices (N, 3) of a level, RAS mm."""
        return self.moved[self._number(level)]

    def _number(self, level: str) -> int:
        return next(k for k, p in enumerate(self.rest.parts) if p.tissue == VERTEBRA and p.level == level)

    def tissues(self, low_mm: float = -np.inf, high_mm: float = np.inf) -> Volume:
        """Tissue codes at VOXEL_MM, axes R, A, S, from the vertex to the middle of the lowest vertebra, as far as that
        lies between world heights `low_mm` and `high_mm`."""
        grid = _grid(self.rest, self.moved, low_mm, high_mm)
        return fill_tissues(self.rest.parts, self.moved, self.tubes, self.body, grid)


def make_subject(rest: RestPose, seed: int) -> tuple[Volume, str]:
    """The subject's tissue codes (`Subject.tissues`), and its lowest whole level."""
    volume = Subject.drawn(rest, seed).tissues()
    return volume, _lowest_whole(volume.array, rest.levels)


def _lowest_whole(codes: np.ndarray, levels: list[str]) -> str:
    """The lowest vertebra that the picture's lower border doesn't cut."""
    border = codes[:, :, 0]
    cut = [bool(np.isin(border, (LEVEL_CODES[k], LEVEL_CODES[k] + CORTEX)).any()) for k in levels]
    return levels[cut.index(True) - 1] if any(cut) else levels[-1]


def _grid(rest: RestPose, moved: list[np.ndarray], low_mm: float, high_mm: float) -> Grid:
    """From the skin of the vertex to the middle of the lowest vertebra, or less; across at most WIDTH_MM about the
    body."""
    skin = np.vstack([v for v, p in zip(moved, rest.parts) if p.tissue == SKIN_HULL])
    lowest = next(v for v, p in zip(moved, rest.parts) if p.level == rest.levels[-1])
    low, high = skin.min(axis=0) - ABOVE_MM, skin.max(axis=0) + ABOVE_MM
    low[2] = lowest[:, 2].mean()
    near = skin[skin[:, 2] > low[2]]
    low[1], high[1] = near[:, 1].min() - ABOVE_MM, near[:, 1].max() + ABOVE_MM
    low[2], high[2] = max(low[2], low_mm), min(high[2], high_mm)
    middle = (low + high) / 2
    middle[0] = 0.0
    size = np.minimum(high - low, [WIDTH_MM, WIDTH_MM, np.inf])
    return Grid.around(middle, size, np.full(3, VOXEL_MM))
