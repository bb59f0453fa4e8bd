"""What installed packages register for the command line, as entry points."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from common.errors import ConfigError

COMMANDS = "cervical_fracture.commands"
"""Group of functions (words after the name) -> exit code; the first line of the docstring is the help."""
STEPS = "cervical_fracture.steps"
"""Group of functions (`request.Request`) -> exit code, each named `NUMBER-NAME`: what is done with one study, in the
order of the numbers. A function's module may have `IMPORTED_FIRST`, the modules of its networks that are imported
before the study is read, and `IMPORTED_FOR`: by an output's name the modules that it needs after the first step's
networks; they are imported meanwhile."""
DOCTOR = "cervical_fracture.doctor"
"""Group of functions (`request.Request`, the study's facts, whether quickly, without networks) -> `StageView`: what a
stage has to say of a study before it predicts, named as the steps are. A mask that one leaves in the request's folder
is there for those after it."""
ABOUT = "cervical_fracture.about"
"""Group of functions () -> what a part has to say of itself, for `info`."""


def entries(group: str) -> dict[str, EntryPoint]:
    """Name -> what loads the function, in the order of the names. ConfigError when nothing is registered."""
    found = {entry.name: entry for entry in entry_points(group=group)}
    if not found:
        raise ConfigError(
            f"nothing is registered under {group}: this environment was installed before there was such a command; "
            "run `make setup`, or `pip install` the project again"
        )
    return {name: found[name] for name in sorted(found)}


def registered(group: str) -> dict[str, Callable[..., Any]]:
    """Name -> function, in the order of the names. ConfigError when nothing is registered."""
    return {name: entry.load() for name, entry in entries(group).items()}
