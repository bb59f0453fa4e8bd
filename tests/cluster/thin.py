"""`python -m tests.cluster.thin`: the same on many thin studies, without networks: cache and crops, in minutes."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.errors import PARTLY_FAILED, ClusterError
from common.outputs.status import as_table, status
from tests.bench.scale import make
from tests.cluster.machines import ELSEWHERE, ROOT, Machines, say, strikes

POISONED = "1.7"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.thin", description=__doc__)
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between blows, about (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-") as place:
        return damaged(Path(place), arguments.studies, arguments.every, random.Random(arguments.seed))


def damaged(place: Path, studies: int, every: float, rng: random.Random) -> int:
    make(place, studies)
    begin(place, studies, "one").wait()
    expected = outputs(place / "one")
    say(f"one process: {len(expected)} outputs of {studies} studies")
    machines = Machines(place, f"{POISONED}.nii.gz")
    machines.start()
    say(f"a scheduler and four workers, two of them in network namespaces: {ELSEWHERE if machines.separate else 'no'}")
    try:
        client = begin(place, studies, "run", machines.address)
        wait_for(place / "run" / "cache" / "*.record.json", 3, client)
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
        say(f"client killed; {len(outputs(place / 'run'))} outputs are there")
        client = begin(place, studies, "run", machines.address)
        over = strikes(machines, rng, every)
        wait_for(place / "run" / "stage2" / "crops" / "*.record.json", 3, client)
        over()
        machines.kill_scheduler()
        codes = [client.wait()]
        say(f"scheduler killed: exit code {codes[0]}, expected {ClusterError.exit_code}")
        machines.start()
        over = strikes(machines, rng, every)
        codes.append(begin(place, studies, "run", machines.address).wait())
        over()
        say(f"the same command, one study poisoned: exit code {codes[1]}, expected {PARTLY_FAILED}")
        print(as_table(status(place / "run")), flush=True)
        lacking = sorted(expected.keys() - outputs(place / "run").keys())
        say(f"lacking: {lacking}")
        machines.stop()
        machines = Machines(place)
        machines.start()
        codes.append(begin(place, studies, "run", machines.address).wait())
        say(f"the same command, without poison: exit code {codes[2]}")
        print(as_table(status(place / "run")), flush=True)
    finally:
        machines.stop()
    found = outputs(place / "run")
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    say(f"of {len(expected)} outputs {len(differing)} differ from those of one process")
    only_it = all(f"{POISONED}." in name for name in lacking) and len(lacking) == 2
    return 0 if codes == [ClusterError.exit_code, PARTLY_FAILED, 0] and only_it and not differing else 1


def begin(place: Path, studies: int, run: str, where: str = "local") -> subprocess.Popen:
    words = ["--studies", str(studies), "--one", "crops", str(place), "--run", run, "--cluster", where]
    log = (place / f"{run}.txt").open("a")
    return subprocess.Popen([sys.executable, "-m", "tests.bench.scale", *words], cwd=ROOT, stdout=log, stderr=log)


def wait_for(files: Path, number: int, process: subprocess.Popen) -> None:
    """Until so many of the files are there; at most while the process lives."""
    while len(list(files.parent.glob(files.name))) < number and process.poll() is None:
        time.sleep(0.05)


def outputs(run: Path) -> dict[str, bytes]:
    paths = [*run.rglob("*.b2nd"), *run.rglob("*.npz")]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


if __name__ == "__main__":
    sys.exit(main())
