"""`cervical-fracture COMMAND ...`, the installed command; `python -m common.cli` is the same."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from common.cli.registry import COMMANDS, entries, registered
from common.commandline import NOT_MEDICAL, run


def main() -> int:
    """Runs the registered command that the first word names; only that one is imported."""
    name, *words = sys.argv[1:] or [""]
    if name in (known := entries(COMMANDS)):
        return known[name].load()(words)
    commands = registered(COMMANDS)
    parser = argparse.ArgumentParser(
        prog="cervical-fracture",
        description="Finds the cervical vertebrae in a CT of the neck and says which are fractured.",
        epilog=f"commands:\n{_listed(commands)}\n\nCOMMAND --help says more. {NOT_MEDICAL}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands, metavar="COMMAND", help="one of those below")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="what the command is told")
    arguments = parser.parse_args()
    return commands[arguments.command](arguments.words)


def start() -> None:
    """The console script: ends with the exit code of the command (docs/runs.md)."""
    run(main)


def _listed(commands: dict[str, Callable[..., Any]]) -> str:
    helps = {name: (command.__doc__ or "").strip().splitlines() for name, command in commands.items()}
    return "\n".join(f"  {name:<10}{lines[0] if lines else ''}" for name, lines in helps.items())


if __name__ == "__main__":
    start()
