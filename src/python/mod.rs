//! The extension module: extract, detach, compute, wrap. Nothing here knows how to pool.

mod arguments;
mod array;
mod control;
mod error;
mod execute;
mod functions;
mod gradient;

use pyo3::prelude::*;

/// Kernels of ndpool.
#[pymodule(gil_used = true)]
mod _ndpool {
    #[pymodule_export]
    use super::control::{cpu_level, cpu_levels, features, get_num_threads, set_num_threads, set_num_threads_here};
    #[pymodule_export]
    use super::functions::{adaptive_pool, extreme_pool, global_pool, mean_pool, output_shape, pool};
    #[pymodule_export]
    use super::gradient::{Pullback, Tape};
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
