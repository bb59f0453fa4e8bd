"""Writes the page of one study: its parts put into page.html.j2."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from scipy import ndimage

from common import __version__
from common.commandline import NOT_MEDICAL
from common.labels import CLASS_NAMES, COLOURS, LEVELS
from common.masks.values import boxes_of
from common.page.embed import nifti, packed
from common.page.neck import HU_PER_STEP, WINDOW_HU, neck, on_neck
from common.page.words import words
from common.volume import Volume

HERE = Path(__file__).parent
NIIVUE = HERE / "niivue" / "niivue.umd.js"
FINEST_MM = 0.5
LARGEST_PICTURE = 9_500_000
"""Characters of the packed scan, so that a whole page stays under 12 MB; a larger one gets larger voxels."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page shows of scan and mask: `picture`, `labels`, as `neck` makes them; `files`, by name what is packed of
    them and what draws it, and a place for the evidence; `places` of levels, see `centres`; `spacing` (3,) mm, the
    scan's own."""

    picture: Volume
    labels: Volume
    files: dict[str, str]
    places: dict[str, np.ndarray]
    spacing: np.ndarray


def page(
    scan: Volume,
    mask: Volume,
    result: Mapping[str, Any] | None = None,
    about_mask: Mapping[str, Any] | None = None,
    evidence: Volume | None = None,
    study: str = "",
) -> str:
    """HTML that needs no other file and no network.

    scan: (X, Y, Z) HU of any orientation; mask: (X, Y, Z) of common.labels, in the same place; evidence: (X, Y, Z) 0..1
    on any grid, None without a map. `result`: the content of result.json, None where there is no stage 2; `about_mask`:
    that of mask.json. `study`: a name to show; the page holds no other field of a file's header."""
    return page_of(show(scan, mask), result, about_mask, evidence, study)


def page_of(
    shown: Shown,
    result: Mapping[str, Any] | None = None,
    about_mask: Mapping[str, Any] | None = None,
    evidence: Volume | None = None,
    study: str = "",
) -> str:
    """The same of what `show` made of scan and mask."""
    picture, said = shown.picture, words(shown.places, result, about_mask)
    program = (HERE / "page.js").read_text(encoding="utf-8")
    files = dict(shown.files)
    if evidence is not None:
        files["evidence"] = packed(nifti(on_neck(evidence, picture), 1 / 255))
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        said=said,
        study=study,
        version=__version__,
        not_medical=NOT_MEDICAL,
        voxel=" x ".join(f"{side:.2g}" for side in picture.spacing),
        original=" x ".join(f"{side:.2g}" for side in shown.spacing),
        colours={value: "#" + "".join(f"{round(255 * part):02x}" for part in COLOURS[value]) for value in COLOURS},
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        program=Markup(program),
        allowed=" ".join(_hash(source) for source in (program.encode(), NIIVUE.read_bytes())),
        data=Markup(_as_json(said)),
        files={name: Markup(content) for name, content in files.items() if content},
        licence=(HERE / "niivue" / "LICENSE").read_text(encoding="utf-8"),
    )


def show(scan: Volume, mask: Volume) -> Shown:
    """Picture and mask to show, arguments as of `page`, in voxels as small as `LARGEST_PICTURE` allows."""
    finest = FINEST_MM
    while True:
        picture, labels = neck(scan, mask, finest)
        text = packed(nifti(picture, HU_PER_STEP, WINDOW_HU[0]))
        if len(text) <= LARGEST_PICTURE:
            outline, niivue = packed(nifti(labels)), packed(NIIVUE.read_bytes())
            files = {"scan": text, "mask": outline, "evidence": "", "niivue": niivue}
            return Shown(picture, labels, files, centres(labels), scan.spacing)
        finest = max(finest, float(picture.spacing.min())) * max((len(text) / LARGEST_PICTURE) ** (1 / 3), 1.05)


def centres(labels: Volume) -> dict[str, np.ndarray]:
    """Cervical levels of a mask with axes nearest to R, A, S -> where to look at them, RAS mm: in the plane through the
    centre of mass, the place that lies deepest in the bone; that of a body, of C1's thicker arch."""
    found = boxes_of(labels.array, len(LEVELS))
    places = {}
    for name, value, box in zip(LEVELS, range(1, len(LEVELS) + 1), found):
        if box is not None:
            inside = np.pad(labels.array[box] == value, 1)
            middle = round(ndimage.center_of_mass(inside)[0])
            plane = inside[middle] if inside[middle].any() else inside.any(axis=0)
            depth = ndimage.distance_transform_edt(plane, labels.spacing[1:])
            deep = np.argwhere(depth >= 0.8 * depth.max())
            apart = np.linalg.norm((deep - deep.mean(axis=0)) * labels.spacing[1:], axis=1)
            first = np.array([side.start - 1 for side in box])
            places[name] = labels.grid.to_world(first + np.array([middle, *deep[apart.argmin()]]))
    return places


def _hash(source: bytes) -> str:
    """How a content security policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source).digest()).decode('ascii')}'"


def _as_json(said: Any) -> str:
    colours = {value: [round(255 * part) for part in colour] for value, colour in COLOURS.items()}
    content = {
        "levels": {level.name: level.place for level in said.levels if level.place is not None},
        "colours": colours,
        "names": CLASS_NAMES,
        "window": WINDOW_HU,
        "evidence_from": said.operating_point,
    }
    return json.dumps(content).replace("<", "\\u003c")
