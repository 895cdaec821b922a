"""Results above 32 MiB are written to memory that earlier results have left: which nobody can tell but by the time."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ndpool
import numpy as np
import pytest
from process import LINUX_ONLY, output_of

pytestmark = [LINUX_ONLY, pytest.mark.thread_unsafe]

MEBIBYTE = 2**20


def ones(mebibytes, dtype=np.uint8):
    """Return a result of so many bytes, of which every cell is written."""
    cells = mebibytes * MEBIBYTE // np.dtype(dtype).itemsize
    return ndpool.pool(np.broadcast_to(np.ones((), dtype), (cells,)), 1, "max")


def mapped_bytes():
    """Return the size of the process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def test_a_large_result_owns_its_memory():
    y = ones(40)
    assert y.flags.owndata
    assert y.flags.writeable
    assert y.base is None
    assert y.ctypes.data % 64 == 0


def test_memory_is_used_again():
    first = ones(48)
    address = first.ctypes.data
    del first
    second = ndpool.pool(np.broadcast_to(np.float32(2), (12 * MEBIBYTE,)), 1, "avg")
    assert second.ctypes.data == address
    assert (second == 2).all()


def test_a_result_in_use_is_left_alone():
    kept = [ones(40, dtype) for dtype in (np.uint8, np.int16, np.float64)]
    del kept[1]
    later = ndpool.pool(np.full(40 * MEBIBYTE, 7, np.uint8), 1, "max")
    assert all((y == 1).all() for y in kept)
    assert (later == 7).all()


@pytest.mark.parametrize("mebibytes", [1, 60, 100])
def test_a_large_result_can_be_resized(mebibytes):
    y = ones(60)
    y.resize(mebibytes * MEBIBYTE, refcheck=False)
    kept = min(mebibytes, 60) * MEBIBYTE
    assert (y[:kept] == 1).all()
    assert (y[kept:] == 0).all()


def test_no_more_is_kept_than_promised():
    for mebibytes in (33, 90, 120, 200, 300):
        ones(mebibytes)
    before = mapped_bytes()
    for mebibytes in range(33, 153, 5):
        ones(mebibytes)
    assert mapped_bytes() < before + 300 * MEBIBYTE


def test_threads_take_and_leave_blocks():
    def work(value):
        for mebibytes in (33, 40, 36):
            y = ndpool.pool(np.broadcast_to(np.uint8(value), (mebibytes * MEBIBYTE,)), 1, "max")
            if not (y == value).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 9)))


def test_a_child_has_blocks_of_its_own():
    script = """
        import os
        import ndpool
        import numpy as np

        def filled(value):
            return ndpool.pool(np.broadcast_to(np.uint8(value), (40 << 20,)), 1, "max")

        filled(1)
        mine = filled(2)
        child = os.fork()
        theirs = filled(3 if child == 0 else 4)
        right = (mine == 2).all() and (theirs == (3 if child == 0 else 4)).all()
        if child == 0:
            os._exit(int(not right))
        print(right, os.waitpid(child, 0)[1])
    """
    assert output_of(script) == "True 0\n"


def test_what_no_memory_can_hold_is_refused():
    with pytest.raises((MemoryError, ValueError)):
        ndpool.pool(np.broadcast_to(np.ones((), np.uint8), (2**46,)), 1, "max")
