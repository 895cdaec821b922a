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

    /// Reads a cotangent or tangent as an array of the dtype of what it belongs to.
    fn read<'py>(argument: &'static str, value: &Bound<'py, PyAny>, dtype: DType) -> PyResult<Array<'py>> {
        let array = Array::read(argument, value)?;
        if array.dtype == dtype {
            return Ok(array);
        }
        let py = value.py();
        let cast = py.import("ndpool._interop")?.getattr("cast")?;
        Array::read(argument, &cast.call1((argument, array.object(), descr_of(py, dtype)?))?)
    }

    /// A result as an array of the caller's library.
    fn finish<'py>(&self, array: &Array<'py>) -> PyResult<Bound<'py, PyAny>> {
        let object = array.object().clone();
        match &self.restore {
            Some(restore) => restore.bind(object.py()).call1((object,)),
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
        let mut dy = Recorded::read("dy", dy, of.y)?;
        of.expect("dy", &dy, true)?;
        if of.least > 1 {
            dy = Array::read("dy", &dy.object().call_method0("copy")?)?;
        }
        dy.expand(&of.dropped);
        let shape = solved.shape();
        let py = dy.object().py();
        let dx = Array::new(py, of.x, None, shape, &of.strides)?;
        if of.least > 1 {
            with_float!(of.y, Y => solved.fill(&dy.view_mut::<Y>(), Y::default(), of.least), else return Err(no_gradient(of.y)));
        }
        match &of.map {
            Differentiable::Mean(map) => with_float!(of.y, Y => with_float!(of.x, T => {
                let (dy, dx) = (dy.view::<Y>(), dx.view_mut::<T>());
                compute(py, dx.shape().iter().product(), |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(of.x))), else return Err(no_gradient(of.y))),
            Differentiable::Route(map) => with_float!(of.x, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, dx.shape().iter().product(), |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(of.x))),
        }
        of.finish(&dx)
    }

    /// The tangent of the result from `dx`, that of `x`.
    fn jvp<'py>(&self, dx: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let of = &self.of;
        let solved = of.map.solved();
        let dx = Recorded::read("dx", dx, of.x)?;
        of.expect("dx", &dx, false)?;
        let (shape, strides) = (kept(solved.output_shape(), &of.dropped), kept(&of.strides, &of.dropped));
        let mut dy = Array::new(dx.object().py(), of.y, None, &shape, &strides)?;
        dy.expand(&of.dropped);
        let py = dx.object().py();
        match &of.map {
            Differentiable::Mean(map) => with_float!(of.y, Y => with_float!(of.x, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<Y>());
                compute(py, dx.shape().iter().product(), |parallel| map.push(&dx, &dy, parallel))?;
                solved.fill(&dy, Y::default(), of.least);
            }, else return Err(no_gradient(of.x))), else return Err(no_gradient(of.y))),
            Differentiable::Route(map) => with_float!(of.x, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, dx.shape().iter().product(), |parallel| map.push(&dx, &dy, parallel))?;
                solved.fill(&dy, T::default(), of.least);
            }, else return Err(no_gradient(of.x))),
        }
        of.finish(&dy)
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
