"""Parts of one study by threads."""

import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from common.workers.threads import at_once


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_parts_share_the_threads_and_keep_their_order(threads: int) -> None:
    """Two parts that wait for each other, where there are threads for both; the second one ends first."""
    both, second = threading.Barrier(2), threading.Event()

    def part(number: int) -> tuple[int, int, bool]:
        if threads > 1:
            both.wait(60)
            second.wait(60) if number == 1 else second.set()
        return number, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    share, in_turn = max(threads // 2, 1), threads == 1
    assert at_once(part, [1, 2]) == [(1, share, in_turn), (2, share, in_turn)]
    assert torch.get_num_threads() == threads and at_once(part, []) == []
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads]


def test_an_error_of_a_part_is_raised(threads: int) -> None:
    def part(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        at_once(part, [1, 0, 2])
    assert torch.get_num_threads() == threads


def test_where_torch_is_not_imported_none_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    main = threading.current_thread()
    assert at_once(lambda _: threading.current_thread() is main, [1, 2]) == [True, True]
    assert "torch" not in sys.modules
