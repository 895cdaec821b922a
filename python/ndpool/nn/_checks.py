"""What the options of layers may be: each check returns the option as the layer keeps it, or says what is wrong.

Functions check their arguments too, at every call. A layer checks when it is made, where the mistake is, and when its
state is restored, because a state may come from anywhere.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np

from ndpool.any_axes import Mode

#: A check takes the name of the option, its value and the number of spatial axes (None: any).
Check = Callable[[str, Any, int | None], Any]

_MOST_AXES = 64
_LARGEST = 2**63 - 1


def index(name: str, value: Any, least: int = 0) -> int:
    """Take what `__index__` takes, within 63 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {value!r} ({type(value).__name__}) must be an int") from None
    if not least <= number <= _LARGEST:
        raise ValueError(f"{name}: {number} must be from {least} to 2**63 - 1")
    return number


def sequence(name: str, value: Any) -> tuple[Any, ...] | None:
    """Return the items of a sequence, None if the value is none."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)
    if not (listed or (isinstance(value, np.ndarray) and value.ndim > 0)):
        return None
    if len(value) > _MOST_AXES:
        raise ValueError(f"{name}: a sequence of {len(value)} values must have at most {_MOST_AXES}")
    return tuple(value)


def lengths(shape: Any) -> tuple[int, ...]:
    """Take the shape of an array."""
    items = sequence("shape", shape)
    return tuple(index("shape", item) for item in ((shape,) if items is None else items))


def _per_axis(name: str, value: Any, rank: int | None, item: Callable[[Any], Any]) -> Any:
    """Check a value for all axes, or a sequence of one for each; a sequence of one is for all, as in PyTorch."""
    items = sequence(name, value)
    if items is None:
        return item(value)
    if rank is not None and len(items) not in (1, rank):
        raise ValueError(f"{name}: {value!r} has {len(items)} values; give one, or {rank}")
    return tuple(item(one) for one in items)


def sizes(name: str, value: Any, rank: int | None) -> Any:
    """Check a size, or one for each axis."""
    return _per_axis(name, value, rank, lambda item: index(name, item, 1))


def optional(check: Check) -> Check:
    """Let an option be None too."""
    return lambda name, value, rank: None if value is None else check(name, value, rank)


def _bins(name: str, value: Any, rank: int | None) -> Any:
    return _per_axis(name, value, rank, lambda item: None if item is None else index(name, item, 1))


def _axes(name: str, value: Any, rank: int | None) -> Any:
    return _per_axis(name, value, rank, lambda item: index(name, item, -_MOST_AXES))


def _padding(name: str, value: Any, rank: int | None) -> Any:
    if isinstance(value, str):
        return one_of("valid", "same", "same_lower")(name, value, rank)

    def cells(item: Any) -> Any:
        pair = sequence(name, item)
        if pair is None:
            return index(name, item)
        if len(pair) != len(("before", "after")):
            raise ValueError(f"{name}: {item!r} must be a pair of ints")
        return tuple(index(name, end) for end in pair)

    return _per_axis(name, value, rank, cells)


def _flag(name: str, value: Any, _rank: int | None) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: {value!r} ({type(value).__name__}) must be a bool")
    return bool(value)


def _number(name: str, value: Any, _rank: int | None) -> int | float:
    if not isinstance(value, numbers.Real | np.floating | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} ({type(value).__name__}) must be a number")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _positive(name: str, value: Any, rank: int | None) -> int | float:
    number = _number(name, value, rank)
    if not number > 0:
        raise ValueError(f"{name}: {number} must be above 0")
    return number


def _ratios(name: str, value: Any, rank: int | None) -> Any:
    return _per_axis(name, value, rank, lambda item: _positive(name, item, None))


def _scalar(name: str, value: Any, rank: int | None) -> bool | float:
    return bool(value) if isinstance(value, bool | np.bool_) else _number(name, value, rank)


def one_of(*names: str) -> Check:
    """Check names against those that are known."""

    def check(name: str, value: Any, _rank: int | None) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name}: {value!r} must be a str")
        if value not in names:
            raise ValueError(f"{name}: {value!r} must be one of {', '.join(names)}")
        return value

    return check


def _modes(name: str, value: Any, rank: int | None) -> Any:
    check = one_of(*get_args(Mode))
    if isinstance(value, list | tuple):
        return [check(name, item, rank) for item in value]
    return check(name, value, rank)


def _text(name: str, value: Any, _rank: int | None) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} must be a str")
    return value


def _dtype(name: str, value: Any, _rank: int | None) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(f"{name}: {value!r} is not a dtype") from error
    return dtype


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is one of the four of floats."""
    return dtype.name in ("float16", "bfloat16", "float32", "float64")


def float_dtype(name: str, value: Any, rank: int | None) -> np.dtype[Any]:
    """Check the dtype of parameters."""
    dtype = _dtype(name, value, rank)
    if not is_float(dtype):
        raise TypeError(f"{name}: {dtype} must be float16, bfloat16, float32 or float64")
    return dtype


def _rng(name: str, value: Any, _rank: int | None) -> int | np.random.Generator | None:
    if value is None or isinstance(value, np.random.Generator):
        return value
    return index(name, value)


def _mapping(name: str, value: Any, _rank: int | None) -> dict[str, Any]:
    if not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
        raise TypeError(f"{name}: {value!r} must be a dict with names as keys")
    return dict(value)


def _levels(name: str, value: Any, _rank: int | None) -> tuple[int, ...]:
    items = sequence(name, value)
    if items is None:
        raise TypeError(f"{name}: {value!r} must be a sequence of ints")
    if not items:
        raise ValueError(f"{name}: {value!r} must not be empty")
    return tuple(index(name, item, 1) for item in items)


def _count(name: str, value: Any, _rank: int | None) -> int:
    return index(name, value, 1)


def _index(name: str, value: Any, _rank: int | None) -> int:
    return index(name, value)


#: The check of each option. Options of one name mean the same in all layers, save for those that a layer checks itself.
CHECKS: dict[str, Check] = {
    "aligned": _flag,
    "axis": optional(_axes),
    "bias": _flag,
    "boundary": one_of("exact", "trim", "pad", "partial"),
    "ceil_mode": _flag,
    "count_include_pad": _flag,
    "dilation": sizes,
    "dim": _count,
    "divisor_override": optional(_count),
    "dtype": optional(_dtype),
    "duplicates": one_of("last", "sum", "max", "error"),
    "factor": sizes,
    "fill_value": optional(_scalar),
    "filter_size": _count,
    "groups": _count,
    "hidden_dim": _count,
    "in_channels": _count,
    "keepdims": _flag,
    "kernel_size": sizes,
    "key_dim": optional(_count),
    "layout": one_of("channels_first", "channels_last"),
    "levels": _levels,
    "method": _text,
    "min_count": _index,
    "mode": _modes,
    "mode_options": _mapping,
    "nan_policy": one_of("propagate", "omit", "raise"),
    "norm_type": _positive,
    "num_heads": _count,
    "num_queries": _count,
    "num_segments": optional(_index),
    "offsets": optional(_flag),
    "out_channels": _count,
    "output_ratio": optional(_ratios),
    "output_size": optional(_bins),
    "padding": _padding,
    "return_indices": _flag,
    "return_phase": _flag,
    "return_weights": _flag,
    "rng": _rng,
    "sampling_ratio": lambda name, value, _: index(name, value, -_LARGEST - 1),
    "scale": optional(_number),
    "side": one_of("left", "right"),
    "spatial_scale": _number,
    "stride": optional(sizes),
    "value_dim": optional(_count),
    "window": sizes,
}
