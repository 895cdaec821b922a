//! The extension module: extract, detach, compute, wrap. Nothing here knows how to pool.

mod antialias;
mod any_axes;
mod arguments;
mod array;
mod composed;
mod control;
mod conv;
mod dtype;
mod error;
mod execute;
mod functions;
mod gradient;
mod indexed;
mod linear;
mod mode;
mod pyramid;
mod readout;
#[cfg(target_os = "linux")]
mod recycler;
mod regions;
mod segment;
mod sequences;
mod token_pool;
mod visited;

use pyo3::prelude::*;

/// Kernels of ndpool.
#[pymodule(gil_used = true)]
mod _ndpool {
    #[pymodule_export]
    use super::antialias::{aps_pool, blur_pool, max_blur_pool};
    #[pymodule_export]
    use super::any_axes::{adaptive_bins, coarsen, global_pool, output_shape, pool};
    #[pymodule_export]
    use super::control::{cpu_level, cpu_levels, features, get_num_threads, set_num_threads, set_num_threads_here};
    #[pymodule_export]
    use super::conv::conv;
    #[pymodule_export]
    use super::functions::{adaptive_pool, extreme_pool, mean_pool, norm_pool};
    #[pymodule_export]
    use super::gradient::{Pullback, Tape};
    #[pymodule_export]
    use super::indexed::{fractional_max_pool, max_unpool};
    #[pymodule_export]
    use super::pyramid::spatial_pyramid_pool;
    #[pymodule_export]
    use super::readout::{attention_pool, gated_attention_pool};
    #[pymodule_export]
    use super::regions::{region_align, region_pool};
    #[pymodule_export]
    use super::segment::segment_pool;
    #[pymodule_export]
    use super::token_pool::token_pool;
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
