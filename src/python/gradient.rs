//! `vjp`: a tape that is passed as `out=`, and the linear map that it ends up with.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::array::{Array, DType, descr_of, kept, with_float};
use super::error::compute;
use crate::error::Shape;
use crate::ops::Differentiable;

/// A destination that also records: where a function of this package would write to `out`, it leaves its derivative here.
#[pyclass(module = "ndpool._ndpool")]
pub(super) struct Tape {
    out: Option<Py<PyAny>>,
    recorded: Option<Recorded>,
}

#[pymethods]
impl Tape {
    #[new]
    #[pyo3(signature = (out = None))]
    fn new(out: Option<Py<PyAny>>) -> Self {
        Self { out, recorded: None }
    }

    /// The derivative of the call that was made with this tape.
    fn pullback(&mut self) -> PyResult<Pullback> {
        let nothing = || PyTypeError::new_err("f: made no differentiable call: give a function of ndpool");
        self.recorded.take().map(|of| Pullback { of }).ok_or_else(nothing)
    }
}

impl Tape {
    pub fn out<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.out.as_ref().map(|out| out.bind(py).clone())
    }

    pub fn record(&mut self, recorded: Recorded) -> PyResult<()> {
        if self.recorded.replace(recorded).is_some() {
            return Err(PyTypeError::new_err("f: made more than one call with this tape"));
        }
        Ok(())
    }
}

/// A derivative, and how its arrays look from Python.
pub(super) struct Recorded {
    map: Differentiable,
    /// Dtype and memory order of `x`.
    x: DType,
    strides: Vec<isize>,
    y: DType,
    restore: Option<Py<PyAny>>,
    /// Axes that the result does not keep.
    dropped: Vec<usize>,
    /// Cells below which a window was given a fill value, which does not depend on `x`.
    least: usize,
}

impl Recorded {
    pub fn new(py: Python<'_>, x: &Array<'_>, y: DType, map: Differentiable, dropped: &[usize], least: usize) -> Self {
        let restore = x.restore.as_ref().map(|restore| restore.clone_ref(py));
        Self { map, x: x.dtype, strides: x.strides.clone(), y, restore, dropped: dropped.to_vec(), least }
    }

    /// Reads a cotangent or tangent as an array of the result's dtype.
    fn read<'py>(&self, argument: &'static str, value: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let array = Array::read(argument, value)?;
        if array.dtype == self.y {
            return Ok(array);
        }
        let py = value.py();
        let cast = py.import("ndpool._interop")?.getattr("cast")?;
        Array::read(argument, &cast.call1((argument, array.object(), descr_of(py, self.y)?))?)
    }

    fn finish<'py>(&self, array: &Array<'py>, dtype: DType) -> PyResult<Bound<'py, PyAny>> {
        let py = array.object().py();
        let mut object = array.object().clone();
        if array.dtype != dtype {
            object = object.call_method1("astype", (descr_of(py, dtype)?,))?;
        }
        match &self.restore {
            Some(restore) => restore.bind(py).call1((object,)),
            None => Ok(object),
        }
    }
}

/// The derivative of one call: a linear map, backwards and forwards.
#[pyclass(module = "ndpool._ndpool", frozen)]
pub(super) struct Pullback {
    of: Recorded,
}

#[pymethods]
impl Pullback {
    /// The cotangent of `x` from `dy`, that of the result.
    fn __call__<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let of = &self.of;
        let solved = of.map.solved();
        let mut dy = of.read("dy", dy)?;
        of.expect("dy", &dy, true)?;
        if of.least > 1 {
            dy = Array::read("dy", &dy.object().call_method0("copy")?)?;
        }
        dy.expand(&of.dropped);
        let shape = solved.shape();
        let dx = Array::new(dy.object().py(), of.y, None, shape, &of.strides)?;
        with_float!(of.y, T => {
            if of.least > 1 {
                solved.fill(&dy.view_mut::<T>(), T::default(), of.least);
            }
            let (dy, target) = (dy.view::<T>(), dx.view_mut::<T>());
            compute(dx.object().py(), dx.len(), |parallel| of.map.pull(&dy, &target, parallel))?;
        }, else return Err(no_gradient(of.y)));
        of.finish(&dx, of.x)
    }

    /// The tangent of the result from `dx`, that of `x`.
    fn jvp<'py>(&self, dx: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let of = &self.of;
        let solved = of.map.solved();
        let dx = of.read("dx", dx)?;
        of.expect("dx", &dx, false)?;
        let (shape, strides) = (kept(solved.output_shape(), &of.dropped), kept(&of.strides, &of.dropped));
        let mut dy = Array::new(dx.object().py(), of.y, None, &shape, &strides)?;
        dy.expand(&of.dropped);
        with_float!(of.y, T => {
            let target = dy.view_mut::<T>();
            compute(dy.object().py(), dx.len(), |parallel| of.map.push(&dx.view::<T>(), &target, parallel))?;
            solved.fill(&target, T::default(), of.least);
        }, else return Err(no_gradient(of.y)));
        of.finish(&dy, of.y)
    }

    fn __repr__(&self) -> String {
        let solved = self.of.map.solved();
        format!("<pullback from {} to {}>", Shape(solved.output_shape()), Shape(solved.shape()))
    }
}

impl Recorded {
    fn expect(&self, argument: &str, array: &Array<'_>, result: bool) -> PyResult<()> {
        let solved = self.map.solved();
        let shape = if result { kept(solved.output_shape(), &self.dropped) } else { solved.shape().into() };
        if array.shape == *shape {
            return Ok(());
        }
        let what = if result { "the result" } else { "x" };
        let message = format!(
            "{argument}: an array of shape {} must have the shape of {what}, {}",
            Shape(&array.shape),
            Shape(&shape)
        );
        Err(PyValueError::new_err(message))
    }
}

fn no_gradient(dtype: DType) -> PyErr {
    PyTypeError::new_err(format!("x: {} has no gradient: only floating-point arrays are differentiable", dtype.name()))
}
