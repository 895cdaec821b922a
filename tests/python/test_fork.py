"""Forked children: each has threads of its own, whatever the parent was doing, and pullbacks go along."""

import multiprocessing
import os
import signal
import threading
import warnings

import ndpool
import numpy as np
import pytest
from process import POSIX_ONLY

pytestmark = [POSIX_ONLY, pytest.mark.thread_unsafe]

X = np.random.default_rng(0).standard_normal((8, 16, 128, 128)).astype(np.float32)
DY = np.ones((8, 16, 64, 64), np.float32)


@pytest.fixture(scope="module")
def want():
    """Return what the parent computes, on a pool of threads that exists before any fork."""
    with ndpool.threads(2):
        return ndpool.max_pool2d(X, 3, 2, 1)


def in_child(work):
    """Say whether ``work`` ran to its end in a forked child; one that waits for ever is ended after 20 seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking while other threads run
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def pool_and_compare(want):
    """Check that a call on two threads gives what the parent got."""
    with ndpool.threads(2):
        np.testing.assert_array_equal(ndpool.max_pool2d(X, 3, 2, 1), want)


def test_a_child_computes_what_its_parent_does(want):
    for _ in range(5):
        assert in_child(lambda: pool_and_compare(want))
        pool_and_compare(want)


def test_a_child_of_a_child_computes_it_too(want):
    def child():
        """Call, then fork again."""
        pool_and_compare(want)
        assert in_child(lambda: pool_and_compare(want))
        pool_and_compare(want)

    assert in_child(child)


def test_a_child_of_a_child_that_never_called(want):
    assert in_child(lambda: in_child(lambda: pool_and_compare(want)) or os._exit(1))


def test_a_pullback_made_before_the_fork_works_in_the_child(want):
    y, pullback = ndpool.vjp(ndpool.max_pool2d, X, 3, 2, 1)
    gradient, derivative = pullback(DY), pullback.jvp(X)

    def child():
        """Both directions, bit for bit."""
        np.testing.assert_array_equal(pullback(DY), gradient)
        np.testing.assert_array_equal(pullback.jvp(X), derivative)

    np.testing.assert_array_equal(y, want)
    assert in_child(child)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_fork_in_the_middle_of_another_threads_call(want, workers):
    stop = threading.Event()

    def keep_calling():
        """Be inside a call nearly always."""
        while not stop.is_set():
            ndpool.max_pool2d(X, 3, 2, 1)

    callers = [threading.Thread(target=keep_calling) for _ in range(workers)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(20):
            assert in_child(lambda: pool_and_compare(want))
    finally:
        stop.set()
        for caller in callers:
            caller.join()


def test_a_fork_from_a_thread_that_is_not_the_main_one(want):
    finished = []
    forker = threading.Thread(target=lambda: finished.append(in_child(lambda: pool_and_compare(want))))
    forker.start()
    forker.join()
    assert finished == [True]


def test_the_number_of_threads_goes_along(want):
    ndpool.set_num_threads(2)
    assert in_child(lambda: os._exit(0 if ndpool.get_num_threads() == 2 else 1))
    assert in_child(lambda: (ndpool.set_num_threads(3), pool_and_compare(want)))


def test_a_pool_of_processes_maps(want):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            results = pool.starmap_async(ndpool.max_pool2d, [(plane, 3, 2, 1) for plane in X]).get(timeout=30)
    np.testing.assert_array_equal(np.stack(results), want)
