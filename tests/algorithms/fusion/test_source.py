import threading

import numpy as np
import pytest

from lussac.algorithms.fusion.source import Source


def read(start, stop):
    return np.zeros((stop - start, 1), np.float32)


def source(threads):
    return Source(read, ((0, 100),), 1, 30_000.0, threads)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_work_comes_back_in_the_order_of_its_items(threads):
    assert list(source(threads).in_order(lambda item: item**2, range(10))) == [item**2 for item in range(10)]


def test_one_thread_is_the_callers_and_runs_no_item_ahead():
    done = []

    def work(item):
        done.append(item)
        return threading.get_ident()

    for count, thread in enumerate(source(1).in_order(work, range(5)), 1):
        assert thread == threading.get_ident()
        assert done == list(range(count))


def test_more_threads_leave_the_caller_free():
    assert threading.get_ident() not in set(source(2).in_order(lambda _: threading.get_ident(), range(5)))
