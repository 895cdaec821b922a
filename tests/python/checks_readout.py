"""How gradients and threads of readouts are checked."""

import ndpool
import numpy as np


def normal(shape, seed, dtype=np.float64):
    """Draw standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_gradients(f, arrays, tolerance=1e-6, **options):
    """Check pullback and jvp in every one of the ``arrays`` of ``f``, given by name in the order of the signature."""

    def call(moved, g=f):
        x, *others = moved
        return g(x, **dict(zip(list(arrays)[1:], others, strict=True)), **options)

    given = list(arrays.values())
    y, pullback = call(given, lambda *a, **k: ndpool.vjp(f, *a, **k))
    dy = normal(y.shape, 1)
    cotangents = pullback(dy)
    cotangents = cotangents if isinstance(cotangents, tuple) else (cotangents,)
    assert [c.shape for c in cotangents] == [a.shape for a in given]
    assert [c.dtype for c in cotangents] == [a.dtype.newbyteorder("=") for a in given]
    tangents = [normal(array.shape, seed) for seed, array in enumerate(given, 2)]
    for place in [*range(len(given)), None]:
        moves = [t if place in (None, at) else np.zeros_like(t) for at, t in enumerate(tangents)]
        forwards = pullback.jvp(*moves)
        backwards = sum(np.vdot(move, cotangent) for move, cotangent in zip(moves, cotangents, strict=True))
        size = max(np.linalg.norm(dy) * sum(np.linalg.norm(move) for move in moves), 1)
        assert abs(np.vdot(forwards, dy) - backwards) <= 1e-12 * size
        eps = 1e-6
        either = [call([a + sign * eps * m for a, m in zip(given, moves, strict=True)]) for sign in (1, -1)]
        np.testing.assert_allclose((either[0] - either[1]) / (2 * eps), forwards, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(pullback(dy)[0] if len(given) > 1 else pullback(dy), cotangents[0])


def assert_threads_do_not_matter(f, *args, **kwargs):
    """Results, cotangents and tangents are bitwise the same on 1, 2 and 3 threads."""
    seen = []
    for threads in (1, 2, 3):
        with ndpool.threads(threads):
            y, pullback = ndpool.vjp(f, *args, **kwargs)
            back = pullback(normal(y.shape, 5, y.dtype))
            back = back if isinstance(back, tuple) else (back,)
            forwards = pullback.jvp(*(normal(array.shape, 6, array.dtype) for array in back))
            seen.append([y, *back, forwards])
    for other in seen[1:]:
        for one, same in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(one.view(np.uint8), same.view(np.uint8))
