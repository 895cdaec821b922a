"""Types of arguments."""

from collections.abc import Sequence
from typing import Literal, SupportsFloat, SupportsIndex

import numpy as np
import numpy.typing as npt

Ints = SupportsIndex | Sequence[SupportsIndex]
Bins = SupportsIndex | Sequence[SupportsIndex | None]
Padding = Ints | Sequence[tuple[SupportsIndex, SupportsIndex]] | Literal["valid", "same", "same_lower"]
Layout = Literal["channels_first", "channels_last"]
DType = npt.DTypeLike | None
Duplicates = Literal["last", "sum", "max", "error"]
SegmentMode = Literal["mean", "sum", "max", "min", "std", "lse", "softmax"]
Border = Literal["reflect", "zeros", "edge", "zero", "replicate"]
Ratios = SupportsFloat | Sequence[SupportsFloat]
TokenMode = Literal["mean", "max", "cls", "last", "weighted_mean", "mean_sqrt_len", "std"]
Rng = SupportsIndex | np.random.Generator | None
