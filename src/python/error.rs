//! Core errors as Python exceptions: the one bridge.

use std::sync::Mutex;

use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::PoolError;
use crate::parallel::Parallel;

impl From<PoolError> for PyErr {
    fn from(error: PoolError) -> Self {
        let message = error.to_string();
        match error {
            PoolError::Value { .. } => PyValueError::new_err(message),
            PoolError::Type { .. } => PyTypeError::new_err(message),
            PoolError::Memory { .. } => PyMemoryError::new_err(message),
            PoolError::Interrupted => PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// Cells read and written below which a call keeps the GIL: it ends within about 20 us.
const DETACH: usize = 1 << 14;

/// Runs `work`, detached from the interpreter if it is long, and ends it when a signal handler raises.
pub(super) fn compute(
    py: Python<'_>,
    cells: usize,
    work: impl FnOnce(&Parallel<'_>) -> crate::Result<()> + Send,
) -> PyResult<()> {
    if cells < DETACH {
        return Ok(work(&Parallel::default())?);
    }
    let raised = Mutex::new(None);
    let result = py.detach(|| {
        let interrupted = || {
            // At exit there is no interpreter to ask; the call then runs to its end.
            #[allow(clippy::redundant_closure_for_method_calls)] // the method alone is not general over lifetimes
            let signals = Python::try_attach(|py| py.check_signals());
            let Some(Err(error)) = signals else { return false };
            raised.lock().is_ok_and(|mut raised| raised.replace(error).is_none())
        };
        work(&Parallel::default().interrupted_by(&interrupted))
    });
    match raised.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(result?),
    }
}
