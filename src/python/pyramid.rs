//! The pyramid of adaptive bins: one call of adaptive pooling for each level, into its part of one vector of features.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::arguments::{items, one_of, shown, size};
use super::array::{Array, interop};
use super::execute::{Options, destination, execute, split_out, wrap};
use super::functions::spatial;
use super::gradient::{Derivative, Side, Tangents, Tape, no_gradient};
use super::mode::{Mode, Reduction};
use crate::error::Shape;
use crate::ops::{Pool, Solved};

/// `spatial_pyramid_pool`.
#[pyfunction]
#[pyo3(signature = (x, levels, mode, layout, out))]
pub(super) fn spatial_pyramid_pool<'py>(
    x: &Bound<'py, PyAny>,
    levels: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let py = x.object().py();
    let axes = spatial(&x, 2, layout)?;
    let mode = one_of("mode", mode, &[("max", Reduction::Max), ("avg", Reduction::Avg)])?;
    let Some(levels) = items("levels", levels)? else {
        return Err(PyTypeError::new_err(format!("levels: {} must be a sequence of int", shown(levels))));
    };
    if levels.is_empty() {
        return Err(PyValueError::new_err("levels: an empty sequence must have at least one level"));
    }
    let levels = levels.iter().map(|level| size("levels", level, 1)).collect::<PyResult<Vec<_>>>()?;
    let solve = |&level: &usize| Ok(Pool::adaptive(&[level, level]).axes(&axes).solve(&x.shape)?);
    let solved = levels.iter().map(solve).collect::<PyResult<Vec<Solved>>>()?;
    let (layers, shape) = Layers::new(&x, &axes, levels)?;
    let dtype = if mode == Reduction::Max { x.dtype } else { x.dtype.mean() };
    let (tape, out) = destination(py, out);
    if tape.is_some() && !x.dtype.is_float() {
        return Err(no_gradient(x.dtype));
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let y = match &out {
        Some(out) => Array::target(out, dtype, &shape, &[&x])?,
        None => x.like(dtype, None, &shape, &axes)?,
    };
    // Cotangents and tangents of levels are NumPy's own arrays; only their sum is handed back.
    let plain = Array::read("x", x.object())?;
    let mut derivatives = Vec::new();
    for (solved, part) in solved.iter().zip(layers.split(y.object())?) {
        let call = |out| execute(&plain, solved, Mode::plain(mode), &Options::default(), Some(out));
        if tape.is_some() {
            let inner = Bound::new(py, Tape::new(Some(part.unbind())))?;
            call(inner.as_any())?;
            derivatives.append(&mut inner.borrow_mut().take());
        } else {
            call(&part)?;
        }
    }
    if let Some(tape) = tape {
        tape.borrow_mut().record(Pyramid { levels: derivatives, layers, x: Side::of(&x), y: Side::of(&y) })?;
    }
    wrap(&x, y, out)
}

/// Where the levels of a pyramid lie in a vector of features.
struct Layers {
    channels: usize,
    channels_last: bool,
    levels: Vec<usize>,
}

impl Layers {
    /// For the array that is pooled; and the shape of the result.
    fn new(x: &Array<'_>, axes: &[usize], levels: Vec<usize>) -> PyResult<(Self, Vec<usize>)> {
        let mut shape: Vec<usize> =
            (0..x.shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| x.shape[axis]).collect();
        let channels = shape.pop().unwrap_or(1);
        let bins = levels.iter().try_fold(0usize, |sum, level| level.checked_mul(*level)?.checked_add(sum));
        let features =
            bins.and_then(|bins| bins.checked_mul(channels)).filter(|&features| isize::try_from(features).is_ok());
        let Some(features) = features else {
            let message = format!(
                "levels: {levels:?} for {channels} channels of an array of shape {} must not overflow the number of features",
                Shape(&x.shape)
            );
            return Err(PyValueError::new_err(message));
        };
        shape.push(features);
        let channels_last = axes.last() != Some(&(x.shape.len() - 1));
        Ok((Self { channels, channels_last, levels }, shape))
    }

    /// Views of the levels' parts of an array of features, each of the shape that adaptive pooling gives.
    fn split<'py>(&self, features: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let parts = interop(features.py(), "pyramid_parts")?;
        parts.call1((features, self.channels, &self.levels, self.channels_last))?.extract()
    }
}

/// The derivative of a pyramid: those of its levels.
struct Pyramid {
    levels: Vec<Box<dyn Derivative>>,
    layers: Layers,
    x: Side,
    y: Side,
}

impl Derivative for Pyramid {
    fn arguments(&self) -> Vec<&'static str> {
        vec!["x"]
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (&self.x.shape, &self.y.shape)
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let dy = self.y.read("dy", dy, "the result")?;
        let parts = self.layers.split(dy.object())?;
        let mut cotangents = Vec::new();
        for (level, part) in self.levels.iter().zip(&parts) {
            cotangents.append(&mut level.pull(part)?);
        }
        let total = interop(dy.object().py(), "total")?.call1((cotangents,))?;
        Ok(vec![self.x.finish(&Array::read("dx", &total)?)?])
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dy = self.y.empty(py)?;
        for (level, part) in self.levels.iter().zip(self.layers.split(dy.object())?) {
            part.set_item(py.Ellipsis(), level.push(py, tangents)?)?;
        }
        self.x.finish(&dy)
    }
}
