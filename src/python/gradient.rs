//! `vjp`: a tape that is passed as `out=`, and the linear map that it ends up with.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::number;
use super::array::{Array, kept};
use super::dtype::{DType, descr_of, with_float};
use super::error::compute;
use super::visited::{float_writer, floats};
use crate::engine::Field;
use crate::error::Shape;
use crate::ops::Differentiable;

/// A destination that also records: where a function of this package would write to `out`, it leaves its derivative here.
#[pyclass(module = "ndpool._ndpool")]
pub(super) struct Tape {
    out: Option<Py<PyAny>>,
    recorded: Vec<Recorded>,
    /// Whether the call gives a tuple of results, each with a derivative.
    many: bool,
}

#[pymethods]
impl Tape {
    #[new]
    #[pyo3(signature = (out = None))]
    pub fn new(out: Option<Py<PyAny>>) -> Self {
        Self { out, recorded: Vec::new(), many: false }
    }

    /// The derivative of the call that was made with this tape.
    fn pullback(&mut self) -> PyResult<Pullback> {
        if self.recorded.is_empty() {
            return Err(PyTypeError::new_err("f: made no differentiable call: give a function of ndpool"));
        }
        Ok(Pullback { of: std::mem::take(&mut self.recorded), many: self.many })
    }
}

impl Tape {
    pub fn out<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.out.as_ref().map(|out| out.bind(py).clone())
    }

    /// Announces a call with a tuple of results; each gets a tape of its own, for `gather`.
    pub fn expect_many(&mut self) {
        self.many = true;
    }

    /// Takes over what another tape has recorded.
    pub fn gather(&mut self, other: &mut Self) {
        self.recorded.append(&mut other.recorded);
    }

    pub fn record(&mut self, recorded: Recorded) -> PyResult<()> {
        if !self.recorded.is_empty() {
            return Err(PyTypeError::new_err("f: made more than one call with this tape"));
        }
        self.recorded.push(recorded);
        Ok(())
    }
}

/// An array that was given beside `x`: which argument, and the shape and dtype of its cotangent.
#[derive(Clone)]
pub(super) struct Beside {
    pub argument: &'static str,
    pub shape: Vec<usize>,
    pub dtype: DType,
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
    /// What is differentiable beside `x`: an array, and a number.
    beside: Option<Beside>,
    parameter: Option<&'static str>,
}

/// Arguments in the order of signatures; cotangents come in this order.
const ARGUMENTS: [&str; 7] = ["x", "weights", "g", "p", "alpha", "r", "beta"];

/// The cotangent of an argument.
type Cotangent<'py> = (&'static str, Bound<'py, PyAny>);

impl Recorded {
    pub fn new(py: Python<'_>, x: &Array<'_>, y: DType, map: Differentiable, dropped: &[usize], least: usize) -> Self {
        let restore = x.restore.as_ref().map(|restore| restore.clone_ref(py));
        let (strides, dropped) = (x.strides.clone(), dropped.to_vec());
        Self { map, x: x.dtype, strides, y, restore, dropped, least, beside: None, parameter: None }
    }

    /// Adds what is differentiable beside `x`.
    pub fn with(mut self, beside: Option<Beside>, parameter: Option<&'static str>) -> Self {
        (self.beside, self.parameter) = (beside, parameter);
        self
    }

