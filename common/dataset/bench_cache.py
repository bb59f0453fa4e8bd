"""Compares formats for random crops: `python -m common.dataset.bench_cache --scan STUDY`."""

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blosc2
import nibabel as nib
import numpy as np

from common.commandline import run
from common.reading.nifti import write_nifti
from common.reading.study import read_study
from common.resample import canonical
from common.volume import Volume

Format = tuple[str, Callable[[Path], None], Callable[[Path, tuple[slice, ...]], np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m common.dataset.bench_cache", description=__doc__)
    parser.add_argument("--scan", type=Path, required=True, help="a DICOM folder, zip or NIfTI")
    parser.add_argument("--crop", type=int, default=128, help="edge of the crop in voxels")
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    blosc2.set_nthreads(1)
    scan = canonical(read_study(arguments.scan).volume)
    scan = Volume(np.ascontiguousarray(scan.array).astype(np.int16), scan.affine)
    print(f"scan {scan.array.shape}, int16, {scan.array.nbytes / 1e6:.1f} MB; crop {arguments.crop}, one thread\n")
    print("| format | write s | size MB | part | crop ms |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, write, read in formats(scan):
            path = Path(folder) / re.sub(r"\W+", "-", name)
            started = time.perf_counter()
            write(path)
            written = time.perf_counter() - started
            size = next(Path(folder).glob(path.name + "*")).stat().st_size
            crop = median_crop_s(scan.array, lambda at, p=path, r=read: r(p, at), arguments.crop, arguments.repeats)
            part = size / scan.array.nbytes
            print(f"| {name} | {written:.2f} | {size / 1e6:.1f} | {part:.0%} | {crop * 1e3:.1f} |", flush=True)


def median_crop_s(array: np.ndarray, read: Callable, edge: int, repeats: int) -> float:
    """Median seconds to read a random crop, the same crops for every format; each is compared with `array`."""
    rng = np.random.default_rng(0)
    taken = []
    for _ in range(repeats):
        start = [int(rng.integers(0, max(n - edge, 0) + 1)) for n in array.shape]
        at = tuple(slice(a, min(a + edge, n)) for a, n in zip(start, array.shape))
        started = time.perf_counter()
        crop = np.array(read(at))
        taken.append(time.perf_counter() - started)
        if not np.array_equal(crop, array[at]):
            raise ValueError("what was read isn't what was written")
    return float(np.median(taken))


def formats(scan: Volume) -> Iterator[Format]:
    """Name, writer, reader of a crop. The file is opened anew for each crop, as a shuffled loader does."""
    for codec, level in (("LZ4", 5), ("ZSTD", 1), ("ZSTD", 5)):
        for shuffle in ("SHUFFLE", "BITSHUFFLE"):
            yield _blosc(scan, codec, level, shuffle, 64, 32)
    for chunk, block in ((32, 16), (64, 16), (128, 32), (128, 64)):
        yield _blosc(scan, "LZ4", 5, "BITSHUFFLE", chunk, block)
    yield "npy memmap", lambda p: np.save(p.with_suffix(".npy"), scan.array), _read_npy
    yield "npz compressed", lambda p: np.savez_compressed(p.with_suffix(".npz"), a=scan.array), _read_npz
    yield "nii.gz", lambda p: write_nifti(scan, p.with_suffix(".nii.gz")), _read_nifti


def _blosc(scan: Volume, codec: str, level: int, shuffle: str, chunk: int, block: int) -> Format:
    cparams = blosc2.CParams(codec=blosc2.Codec[codec], clevel=level, filters=[blosc2.Filter[shuffle]], nthreads=1)
    shape = np.array(scan.array.shape)
    edges = {"chunks": np.minimum(chunk, shape).tolist(), "blocks": np.minimum(block, shape).tolist()}

    def write(path: Path) -> None:
        blosc2.asarray(scan.array, urlpath=str(path.with_suffix(".b2nd")), mode="w", cparams=cparams, **edges)

    def read(path: Path, at: tuple[slice, ...]) -> np.ndarray:
        return blosc2.open(str(path.with_suffix(".b2nd")), mode="r")[at]

    return f"blosc2 {codec} {level} {shuffle.lower()}, chunk {chunk}, block {block}", write, read


def _read_npy(path: Path, at: tuple[slice, ...]) -> np.ndarray:
    return np.load(path.with_suffix(".npy"), mmap_mode="r")[at]


def _read_npz(path: Path, at: tuple[slice, ...]) -> np.ndarray:
    with np.load(path.with_suffix(".npz")) as archive:
        return archive["a"][at]


def _read_nifti(path: Path, at: tuple[slice, ...]) -> np.ndarray:
    image: Any = nib.load(path.with_suffix(".nii.gz"))
    return np.asarray(image.dataobj)[at]


if __name__ == "__main__":
    run(main)
