"""`python -m common.dataset verify DIR`: is a competition folder whole?"""

import argparse
import sys
from pathlib import Path

from common.commandline import NOT_MEDICAL, add_overwrite, run
from common.workers.cores import usable_cores


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m common.dataset", description=f"{__doc__} {NOT_MEDICAL}")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser(
        "verify", help="report every fault of a competition folder", description="Exit code 0: no fault."
    )
    verify.add_argument("root", type=Path, metavar="DIR", help="the folder with train.csv and train_images")
    verify.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    add_overwrite(verify)
    verify.add_argument("--deep", action="store_true", help="decode every slice, too; slow")
    verify.add_argument("--workers", type=int, default=min(usable_cores(), 8), help="processes")
    return _verify(parser.parse_args(words))


def verify_folder(words: list[str]) -> int:
    """Report every fault of a competition folder."""
    return main(["verify", *words])


def _verify(arguments: argparse.Namespace) -> int:
    from common.dataset.verify import verify
    from common.errors import DatasetError
    from common.outputs.own_files import outputs_at
    from common.outputs.store import write_json

    with outputs_at([arguments.json], [arguments.root], arguments.overwrite):
        report = verify(arguments.root, arguments.deep, arguments.workers)
        print(report.as_table())
        if arguments.json:
            write_json(arguments.json, report.as_json())
            print(f"report: {arguments.json}", file=sys.stderr)
    return DatasetError.exit_code if report.faults else 0


if __name__ == "__main__":
    run(main)
