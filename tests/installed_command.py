"""The installed command, by entry points as an installation of this tree would have them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder: Path) -> Path:
    """A folder below `folder` that, on the path, makes what pyproject.toml registers known, whatever is installed."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    parts = [[f"[{group}]", *(f"{name} = {what}" for name, what in found.items())] for group, found in groups.items()]
    place = folder / "site" / "cervical_fracture-0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: cervical-fracture\nVersion: 0\n")
    (place / "entry_points.txt").write_text("\n".join(line for part in parts for line in part))
    return place.parent


def run(installed: Path, *words: object, code: str = "") -> subprocess.CompletedProcess:
    """`python -m common.cli words`, or `code`, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{installed}:{ROOT}", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *(("-c", code) if code else ("-m", "common.cli")), *map(str, words)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, cwd=installed)
