"""An atlas is a folder of meshes and a small table that says what each of them is."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from common.errors import ConfigError
from common.phantom.tissues import LEVEL_CODES, SKIN_HULL, VERTEBRA, check_name

TABLES = Path(__file__).parent / "tables"
FRAMES = {"LPS": (-1.0, -1.0, 1.0), "RAS": (1.0, 1.0, 1.0)}
"""Name of a frame (mm) -> signs that turn its coordinates into RAS."""
COLUMNS = ["file", "label", "tissue"]


@dataclass(frozen=True, eq=False)
class Part:
    """One mesh in RAS mm: `vertices` (N, 3), `faces` (M, 3); `level` "C1".., "" for what isn't one vertebra's."""

    name: str
    level: str
    tissue: str
    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True, eq=False)
class Atlas:
    """The parts of one table. `has_skin`: whole enough to stand alone; others need another one's surroundings."""

    name: str
    parts: list[Part]
    tubes: pd.DataFrame

    @property
    def has_skin(self) -> bool:
        return any(part.tissue == SKIN_HULL for part in self.parts)


def find_table(where: Path) -> tuple[Path, Path]:
    """The table and the folder of meshes that `--atlas where` means: a table itself, a folder with an atlas.csv, or a
    folder of a name whose table comes with the project."""
    where = Path(where)
    if where.is_file():
        return where, where.parent
    if not where.is_dir():
        raise ConfigError(f"{where}: no such table or folder; --atlas takes a table (CSV) or a folder of meshes")
    own, ours = where / "atlas.csv", TABLES / f"{where.resolve().name}.csv"
    if own.exists():
        return own, where
    if ours.exists():
        return ours, where
    known = ", ".join(sorted(p.stem for p in TABLES.glob("*.csv") if not p.stem.endswith("_tubes")))
    raise ConfigError(f"{where}: holds no atlas.csv and isn't named after a known atlas ({known}); see docs/atlas.md")


def read_table(table: Path, folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows (file, label, tissue) and the signs (3,) to RAS. Raises ConfigError for unknown tissues, labels, frames
    and for meshes that aren't there, all of them named."""
    lines = table.read_text(encoding="utf-8").splitlines()
    header = [line[1:].strip() for line in lines if line.startswith("#")]
    frame = next((line.split(":", 1)[1].split()[0] for line in header if line.startswith("frame:")), "LPS")
    if frame not in FRAMES:
        raise ConfigError(f"{table}: frame {frame!r}, expected one of {', '.join(FRAMES)}")
    rows = pd.read_csv(table, comment="#", dtype=str, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise ConfigError(f"{table}: columns {', '.join(rows.columns)}, expected {', '.join(COLUMNS)}")
    for number, row in enumerate(rows.itertuples(), start=1):
        where = f"{table}, row {number} ({row.file})"
        check_name(row.tissue, where)
        if row.label and row.label not in LEVEL_CODES:
            raise ConfigError(f"{where}: label {row.label!r}, expected C1..C7, T1..T12 or nothing")
        if row.tissue == VERTEBRA and not row.label:
            raise ConfigError(f"{where}: a vertebra needs its level as label")
    missing = [name for name in rows.file if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{table}: {len(missing)} meshes aren't in {folder}: {', '.join(missing)}")
    return rows, np.array(FRAMES[frame])


def read_atlas(where: Path) -> Atlas:
    """Reads every mesh of a table into RAS mm; beside `name.csv`, `name_tubes.csv` may add what was drawn by hand."""
    library = trimesh()
    table, folder = find_table(where)
    rows, signs = read_table(table, folder)
    parts = []
    for row in rows.itertuples():
        try:
            mesh = library.load(folder / row.file, force="mesh", process=True)
        except Exception as error:
            raise ConfigError(f"{folder / row.file}: can't be read as a mesh ({error}); expected OBJ or PLY") from error
        if not len(mesh.faces):
            raise ConfigError(f"{folder / row.file}: holds no faces, expected a surface")
        vertices = np.asarray(mesh.vertices, np.float64) * signs
        faces = np.asarray(mesh.faces)[:, :: 1 if signs.prod() > 0 else -1]
        parts.append(Part(row.file, row.label, row.tissue, vertices, faces))
    tube_file = table.with_name(f"{table.stem}_tubes.csv")
    tubes = pd.DataFrame(columns=["name", "tissue", "x", "y", "z", "rx", "ry"])
    if tube_file.exists():
        tubes = pd.read_csv(tube_file, comment="#")
        tubes[["x", "y", "z"]] *= signs
    return Atlas(table.stem if table.stem != "atlas" else folder.resolve().name, parts, tubes)


def trimesh() -> ModuleType:
    """The library of meshes, which only this part of the bank needs. Raises ConfigError where it isn't installed."""
    try:
        return import_module("trimesh")
    except ImportError as error:
        raise ConfigError(
            f"meshes need the package trimesh, which can't be imported ({error}); "
            "pip install 'cervical-fracture[bank]' brings it"
        ) from None


def provenance_of(where: Path) -> dict[str, str]:
    """What an output made with this atlas depends on, for its record."""
    from common.outputs import store

    table, folder = find_table(where)
    rows, _ = read_table(table, folder)
    tubes = table.with_name(f"{table.stem}_tubes.csv")
    return {
        "table": store.digest_file(table),
        "tubes": store.digest_file(tubes) if tubes.exists() else "",
        "meshes": store.digest_value([store.fingerprint(folder / name) for name in rows.file]),
    }
