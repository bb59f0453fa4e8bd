"""A scan with its mask and what was found, in a notebook: by ipyniivue where it is installed, else as a figure."""

import html
from collections.abc import Mapping
from importlib.util import find_spec
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from common.labels import CLASS_NAMES, COLOURS
from common.masks.segmentation import onto
from common.page.embed import nifti
from common.page.neck import HU_PER_STEP, WINDOW_HU, neck, on_neck
from common.page.page import FINEST_MM, centres
from common.page.words import Words, words
from common.volume import Volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 520
"""Pixels."""


class Segmented(Protocol):
    """Something with a `mask` (X, Y, Z) of common.labels, such as stage 1's segmentation."""

    @property
    def mask(self) -> Volume: ...


class Judged(Protocol):
    """What stage 2 says of a study: a map of evidence 0..1, and the content of result.json."""

    @property
    def evidence(self) -> Volume | None: ...
    def to_json(self) -> Mapping[str, Any]: ...


def show(
    scan: Volume, mask: Volume | Segmented | None = None, result: Judged | None = None, figure: bool = False
) -> Any:
    """The neck in a bone window with the mask over it, and where evidence of a fracture is at the operating point or
    more; above it in words what the page of a study says.

    scan: (X, Y, Z) HU; `mask`: values of common.labels in the same place. Without the extra `notebook`, or with
    `figure`, a matplotlib Figure of three slices through the likeliest level; else a widget with slices and 3D. Raises
    TypeError for a mask of another kind."""
    labels = _labels(scan, mask)
    picture, labels = neck(scan, labels, FINEST_MM)
    evidence = None if result is None or result.evidence is None else on_neck(result.evidence, picture)
    said = words(centres(labels), None if result is None else result.to_json(), None)
    if figure or find_spec("ipyniivue") is None:
        return _figure(picture, labels, evidence, said)
    return _widget(picture, labels, evidence, said)


def _labels(scan: Volume, mask: Volume | Segmented | None) -> Volume:
    """The mask on the scan's grid; nothing but background without one."""
    if mask is None:
        return scan.with_array(np.zeros(scan.array.shape, np.uint8))
    found = mask if isinstance(mask, Volume) else getattr(mask, "mask", None)
    if not isinstance(found, Volume):
        raise TypeError(f"expected a segmentation or a Volume as mask, found {type(mask).__name__}; read it first")
    return onto(found, scan.grid)


def _place(picture: Volume, said: Words) -> tuple[int, int, int]:
    """The voxel to look at: in the likeliest of the suspected levels, else in the middle one, else the middle."""
    seen = [level for level in said.levels if level.place is not None]
    suspected = sorted((level for level in seen if level.suspected), key=lambda level: -(level.probability or 0))
    chosen = (suspected or seen[len(seen) // 2 :])[:1]
    world: Any = chosen[0].place if chosen else picture.grid.centre
    x, y, z = np.clip(np.round(picture.grid.to_index(world)).astype(int), 0, np.array(picture.array.shape) - 1)
    return int(x), int(y), int(z)


def _title(said: Words) -> tuple[str, str]:
    return (said.headline, said.explained) if said.kind else ("Scan and mask", "")


def _widget(picture: Volume, labels: Volume, evidence: Volume | None, said: Words) -> Any:
    from ipyniivue import NiiVue
    from ipywidgets import HTML, VBox

    scene = NiiVue(height=HEIGHT, is_radiological_convention=True, sagittal_nose_left=True, back_color=(0, 0, 0, 1))
    volumes: list[dict[str, Any]] = [
        {"name": "scan.nii", "data": nifti(picture, HU_PER_STEP, WINDOW_HU[0]), "colormap": "gray"},
        {"name": "mask.nii", "data": nifti(labels), "opacity": 0.4},
    ]
    volumes[0] |= {"cal_min": WINDOW_HU[0], "cal_max": WINDOW_HU[1]}
    if evidence is not None:
        heat = {"name": "evidence.nii", "data": nifti(evidence, 1 / 255), "opacity": 0.7, "colormap": "warm"}
        volumes.append({**heat, "cal_min": said.operating_point, "cal_max": 1.0})
    scene.load_volumes([{**volume, "colorbar_visible": False} for volume in volumes])
    table: dict[str, list] = {"R": [0], "G": [0], "B": [0], "A": [0], "I": [0], "labels": list(CLASS_NAMES)}
    for value, rgb in COLOURS.items():
        for name, part in zip("RGBAI", (*(round(255 * part) for part in rgb), 255, value)):
            table[name].append(part)
    scene.volumes[1].set_colormap_label(table)
    scene.scene.crosshair_pos = [(at + 0.5) / count for at, count in zip(_place(picture, said), picture.array.shape)]
    headline, explained = map(html.escape, _title(said))
    text = f"<b style='font-size:130%'>{headline}</b> {explained}<br><small>{_legend(said)}</small>"
    return VBox([HTML(text), scene])


def _legend(said: Words) -> str:
    """The levels in view in their colours, with their chances, and what must always be read."""
    parts = []
    for value, level in enumerate(said.levels, start=1):
        if level.seen:
            red, green, blue = (round(255 * part) for part in COLOURS[value])
            text = f"{level.name} {level.chance}".strip()
            parts.append(f"<span style='color:rgb({red},{green},{blue})'>&#9632;</span> {html.escape(text)}")
    return " ".join([*parts, "<br>" + html.escape(said.banner)])


def _figure(picture: Volume, labels: Volume, evidence: Volume | None, said: Words) -> "Figure":
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    place, spacing = _place(picture, said), picture.spacing
    colours = ListedColormap([COLOURS[value] for value in COLOURS])
    for axis, (panel, name) in enumerate(zip(figure.subplots(1, 3), ("sagittal", "coronal", "axial"))):
        across, up = (spacing[k] for k in range(3) if k != axis)
        how: dict[str, Any] = {"aspect": up / across, "interpolation": "nearest"}
        panel.imshow(_plane(picture, axis, place), cmap="gray", vmin=0, vmax=255, **how)
        mask = np.ma.masked_equal(_plane(labels, axis, place), 0)
        panel.imshow(mask, cmap=colours, vmin=1, vmax=len(COLOURS), alpha=0.35, **how)
        if evidence is not None:
            heat = np.ma.masked_less(_plane(evidence, axis, place) / 255, said.operating_point)
            panel.imshow(heat, cmap="autumn", vmin=said.operating_point, vmax=1, alpha=0.7, **how)
        panel.set_title(name, fontsize=9)
        panel.set_axis_off()
    headline, explained = _title(said)
    figure.suptitle(f"{headline}. {explained}".replace("\N{NO-BREAK SPACE}", " "), fontsize=11)
    figure.supxlabel("\n".join(wrap(said.banner, 150)), fontsize=7)
    return figure


def _plane(volume: Volume, axis: int, place: tuple[int, int, int]) -> np.ndarray:
    """The slice through `place` across `axis` (R, A, S), as radiologists have it: the patient's right, or the front, is
    on the left."""
    return volume.array.take(place[axis], axis=axis).T[::-1, ::-1]
