"""One step of a training, by hand: clipping, the mean of the weights, the rate, the decay, and what chance draws."""

import json
from pathlib import Path

import pytest
import torch
from test_training import QUICK, TinyTask, run
from torch import nn

from common.training.loop import _ema_of, _train_step, _update_ema, make_fabric
from common.training.task import TrainSettings
from common.training.train import is_current
from common.training.weights import load_weights


class Slope:
    """A task whose loss is `slope` times its one weight, so that the gradient is `slope`."""

    def __init__(self, slope: float) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.network.weight.fill_(2.0)
        self.slope = slope

    def sample(self, draw: int) -> dict[str, torch.Tensor]:
        return {"x": torch.ones(1)}

    def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": self.slope * network(batch["x"]).mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        return {"weight": float(network.weight)}


class NoLog:
    def add(self, losses: dict[str, torch.Tensor]) -> None:
        pass


def moved_by(slope: float, steps: int, lr: float = 0.1) -> float:
    """How far plain gradient descent moves the weight in some steps of the loop."""
    settings = TrainSettings(**{**QUICK, "clip": 1.0})
    fabric, task = make_fabric(settings), Slope(slope)
    network, optimizer = fabric.setup(task.network, torch.optim.SGD(task.network.parameters(), lr=9.0))
    for step in range(1, steps + 1):
        _train_step(fabric, task, network, optimizer, {"x": torch.ones(1, 1)}, settings, step, lr, NoLog())
    return 2.0 - float(task.network.weight.detach())


def test_a_gradient_is_cut_to_its_largest_norm() -> None:
    assert moved_by(slope=1000.0, steps=1) == pytest.approx(0.1, rel=1e-4)
    assert moved_by(slope=0.5, steps=1) == pytest.approx(0.05, rel=1e-4)


def test_gradients_of_steps_do_not_add_up() -> None:
    assert moved_by(slope=0.3, steps=3) == pytest.approx(3 * 0.03, rel=1e-4)


def test_the_rate_is_the_step_s() -> None:
    assert moved_by(slope=0.5, steps=1, lr=0.02) == pytest.approx(0.01, rel=1e-4)


def test_the_running_mean_has_a_short_memory_at_first() -> None:
    """Decay 1/10 at step 1, 10/19 at step 10, and never more than the setting."""
    cases = ((1, 0.99, 0.1), (10, 0.99, 10 / 19), (2000, 0.99, 0.99), (5, 0.2, 0.2), (3, 0.0, 0.0))
    for step, decay, expected in cases:
        mean, now = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            mean.weight.fill_(1.0)
            now.weight.fill_(0.0)
        ema = _ema_of(mean)
        _update_ema(ema, now, decay, step)
        assert float(ema.module.weight) == pytest.approx(expected)


def test_the_ema_of_a_training_is_the_formula_s_bit_for_bit() -> None:
    """mean + (now - mean) (1 - min(decay, step / (step + 9))), from the network's own weights on, statistics too; in
    float32 whatever the network computes in, and the network's weights are left alone."""
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to(dtype)
        ema = _ema_of(network)
        expected = {name: value.float().clone() for name, value in network.state_dict().items()}
        for step in range(1, 40):
            with torch.no_grad():
                for value in network.state_dict().values():
                    value += 1 if value.dtype == torch.int64 else torch.randn_like(value)
            before = {name: value.clone() for name, value in network.state_dict().items()}
            _update_ema(ema, network, 0.7, step)
            for name, value in network.state_dict().items():
                assert torch.equal(value, before[name])
                expected[name].lerp_(value.float(), 1 - min(0.7, step / (step + 9)))
        mean = ema.module.state_dict()
        assert mean.keys() == expected.keys() and int(mean["1.num_batches_tracked"]) == 39
        for name in set(mean) - {"1.num_batches_tracked"}:
            assert mean[name].dtype == torch.float32 and torch.equal(mean[name], expected[name]), name
        assert not any(value.requires_grad for value in ema.parameters())
        assert all(value.requires_grad for value in network.parameters())


def test_counters_are_taken_over_and_not_averaged() -> None:
    mean, now = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    now.num_batches_tracked.fill_(7)
    ema = _ema_of(mean)
    _update_ema(ema, now, 0.9, 100)
    assert int(ema.module.num_batches_tracked) == 7


def test_weights_decay_as_they_are_told_to(tmp_path: Path) -> None:
    """A loss of nothing, one step at the rate 0.1 and a decay of 0.5: 2 becomes 2 (1 - 0.05)."""
    found = run(tmp_path, Slope(0.0), steps=1, warmup=1, lr=0.1, weight_decay=0.5, ema=0.0)
    assert float(found["weight"]) == pytest.approx(1.9)


def test_dropout_is_another_in_each_step_and_seed(tmp_path: Path) -> None:
    class Draws(Slope):
        def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            drawn.append(float(torch.rand(1)))
            return super().loss(network, batch)

    drawn: list[float] = []
    run(tmp_path / "a", Draws(0.1), seed=0)
    run(tmp_path / "b", Draws(0.1), seed=1)
    assert len(drawn) == len(set(drawn)) == 12


def test_what_is_validated_is_what_is_kept(tmp_path: Path) -> None:
    kept = run(tmp_path, TinyTask(), ema=0.9)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["validation_weight"] == pytest.approx(float(kept["0.weight"].sum()), rel=1e-6)
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert not torch.equal(last["network"]["0.weight"], kept["0.weight"])


def test_a_line_of_the_log_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    class Counts(Slope):
        def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            self.steps = getattr(self, "steps", 0) + 1
            return {"loss": 0 * network(batch["x"]).mean() + self.steps}

    run(tmp_path, Counts(0.0), log_every=3)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines if "loss" in line] == [2.0, 5.0]


def test_validations_come_when_they_are_due(tmp_path: Path) -> None:
    run(tmp_path, TinyTask(), steps=7, validate_every=3)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation_weight" in line] == [0, 3, 6, 7]


@pytest.mark.parametrize("change", [{"seed": 1}, {"precision": "bf16-true"}, {"batch": 4}, {"ema": 0.5}, {"clip": 2.0}])
def test_what_the_weights_depend_on_makes_a_training_another(tmp_path: Path, change: dict) -> None:
    run(tmp_path, TinyTask())
    assert not is_current(tmp_path, TrainSettings(**{**QUICK, **change}), {"data": "a"})
    assert is_current(tmp_path, TrainSettings(**{**QUICK, "log_every": 1}), {"data": "a"})


def test_a_step_looks_at_its_own_samples(tmp_path: Path) -> None:
    """Batches of two: step s is shown the samples 2 (s - 1) and 2 (s - 1) + 1."""

    class Seen(Slope):
        def sample(self, draw: int) -> dict[str, torch.Tensor]:
            return {"x": torch.full((1,), float(draw))}

        def loss(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            seen.append(batch["x"].flatten().tolist())
            return super().loss(network, batch)

    seen: list[list[float]] = []
    run(tmp_path, Seen(0.1), steps=3)
    assert seen == [[0, 1], [2, 3], [4, 5]]
    assert set(load_weights(tmp_path / "weights.safetensors")[0]) == {"weight"}


def test_the_checkpoint_before_the_last_is_gone_on_from(tmp_path: Path) -> None:
    """Stopped in step 6, after those of steps 2 and 4; the last is damaged: step 3, of samples 4 and 5, comes next."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, TinyTask(stop_at=10))
    assert torch.load(tmp_path / "previous.pt", weights_only=True)["step"] == 2
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:-100])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, TinyTask(stop_at=4))
    run(tmp_path, TinyTask(stop_at=3))  # which it has done already
