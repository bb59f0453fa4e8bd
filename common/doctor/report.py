"""The report on one study, as plain data and as a table."""

import textwrap
from collections.abc import Mapping
from typing import Any

from common import __version__
from common.commandline import NOT_MEDICAL
from common.doctor.likeness import FACTS, UNKNOWN, StageView, likeness

WIDTH = 100


def report(
    source: Mapping[str, Any],
    facts: Mapping[str, Any],
    notices: tuple[str, ...],
    stages: Mapping[str, StageView],
    error: Exception | None = None,
) -> dict[str, Any]:
    """`source`, `facts`: see `facts.py`, {} where the study can't be read; `notices`: what the reader repaired or
    thought worth saying; `stages`: by name; `error`: what ended the examination, None when nothing did."""
    return {
        "source": dict(source),
        "scan": dict(facts),
        "notices": list(notices),
        "stages": {
            name: {
                "weights": view.weights,
                "learned": likeness(facts, view.learned),
                "expect": list(view.expect),
                "levels": {level: dict(about) for level, about in view.levels.items()},
            }
            for name, view in stages.items()
        },
        "error": None if error is None else {"kind": type(error).__name__, "message": str(error)},
        "exit_code": 0 if error is None else getattr(error, "exit_code", 1),
        "version": __version__,
        "notice": NOT_MEDICAL,
    }


def as_text(found: Mapping[str, Any]) -> str:
    """The same for people, in columns."""
    lines = [*_study(found), *(_notices(found["notices"]) if found["scan"] else [])]
    for name, stage in found["stages"].items():
        lines += ["", f"{name}: {stage['weights']}", *_learned(stage["learned"]), *_levels(stage["levels"])]
        lines += [line for text in stage["expect"] for line in _wrapped(text)]
    if found["error"]:
        lines += ["", "can't be used", *_wrapped(f"{found['error']['kind']}: {found['error']['message']}")]
    return "\n".join([*lines, "", found["notice"]])


def _study(found: Mapping[str, Any]) -> list[str]:
    source, scan = found["source"], found["scan"]
    rows: list[tuple[str, str]] = []
    if source.get("kind") == "DICOM":
        thickness = source["slice_thickness_mm"]
        rows += [
            ("slices", f"{source['slices']}, {source['slice_step_mm']:g} mm apart"),
            ("slice thickness", "not in the header" if thickness is None else f"{thickness:g} mm"),
            ("kernel", (source["kernel"] or "not in the header") + (", for bone" if source["bone_kernel"] else "")),
        ]
    elif source:
        rows.append(("kind", f"{source['kind']}, which tells neither slice thickness nor kernel"))
    if scan:
        rows = [("study", scan["uid"] or "-"), *rows]
        rows += [
            ("voxels", f"{' x '.join(map(str, scan['voxels']))} (right-left, front-back, up-down)"),
            ("voxel", f"{scan['voxel_across_mm']:g} mm across, {scan['voxel_up_mm']:g} mm up"),
            ("in view", f"{scan['field_of_view_mm']:g} mm across, {scan['height_mm']:g} mm up"),
            ("HU", f"{scan['lowest_hu']} to {scan['highest_hu']}, soft tissue at {_said(scan['soft_tissue_hu'])}"),
            ("noise", f"{_said(scan['noise_hu'])} HU in soft tissue"),
            ("metal", f"{scan['metal_ml']:g} ml brighter than bone" if scan["metal_ml"] else "none"),
        ]
    return [f"{name:<17}{text}" for name, text in rows]


def _notices(notices: list[str]) -> list[str]:
    if not notices:
        return ["reader           nothing to repair, nothing to say"]
    return ["reader", *(line for text in notices for line in _wrapped(text))]


def _learned(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return _wrapped(UNKNOWN)
    says: dict[Any, str] = {True: "", False: "unlike", None: "can't be told"}
    head = f"  {'':<20}{'here':>9}  {'learned from':<16}"
    lines = [
        f"  {FACTS[row['fact']]:<20}{_said(row['found']):>9}  {_range(row):<18}{says[row['like']]}" for row in rows
    ]
    return [head.rstrip(), *(line.rstrip() for line in lines)]


def _range(row: Mapping[str, Any]) -> str:
    return f"{row['low']:g} to {row['high']:g}"


def _levels(levels: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"  {name:<4}{about.get('state', ''):<14}{'; '.join(about.get('flags', ()))}".rstrip()
        for name, about in levels.items()
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)


def _said(value: Any) -> str:
    return "?" if value is None else f"{value:g}"
