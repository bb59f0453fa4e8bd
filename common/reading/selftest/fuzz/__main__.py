"""`python -m common.reading.selftest.fuzz --cases N --seed S`: damaged studies for the reader, and what came of them.

Exit code 1 when a case crashed, hung, took too much memory, wrote anything, raised an untyped error, or gave a volume
that isn't one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from common import commandline
from common.reading.selftest.fuzz.seeds import make_seeds

CASE_SECONDS = 20.0
GOOD = {"read", "NothingFound", "CorruptFile", "IncompleteSeries", "UnsupportedStudy"}


def main() -> int:
    """Runs the cases and prints the tally."""
    parser = argparse.ArgumentParser(prog="common.reading.selftest.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to see one again")
    arguments = parser.parse_args()
    tally, findings = fuzz(arguments.cases, arguments.seed, arguments.first)
    for finding in findings:
        print(json.dumps(finding))
    print(f"{sum(tally.values())} cases, seed {arguments.seed}: {dict(tally.most_common())}")
    return 1 if findings else 0


def fuzz(cases: int, seed: int, first: int = 0) -> tuple[Counter, list[dict]]:
    """Runs `cases` cases from number `first` on in worker processes. Returns how often each outcome came, and the
    bad ones one by one."""
    tally: Counter = Counter()
    findings: list[dict] = []
    with tempfile.TemporaryDirectory() as scratch:
        make_seeds(Path(scratch) / "seeds")
        last = first + cases
        while first < last:
            first = _batch(first, last, seed, Path(scratch), tally, findings)
    return tally, findings


def _batch(first: int, last: int, seed: int, scratch: Path, tally: Counter, findings: list[dict]) -> int:
    """One worker until it is done, dies or hangs; returns the case to go on from."""
    command = [
        sys.executable,
        "-m",
        "common.reading.selftest.fuzz.worker",
        str(first),
        str(last),
        str(seed),
        str(scratch),
    ]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    complaints: list[str] = []
    threading.Thread(target=lambda: complaints.extend(worker.stderr or ()), daemon=True).start()
    started: dict = {}
    hung = threading.Event()

    def stop() -> None:
        hung.set()
        worker.kill()

    timer = threading.Timer(60.0, stop)
    timer.start()
    for line in worker.stdout or ():
        timer.cancel()
        said = json.loads(line)
        if "outcome" in said:
            tally[said["outcome"]] += 1
            if said["outcome"] not in GOOD:
                findings.append({**said, "how": started["how"]})
            started = {}
        else:
            started = said
        timer = threading.Timer(CASE_SECONDS, stop)
        timer.start()
    timer.cancel()
    worker.wait()
    if not started and worker.returncode == 0:
        return last
    outcome = "hung" if hung.is_set() else f"crashed ({worker.returncode})"
    if not started:
        raise RuntimeError(f"the worker died between cases: {outcome} {''.join(complaints)[-2000:]}")
    tally[outcome] += 1
    findings.append({**started, "outcome": outcome, "text": "".join(complaints)[-300:]})
    return started["case"] + 1


if __name__ == "__main__":
    commandline.run(main)
