"""What is installed: classes, weights with their digests, licences and cards. Needs no torch."""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import __version__
from common.cli.registry import ABOUT, registered
from common.commandline import NOT_MEDICAL
from common.outputs.store import digest_file
from common.training.initial_weights import card_of
from common.training.weights import read_description

LICENCE = "Apache-2.0"


def main(words: Sequence[str]) -> int:
    """What is installed: classes, weights, digests, licences and cards (--json)."""
    parser = argparse.ArgumentParser(prog="cervical-fracture info", description=main.__doc__, epilog=NOT_MEDICAL)
    parser.add_argument("--json", action="store_true", help="as JSON")
    as_json = parser.parse_args(words).json
    found = about()
    print(json.dumps(found, indent=2) if as_json else as_text(found))
    return 0


def about() -> dict[str, Any]:
    """name, version, license, notice, and `parts`: name -> what each registered part says."""
    parts = {name: tell() for name, tell in registered(ABOUT).items()}
    return {"version": __version__, "license": LICENCE, "notice": NOT_MEDICAL, "parts": parts}


def weights_entry(path: Path, use: str, sources: Sequence[str] = ()) -> dict[str, Any]:
    """What there is to say of a weights file that comes along: `sha256` of its bytes, the `digest` by which results
    and records name it, `license`, `sources` (what it was made from, with the licence of each), `card`, the page
    beside it or above that says how it was made and measured. Raises WeightsError."""
    description = read_description(path)
    return {
        "file": str(path),
        "use": use,
        "kind": description["kind"],
        "version": description["version"],
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "digest": digest_file(path),
        "license": LICENCE,
        "sources": list(sources),
        "card": str(card_of(path)),
    }


def as_text(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"cervical-fracture {found['version']}, {found['license']}. {found['notice']}"]
    for name, part in found["parts"].items():
        lines += ["", f"{name}: {', '.join(part['classes'])}"]
        for weights in part["weights"]:
            lines += [f"  {weights['file']}: {weights['use']}", f"    sha256 {weights['sha256']}"]
            lines += [f"    made from {source}" for source in weights["sources"]]
            lines += [f"    {weights['license']}; card: {weights['card']}"]
    return "\n".join(lines)
