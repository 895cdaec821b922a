"""Readout layers: a set of tokens, or the segments of an array, to one result each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from ndpool.nn._base import Array, FunctionLayer
from ndpool.nn._checks import float_dtype, index, lengths, one_of
from ndpool.nn._draw import glorot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import SupportsIndex

    from ndpool._types import DType, Rng

TokenMode = Literal["mean", "max", "cls", "last", "weighted_mean", "mean_sqrt_len", "std"]
SegmentMode = Literal["sum", "mean", "max", "min", "std", "lse", "softmax"]


class TokenLayer(FunctionLayer):
    """What layers share that take tokens `(N, L, D)`, or `(L, D)`, and a mask `(N, L)`."""

    rank = 1  # as the function sees it: a batch axis, tokens, and their numbers

    def forward(self, x: Any, mask: Any = None) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            Tokens `(N, L, D)`, or `(L, D)` of one sample.
        mask : array_like, optional
            `(N, L)`: as in the function.

        Returns
        -------
        array or tuple of arrays
            What the function returns.
        """
        return self._call(x, mask=mask)


class AttentionPool(TokenLayer):
    """Pool tokens by attention of learned queries: `ndpool.attention_pool`.

    Parameters
    ----------
    dim : int
        Numbers of a token.
    num_queries : int
        Results for each sample.
    num_heads : int
        Heads that keys and values are split into.
    key_dim, value_dim : int, optional
        Numbers of a key and of a value; as many as of a token if not given. Each is a multiple of `num_heads`.
    scale : float, optional
        What scores are multiplied with; 1 / sqrt of the numbers of a head's key if not given.
    return_weights : bool
        Return the weights of the tokens too.
    dtype : dtype
        Of the parameters; a dtype of floats.
    rng : int or numpy.random.Generator, optional
        What the parameters are drawn from.

    Notes
    -----
    The parameters are `query` `(num_queries, key_dim)`, `key_weight` `(dim, key_dim)` and `value_weight`
    `(dim, value_dim)`. The matrices are drawn by the rule of Glorot and Bengio (2010), uniformly from `-b` to `b` with
    `b = sqrt(6 / (rows + columns))`; queries from a normal distribution with standard deviation 1, so that at first
    they look at different tokens.

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.AttentionPool(64, num_queries=4, num_heads=8, rng=0)
    >>> layer
    AttentionPool(dim=64, num_queries=4, num_heads=8)
    >>> {name: array.shape for name, array in layer.params.items()}
    {'query': (4, 64), 'key_weight': (64, 64), 'value_weight': (64, 64)}
    >>> layer.output_shape((8, 196, 64))
    (8, 4, 64)
    """

    function = "attention_pool"
    _shown = ("dim", "num_queries", "num_heads")
    _transient = ("rng",)
    _checks: ClassVar = {"dtype": float_dtype}

    dim: int
    num_queries: int
    num_heads: int
    key_dim: int | None
    value_dim: int | None
    scale: float | None
    dtype: np.dtype[Any]

    def __init__(
        self,
        dim: int,
        num_queries: int = 1,
        *,
        num_heads: int = 1,
        key_dim: int | None = None,
        value_dim: int | None = None,
        scale: float | None = None,
        return_weights: bool = False,
        dtype: DType = "float32",
        rng: Rng = None,
    ) -> None:
        super().__init__(
            rng,
            dim=dim,
            num_queries=num_queries,
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            scale=scale,
            return_weights=return_weights,
            dtype=dtype,
        )

    def _set_options(self, options: Mapping[str, Any]) -> None:
        super()._set_options(options)
        for name, shape in (("key_dim", self._shapes()["key_weight"]), ("value_dim", self._shapes()["value_weight"])):
            if shape[1] % self.num_heads:
                raise ValueError(f"num_heads: {self.num_heads} must divide {name}, which is {shape[1]}")

    def _try_options(self) -> None:
        self._try(0, 1, 1, query=np.zeros((1, 1)), scale=self.scale)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        key, value = self.key_dim or self.dim, self.value_dim or self.dim
        return {"query": (self.num_queries, key), "key_weight": (self.dim, key), "value_weight": (self.dim, value)}

    def _drawn(self, rng: np.random.Generator) -> dict[str, Array]:
        key, value = self.key_dim or self.dim, self.value_dim or self.dim
        return {
            "query": rng.standard_normal((self.num_queries, key)).astype(self.dtype),
            "key_weight": glorot(rng, (self.dim, key), self.dtype),
            "value_weight": glorot(rng, (self.dim, value), self.dtype),
        }

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("num_heads", "scale", "return_weights")} | self.params