    /// The differentiable arguments, in the order of signatures.
    fn arguments(&self) -> impl Iterator<Item = &'static str> + '_ {
        let given = |argument: &&str| {
            *argument == "x"
                || self.parameter == Some(*argument)
                || self.beside.as_ref().is_some_and(|beside| beside.argument == *argument)
        };
        ARGUMENTS.into_iter().filter(given)
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

    /// The cotangents of all arguments from that of the result.
    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Cotangent<'py>>> {
        let solved = self.map.solved();
        let mut dy = Self::read("dy", dy, self.y)?;
        self.expect("dy", &dy, true)?;
        if self.least > 1 {
            dy = Array::read("dy", &dy.object().call_method0("copy")?)?;
        }
        dy.expand(&self.dropped);
        let py = dy.object().py();
        let dx = Array::new(py, self.x, None, solved.shape(), &self.strides)?;
        if self.least > 1 {
            with_float!(self.y, Y => solved.fill(&dy.view_mut::<Y>(), Y::default(), self.least), else return Err(no_gradient(self.y)));
        }
        let cells = dx.len() + dy.len();
        let mut more = Vec::new();
        match &self.map {
            Differentiable::Mean(map) => with_float!(self.y, Y => with_float!(self.x, T => {
                let (dy, dx) = (dy.view::<Y>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x))), else return Err(no_gradient(self.y))),
            Differentiable::Route(map) => with_float!(self.x, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x))),
            Differentiable::Index(map) => with_float!(self.x, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x))),
            Differentiable::Statistic(map) => {
                let sums = match &self.beside {
                    Some(_) => Some(Array::new(py, DType::F64, None, solved.shape(), &self.strides)?),
                    None => None,
                };
                let writers = (float_writer(&dx), sums.as_ref().map(float_writer));
                let beside = writers.1.as_deref().zip(sums.as_ref()).map(|(writer, sums)| (writer, &sums.strides[..]));
                let reader = floats(&dy);
                let dy = Field { reader: &*reader, strides: &dy.strides };
                let mut parameter = 0.0;
                compute(py, cells, |parallel| {
                    parameter = map.pull(dy, (&*writers.0, &dx.strides), beside, parallel)?;
                    Ok(())
                })?;
                if let (Some(sums), Some(Beside { argument, shape, dtype })) = (sums, &self.beside) {
                    let summed = py.import("ndpool._interop")?.getattr("summed_to")?;
                    more.push((*argument, summed.call1((sums.object(), shape, descr_of(py, *dtype)?))?));
                }
                if let Some(argument) = self.parameter {
                    more.push((argument, py.import("numpy")?.getattr("array")?.call1((parameter,))?));
                }
            }
        }
        more.insert(0, ("x", self.finish(&dx)?));
        Ok(more)
    }

    /// The tangent of the result from those of some arguments.
    fn push<'py>(
        &self,
        py: Python<'py>,
        tangents: &[(&'static str, Bound<'py, PyAny>)],
    ) -> PyResult<Bound<'py, PyAny>> {
        let solved = self.map.solved();
        let of = |argument: &str| tangents.iter().find(|(name, _)| *name == argument).map(|(_, tangent)| tangent);
        let Some(dx) = of("x") else { return Err(PyTypeError::new_err("dx: is missing")) };
        let dx = Self::read("dx", dx, self.x)?;
        self.expect("dx", &dx, false)?;
        let (shape, strides) = (kept(solved.output_shape(), &self.dropped), kept(&self.strides, &self.dropped));
        let mut dy = Array::new(py, self.y, None, &shape, &strides)?;
        dy.expand(&self.dropped);
        let cells = dx.len() + dy.len();
        match &self.map {
            Differentiable::Mean(map) => with_float!(self.y, Y => with_float!(self.x, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<Y>());
                compute(py, cells, |parallel| map.push(&dx, &dy, parallel))?;
                solved.fill(&dy, Y::default(), self.least);
            }, else return Err(no_gradient(self.x))), else return Err(no_gradient(self.y))),
            Differentiable::Route(map) => with_float!(self.x, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, cells, |parallel| map.push(&dx, &dy, parallel))?;
                solved.fill(&dy, T::default(), self.least);
            }, else return Err(no_gradient(self.x))),
            Differentiable::Index(map) => with_float!(self.x, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, cells, |parallel| map.push(&dx, &dy, parallel))?;
            }, else return Err(no_gradient(self.x))),
            Differentiable::Statistic(map) => {
                let beside = match self.beside.as_ref().and_then(|beside| of(beside.argument).map(|d| (beside, d))) {
                    Some((beside, tangent)) => {
                        let mut tangent = Array::read(beside.argument, tangent)?;
                        if tangent.shape != beside.shape {
                            let (given, shape) = (Shape(&tangent.shape), Shape(&beside.shape));
                            let name = beside.argument;
                            let message =
                                format!("d{name}: an array of shape {given} must have the shape of {name}, {shape}");
                            return Err(PyValueError::new_err(message));
                        }
                        tangent.broadcast(beside.argument, solved.shape())?;
                        Some(tangent)
                    }
                    None => None,
                };
                let parameter = self.parameter.and_then(&of).map_or(Ok(0.0), |d| number("d_parameter", d))?;
                let readers = (floats(&dx), beside.as_ref().map(floats));
                let d_beside = readers.1.as_deref().zip(beside.as_ref());
                let d_beside = d_beside.map(|(reader, array)| Field { reader, strides: &array.strides });
                let writer = float_writer(&dy);
                let dx = Field { reader: &*readers.0, strides: &dx.strides };
                compute(py, cells, |parallel| map.push(dx, d_beside, parameter, (&*writer, &dy.strides), parallel))?;
            }
        }
        self.finish(&dy)
    }
}

