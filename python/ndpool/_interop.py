"""Arrays of every kind as NumPy arrays, and results back: what the gate calls for anything but a plain `ndarray`."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def as_ndarray(argument: str, value: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any] | None]:
    """Return `value` as an `ndarray`, in place if possible, and what turns results into its kind.

    Subclasses of `ndarray` give plain arrays. Arrays of other libraries are read through DLPack and results go back the
    same way. Anything else is what `numpy.asanyarray` makes of it.
    """
    if not isinstance(value, np.ndarray | np.generic) and hasattr(value, "__dlpack__"):
        try:
            return _as_ndarray_of_library(argument, value)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(f"{argument}: a {type(value).__name__} that NumPy cannot read: {error}") from error
    if _holds_masked_cells(value):
        raise ValueError(f"{argument}: a list with masked cells cannot be pooled: fill them first")
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise ValueError(f"{argument}: no array can be made of it: {error}") from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise ValueError(f"{argument}: a masked array with masked cells cannot be pooled: fill them first")
        array = array.data
    return array.view(np.ndarray), None


def _holds_masked_cells(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(
        np.ma.is_masked(item) if isinstance(item, np.ma.MaskedArray) else _holds_masked_cells(item) for item in value
    )


def _as_ndarray_of_library(argument: str, value: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any] | None]:
    packages = [base.__module__.partition(".")[0] for base in type(value).__mro__]
    if "torch" in packages:
        return _as_ndarray_of_torch(argument, value)
    if packages[0] in {"jax", "jaxlib"}:
        return np.asarray(value), sys.modules["jax"].numpy.asarray
    namespace = getattr(value, "__array_namespace__", None)
    if namespace is not None:
        return np.from_dlpack(value), namespace().from_dlpack
    return np.from_dlpack(value), getattr(sys.modules.get(packages[0]), "from_dlpack", None)


def _as_ndarray_of_torch(argument: str, tensor: Any) -> tuple[np.ndarray[Any, Any], Callable[[Any], Any]]:
    torch = sys.modules["torch"]
    if tensor.requires_grad:
        # As `Tensor.numpy` does: no gradient is dropped in silence.
        raise ValueError(f"{argument}: a tensor that requires grad cannot be used here: detach it first")
    if argument != "out":
        tensor = tensor.resolve_neg()
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
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("out: a masked array is not written to: give its data")
    if not (isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")):
        raise TypeError(f"out: {type(value).__name__} must be an array")
    return as_ndarray("out", value)[0]


def as_dtype(value: Any) -> np.dtype[Any]:
    """Return what `numpy.dtype` makes of a caller's `dtype`."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except Exception as error:  # NumPy parses strings: SyntaxError, UnicodeError and more
        raise TypeError(f"dtype: {shown(value)} is not a dtype") from error
    return dtype


def native_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an aligned copy in native byte order."""
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="K", copy=True)


def scalar(argument: str, value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a number as an array of one cell, if the dtype can hold it."""
    try:
        given = np.asanyarray(value)
    except ValueError as error:
        raise TypeError(f"{argument}: {shown(value)} must be a number") from error
    real = given.dtype.kind in "biuf" or given.dtype.name == "bfloat16" or isinstance(value, int)
    if given.ndim or not real or isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{argument}: {shown(value)} must be a number")
    number = int(given) if isinstance(value, int) or given.dtype.kind in "biu" else float(given)
    misfit = ValueError(f"{argument}: {shown(value)} does not fit {dtype}")
    if dtype.kind in "biu":
        whole = isinstance(number, int) or number.is_integer()
        if not whole or int(number) not in range(*_bounds(dtype)):
            raise misfit
        return np.array(int(number), dtype)
    try:
        number = float(number)
    except OverflowError:
        raise misfit from None
    with np.errstate(all="ignore"):
        held = np.array(number).astype(dtype)
    if np.isinf(held) and not math.isinf(number):
        raise misfit
    return held


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a caller's own __repr__, or an int of too many digits
        return f"<{type(value).__name__}>"


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


def summed_to(array: np.ndarray[Any, Any], shape: Sequence[int], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the cotangent of an array that was broadcast: summed over the axes along which it was repeated."""
    lacking = array.ndim - len(shape)
    repeated = (*range(lacking), *(axis for axis in range(lacking, array.ndim) if shape[axis - lacking] == 1))
    summed: np.ndarray[Any, Any] = array.sum(axis=repeated, keepdims=True).reshape(shape)
    return summed.astype(dtype, copy=False)


def pyramid_parts(
    features: np.ndarray[Any, Any], channels: int, levels: Sequence[int], channels_last: bool
) -> list[np.ndarray[Any, Any]]:
    """Return views of the parts of a vector of features that belong to the levels of a pyramid, as planes of bins."""
    ends = np.cumsum([channels * level * level for level in levels])
    parts = np.split(features, ends[:-1], axis=-1)
    planes = [
        part.reshape(*features.shape[:-1], channels, level, level) for part, level in zip(parts, levels, strict=True)
    ]
    return [np.moveaxis(plane, -3, -1) for plane in planes] if channels_last else planes


def total(arrays: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the sum of arrays of one shape and dtype, in the first of them."""
    first = arrays[0]
    with np.errstate(all="ignore"):
        for array in arrays[1:]:
            np.add(first, array, out=first)
    return first


def _without_repeats(*arrays: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Return arrays of one shape without the axes along which all of them are repeated."""
    broadcast = np.broadcast_arrays(*arrays)
    repeated = [not any(array.strides[axis] for array in broadcast) for axis in range(broadcast[0].ndim)]
    kept = tuple(slice(0, 1) if once else slice(None) for once in repeated)
    return [array[kept] for array in broadcast]


def all_true(mask: np.ndarray[Any, Any]) -> bool:
    """Return whether a mask holds nothing but True."""
    return bool(_without_repeats(mask)[0].all())


def expect_no_nan(x: np.ndarray[Any, Any], where: Any) -> None:
    """Refuse NaN in cells that are valid."""
    x, valid = _without_repeats(x, np.asarray(True if where is None else where))
    if (np.isnan(x) & valid).any():
        raise ValueError("x: holds NaN, which nan_policy='raise' refuses")


def expect_not_negative(argument: str, array: np.ndarray[Any, Any], where: Any, rule: str) -> None:
    """Refuse numbers below 0, and as weights NaN."""
    if array.dtype.kind in "bu":
        return
    array, valid = _without_repeats(array, np.asarray(True if where is None else where))
    with np.errstate(invalid="ignore"):
        bad = (array < 0 if argument == "x" else ~(array >= 0)) & valid
    if bad.any():
        raise ValueError(f"{argument}: holds {array[bad][0]!s}: {rule}")


def expect_apart(out: tuple[Any, ...]) -> None:
    """Refuse results of several modes that share memory."""
    arrays = [as_target(array) for item in out for array in (item if isinstance(item, tuple) else (item,))]
    if any(np.may_share_memory(one, other) for i, one in enumerate(arrays) for other in arrays[:i]):
        raise ValueError("out: the arrays of a tuple must not share memory")
