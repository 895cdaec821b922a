"""What people write on the command line, as arguments of functions."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

import ndpool

_PADDINGS = ("valid", "same", "same_lower")
# What has options of its own here, or makes no sense for files.
_ARGUMENTS = tuple(inspect.signature(ndpool.pool).parameters)
_WORDS = {"true": True, "false": False, "none": None}


def ints(name: str, text: str | None) -> int | tuple[int, ...] | None:
    """Read `2` or `2,3`.

    Raises
    ------
    ValueError
        When the text is neither.
    """
    if text is None:
        return None
    items = tuple(_int(name, item, text) for item in text.split(","))
    return items if len(items) > 1 else items[0]


def padding(text: str) -> Any:
    """Read `1`, `1,2`, `0:1,1:1`, or a name such as `same`.

    Raises
    ------
    ValueError
        When the text is none of these.
    """
    if text in _PADDINGS:
        return text
    if ":" not in text:
        return ints("padding", text)
    pairs = []
    for item in text.split(","):
        ends = tuple(_int("padding", end, text) for end in item.split(":"))
        pairs.append(ends * 2 if len(ends) == 1 else ends)
    return tuple(pairs)


def dtype(text: str | None) -> np.dtype[Any] | None:
    """Read the name of a dtype of numbers.

    Raises
    ------
    ValueError
        When the text is none.
    """
    if text is None:
        return None
    if not re.fullmatch(r"float(16|32|64)|u?int(8|16|32|64)", text):
        raise ValueError(f"dtype: {text} must be float16 to float64, int8 to int64 or uint8 to uint64")
    return np.dtype(text)


def number(name: str, text: str | None) -> int | float | None:
    """Read a number.

    Raises
    ------
    ValueError
        When the text is none.
    """
    if text is None:
        return None
    value = _value(text)
    if not isinstance(value, bool) and isinstance(value, int | float):
        return value
    raise ValueError(f"{name}: {text} must be a number")


def named(texts: list[str]) -> dict[str, Any]:
    """Read `name=value` for each: numbers, `true`, `false`, `none`, or text.

    Raises
    ------
    ValueError
        When one is not of this form.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.isidentifier() and equals):
            raise ValueError(f"option: {text} must be name=value")
        if name in _ARGUMENTS:
            raise ValueError(f"option: {name} is no option of a mode")
        values[name] = _value(value)
    return values


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _int(name: str, item: str, text: str) -> int:
    try:
        return int(item)
    except ValueError:
        raise ValueError(f"{name}: {text} must be ints, with commas between") from None