/// The derivative of one call: a linear map, backwards and forwards.
#[pyclass(module = "ndpool._ndpool", frozen)]
pub(super) struct Pullback {
    of: Vec<Recorded>,
    many: bool,
}

impl Pullback {
    /// The differentiable arguments, in the order of signatures.
    fn arguments(&self) -> Vec<&'static str> {
        let given = |argument: &&str| self.of.iter().any(|of| of.arguments().any(|name| name == *argument));
        ARGUMENTS.into_iter().filter(given).collect()
    }
}

#[pymethods]
impl Pullback {
    /// The cotangent of `x` from `dy`, that of the result: a tuple where more arguments are differentiable.
    fn __call__<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = dy.py();
        let mut total: Vec<Cotangent<'py>> = Vec::new();
        if self.many {
            let given = dy.cast::<PyTuple>().ok().filter(|given| given.len() == self.of.len());
            let Some(given) = given else {
                let message = format!("dy: must be a tuple of {} cotangents, one for each mode", self.of.len());
                return Err(PyTypeError::new_err(message));
            };
            for (of, dy) in self.of.iter().zip(given.iter()) {
                for (argument, cotangent) in of.pull(&dy)? {
                    match total.iter_mut().find(|(name, _)| *name == argument) {
                        Some((_, sum)) => *sum = sum.add(cotangent)?,
                        None => total.push((argument, cotangent)),
                    }
                }
            }
        } else {
            total = self.of[0].pull(dy)?;
        }
        let arguments = self.arguments();
        if arguments.len() == 1 {
            return Ok(total.swap_remove(0).1);
        }
        let place = |argument: &str| ARGUMENTS.iter().position(|name| *name == argument);
        total.sort_by_key(|(argument, _)| place(argument));
        Ok(PyTuple::new(py, total.into_iter().map(|(_, cotangent)| cotangent))?.into_any())
    }

    /// The tangent of the result from `dx`, that of `x`, and those of what else is differentiable.
    #[pyo3(signature = (dx, *tangents))]
    fn jvp<'py>(&self, dx: &Bound<'py, PyAny>, tangents: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let arguments = self.arguments();
        if tangents.len() + 1 != arguments.len() {
            let (given, names) = (tangents.len() + 1, arguments.join(", "));
            let message = format!("dx: {given} tangents; give one for each of the arguments: {names}");
            return Err(PyTypeError::new_err(message));
        }
        let py = dx.py();
        let tangents: Vec<_> = arguments.into_iter().zip(std::iter::once(dx.clone()).chain(tangents.iter())).collect();
        let mut results = self.of.iter().map(|of| of.push(py, &tangents)).collect::<PyResult<Vec<_>>>()?;
        if self.many { Ok(PyTuple::new(py, results)?.into_any()) } else { Ok(results.swap_remove(0)) }
    }

    fn __repr__(&self) -> String {
        let solved = self.of[0].map.solved();
        format!("<pullback from {} to {}>", Shape(solved.output_shape()), Shape(solved.shape()))
    }
}

pub(super) fn no_gradient(dtype: DType) -> PyErr {
    PyTypeError::new_err(format!("x: {} has no gradient: only floating-point arrays are differentiable", dtype.name()))
}
