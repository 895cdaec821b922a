"""Ctrl-C and other signals during a long call.

Each script has a process of its own: a call that cannot be interrupted would otherwise hang the suite.
"""

import pytest
from process import POSIX_ONLY, output_of

pytestmark = POSIX_ONLY

# 2**40 numbers that take no memory: hours of work for one call.
ENDLESS = """
    import os, signal, threading, time
    import ndpool, numpy as np

    # In a background job it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    endless = np.broadcast_to(np.float32(1), (256, 256, 4096, 4096))
    seconds = np.broadcast_to(np.arange(4096, dtype=np.float32), (16, 16, 4096, 4096))
    sent = []

    def send(number, after=0.3):
        def now():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), number)
        threading.Timer(after, now).start()

    def latency(kind, call):
        try:
            call()
        except kind:
            return time.perf_counter() - sent[-1]
        raise AssertionError("the call came to an end")
"""

CALLS = {
    "global average": "ndpool.global_avg_pool(endless)",
    "global maximum": "ndpool.global_max_pool(endless)",
    "one maximum": 'ndpool.pool(endless, endless.shape, "max")',
    "one sum": 'ndpool.pool(endless, endless.shape, "sum")',
    "large windows": "ndpool.max_pool2d(endless, 4096)",
    "indices": "ndpool.max_pool2d(endless, 2048, 2048, return_indices=True)",
    "adaptive": "ndpool.adaptive_avg_pool2d(endless, 2)",
    "vjp": "ndpool.vjp(ndpool.max_pool2d, endless, 4096)",
    "unpooling": "ndpool.max_unpool2d(endless, np.broadcast_to(np.uint8(0), endless.shape), 1, 1, 2047)",
    "fractional windows": "ndpool.fractional_max_pool2d(endless, 1000, 5)",
    "boxes": "ndpool.roi_pool(endless[:1, :, :512, :512], [[0, 0, 0, 511, 511]] * 10000, 2)",
    "points": "ndpool.roi_align(endless[:1, :8, :512, :512], [[0, 0, 0, 511, 511]] * 10000, 1)",
    "vjp of boxes": "ndpool.vjp(ndpool.roi_pool, endless[:1, :8, :512, :512], [[0, 0, 0, 511, 511]] * 10000, 2)",
    "pyramid": "ndpool.spatial_pyramid_pool(endless, (1, 2, 4))",
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", sorted(CALLS))
def test_control_c_ends_a_long_call(call, threads):
    script = f"""{ENDLESS}
    ndpool.set_num_threads({threads})
    send(signal.SIGINT)
    print(latency(KeyboardInterrupt, lambda: {CALLS[call]}))
    """
    assert float(output_of(script)) < 1


def test_control_c_ends_pullbacks():
    script = f"""{ENDLESS}
    x = np.random.default_rng(0).standard_normal((8, 8, 512, 512))
    y, pullback = ndpool.vjp(ndpool.max_pool2d, x, 31, 1, 15)

    def forever(call, argument):
        while True:
            call(argument)

    for call, argument in [(pullback, y), (pullback.jvp, x)]:
        send(signal.SIGINT)
        print(latency(KeyboardInterrupt, lambda: forever(call, argument)))
    """
    assert max(map(float, output_of(script).split())) < 1


def test_the_exception_of_any_handler_ends_the_call_and_the_next_call_works():
    script = f"""{ENDLESS}
    class Enough(Exception):
        pass

    def handler(number, frame):
        raise Enough(number)

    signal.signal(signal.SIGUSR1, handler)
    for _ in range(3):
        send(signal.SIGUSR1)
        print(latency(Enough, lambda: ndpool.global_avg_pool(endless)))
        assert ndpool.global_avg_pool(np.full((1, 1, 512, 512), 3.0))[0, 0] == 3
    """
    assert max(map(float, output_of(script).split())) < 1


@pytest.mark.parametrize(
    "handler",
    ["called.append(number)", "called.append(ndpool.max_pool2d(seconds[0, :1, :512, :512], 2).max() == 511)"],
    ids=["returns", "calls ndpool"],
)
def test_a_handler_that_returns_does_not_disturb_the_result(handler):
    script = f"""{ENDLESS}
    called = []
    want = np.broadcast_to(ndpool.global_avg_pool(seconds[:1, :1]), (16, 16))
    signal.signal(signal.SIGALRM, lambda number, frame: {handler})
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    got = ndpool.global_avg_pool(seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    np.testing.assert_array_equal(got, want)
    assert all(called)
    print(len(called))
    """
    assert int(output_of(script)) >= 2


def test_a_signal_during_a_call_of_another_thread_goes_to_the_main_thread():
    script = f"""{ENDLESS}
    results = []
    worker = threading.Thread(target=lambda: results.append(ndpool.global_avg_pool(seconds)))
    worker.start()
    send(signal.SIGINT, 0.05)
    try:
        time.sleep(5)
    except KeyboardInterrupt:
        print("interrupted")
    worker.join()
    np.testing.assert_array_equal(results[0], np.broadcast_to(ndpool.global_avg_pool(seconds[:1, :1]), (16, 16)))
    """
    assert output_of(script) == "interrupted\n"
