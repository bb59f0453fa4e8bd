"""Hostile weights files and checkpoints: a WeightsError (a checkpoint: not used), no code run, no memory filled.

FUZZ_CASES=2000 runs that many cases of each test; without it as many as take seconds.
"""

import functools
import json
import os
import pickle
import resource
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from common.errors import WeightsError
from common.training import checkpoint
from common.training.weights import load_weights, read_description, save_weights

CASES = int(os.environ.get("FUZZ_CASES", "60"))
fuzz = settings(
    max_examples=CASES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@functools.cache
def good_weights() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        save_weights(path, nn.Linear(3, 2), {"kind": "tiny"})
        return path.read_bytes()


@functools.cache
def good_checkpoint() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), {"network": nn.Linear(3, 2).state_dict(), "step": 3}, "abc")
        return (Path(folder) / "last.pt").read_bytes()


def header(value: object, data: bytes = bytes(32), length: int | None = None) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if length is None else length % 2**64) + text + data


tensor = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F8_E4M3", "C64", "X", 3, None]),
        "shape": st.lists(st.sampled_from([0, 1, 2, 8, -1, 2**31, 10**12, 2**63, 1e300, "x"]), max_size=4),
        "data_offsets": st.lists(st.sampled_from([0, 4, 8, 32, 64, -1, 2**63, 10**12]), max_size=3),
    }
)
description = st.one_of(
    st.just(json.dumps({"kind": "tiny"})), 
    st.sampled_from(["", "null", "[]", "3", '"x"', "[" * 50_000, "{", '{"kind": []}']),
    st.text(max_size=10),
)  # fmt: skip
made_up = st.tuples(
    st.dictionaries(st.sampled_from(["weight", "bias", "", "../x"]), tensor, max_size=3),
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["description", "x"]), st.one_of(description, st.integers()))),
).map(lambda t: header({**t[0], **({} if t[1] is None else {"__metadata__": t[1]})}))
lengths = st.tuples(st.sampled_from([0, 1, 7, 8, 100, 10**8, 10**12, 2**63, 2**64 - 1]), st.binary(max_size=64)).map(
    lambda t: struct.pack("<Q", t[0]) + t[1]
)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """`content` cut off, lengthened, with bytes changed."""
    edits = st.lists(st.tuples(st.integers(0, len(content)), st.binary(min_size=1, max_size=9)), max_size=4)

    def change(args: tuple[int, list[tuple[int, bytes]]]) -> bytes:
        changed = bytearray(content)
        for at, new in args[1]:
            changed[at : at + len(new)] = new
        return bytes(changed[: args[0]])

    return st.tuples(st.integers(0, len(content) + 40), edits).map(change)


weights_files = st.one_of(
    made_up, lengths, st.binary(max_size=100), st.builds(good_weights).flatmap(mutated), st.builds(good_checkpoint)
)


@contextmanager
def little_memory(more: int = 2 * 2**30) -> Iterator[None]:
    """A MemoryError beyond two more gigabytes than now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@fuzz
@given(weights_files)
def test_weights(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, little_memory():
        path = Path(folder) / "w.safetensors"
        path.write_bytes(content)
        for read in (read_description, load_weights):
            try:
                found = read(path, "tiny")
                assert found if read is load_weights else found["kind"] == "tiny"
            except WeightsError as error:
                assert str(path) in str(error)
        assert [p.name for p in Path(folder).iterdir()] == ["w.safetensors"]


@fuzz
@given(st.one_of(st.builds(good_checkpoint).flatmap(mutated), st.binary(max_size=60), st.builds(good_weights)))
def test_checkpoint(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, little_memory():
        path = Path(folder) / "last.pt"
        path.write_bytes(content)
        try:
            state = checkpoint.read(path, "abc")
        except checkpoint.Unusable:
            return
        assert state["step"] == 3
        assert torch.isfinite(state["network"]["weight"]).all()


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["pickle", "torch", "torch, old format"])
def test_disguised_pickles(tmp_path: Path, how: str) -> None:
    for name in ("w.safetensors", "last.pt"):
        path, payload = tmp_path / name, Payload(tmp_path / "was here")
        if how == "pickle":
            path.write_bytes(pickle.dumps(payload))
        else:
            torch.save({"provenance": "a", "x": payload}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "w.safetensors")
    with pytest.raises(checkpoint.Damaged):
        checkpoint.read(tmp_path / "last.pt", "a")
    assert not (tmp_path / "was here").exists()


def test_a_description_that_lacks_what_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, torch.nn.Linear(1, 1), {"kind": "segmentation"})
    with pytest.raises(WeightsError, match="lacks network"):
        load_weights(path, "segmentation", ("kind", "network"))
