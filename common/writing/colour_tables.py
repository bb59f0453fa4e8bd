"""The labels' names and colours as 3D Slicer and ITK-SNAP load them, from the one list of the project."""

from collections.abc import Iterator

from common.labels import BACKGROUND, CLASS_NAMES, COLOURS


def of_slicer() -> str:
    """A colour table (.ctbl): value, name, red, green, blue, opacity, each 0..255; background is clear."""
    lines = [
        f"{value} {name} {red} {green} {blue} {255 * seen}" for value, name, (red, green, blue), seen in _classes()
    ]
    return "\n".join(["# Color table of cervical-fracture: labels of mask.nii.gz", *lines, ""])


def of_itk_snap() -> str:
    """A file of label descriptions: value, red, green, blue (0..255), opacity (0..1), whether seen, whether in 3D,
    name."""
    head = [
        "################################################",
        "# ITK-SnAP Label Description File",
        "# File format:",
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL",
        "# Labels of cervical-fracture's mask.nii.gz",
        "################################################",
    ]
    lines = [
        f'{value:5d} {red:5d} {green:4d} {blue:4d} {seen:8d} {seen:3d} {seen:3d}    "{name}"'
        for value, name, (red, green, blue), seen in _classes()
    ]
    return "\n".join([*head, *lines, ""])


def _classes() -> Iterator[tuple[int, str, tuple[int, int, int], int]]:
    """Value, name, colour (0..255), and 1 or 0: whether it is seen."""
    for value, name in enumerate(CLASS_NAMES):
        red, green, blue = COLOURS.get(value, (0.0, 0.0, 0.0))
        yield value, name, (round(255 * red), round(255 * green), round(255 * blue)), int(value != BACKGROUND)
