"""`python -m tests.bench.gpu`: on one GPU, how many studies and training steps a minute, how much of what the hardware
multiplies at most that is, and which part of a study's time isn't the networks'. Ten minutes at most."""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import default_collate

from common.commandline import run
from common.device import autocast, choose_device
from tests.bench import tasks
from tests.bench.compare import lacks
from tests.bench.on_device import Work, measured, name_of, peak_flops, table
from tests.bench.studies import SMALL, pair, volume

if TYPE_CHECKING:
    from common.volume import Volume

PRECISIONS = ("32-true", "bf16-mixed")
STEPS = 2 if SMALL else 20


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: %(default)s)")
    arguments = parser.parse_args(words)
    device = choose_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows, reached = [], {}
    for precision in PRECISIONS:
        reached[precision] = peak_flops(device, precision)
        for work in works(arguments.out, device, precision):
            rows.append(measured(work, device, precision, arguments.rounds))
    found = {"device": name_of(device), "torch": torch.__version__, "reached_flops": reached}
    found["rows"] = [asdict(row) for row in rows]
    (arguments.out / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['device']}\n{table(rows, reached)}")
    return 0


def works(out: Path, device: torch.device, precision: str) -> Iterator[Work]:
    """A study through either stage, from arrays on the CPU to arrays on the CPU; a window of the peer's network, where
    it is installed; steps of either training."""
    from stage1_segment import Segmenter
    from stage1_segment.pretrained import PRETRAINED
    from stage2_classify import Classifier
    from tests.bench.nnunet import STAGES, build

    scan, (ct, mask) = volume(out), pair(out).volumes()
    plain = Segmenter.pretrained(str(device))
    segmenter = Segmenter.load(PRETRAINED, str(device), plain.predict.model_copy(update={"precision": precision}))
    yield Work(f"segment {' x '.join(map(str, scan.array.shape))}", lambda: segmenter(scan), segmenter.network)
    classifier = Classifier.pretrained(str(device), precision)
    yield Work("classify", lambda: classifier(ct, mask, with_map=False), classifier.predictors[0].network)
    if not lacks("dynamic_network_architectures"):
        network = build((4, 8, 8) if SMALL else STAGES).to(device)
        edge = 32 if SMALL else 128
        window = torch.randn(1, 1, edge, edge, edge, device=device)
        yield Work(f"a window of {edge} of nnU-Net", lambda: _forward(network, window, precision), network)
    yield from trainings(ct, mask, device, precision)


def _forward(network: nn.Module, batch: torch.Tensor, precision: str) -> None:
    with torch.inference_mode(), autocast(batch.device, precision):
        network(batch)


def trainings(ct: "Volume", mask: "Volume", device: torch.device, precision: str) -> Iterator[Work]:
    """STEPS steps of stage 1's training, and of stage 2's encoder, on samples that are there already."""
    for name, training in (("stage 1", tasks.segment(ct, mask)), ("stage 2's encoder", tasks.encode(ct, mask))):
        size = training.train.batch
        batch = default_collate([training.task.sample(number) for number in range(size)])
        yield Work(f"{STEPS} steps of {name}, batch of {size}", _steps(training, batch, device, precision))


def _steps(training: tasks.Training, batch: dict, device: torch.device, precision: str) -> Callable[[], None]:
    network = training.task.network.to(device).train()
    batch = {name: value.to(device) for name, value in batch.items()}
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            with autocast(device, precision):
                loss = training.task.loss(network, batch)["loss"]
            loss.backward()
            optimizer.step()

    return run


if __name__ == "__main__":
    run(main)
