"""A contact sheet of a bank of anatomies: three cuts of each subject in tissue colours, so that a person can look."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from common.outputs import store
from common.phantom import tissues
from common.phantom.tissues import CORTEX, LEVEL_CODES
from common.volume import Volume

COLOURS = {
    tissues.MUSCLE: "#8a3a3a", tissues.FAT: "#d9c77a", tissues.SKIN: "#c99b7d", tissues.AIR: "#101830",
    tissues.DISC: "#4fd0d0", tissues.CANAL: "#f4f48a", tissues.SKULL_CORTEX: "#ffffff", tissues.SKULL_SPONGY: "#c8c8c8",
    tissues.BRAIN: "#a890a0", tissues.JAW_CORTEX: "#e8e8ff", tissues.JAW_SPONGY: "#b8b8d8", tissues.TEETH: "#ffffe0",
    tissues.RIB_CORTEX: "#d0e8d0", tissues.RIB_SPONGY: "#a0c0a0", tissues.BONE_CORTEX: "#e0d8c8",
    tissues.BONE_SPONGY: "#b0a898", tissues.CARTILAGE: "#70a8ff", tissues.VESSEL: "#ff3030", tissues.GLAND: "#c060c0",
    tissues.LUNG: "#283850", tissues.SOFT: "#9c6c5c",
}  # fmt: skip
ACROSS = 4


def palette() -> np.ndarray:
    """(256, 3) uint8: code -> colour; each vertebra its own hue, its shell darker."""
    table = np.zeros((256, 3))
    for code, colour in COLOURS.items():
        table[code] = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    for code in LEVEL_CODES.values():
        hue = (code * 0.381966) % 1
        table[code] = hsv_to_rgb((hue, 0.65, 1.0))
        table[code + CORTEX] = hsv_to_rgb((hue, 0.9, 0.75))
    return (table * 255).astype(np.uint8)


def draw_bank(files: list[Path], path: Path) -> None:
    """Draws subjects' files into the PNG `path`: sagittal and coronal through the bodies of the neck, axial at C5."""
    from common.reading.nifti import read_nifti

    down = -(-len(files) // ACROSS)
    figure = Figure(figsize=(ACROSS * 7.2, down * 4.2), dpi=70, facecolor="black")
    axes = figure.subplots(down, ACROSS * 3, squeeze=False).reshape(-1, 3)
    for panel in axes.ravel():
        panel.set_axis_off()
    for panels, file in zip(axes, files):
        draw_subject(panels, read_nifti(file), file.name.removesuffix(".nii.gz"))
    figure.subplots_adjust(0.003, 0.003, 0.997, 0.97, 0.02, 0.08)
    with store.atomic(path) as scratch:
        FigureCanvasAgg(figure).print_png(scratch)


def draw_subject(panels: np.ndarray, volume: Volume, title: str) -> None:
    """Three cuts on three matplotlib panels."""
    codes, colours = volume.array, palette()
    centres = {name: _centre(codes, code) for name, code in LEVEL_CODES.items() if (codes == code).any()}
    x = round(float(np.median([centres[k][0] for k in ("C3", "C4", "C5", "C6")])))
    z = round(float(centres["C5"][2]))
    body = min(round(float(centres["C4"][1])) + 8, codes.shape[1] - 1)
    cuts = codes[x, ::-1].T, codes[::-1, body].T, codes[::-1, :, z].T
    for panel, cut in zip(panels, cuts):
        panel.imshow(colours[cut], origin="lower", interpolation="nearest")
    for name, centre in centres.items():
        panels[0].text(codes.shape[1] - centre[1] + 22, centre[2], name, color="white", fontsize=6)
    panels[0].set_title(title, color="white", fontsize=9, loc="left")


def _centre(codes: np.ndarray, code: int) -> np.ndarray:
    return np.argwhere(codes == code).mean(axis=0)
