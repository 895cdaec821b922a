"""What importing, running and leaving do to the process: nothing that anybody would notice."""

import platform
import sys

import pytest
from process import LINUX_ONLY, output_of, run

TESTS_OF_X86 = pytest.mark.skipif(
    platform.machine() != "x86_64" or not sys.platform.startswith("linux"), reason="runs x86-64 machine code"
)


def test_import_says_nothing_in_development_mode():
    assert output_of("import ndpool", options=["-X", "dev", "-W", "error"]) == ""


@LINUX_ONLY
def test_import_changes_nothing():
    script = """
        import os, signal, sys, threading, warnings
        import numpy as np

        def state():
            return {
                "threads": (threading.active_count(), len(os.listdir("/proc/self/task"))),
                "files": sorted(os.listdir("/proc/self/fd")),
                "signals": [signal.getsignal(number) for number in signal.valid_signals()],
                "warnings": list(warnings.filters),
                "environment": dict(os.environ),
                "errors": (np.geterr(), np.geterrcall(), np.get_printoptions()),
                "hooks": (sys.excepthook, sys.displayhook, list(sys.meta_path), list(sys.path), os.getcwd()),
                "recursion": sys.getrecursionlimit(),
            }

        before = state()
        import ndpool
        after = state()
        print([name for name in before if before[name] != after[name]])
    """
    assert output_of(script) == "[]\n"


def test_numpy_is_the_only_import():
    script = """
        import sys
        import numpy
        before = set(sys.modules)
        import ndpool
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(*sorted(new - set(sys.stdlib_module_names)))
    """
    assert output_of(script) == "ndpool\n"


def test_import_costs_little_more_than_numpys():
    script = """
        import time
        import numpy
        started = time.perf_counter()
        import ndpool
        print(time.perf_counter() - started)
    """
    assert min(float(output_of(script)) for _ in range(5)) < 0.15


def test_a_second_interpreter_is_refused_cleanly():
    script = """
        import importlib, sys
        interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
        import ndpool
        second = interpreters.create()
        try:
            error = interpreters.run_string(second, "import ndpool")
        except Exception as exception:
            error = exception
        print("ImportError" in repr(error))
    """
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert "panic" not in done.stderr
    assert done.stdout == "True\n"


@pytest.mark.parametrize("count", [1, 4])
def test_the_interpreter_ends_quietly_while_daemon_threads_are_inside_calls(count):
    script = f"""
        import threading, time
        import ndpool, numpy as np
        x = np.random.default_rng(0).standard_normal((8, 16, 256, 256)).astype(np.float32)

        def forever():
            while True:
                y, pullback = ndpool.vjp(ndpool.max_pool2d, x, 3, 2, 1)
                pullback(y)

        for _ in range({count}):
            threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.3)
    """
    for _ in range(5):
        assert output_of(script, timeout=30) == ""


def test_calls_work_while_the_interpreter_ends():
    script = """
        import atexit
        import ndpool, numpy as np

        class Last:
            def __del__(self):
                print(self.pool(self.x, 2).shape)

        last = Last()
        last.x, last.pool = np.zeros((4, 8, 256, 256), np.float32), ndpool.max_pool2d
        last.itself = last
        atexit.register(lambda: print(ndpool.avg_pool2d(last.x, 2).shape))
    """
    assert output_of(script) == "(4, 8, 128, 128)\n" * 2


FLUSH_TO_ZERO = """
    import ctypes, mmap

    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("0fae17c3") + bytes.fromhex("0fae1fc3"))  # ldmxcsr [rdi]; ret; stmxcsr [rdi]; ret
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    word = ctypes.c_uint32()
    load, store = (ctypes.CFUNCTYPE(None, ctypes.c_void_p)(start + offset) for offset in (0, 4))

    def control():
        store(ctypes.addressof(word))
        return word.value & ~0x3F  # without the sticky exception flags

    def flush():
        word.value = control() | 0x8040  # FTZ and DAZ
        load(ctypes.addressof(word))
"""


@TESTS_OF_X86
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("threads", [1, 2])
def test_flushing_denormals_changes_no_result_and_is_left_as_found(threads, moment):
    script = f"""{FLUSH_TO_ZERO}
    import hashlib
    import ndpool, numpy as np

    ndpool.set_num_threads({threads})
    x = (np.random.default_rng(0).integers(1, 9000, (4, 16, 128, 128)) * np.float64(1e-45)).astype(np.float32)

    def compute():
        bits = hashlib.sha256()
        for name in ("max_pool2d", "min_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "global_avg_pool"):
            y, pullback = ndpool.vjp(getattr(ndpool, name), x, *(() if name.startswith("global") else (2,)))
            assert y.view(np.uint32).all()
            for result in (y, pullback(y), pullback.jvp(x)):
                bits.update(result.tobytes())
        return bits.hexdigest()

    if {moment == "after"}:
        want = compute()
    flush()
    found = control()
    flushed = compute()
    assert control() == found, hex(control())
    print(flushed)
    """
    plain = script.replace("    flush()\n", "")
    assert output_of(script) == output_of(plain)
