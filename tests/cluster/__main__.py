"""`python -m tests.cluster`: a tiny run on four Dask workers that are killed, held up and poisoned, its scheduler and
its client killed as well, ends with the same outputs bit for bit as the same run in one process."""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import os

import pandas as pd
import tiny_run

from cluster.machines import ELSEWHERE, Machines, say, strikes
from common.errors import PARTLY_FAILED, ClusterError
from common.outputs.status import as_table, status
from common.workers import cluster

ON_CLUSTER = ("segment train", "segment predict", "segment evaluate", "classify train", "classify predict")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between blows, about (%(default)s)")
    arguments = parser.parse_args()
    cluster.CONNECT_S = 600  # a scheduler takes its time to start where others compute
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="cluster-") as place:
        return damaged_run(Path(place), rng, arguments.every)


def damaged_run(root: Path, rng: random.Random, every: float) -> int:
    data = root / "cohort"
    tiny_run.make_cohort(data)
    for words in tiny_run.commands(data, root / "reference").values():
        tiny_run.run(*words, "data.workers=1", log=root / "reference.txt")
    expected = tiny_run.results(root / "reference")
    say(f"one process: {len(expected)} outputs")
    poisoned = pd.read_csv(data / "test.csv")["StudyInstanceUID"].iloc[0]
    commands = tiny_run.commands(data, root / "run")
    machines = Machines(root, poisoned)
    machines.start()
    say(f"a scheduler and four workers, two of them in network namespaces: {ELSEWHERE if machines.separate else 'no'}")
    try:
        killed_client(commands["segment train"], machines, root)
        codes = {name: blows(name, words, machines, root, rng, every) for name, words in commands.items()}
        say(f"with one poisoned study: exit codes {codes}")
        print(as_table(status(root / "run")), flush=True)
        lacking = sorted(expected.keys() - tiny_run.results(root / "run").keys())
        only_it = all(poisoned in name or not name.startswith(("masks", "cache")) for name in lacking)
        say(f"{len(lacking)} outputs lacking: {'all of the poisoned study' if only_it else lacking}")
        machines.stop()
        machines = Machines(root)
        machines.start()
        codes = {name: blows(name, words, machines, root, rng, 1e9) for name, words in commands.items()}
        say(f"without it: exit codes {codes}")
        print(as_table(status(root / "run")), flush=True)
    finally:
        machines.stop()
        tiny_run.end_all()
    found = tiny_run.results(root / "run")
    differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    say(f"of {len(expected)} outputs {len(differing)} differ from those of one process {differing[:5]}")
    return 1 if differing or any(codes.values()) or not only_it else 0


def killed_client(words: list[str], machines: Machines, root: Path) -> None:
    """A command whose process is killed when the first study is in the cache; what it handed out isn't awaited."""
    client = tiny_run.start(*words, "--cluster", machines.address, log=root / "killed.txt")
    wait_for(root / "run" / "cache" / "*.record.json", client)
    os.kill(client, signal.SIGKILL)
    os.waitpid(client, 0)
    say("client killed")


def wait_for(files: Path, process: int) -> None:
    """Until one of the files is there; at most while the process lives."""
    while (
        not list(files.parent.glob(files.name))
        and os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        time.sleep(0.05)


def blows(name: str, words: list[str], machines: Machines, root: Path, rng: random.Random, every: float) -> int:
    """A command while workers are killed and held up, and once its scheduler; begun again when that has gone. Returns
    its exit code."""
    where = ["--cluster", machines.address] if name in ON_CLUSTER else []
    end = strikes(machines, rng, every, f"{name}: ") if where else None
    try:
        begun = tiny_run.start(*words, *where, log=root / f"{name.replace(' ', '-')}.txt")
        if name == "segment predict" and machines.poisoned:
            wait_for(root / "run" / "masks" / "*.nii.gz.record.json", begun)
            machines.kill_scheduler()
            say(f"{name}: scheduler killed")
            code = os.waitstatus_to_exitcode(os.waitpid(begun, 0)[1])
            say(f"{name}: exit code {code}, expected {ClusterError.exit_code} unless it was done; all start again")
            machines.start()
            begun = tiny_run.start(*words, *where, log=root / f"{name.replace(' ', '-')}.txt")
        code = os.waitstatus_to_exitcode(os.waitpid(begun, 0)[1])
    finally:
        if end is not None:
            end()
    if code not in (0, PARTLY_FAILED):
        print((root / f"{name.replace(' ', '-')}.txt").read_text()[-2000:], flush=True)
    say(f"{name}: exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
