//! Functions that are linear in one array: computed, and recorded with their transposed map as derivative.

use pyo3::prelude::*;

use super::array::Array;
use super::dtype::DType;
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::gradient::{Derivative, Side, Tangents, Tape, no_gradient};
use crate::Result;
use crate::ops::Solved;
use crate::parallel::Parallel;

/// A linear map between arrays of two shapes. What it knows of the values is fixed.
pub(super) trait Linear: Send + Sync + 'static {
    fn solved(&self) -> &Solved;

    /// Writes the result.
    fn apply(&self, x: &Array<'_>, y: &Array<'_>, parallel: &Parallel<'_>) -> Result<()>;

    /// Writes the cotangent of `x`, an array of floats.
    fn transposed(&self, dy: &Array<'_>, dx: &Array<'_>, parallel: &Parallel<'_>) -> Result<()>;
}

/// Maps `x` to a result of the given dtype: finds the place for it, computes, records the derivative, and wraps.
pub(super) fn apply<'py>(
    map: impl Linear,
    x: &Array<'py>,
    dtype: DType,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.object().py();
    let (tape, out) = destination(py, out);
    if tape.is_some() && !x.dtype.is_float() {
        return Err(no_gradient(x.dtype));
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let shape = map.solved().output_shape();
    let y = match &out {
        Some(out) => Array::target(out, dtype, shape, &[x])?,
        None => x.like(dtype, None, shape, &[])?,
    };
    compute(py, x.len() + y.len(), |parallel| map.apply(x, &y, parallel))?;
    if let Some(tape) = tape {
        record(tape, map, x, &y)?;
    }
    wrap(x, y, out)
}

/// Records a map from `x` to `y`.
pub(super) fn record(tape: &Bound<'_, Tape>, map: impl Linear, x: &Array<'_>, y: &Array<'_>) -> PyResult<()> {
    tape.borrow_mut().record(Recorded { map, x: Side::of(x), y: Side::of(y) })
}

struct Recorded<M> {
    map: M,
    x: Side,
    y: Side,
}

impl<M: Linear> Derivative for Recorded<M> {
    fn arguments(&self) -> Vec<&'static str> {
        vec!["x"]
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (&self.x.shape, &self.y.shape)
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = dy.py();
        let dy = self.y.read("dy", dy, "the result")?;
        let dx = self.x.empty(py)?;
        compute(py, dx.len() + dy.len(), |parallel| self.map.transposed(&dy, &dx, parallel))?;
        Ok(vec![self.x.finish(&dx)?])
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dx = self.x.read("dx", tangents.required("x")?, "x")?;
        let dy = self.y.empty(py)?;
        compute(py, dx.len() + dy.len(), |parallel| self.map.apply(&dx, &dy, parallel))?;
        self.x.finish(&dy)
    }
}
