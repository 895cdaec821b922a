from typing import Any, final

__all__ = [
    "Pullback",
    "Tape",
    "__version__",
    "adaptive_bins",
    "adaptive_pool",
    "aps_pool",
    "attention_pool",
    "blur_pool",
    "coarsen",
    "conv",
    "cpu_level",
    "cpu_levels",
    "extreme_pool",
    "features",
    "fractional_max_pool",
    "gated_attention_pool",
    "get_num_threads",
    "global_pool",
    "max_blur_pool",
    "max_unpool",
    "mean_pool",
    "norm_pool",
    "output_shape",
    "pool",
    "region_align",
    "region_pool",
    "segment_pool",
    "set_num_threads",
    "set_num_threads_here",
    "spatial_pyramid_pool",
    "token_pool",
]

__version__: str

def cpu_level() -> str: ...
def cpu_levels() -> list[str]: ...
def features() -> list[str]: ...
def get_num_threads() -> int: ...
def set_num_threads(n: Any) -> None: ...
def set_num_threads_here(n: Any) -> int | None: ...
def extreme_pool(
    x: Any,
    rank: Any,
    minimum: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def mean_pool(
    x: Any,
    rank: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    dilation: Any,
    dtype: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def norm_pool(
    x: Any,
    rank: Any,
    norm_type: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    dilation: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def adaptive_pool(
    x: Any, rank: Any, maximum: Any, output_size: Any, return_indices: Any, layout: Any, out: Any
) -> Any: ...
def adaptive_bins(
    x: Any, output_size: Any, mode: Any, axis: Any, method: Any, cells: Any, options: Any, out: Any
) -> Any: ...
def coarsen(
    x: Any, factor: Any, mode: Any, axis: Any, boundary: Any, side: Any, cells: Any, options: Any, out: Any
) -> Any: ...
def global_pool(x: Any, mode: Any, layout: Any, keepdims: Any, cells: Any, options: Any, out: Any) -> Any: ...
def pool(
    x: Any,
    window: Any,
    mode: Any,
    axis: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    cells: Any,
    options: Any,
    out: Any,
) -> Any: ...
def max_unpool(
    x: Any,
    indices: Any,
    rank: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    duplicates: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def aps_pool(x: Any, mode: Any, stride: Any, return_phase: Any, layout: Any, out: Any) -> Any: ...
def blur_pool(x: Any, filter_size: Any, stride: Any, padding: Any, layout: Any, out: Any) -> Any: ...
def max_blur_pool(
    x: Any, kernel_size: Any, filter_size: Any, stride: Any, padding: Any, layout: Any, out: Any
) -> Any: ...
def segment_pool(
    x: Any, segments: Any, mode: Any, num_segments: Any, offsets: Any, fill_value: Any, out: Any
) -> Any: ...
def fractional_max_pool(
    x: Any,
    rank: Any,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: Any,
    samples: Any,
    rng: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def conv(
    x: Any,
    weight: Any,
    bias: Any,
    rank: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def spatial_pyramid_pool(x: Any, levels: Any, mode: Any, layout: Any, out: Any) -> Any: ...
def region_pool(
    x: Any, boxes: Any, output_size: Any, spatial_scale: Any, sensitive: Any, layout: Any, out: Any
) -> Any: ...
def region_align(
    x: Any,
    boxes: Any,
    output_size: Any,
    spatial_scale: Any,
    sampling_ratio: Any,
    aligned: Any,
    mode: Any,
    sensitive: Any,
    layout: Any,
    out: Any,
) -> Any: ...
def attention_pool(
    x: Any,
    query: Any,
    key_weight: Any,
    value_weight: Any,
    num_heads: Any,
    mask: Any,
    scale: Any,
    return_weights: Any,
    out: Any,
) -> Any: ...
def gated_attention_pool(x: Any, v: Any, u: Any, w: Any, mask: Any, out: Any) -> Any: ...
def token_pool(x: Any, mask: Any, mode: Any, out: Any) -> Any: ...
def output_shape(
    shape: Any, window: Any, axis: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> tuple[int, ...]: ...

@final
class Tape:
    def __new__(cls, out: Any = None) -> Tape: ...
    def pullback(self) -> Pullback: ...

@final
class Pullback:
    @property
    def arguments(self) -> tuple[str, ...]: ...
    def __call__(self, dy: Any) -> Any: ...
    def jvp(self, dx: Any, *tangents: Any) -> Any: ...
