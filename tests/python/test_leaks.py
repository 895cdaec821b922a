"""Many calls, good and failing: memory, reference counts, files and threads are afterwards what they were."""

import contextlib
import gc
import sys
from pathlib import Path

import ndpool
import numpy as np
import pytest
from process import LINUX_ONLY, resident_bytes, threads_of_the_system

pytestmark = [LINUX_ONLY, pytest.mark.thread_unsafe]

MEBIBYTE = 2**20
CALLS = 20_000
X = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32)
OUT = np.empty((1, 4, 4, 4), np.float32)
SWAPPED = X.astype(">f4")


class Failing:
    """An ``__index__`` and an ``__array__`` that raise."""

    def __index__(self):
        raise KeyError

    def __array__(self, *args, **kwargs):
        raise KeyError


def differentiate():
    """Forward, backward and forward derivative."""
    y, pullback = ndpool.vjp(ndpool.max_pool2d, X, 3, 2, 1)
    pullback(y)
    pullback.jvp(X)


def set_threads():
    """Enter and leave the context."""
    with ndpool.threads(2):
        pass


GOOD = {
    "max": lambda: ndpool.max_pool2d(X, 2),
    "indices": lambda: ndpool.max_pool2d(X, (3, 3), (2, 2), ((1, 1), (0, 1)), return_indices=True),
    "average": lambda: ndpool.avg_pool2d(X, 2, dtype="float64"),
    "out": lambda: ndpool.max_pool2d(X, 2, out=OUT),
    "copied input": lambda: ndpool.max_pool2d(SWAPPED, 2),
    "list": lambda: ndpool.pool([1.0, 2.0, 3.0], 2),
    "any axes": lambda: ndpool.pool(X, (2, 2), "sum", axis=(1, 3)),
    "global": lambda: ndpool.global_avg_pool(X),
    "adaptive": lambda: ndpool.adaptive_max_pool2d(X, 3, return_indices=True),
    "gradient": differentiate,
    "shape": lambda: ndpool.output_shape((4, 8, 8), (2, 2), padding="same"),
    "threads": set_threads,
}

FAILING = {
    "value": lambda: ndpool.max_pool2d(X, 0),
    "type": lambda: ndpool.max_pool2d(X, 2.0),
    "rank": lambda: ndpool.max_pool2d(X, (2, 2, 2)),
    "dtype": lambda: ndpool.max_pool2d(X.astype(complex), 2),
    "memory": lambda: ndpool.adaptive_avg_pool2d(X, 2**31 - 1),
    "index": lambda: ndpool.max_pool2d(X, Failing()),
    "array": lambda: ndpool.max_pool2d(Failing(), 2),
    "out": lambda: ndpool.max_pool2d(X, 2, out=X),
    "empty window": lambda: ndpool.max_pool2d(X, 2, padding=((0, 2), (2, 0))),
    "cotangent": lambda: ndpool.vjp(ndpool.max_pool2d, X, 2)[1](X),
    "option": lambda: ndpool.pool(X, 2, nonsense=1),
}


def repeat(call, times):
    """Call again and again; what it raises is expected."""
    for _ in range(times):
        with contextlib.suppress(ValueError, TypeError, KeyError, MemoryError):
            call()


def growth(measure, call):
    """By how much ``measure`` grows over many calls, caches and pools being warm."""
    repeat(call, CALLS // 10)
    gc.collect()
    before = measure()
    repeat(call, CALLS)
    gc.collect()
    return measure() - before


@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_calls_leave_no_memory_behind(name):
    assert growth(resident_bytes, GOOD[name]) < MEBIBYTE


@pytest.mark.parametrize("name", sorted(FAILING))
def test_failing_calls_leave_no_memory_behind(name):
    assert growth(resident_bytes, FAILING[name]) < MEBIBYTE


def test_large_results_and_pullbacks_are_freed():
    x = np.ones((4, 8, 128, 128), np.float32)

    def call():
        """Every kind of result that a call allocates."""
        (y, _), pullback = ndpool.vjp(ndpool.max_pool2d, x, 3, 2, 1, return_indices=True)
        pullback(y)
        ndpool.avg_pool2d(x, 31, 1, 15)

    repeat(call, 20)
    before = resident_bytes()
    repeat(call, 200)
    assert resident_bytes() - before < 16 * x.nbytes  # the smallest of the results would add up to three times as much


def test_a_pullback_of_max_keeps_a_small_code_per_output_and_not_the_input():
    x = np.random.default_rng(0).standard_normal((1, 8, 512, 512)).astype(np.float32)
    outputs = x.size // 4
    references = sys.getrefcount(x)
    kept = [ndpool.vjp(ndpool.max_pool2d, x, 2)[1]]
    before = resident_bytes()
    kept += [ndpool.vjp(ndpool.max_pool2d, x, 2)[1] for _ in range(40)]
    assert resident_bytes() - before < 40 * 2 * outputs + 8 * MEBIBYTE
    assert sys.getrefcount(x) == references
    assert kept[-1](np.ones((1, 8, 256, 256), np.float32)).sum() == outputs


@pytest.mark.parametrize(
    "call", [*GOOD.values(), *FAILING.values()], ids=[*GOOD, *(f"failing {key}" for key in FAILING)]
)
def test_reference_counts_files_and_threads_are_unchanged(call):
    def counts():
        """Count references to everything that a call touches, open files, threads."""
        dtypes = [np.dtype(name) for name in ("float32", "float64", "int64")]
        objects = [X, OUT, SWAPPED, *dtypes, None, ndpool.max_pool2d, "channels_first"]
        files = len(list(Path("/proc/self/fd").iterdir()))
        return [*(sys.getrefcount(thing) for thing in objects), files, threads_of_the_system()]

    repeat(call, 10)
    before = counts()
    repeat(call, 1000)
    after = counts()
    assert max(abs(now - then) for now, then in zip(after, before, strict=True)) < 100
