"""Kills runs at random moments, goes on, and compares with a run that was left alone: `make test-kills`."""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tiny_run

EVALUATE_AND_REPORT = ("segment evaluate", "classify report")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill_runs", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-command", type=int, default=3, help="kills before a command may end")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="kill-runs-") as place:
        root = Path(place)
        tiny_run.make_cohort(root / "cohort")
        windows = {}
        for name, words in tiny_run.commands(root / "cohort", root / "reference").items():
            windows[name] = timed(words, root / "reference", root / "reference.txt")
            print(
                f"{name}: first change after {windows[name][0]:.1f} s, done after {windows[name][1]:.1f} s", flush=True
            )
        expected = tiny_run.results(root / "reference")
        kills: Counter[str] = Counter()
        wrong = round_ = 0
        while kills.total() < arguments.kills:
            round_ += 1
            folder = root / f"run{round_}"
            for name, words in tiny_run.commands(root / "cohort", folder).items():
                wanted = 1 if name in EVALUATE_AND_REPORT else arguments.per_command
                for _ in range(min(wanted, arguments.kills - kills.total())):
                    kills[name] += kill_once(words, windows[name], folder, root / "killed.txt", rng)
                tiny_run.run(*words, log=root / f"said{round_}.txt")
            tiny_run.end_all()
            differing = compare(expected, folder)
            wrong += bool(differing)
            left = len(list(folder.rglob(".writing-*")))
            told = f"of {len(expected)} results {len(differing)} differ {differing[:5]}, {left} half-written files"
            print(f"run {round_}: {kills.total()} kills so far; {told}", flush=True)
    print(f"{kills.total()} kills in {round_} runs ({dict(kills)}): {wrong} runs with a difference")
    return 1 if wrong else 0


def timed(words: list[str], folder: Path, log: Path) -> tuple[float, float]:
    """Runs a command; seconds until it first changed something below `folder`, and until it ended."""
    before, began, first = newest(folder), time.monotonic(), None
    process = tiny_run.start(*words, log=log)
    while (code := tiny_run.code_of(process)) is None:
        if first is None and newest(folder) > before:
            first = time.monotonic() - began
        time.sleep(0.02)
    if code:
        raise RuntimeError(f"{' '.join(words[:2])}: exit code {code}\n{log.read_text()[-3000:]}")
    whole = time.monotonic() - began
    return (whole if first is None else first), whole


def newest(folder: Path) -> int:
    times = [0]
    for path, _, _ in os.walk(folder):
        try:
            times.append(Path(path).stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return max(times)


def kill_once(
    words: list[str],
    window: tuple[float, float],
    folder: Path,
    log: Path,
    rng: random.Random,
    at_first_change: bool = False,
) -> bool:
    """Starts a command and kills it, half of the time with the processes it started, at a random moment of the time
    in which it writes: half of them so long after its first change; `at_first_change`: just then, however fast the
    machine is. True when it was alive."""
    before, began = newest(folder), time.monotonic()
    moment = rng.uniform(window[0] - 0.3, window[1])
    after_change = rng.uniform(0, max(window[1] - window[0], 0.2)) if rng.random() < 0.5 else None
    after_change = 0.0 if at_first_change else after_change
    process = tiny_run.start(*words, log=log)
    while (code := tiny_run.code_of(process)) is None:
        now = time.monotonic() - began
        if after_change is None and now >= moment:
            break
        if after_change is not None and newest(folder) > before:
            time.sleep(after_change)
            break
        time.sleep(0.005)
    if code is None:
        with_others = rng.random() < 0.5 and os.getpgid(process) == process  # it may not have begun one yet
        (os.killpg if with_others else os.kill)(process, signal.SIGKILL)
    return code is None and os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def compare(expected: dict[str, bytes], folder: Path) -> list[str]:
    """Names of the results that differ, are missing or too many."""
    found = tiny_run.results(folder)
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


if __name__ == "__main__":
    sys.exit(main())
