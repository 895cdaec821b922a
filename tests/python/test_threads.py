"""Same bits for every number of threads, every CPU level and from many Python threads at once; and thread control."""

import contextlib
import importlib.metadata
import json
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import digest
import ndpool
import numpy as np
import pytest
from process import assert_clean_failure, output_of, run

LEVELS = {"baseline": set(), "avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"}}


@pytest.fixture(autouse=True)
def number_of_threads_is_restored():
    before = ndpool.get_num_threads()
    yield
    ndpool.set_num_threads(before)


def differences(got, want):
    """Names of the cases whose bits differ."""
    assert got.keys() == want.keys()
    return sorted(name for name in want if got[name] != want[name])


@cache
def serial_fingerprints():
    """Return what one thread computes."""
    with ndpool.threads(1):
        return digest.fingerprints()


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("count", [2, 3, 8])
def test_bits_do_not_depend_on_the_number_of_threads(count):
    with ndpool.threads(count):
        assert differences(digest.fingerprints(), serial_fingerprints()) == []


@pytest.mark.thread_unsafe
def test_bits_are_the_same_from_eight_python_threads_at_once():
    ndpool.set_num_threads(2)
    with ThreadPoolExecutor(8) as executor:
        jobs = [executor.submit(digest.fingerprints, ["float32"], [layout]) for layout in ["channels_first"] * 8]
    want = {name: value for name, value in serial_fingerprints().items() if name.endswith("float32, channels_first")}
    for job in jobs:
        assert differences(job.result(), want) == []


def processor_flags():
    """Return what this processor can do, in the kernel's words."""
    if platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux"):
        return set()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return set(next(line for line in lines if line.startswith("flags")).split())


@pytest.mark.thread_unsafe
@pytest.mark.parametrize("level", sorted(LEVELS))
def test_bits_do_not_depend_on_the_cpu_level(level, monkeypatch):
    if not LEVELS[level] <= processor_flags():
        pytest.skip(f"this processor has no {level}")
    monkeypatch.setenv("NDPOOL_CPU", level)
    script = Path(__file__).with_name("digest.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=120)
    report = json.loads(done.stdout)
    assert report["cpu_level"] == level
    assert differences(report["fingerprints"], serial_fingerprints()) == []


CALL = """
    import ndpool, numpy as np
    x = np.arange(2 * 8 * 256 * 256, dtype=np.float32).reshape(2, 8, 256, 256)
    np.testing.assert_array_equal(ndpool.max_pool2d(x, 2), x[..., 1::2, 1::2])
    print(ndpool.get_num_threads())
"""


@pytest.mark.parametrize("level", ["", "sse9", "AVX2 ", "avx10", "\udcff", "baseline,avx2", "neon", "avx2", "avx512"])
def test_any_text_as_cpu_level_is_an_error_or_ignored(level):
    done = run(CALL, environment={"NDPOOL_CPU": level})
    if done.returncode != 0:
        assert_clean_failure(done)
        assert "NDPOOL_CPU" in done.stderr


@pytest.mark.parametrize(
    "count", ["", "0", "-1", "two", "3.5", " 2 ", "1e9", "65537", "99999999999999999999", "\udcff", "0x10"]
)
def test_any_text_as_number_of_threads_is_an_error_or_ignored(count):
    done = run(CALL, environment={"NDPOOL_NUM_THREADS": count})
    if done.returncode == 0:
        assert 1 <= int(done.stdout) <= 2**16
        assert done.stderr == ""
    else:
        assert_clean_failure(done)
        assert "NDPOOL_NUM_THREADS" in done.stderr


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_environment_sets_the_number_of_threads(count):
    assert int(output_of(CALL, environment={"NDPOOL_NUM_THREADS": str(count)})) == count


@pytest.mark.thread_unsafe
def test_the_number_of_threads_is_set_and_read():
    for count in (1, 2, 7):
        ndpool.set_num_threads(count)
        assert ndpool.get_num_threads() == count
        assert type(ndpool.get_num_threads()) is int


@pytest.mark.thread_unsafe
def test_threads_restores_the_number_also_after_an_exception():
    ndpool.set_num_threads(5)
    with ndpool.threads(3):
        assert ndpool.get_num_threads() == 3
        with contextlib.suppress(KeyError), ndpool.threads(2):
            assert ndpool.get_num_threads() == 2
            raise KeyError
        assert ndpool.get_num_threads() == 3
    assert ndpool.get_num_threads() == 5


@pytest.mark.thread_unsafe
def test_the_number_of_threads_may_change_during_calls():
    x = np.random.default_rng(0).standard_normal((4, 8, 128, 128)).astype(np.float32)
    want = ndpool.max_pool2d(x, 3, 2, 1)
    stop = threading.Event()

    def keep_changing():
        """Set another number again and again."""
        while not stop.is_set():
            for count in (1, 2, 3, 4):
                ndpool.set_num_threads(count)
                time.sleep(0.0005)

    changer = threading.Thread(target=keep_changing)
    changer.start()
    try:
        for _ in range(200):
            np.testing.assert_array_equal(ndpool.max_pool2d(x, 3, 2, 1), want)
    finally:
        stop.set()
        changer.join()


@pytest.mark.thread_unsafe
def test_an_input_that_is_written_meanwhile_gives_some_cell_of_its_window():
    x = np.zeros((4, 8, 64, 64), np.float32)
    stop = threading.Event()

    def keep_writing():
        """Change every cell again and again, to NaN as well."""
        rng = np.random.default_rng(0)
        while not stop.is_set():
            x[...] = rng.standard_normal(x.shape)
            x[..., ::3] = np.nan

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(200):
            (_, index), pullback = ndpool.vjp(ndpool.max_pool2d, x, 3, 2, 1, return_indices=True)
            rows, columns = np.indices((32, 32)) * 2
            assert (abs(index // 64 - rows) <= 1).all()
            assert (abs(index % 64 - columns) <= 1).all()
            assert pullback(np.ones(index.shape, np.float32)).sum() == index.size
    finally:
        stop.set()
        writer.join()


def test_the_configuration_is_shown():
    shown = ndpool.show_config()
    assert shown["version"] == importlib.metadata.version("ndpool")
    assert shown["threads"] == ndpool.get_num_threads()
    assert shown["cpu_level"] in shown["cpu_levels"]
    if processor_flags():
        assert set(shown["cpu_levels"]) == {level for level in LEVELS if LEVELS[level] <= processor_flags()}
