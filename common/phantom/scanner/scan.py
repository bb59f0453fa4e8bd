"""From the scene to the picture."""

import numpy as np

from common.phantom.anatomy.person import Person
from common.phantom.painting.canvas import Canvas
from common.phantom.scanner.artefacts import add_beam_hardening, add_metal_streaks
from common.phantom.scanner.blur import blur
from common.phantom.scanner.field import outside_field, padding_hu
from common.phantom.scanner.noise import add_noise
from common.phantom.scanner.rays import trace

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""Of a scanner that stores 12 bits."""


def scan(canvas: Canvas, person: Person) -> np.ndarray:
    """The scene as a scanner shows it: int16 HU (X, Y, Z) from -1024 to 3071. The canvas stays as it is."""
    pixel = float(canvas.grid.spacing[0])
    picture = blur(canvas.hu, person.kernel, pixel)
    rays = trace(canvas.hu, pixel)
    add_beam_hardening(picture, rays, pixel)
    add_metal_streaks(picture, canvas.hu, person.stream("metal streaks"))
    add_noise(picture, rays, person.dose, person.kernel, pixel, person.stream("noise"))
    padding = padding_hu(person)
    if padding is not None:
        picture[outside_field(picture.shape)] = padding
    np.clip(picture, LOWEST_HU, HIGHEST_HU, out=picture)
    return np.rint(picture, out=picture).astype(np.int16)
