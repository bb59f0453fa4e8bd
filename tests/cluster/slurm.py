"""`python -m tests.cluster.slurm`: a tiny run by jobs of a real SLURM, which are killed and suspended at random, ends
with the outputs of one process bit for bit; then both trainings by `srun`, as torchrun makes them. Without a SLURM, as
root, one of two nodes is started on this machine (tests/cluster/own_slurm.py)."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_run

from cluster.machines import ROOT, say, strikes
from cluster.own_slurm import slurm
from common.outputs.status import as_table, status
from common.training.weights import load_weights

ON_CLUSTER = ("segment train", "segment predict", "segment evaluate", "classify train", "classify predict")
TRAININGS = ("segment train", "classify train")
JOB = {"cores": 1, "processes": 1, "memory": "3GB", "walltime": "00:30:00", "queue": "cpu"}
ROUNDING = 1e-4
"""Of weights after a few steps: processes of two threads add up in another order."""
TWO = ["train.batch=2", "train.devices=2"]
ENCODER = ["encoder.batch=2", "encoder.devices=2"]


class Jobs:
    """The jobs that run for us, as `strikes` wants them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def kill_one(self, rng: random.Random) -> int | None:
        victim = self._one(rng)
        self._say(victim, "scancel", "--full", "--signal=KILL")
        return victim

    def hold_one_up(self, rng: random.Random, seconds: float) -> int | None:
        victim = self._one(rng)
        self._say(victim, "scontrol", "suspend")
        time.sleep(seconds)
        self._say(victim, "scontrol", "resume")
        return victim

    def _one(self, rng: random.Random) -> int | None:
        words = ["squeue", "--noheader", "--me", "--states=RUNNING", "--format=%i"]
        running = subprocess.run(words, capture_output=True, text=True, env=self.environment).stdout.split()
        return int(rng.choice(running)) if running else None

    def _say(self, job: int | None, *words: str) -> None:
        if job is not None:
            subprocess.run([*words, str(job)], capture_output=True, env=self.environment)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.slurm", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between blows, about (%(default)s)")
    parser.add_argument("--queue", default=JOB["queue"], help="SLURM's partition (%(default)s)")
    parser.add_argument("--folder", help="where all nodes see it (a temporary one of this machine)")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="slurm-run-", dir=arguments.folder) as place, slurm(os.environ):
        root, rng = Path(place), random.Random(arguments.seed)
        workers = root / "slurm.yaml"
        job = {**JOB, "queue": arguments.queue, "local_directory": place, "log_directory": place}
        workers.write_text(json.dumps({"system": "slurm", "most": 3, "job": job}))  # JSON is YAML, too
        data = root / "cohort"
        tiny_run.make_cohort(data)
        return max(struck_run(root, data, workers, rng, arguments.every), trained_by_srun(root, data, workers))


def struck_run(root: Path, data: Path, workers: Path, rng: random.Random, every: float) -> int:
    """1 unless the outputs are those of one process."""
    for words in tiny_run.commands(data, root / "reference").values():
        tiny_run.run(*words, "data.workers=1", log=root / "reference.txt")
    codes: dict[str, int] = {}
    for name, words in tiny_run.commands(data, root / "run").items():
        on_cluster = name in ON_CLUSTER
        end = strikes(Jobs(dict(os.environ)), rng, every, f"{name}: ") if on_cluster else None
        where = ["--cluster", str(workers)] if on_cluster else []
        codes[name], said = tiny_run.answer(*words, *where, log=root / "run.txt")
        if end is not None:
            end()
        say(f"{name}: exit code {codes[name]}" + (f"\n{said[-2000:]}" if codes[name] else ""))
    print(as_table(status(root / "run")), flush=True)
    return compared(root / "reference", root / "run", "one process") or int(any(codes.values()))


def trained_by_srun(root: Path, data: Path, workers: Path) -> int:
    """Both trainings by two processes: 1 unless the weights are the same, to a rounding, from torchrun, from two tasks
    of one node, and from one task of each of two nodes. Jobs do what comes before a training, but for torchrun."""
    two_nodes = ["train.devices=1", "train.nodes=2", "encoder.devices=1", "encoder.nodes=2"]
    ways: dict[str, tuple[list[str], list[str]]] = {
        "torchrun": (["torchrun", "--nproc-per-node", "2"], []),
        "srun-one-node": (["srun", "--nodes=1", "--ntasks-per-node=2", sys.executable], []),
        "srun-two-nodes": (["srun", "--nodes=2", "--ntasks-per-node=1", sys.executable], two_nodes),
    }
    ways["torchrun"][0][0] = str(Path(sys.executable).parent / "torchrun")
    code = 0
    for name, (launcher, settings) in ways.items():
        commands = tiny_run.commands(data, root / name)
        for training in ("segment train", "segment predict", "classify train"):
            begins, more = (launcher, settings) if training in TRAININGS else ([sys.executable], [])
            of_encoder = ENCODER if training.startswith("classify") else []
            fitting = [word for word in more if of_encoder or word.startswith("train.")]
            words = [*commands[training], *TWO, *of_encoder, *fitting]
            words += [] if name == "torchrun" else ["--cluster", str(workers)]
            done = subprocess.run([*begins, "-m", *words], cwd=ROOT, capture_output=True, text=True)
            say(f"{name}: {training}: exit code {done.returncode}")
            if done.returncode:
                print(done.stdout[-1000:], done.stderr[-3000:], flush=True)
                return 1
        off = [farthest(weights, root / name) for weights in (root / "torchrun").rglob("*.safetensors")]
        say(f"{name}: {len(off)} files of weights, off from torchrun's by {max(off):.2g} at most")
        code = max(code, int(max(off) > ROUNDING))
    return code


def farthest(weights: Path, run: Path) -> float:
    """The largest difference of any weight from those of the same place in `run`."""
    one, other = (load_weights(path)[0] for path in (weights, run / weights.relative_to(run.parent / "torchrun")))
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def compared(expected: Path, found: Path, whose: str) -> int:
    one, other = tiny_run.results(expected), tiny_run.results(found)
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    say(f"{found.name}: of {len(one)} outputs {len(differing)} differ from those of {whose} {differing[:5]}")
    return int(bool(differing) or not one)


if __name__ == "__main__":
    sys.exit(main())
