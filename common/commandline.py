"""What every command line here has in common: configuration, overrides, errors without a traceback."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from common.errors import ConfigError, ProjectError
from common.workers.cores import limit_libraries
from common.workers.memory import keep_memory

NOT_MEDICAL = "Research software, not a medical device."


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds `--config FILE` and the dotted overrides."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML, or one that comes along: phantom")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="dotted overrides, such as train.lr=1e-3")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Adds `--cluster`, for commands that work on a whole cohort; `common.workers.cluster.use` takes its value."""
    parser.add_argument(
        "--cluster", metavar="WHERE", default="local",
        help="where studies are worked on: local (processes of this machine), tcp://HOST:8786 (a Dask scheduler), or a "
        "YAML file for SLURM, PBS or SGE (docs/scale.md)",
    )  # fmt: skip


def check_least(arguments: argparse.Namespace, **least: int) -> None:
    """Raises ConfigError for a number on the command line that is below its `least`."""
    for name, value in least.items():
        if getattr(arguments, name) < value:
            found = getattr(arguments, name)
            raise ConfigError(f"--{name.replace('_', '-')} is {found}, expected {value} or more")


def probability(word: str) -> float:
    """A type of argparse: a number above 0 and up to 1."""
    value = float(word)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{word}: expected a probability above 0 and up to 1")
    return value


def add_series_choice(parser: argparse.ArgumentParser) -> None:
    """Adds `--series-uid UID` and `--list-series`, for commands that read one study."""
    parser.add_argument("--series-uid", metavar="UID", help="the DICOM series to read; default: the best neck CT")
    parser.add_argument("--list-series", action="store_true", help="show the study's series and read none")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Adds `--overwrite`, for commands whose outputs are named on the command line."""
    parser.add_argument("--overwrite", action="store_true", help="also replace outputs that aren't ours; never inputs")


def run(main: Callable[[], int | None]) -> None:
    """Runs a command and ends with its exit code; a ProjectError becomes one line on stderr and its code, Ctrl-C 130.
    A code that isn't 0 is left in the file that EXIT_CODE_FILE in the environment names, too: make passes none on."""
    limit_libraries()
    keep_memory()
    # What libraries say to each other about their future helps nobody here; processes started later hear it too.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    warnings.simplefilter("ignore", FutureWarning)
    code: int | str = 1  # of what nobody foresaw
    try:
        code = main() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        print("stopped: what was to read the output has ended", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be flushed at the end goes there
        code = 141  # as shells have it: 128 + SIGPIPE
    except ProjectError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        code = 130
    except SystemExit as end:  # argparse
        code = end.code or 0
    finally:
        if code and (file := os.environ.get("EXIT_CODE_FILE")):
            Path(file).write_text(f"{code if isinstance(code, int) else 1}\n")
    sys.exit(code)
