"""Arrays of every kind as NumPy arrays, and results back: what the gate calls for anything but a plain `ndarray`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def as_ndarray(argument: str, value: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any] | None]:
    """Return `value` as an `ndarray`, in place if possible, and what turns results into its kind.

    Subclasses of `ndarray` give plain arrays. Arrays of other libraries are read through DLPack and results go back the
    same way. Anything else is what `numpy.asarray` makes of it.
    """
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise ValueError(f"{argument}: a masked array with masked cells cannot be pooled: fill them first")
        value = value.data
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray), None
    if isinstance(value, np.generic) or not hasattr(value, "__dlpack__"):
        return np.asarray(value), None
    package = type(value).__module__.partition(".")[0]
    if package == "torch":
        return _as_ndarray_of_torch(argument, value)
    if package in {"jax", "jaxlib"}:
        return np.asarray(value), sys.modules["jax"].numpy.asarray
    namespace = getattr(value, "__array_namespace__", None)
    if namespace is not None:
        return np.from_dlpack(value), namespace().from_dlpack
    return np.from_dlpack(value), getattr(sys.modules.get(package), "from_dlpack", None)


def _as_ndarray_of_torch(argument: str, tensor: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any]]:
    torch = sys.modules["torch"]
    if tensor.requires_grad:
        # As `Tensor.numpy` does: no gradient is dropped in silence.
        raise ValueError(f"{argument}: a tensor that requires grad cannot be used here: detach it, or use ndpool.vjp")
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16), lambda array: _as_tensor(torch, array)
    return tensor.numpy(), lambda array: _as_tensor(torch, array)


def _as_tensor(torch: Any, array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_target(value: Any) -> np.ndarray[Any, Any]:
    """Return `out` as an `ndarray` that shares its memory."""
    if isinstance(value, np.ma.MaskedArray) or not (isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")):
        raise TypeError(f"out: {type(value).__name__} must be an array")
    return as_ndarray("out", value)[0]


def native_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an aligned copy in native byte order."""
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="K", copy=True)


def scalar(argument: str, value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a number as an array of one cell, if the dtype can hold it."""
    given = np.asarray(value)
    if given.ndim or given.dtype.kind not in "biufV":
        raise TypeError(f"{argument}: {value!r} must be a number")
    with np.errstate(all="ignore"):
        held = np.zeros((), dtype)
        if given.dtype.kind != "f" and dtype.kind in "iub" and int(given) not in range(*_bounds(dtype)):
            raise ValueError(f"{argument}: {value!r} does not fit {dtype}")
        if (
            given.dtype.kind == "f"
            and dtype.kind in "iub"
            and not (np.isfinite(given) and float(given) == int(given) and int(given) in range(*_bounds(dtype)))
        ):
            raise ValueError(f"{argument}: {value!r} does not fit {dtype}")
        held[()] = given.astype(dtype)
    return held


def _bounds(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 2
    info = np.iinfo(dtype)
    return int(info.min), int(info.max) + 1


def cast(argument: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a cotangent or tangent in the dtype of the result it belongs to."""
    if array.dtype.kind not in "biufV":
        raise TypeError(f"{argument}: an array of dtype {array.dtype} must be real")
    with np.errstate(all="ignore"):
        return array.astype(dtype, order="K")
