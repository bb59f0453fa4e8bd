"""Times linear resampling by ITK and by scipy, on sizes of this project, and compares the values:
`python -m common.bench_resample [--repeats 7]`. Milliseconds of CPU, the least of the repeats."""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from common import commandline
from common.resample import AIR_HU, linear, shrink
from common.volume import Grid, Volume

SCAN, SPACING_MM = (512, 512, 200), (0.4, 0.4, 1.0)
CROP_MM = (80, 68, 40)


def main(words: list[str] | None = None) -> int:
    """Prints a table; the exit code is 1 when the values differ by more than 1e-3 HU."""
    parser = argparse.ArgumentParser(prog="python -m common.bench_resample", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args(words)
    commandline.check_least(arguments, repeats=1)
    print("| what | voxels of | voxels to | scipy ms | ITK ms | largest difference HU |\n|---|---|---|---|---|---|")
    worst = 0.0
    for name, volume, grid in cases():
        matrix = np.linalg.inv(volume.affine) @ grid.affine
        given = volume.array, matrix, grid.shape, AIR_HU
        scipy_ms, expected = _timed(by_scipy, given, arguments.repeats)
        itk_ms, found = _timed(linear, given, arguments.repeats)
        apart = float(np.abs(found - expected).max())
        worst = max(worst, apart)
        sizes = (" x ".join(map(str, shape)) for shape in (volume.array.shape, grid.shape))
        print(f"| {name} | {' | '.join(sizes)} | {scipy_ms:.1f} | {itk_ms:.1f} | {apart:.2g} |")
    return int(worst > 1e-3)


def cases() -> Iterator[tuple[str, Volume, Grid]]:
    """What is resampled, after the means over blocks, and to where: whole scans, and a crop along tilted axes."""
    noise = np.random.default_rng(0).normal(0, 300, SCAN).astype(np.int16)
    scan = Volume(noise, np.diag([*SPACING_MM, 1.0]))
    size = np.array(SCAN) * SPACING_MM
    for spacing in (4.0, 3.0, 1.5, 1.0):
        grid = Grid.around(scan.grid.centre, size, spacing)
        yield f"scan to {spacing:g} mm", shrink(scan, np.floor(spacing / scan.spacing + 1e-6)), grid
    c, s = np.cos(0.35), np.sin(0.35)
    grid = Grid.around(scan.grid.centre, CROP_MM, 1.0, np.array([[1, 0, 0], [0, c, -s], [0, s, c]]))
    index = scan.grid.to_index(grid.corners())
    part = scan.crop(np.floor(index.min(axis=0)) - 5, np.ceil(index.max(axis=0)) + 5)
    yield "a tilted crop", shrink(part, np.array([2, 2, 1])), grid


def by_scipy(array: np.ndarray, matrix: np.ndarray, shape: tuple[int, int, int], fill: float) -> np.ndarray:
    """As `linear`."""
    scale = matrix[:3, :3]
    if np.abs(scale - np.diag(np.diag(scale))).max() < 1e-6:
        scale = np.diag(scale)  # scipy is much faster then
    return ndimage.affine_transform(array, scale, matrix[:3, 3], output_shape=shape, order=1, cval=fill)


def _timed(function: Callable[..., np.ndarray], given: tuple, repeats: int) -> tuple[float, np.ndarray]:
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        found = function(*given)
        times.append(time.process_time() - begun)
    return 1000 * min(times), found


if __name__ == "__main__":
    commandline.run(main)
