"""Types of arguments."""

from collections.abc import Sequence
from typing import Literal, SupportsIndex

import numpy.typing as npt

Ints = SupportsIndex | Sequence[SupportsIndex]
Bins = SupportsIndex | Sequence[SupportsIndex | None]
Padding = Ints | Sequence[tuple[SupportsIndex, SupportsIndex]] | Literal["valid", "same", "same_lower"]
Layout = Literal["channels_first", "channels_last"]
DType = npt.DTypeLike | None
