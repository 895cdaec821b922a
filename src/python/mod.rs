//! The extension module: extract, detach, compute, wrap. Nothing here knows how to pool.

mod any_axes;
mod arguments;
mod array;
mod control;
mod dtype;
mod error;
mod execute;
mod functions;
mod gradient;
mod indexed;
mod mode;
mod visited;

use pyo3::prelude::*;

/// Kernels of ndpool.
#[pymodule(gil_used = true)]
mod _ndpool {
    #[pymodule_export]
    use super::any_axes::{adaptive_bins, coarsen, global_pool, output_shape, pool};
    #[pymodule_export]
    use super::control::{cpu_level, cpu_levels, features, get_num_threads, set_num_threads, set_num_threads_here};
    #[pymodule_export]
    use super::functions::{adaptive_pool, extreme_pool, mean_pool, norm_pool};
    #[pymodule_export]
    use super::gradient::{Pullback, Tape};
    #[pymodule_export]
    use super::indexed::{fractional_max_pool, max_unpool};
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
