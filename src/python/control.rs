//! Threads and CPU levels.

use pyo3::prelude::*;

use super::arguments::size;
use crate::Level;
use crate::parallel;

/// The number of threads that a call uses.
#[pyfunction]
pub(super) fn get_num_threads() -> usize {
    parallel::num_threads()
}

/// Sets the number of threads that a call uses.
#[pyfunction]
pub(super) fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(parallel::set_num_threads(size("n", n, 1)?)?)
}

/// Sets the number of threads for calls from this thread; `None` undoes it. Returns what was set before.
#[pyfunction]
#[pyo3(signature = (n))]
pub(super) fn set_num_threads_here(n: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let n = n.map(|n| size("n", n, 1)).transpose()?;
    Ok(parallel::set_num_threads_here(n)?)
}

/// What this build has beside the kernels.
#[pyfunction]
pub(super) fn features() -> Vec<&'static str> {
    if cfg!(feature = "rayon") { vec!["rayon"] } else { Vec::new() }
}

/// The CPU level in use.
#[pyfunction]
pub(super) fn cpu_level() -> String {
    Level::current().to_string()
}

/// The CPU levels that this CPU has.
#[pyfunction]
pub(super) fn cpu_levels() -> Vec<String> {
    Level::available().iter().map(ToString::to_string).collect()
}
