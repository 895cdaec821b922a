"""Attention pooling and gated attention pooling: what is refused, and that ``out`` is untouched then."""

import ndpool
import numpy as np
import pytest
import strategies as some
from test_errors import message_of

X = np.arange(24.0).reshape(2, 3, 4)
QUERY = np.ones((5, 4))
SQUARE = np.ones((4, 6))


def refused(f, kind, arguments, message, shape):
    """Check the message of a call that is right but for ``arguments``."""
    out = np.full(shape, -9.0)
    assert message_of(kind, lambda: f(**{"out": out, **arguments})).startswith(message)
    assert (out == -9).all()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (ValueError, {"x": X[0, 0]}, "x: an array of shape (4,) must have 3 axes"),
        (ValueError, {"x": X[:, :0]}, "x: an array of shape (2, 0, 4) must have a token"),
        (ValueError, {"x": X[:, :, :0]}, "x: an array of shape (2, 3, 0) must have channels"),
        (TypeError, {"x": X.astype(complex)}, "x: "),
        (TypeError, {"x": None}, "x: "),
        (ValueError, {"query": np.ones(4)}, "query: an array of shape (4,) must have shape (Q, E), or (2, Q, E)"),
        (ValueError, {"query": np.ones((3, 5, 4))}, "query: an array of shape (3, 5, 4) must have shape (Q, E), or (2"),
        (
            ValueError,
            {"x": X[0], "query": np.ones((2, 5, 4))},
            "query: an array of shape (2, 5, 4) must have shape (Q, E)",
        ),
        (ValueError, {"query": np.ones((5, 3))}, "query: an array of shape (5, 3) must have the 4 channels of x"),
        (ValueError, {"query": np.ones((5, 0))}, "query: an array of shape (5, 0) must have the 4 channels of x"),
        (TypeError, {"query": None}, "query: "),
        (TypeError, {"query": "text"}, "query: "),
        (ValueError, {"key_weight": np.ones((3, 4))}, "key_weight: an array of shape (3, 4) must have shape (4, 4)"),
        (ValueError, {"key_weight": np.ones((4, 5))}, "key_weight: an array of shape (4, 5) must have shape (4, 4)"),
        (
            ValueError,
            {"key_weight": np.ones((4, 0)), "query": np.ones((5, 0))},
            "key_weight: an array of shape (4, 0) must have shape (4, E), E at least 1",
        ),
        (ValueError, {"key_weight": 2.0}, "key_weight: an array of shape ()"),
        (
            ValueError,
            {"value_weight": np.ones((3, 4))},
            "value_weight: an array of shape (3, 4) must have shape (4, F)",
        ),
        (
            ValueError,
            {"value_weight": np.ones((4, 0))},
            "value_weight: an array of shape (4, 0) must have shape (4, F), F at least 1",
        ),
        (ValueError, {"value_weight": np.ones((4, 3)), "num_heads": 2}, "num_heads: 2 must divide the 3 channels"),
        (ValueError, {"num_heads": 3}, "num_heads: 3 must divide the 4 channels of the query"),
        (ValueError, {"num_heads": 0}, "num_heads: 0 must be at least 1"),
        (ValueError, {"num_heads": -1}, "num_heads: -1 must be at least 1"),
        (ValueError, {"num_heads": 2**63}, "num_heads: "),
        (ValueError, {"num_heads": 2**63 - 1}, "num_heads: 9223372036854775807 must divide"),
        (TypeError, {"num_heads": 2.0}, "num_heads: 2.0 (float) must be an int"),
        (TypeError, {"num_heads": "2"}, "num_heads: '2' (str) must be an int"),
        (TypeError, {"num_heads": None}, "num_heads: None (NoneType) must be an int"),
        (ValueError, {"mask": np.ones((2, 4), bool)}, "mask: an array of shape (2, 4) must have the shape of x"),
        (TypeError, {"mask": np.ones((2, 3))}, "mask: an array of float64 must be of bool"),
        (ValueError, {"mask": np.full((2, 3), 3)}, "mask: 3 must be 0 or 1"),
        (ValueError, {"scale": np.inf}, "scale: inf must be finite"),
        (ValueError, {"scale": np.nan}, "scale: NaN must be finite"),
        (ValueError, {"scale": 10**400}, "scale: "),
        (TypeError, {"scale": "1"}, "scale: '1' (str) must be a number"),
        (TypeError, {"scale": np.complex64(1)}, "scale: np.complex64(1+0j) (complex64) must be a number"),
        (TypeError, {"return_weights": 1}, "return_weights: 1 (int) must be a bool"),
        (ValueError, {"out": np.ones((2, 5, 4), np.float32)}, "out: an array of dtype float32"),
        (ValueError, {"out": np.ones((2, 4, 5))}, "out: an array of shape (2, 4, 5)"),
        (TypeError, {"out": "text"}, "out: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_attention_refuses(kind, arguments, message):
    refused(ndpool.attention_pool, kind, {"x": X, "query": QUERY, **arguments}, message, (2, 5, 4))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (ValueError, {"x": X[:, :, :0]}, "x: an array of shape (2, 3, 0) must have channels"),
        (ValueError, {"x": X[None]}, "x: an array of shape (1, 2, 3, 4) must have 3 axes"),
        (ValueError, {"v": SQUARE.T}, "v: an array of shape (6, 4) must have shape (4, M)"),
        (ValueError, {"v": np.ones((4, 0))}, "v: an array of shape (4, 0) must have shape (4, M), M at least 1"),
        (ValueError, {"v": np.ones(4)}, "v: an array of shape (4,) must have shape (4, M)"),
        (ValueError, {"u": np.ones((4, 5))}, "u: an array of shape (4, 5) must have the shape of v, (4, 6)"),
        (ValueError, {"w": np.ones(4)}, "w: an array of shape (4,) must have shape (6,) or (6, K)"),
        (ValueError, {"w": np.ones((6, 1, 1))}, "w: an array of shape (6, 1, 1) must have shape (6,) or (6, K)"),
        (ValueError, {"w": 1.0}, "w: an array of shape () must have shape (6,)"),
        (TypeError, {"w": None}, "w: "),
        (TypeError, {"u": "text"}, "u: "),
        (ValueError, {"mask": np.ones((3, 3), bool)}, "mask: an array of shape (3, 3) must have the shape of x"),
        (ValueError, {"out": np.ones((4, 2))}, "out: an array of shape (4, 2)"),
        (TypeError, {"out": 3}, "out: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_gated_attention_refuses(kind, arguments, message):
    given = {"x": X, "v": SQUARE, "u": SQUARE, "w": np.ones(6), **arguments}
    refused(ndpool.gated_attention_pool, kind, given, message, (2, 4))


def test_out_shares_memory_with_no_input():
    whole = np.ones((6, 4, 4))
    arguments = {"x": whole[:2], "query": whole[2], "key_weight": whole[3], "value_weight": whole[4]}
    for place in range(5):
        out = whole[place : place + 2]
        message = message_of(ValueError, lambda o=out: ndpool.attention_pool(**arguments, out=o))
        assert message == "out: an array must not share memory with an input"
    assert (whole == 1).all()
    values = np.zeros((2, 5, 4))
    message = message_of(
        ValueError,
        lambda: ndpool.attention_pool(
            X, QUERY, return_weights=True, out=(values, values.reshape(-1)[:30].reshape(2, 1, 5, 3))
        ),
    )
    assert message == "out: two arrays of a tuple must not share memory with each other"
    assert (values == 0).all()


def test_cotangents_and_tangents_of_other_shapes_are_refused():
    y, pullback = ndpool.vjp(ndpool.attention_pool, X, QUERY, value_weight=SQUARE)
    for dy in [np.ones((2, 5, 4)), y[0], 1.0]:
        assert message_of(ValueError, lambda d=dy: pullback(d)).startswith("dy: ")
    assert message_of(ValueError, lambda: pullback.jvp(X, QUERY, SQUARE.T)).startswith("dvalue_weight: ")
    assert message_of(ValueError, lambda: pullback.jvp(X, X, SQUARE)).startswith("dquery: ")
    assert message_of(ValueError, lambda: pullback.jvp(QUERY, QUERY, SQUARE)).startswith("dx: ")
    assert message_of(TypeError, lambda: pullback.jvp(X)).startswith("dx: 1 tangents")


@pytest.mark.parametrize("dtype", [*some.INTEGERS, some.BOOL], ids=some.dtype_name)
def test_integers_alone_have_no_gradient(dtype):
    x, query, square, w = (array.astype(dtype) for array in (X, QUERY, SQUARE, np.ones(6)))
    assert "x: " in message_of(TypeError, lambda: ndpool.vjp(ndpool.attention_pool, x, query))
    assert "x: " in message_of(TypeError, lambda: ndpool.vjp(ndpool.gated_attention_pool, x, square, square, w))


def test_absurd_sizes_fail_at_once():
    giant = np.broadcast_to(np.float32(1), (2**40, 1, 2**10))
    for call in (
        lambda: ndpool.attention_pool(giant, np.ones((1, 2**10), np.float32)),
        lambda: ndpool.gated_attention_pool(giant, np.ones((2**10, 1)), np.ones((2**10, 1)), np.ones(1)),
        lambda: ndpool.attention_pool(X, np.broadcast_to(1.0, (2**45, 4))),
        lambda: ndpool.attention_pool(X, np.broadcast_to(1.0, (2**55, 4)), return_weights=True),
        lambda: ndpool.attention_pool(X, QUERY, value_weight=np.broadcast_to(1.0, (4, 2**50))),
        lambda: ndpool.gated_attention_pool(X, *[np.broadcast_to(1.0, (4, 2**48))] * 2, np.broadcast_to(1.0, 2**48)),
    ):
        with pytest.raises((MemoryError, ValueError)):
            call()