class GatedAttentionPool(TokenLayer):
    """Pool the instances of a bag by gated attention: `ndpool.gated_attention_pool`.

    Parameters
    ----------
    dim : int
        Numbers of an instance.
    hidden_dim : int
        Numbers of the hidden layer.
    dtype : dtype
        Of the parameters; a dtype of floats.
    rng : int or numpy.random.Generator, optional
        What the parameters are drawn from.

    Notes
    -----
    The parameters are `v` and `u` `(dim, hidden_dim)` and `w` `(hidden_dim,)`, drawn by the rule of Glorot and Bengio
    (2010), uniformly from `-b` to `b` with `b = sqrt(6 / (rows + columns))`.

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.GatedAttentionPool(64, 16, rng=0)
    >>> {name: array.shape for name, array in layer.params.items()}
    {'v': (64, 16), 'u': (64, 16), 'w': (16,)}
    >>> layer.output_shape((8, 196, 64))
    (8, 64)
    """

    function = "gated_attention_pool"
    _shown = ("dim", "hidden_dim")
    _transient = ("rng",)
    _checks: ClassVar = {"dtype": float_dtype}

    dim: int
    hidden_dim: int
    dtype: np.dtype[Any]

    def __init__(self, dim: int, hidden_dim: int, *, dtype: DType = "float32", rng: Rng = None) -> None:
        super().__init__(rng, dim=dim, hidden_dim=hidden_dim, dtype=dtype)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"v": (self.dim, self.hidden_dim), "u": (self.dim, self.hidden_dim), "w": (self.hidden_dim,)}

    def _drawn(self, rng: np.random.Generator) -> dict[str, Array]:
        return {
            "v": glorot(rng, (self.dim, self.hidden_dim), self.dtype),
            "u": glorot(rng, (self.dim, self.hidden_dim), self.dtype),
            "w": glorot(rng, (self.hidden_dim, 1), self.dtype)[:, 0].copy(),
        }

    def _arguments(self) -> dict[str, Any]:
        return dict(self.params)


class TokenPool(TokenLayer):
    """Pool tokens by a fixed rule: `ndpool.token_pool`.

    Parameters
    ----------
    mode : {"mean", "max", "cls", "last", "weighted_mean", "mean_sqrt_len", "std"}
        What the tokens of a sample are reduced to.

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.TokenPool("max")
    >>> layer
    TokenPool(mode='max')
    >>> layer.output_shape((8, 196, 64))
    (8, 64)
    """

    function = "token_pool"
    _shown = ("mode",)
    _checks: ClassVar = {"mode": one_of(*get_args(TokenMode))}

    def __init__(self, mode: TokenMode = "mean") -> None:
        super().__init__(mode=mode)


class SegmentPool(FunctionLayer):
    """Pool the rows of an array by segments: `ndpool.segment_pool`.

    Parameters
    ----------
    mode : {"sum", "mean", "max", "min", "std", "lse", "softmax"}
        What the rows of a segment are reduced to.
    num_segments : int, optional
        How many segments there are; found from the segments of each pass if not given.
    offsets : bool, optional
        Whether segments are given by where they start, and not by an id for each row; found from their number if not
        given.
    fill_value : scalar, optional
        Result of a segment without rows: see the function.

    Examples
    --------
    >>> from ndpool import nn
    >>> layer = nn.SegmentPool("sum", num_segments=10)
    >>> layer
    SegmentPool(mode='sum', num_segments=10)
    >>> layer.output_shape((300, 64))
    (10, 64)
    """

    function = "segment_pool"
    _shown = ("mode",)
    _checks: ClassVar = {"mode": one_of(*get_args(SegmentMode))}

    num_segments: int | None

    def __init__(
        self,
        mode: SegmentMode = "mean",
        *,
        num_segments: SupportsIndex | None = None,
        offsets: bool | None = None,
        fill_value: float | None = None,
    ) -> None:
        super().__init__(mode=mode, num_segments=num_segments, offsets=offsets, fill_value=fill_value)

    def forward(self, x: Any, segments: Any) -> Any:
        """Return what the function returns.

        Parameters
        ----------
        x : array_like
            Rows `(L, *rest)`.
        segments : array_like of int
            Which segment each row belongs to, or where segments start: as in the function.

        Returns
        -------
        array
            A row for each segment.
        """
        return self._call(x, segments=segments)

    def output_shape(self, shape: Any, num_segments: SupportsIndex | None = None) -> tuple[int, ...]:
        """Return the shape of the result for an input of the given shape, without computing it.

        Parameters
        ----------
        shape : sequence of int
            Shape of the input.
        num_segments : int, optional
            The number of segments, if the layer was not given it.

        Returns
        -------
        tuple of int
            The shape that `forward` gives.

        Raises
        ------
        TypeError
            If the shape is no sequence of ints.
        ValueError
            If the shape has no axis, or the number of segments is not known.
        """
        shape = lengths(shape)
        if not shape:
            raise ValueError("shape: () must have an axis of rows")
        count = self.num_segments if num_segments is None else index("num_segments", num_segments)
        if count is None:
            raise ValueError("num_segments: give the number of segments, here or to the layer")
        return (count, *shape[1:])
