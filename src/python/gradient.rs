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
    recorded: Vec<Box<dyn Derivative>>,
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

    /// What was recorded, for a derivative that is made of it.
    pub fn take(&mut self) -> Vec<Box<dyn Derivative>> {
        std::mem::take(&mut self.recorded)
    }

    pub fn record(&mut self, derivative: impl Derivative + 'static) -> PyResult<()> {
        if !self.recorded.is_empty() {
            return Err(PyTypeError::new_err("f: made more than one call with this tape"));
        }
        self.recorded.push(Box::new(derivative));
        Ok(())
    }
}

/// The derivative of one call, at the values it was made with: a linear map between the tangents of its differentiable
/// arguments and that of its result. A new kind of function implements this and records it on the tape.
pub(super) trait Derivative: Send + Sync {
    /// The differentiable arguments, in the order of the signature.
    fn arguments(&self) -> Vec<&'static str>;

    /// The shapes of `x` and of the result.
    fn shapes(&self) -> (&[usize], &[usize]);

    /// The cotangent of each argument, in that order, from that of the result.
    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>>;

    /// The tangent of the result from that of each argument, by its name.
    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// The tangents of arguments, by their names.
#[derive(Clone)]
pub(super) struct Tangents<'py>(Vec<(&'static str, Bound<'py, PyAny>)>);

impl<'py> Tangents<'py> {
    pub fn of(&self, argument: &str) -> Option<&Bound<'py, PyAny>> {
        self.0.iter().find(|(name, _)| *name == argument).map(|(_, tangent)| tangent)
    }

    /// The tangent of an argument that every call has.
    pub fn required(&self, argument: &str) -> PyResult<&Bound<'py, PyAny>> {
        self.of(argument).ok_or_else(|| PyTypeError::new_err(format!("d{argument}: is missing")))
    }

    /// Sets the tangent of an argument.
    pub fn set(&mut self, argument: &'static str, tangent: Bound<'py, PyAny>) {
        self.0.retain(|(name, _)| *name != argument);
        self.0.push((argument, tangent));
    }
}

/// How an array that took part in a call looks from Python: its cotangent, or tangent, looks the same.
pub(super) struct Side {
    pub shape: Vec<usize>,
    /// Which say the order of axes in memory.
    pub strides: Vec<isize>,
    pub dtype: DType,
    restore: Option<Py<PyAny>>,
}

impl Side {
    pub fn of(array: &Array<'_>) -> Self {
        let restore = array.restore.as_ref().map(|restore| restore.clone_ref(array.object().py()));
        Self { shape: array.shape.clone(), strides: array.strides.clone(), dtype: array.dtype, restore }
    }

    /// Reads a cotangent or tangent, of this shape, in this dtype. `what` is the array that has to have its shape.
    pub fn read<'py>(&self, argument: &'static str, value: &Bound<'py, PyAny>, what: &str) -> PyResult<Array<'py>> {
        let array = read_as(argument, value, self.dtype)?;
        expect(argument, &array, &self.shape, what)?;
        Ok(array)
    }

    /// A new cotangent or tangent, to be written.
    pub fn empty<'py>(&self, py: Python<'py>) -> PyResult<Array<'py>> {
        Array::new(py, self.dtype, None, &self.shape, &self.strides)
    }

    /// What was written, as an array of the caller's library.
    pub fn finish<'py>(&self, array: &Array<'py>) -> PyResult<Bound<'py, PyAny>> {
        let object = array.object().clone();
        match &self.restore {
            Some(restore) => restore.bind(object.py()).call1((object,)),
            None => Ok(object),
        }
    }
}

/// Reads a cotangent or tangent in the dtype of what it belongs to.
fn read_as<'py>(argument: &'static str, value: &Bound<'py, PyAny>, dtype: DType) -> PyResult<Array<'py>> {
    let array = Array::read(argument, value)?;
    if array.dtype == dtype {
        return Ok(array);
    }
    let py = value.py();
    let cast = py.import("ndpool._interop")?.getattr("cast")?;
    Array::read(argument, &cast.call1((argument, array.object(), descr_of(py, dtype)?))?)
}

fn expect(argument: &str, array: &Array<'_>, shape: &[usize], what: &str) -> PyResult<()> {
    if array.shape == *shape {
        return Ok(());
    }
    let (given, shape) = (Shape(&array.shape), Shape(shape));
    let message = format!("{argument}: an array of shape {given} must have the shape of {what}, {shape}");
    Err(PyValueError::new_err(message))
}

/// An array that was given beside `x`: which argument, and the shape and dtype of its cotangent.
#[derive(Clone)]
pub(super) struct Beside {
    pub argument: &'static str,
    pub shape: Vec<usize>,
    pub dtype: DType,
}

/// The derivative of a pooling, and how its arrays look from Python.
pub(super) struct Recorded {
    map: Differentiable,
    x: Side,
    y: DType,
    /// Axes that the result does not keep.
    dropped: Vec<usize>,
    /// Cells below which a window was given a fill value, which does not depend on `x`.
    least: usize,
    /// What is differentiable beside `x`: an array, and a number.
    beside: Option<Beside>,
    parameter: Option<&'static str>,
}

/// Differentiable arguments of the modes of a list, in the order of signatures.
const ARGUMENTS: [&str; 7] = ["x", "weights", "g", "p", "alpha", "r", "beta"];

impl Recorded {
    pub fn new(x: &Array<'_>, y: DType, map: Differentiable, dropped: &[usize], least: usize) -> Self {
        Self { map, x: Side::of(x), y, dropped: dropped.to_vec(), least, beside: None, parameter: None }
    }

    /// Adds what is differentiable beside `x`.
    pub fn with(mut self, beside: Option<Beside>, parameter: Option<&'static str>) -> Self {
        (self.beside, self.parameter) = (beside, parameter);
        self
    }
}

impl Derivative for Recorded {
    fn arguments(&self) -> Vec<&'static str> {
        let beside = self.beside.as_ref().map(|beside| beside.argument);
        [Some("x"), beside, self.parameter].into_iter().flatten().collect()
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (self.map.solved().shape(), self.map.solved().output_shape())
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let solved = self.map.solved();
        let mut dy = read_as("dy", dy, self.y)?;
        expect("dy", &dy, &kept(solved.output_shape(), &self.dropped), "the result")?;
        if self.least > 1 {
            dy = Array::read("dy", &dy.object().call_method0("copy")?)?;
        }
        dy.expand(&self.dropped);
        let py = dy.object().py();
        let dx = self.x.empty(py)?;
        let cells = dx.len() + dy.len();
        if self.least > 1 {
            with_float!(self.y, Y => {
                let dy = dy.view_mut::<Y>();
                compute(py, cells, |parallel| solved.fill(&dy, Y::default(), self.least, parallel))?;
            }, else return Err(no_gradient(self.y)));
        }
        let mut more = Vec::new();
        match &self.map {
            Differentiable::Mean(map) => with_float!(self.y, Y => with_float!(self.x.dtype, T => {
                let (dy, dx) = (dy.view::<Y>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))), else return Err(no_gradient(self.y))),
            Differentiable::Route(map) => with_float!(self.x.dtype, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Index(map) => with_float!(self.x.dtype, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Region(map) => with_float!(self.x.dtype, T => {
                let (dy, dx) = (dy.view::<T>(), dx.view_mut::<T>());
                compute(py, cells, |parallel| map.pull(&dy, &dx, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Statistic(map) => {
                let sums = match &self.beside {
                    Some(_) => Some(Array::new(py, DType::F64, None, solved.shape(), &self.x.strides)?),
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
                if let (Some(sums), Some(Beside { shape, dtype, .. })) = (sums, &self.beside) {
                    let summed = py.import("ndpool._interop")?.getattr("summed_to")?;
                    more.push(summed.call1((sums.object(), shape, descr_of(py, *dtype)?))?);
                }
                if self.parameter.is_some() {
                    more.push(py.import("numpy")?.getattr("array")?.call1((parameter,))?);
                }
            }
        }
        more.insert(0, self.x.finish(&dx)?);
        Ok(more)
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let solved = self.map.solved();
        let dx = self.x.read("dx", tangents.required("x")?, "x")?;
        let (shape, strides) = (kept(solved.output_shape(), &self.dropped), kept(&self.x.strides, &self.dropped));
        let mut dy = Array::new(py, self.y, None, &shape, &strides)?;
        dy.expand(&self.dropped);
        let cells = dx.len() + dy.len();
        match &self.map {
            Differentiable::Mean(map) => with_float!(self.y, Y => with_float!(self.x.dtype, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<Y>());
                compute(py, cells, |parallel| {
                    map.push(&dx, &dy, parallel)?;
                    solved.fill(&dy, Y::default(), self.least, parallel)
                })?;
            }, else return Err(no_gradient(self.x.dtype))), else return Err(no_gradient(self.y))),
            Differentiable::Route(map) => with_float!(self.x.dtype, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, cells, |parallel| {
                    map.push(&dx, &dy, parallel)?;
                    solved.fill(&dy, T::default(), self.least, parallel)
                })?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Index(map) => with_float!(self.x.dtype, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, cells, |parallel| map.push(&dx, &dy, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Region(map) => with_float!(self.x.dtype, T => {
                let (dx, dy) = (dx.view::<T>(), dy.view_mut::<T>());
                compute(py, cells, |parallel| map.push(&dx, &dy, parallel))?;
            }, else return Err(no_gradient(self.x.dtype))),
            Differentiable::Statistic(map) => {
                let beside =
                    match self.beside.as_ref().and_then(|beside| tangents.of(beside.argument).map(|d| (beside, d))) {
                        Some((beside, tangent)) => {
                            let mut tangent = Array::read(beside.argument, tangent)?;
                            if tangent.shape != beside.shape {
                                let (given, shape) = (Shape(&tangent.shape), Shape(&beside.shape));
                                let name = beside.argument;
                                let message = format!(
                                    "d{name}: an array of shape {given} must have the shape of {name}, {shape}"
                                );
                                return Err(PyValueError::new_err(message));
                            }
                            tangent.broadcast(beside.argument, solved.shape())?;
                            Some(tangent)
                        }
                        None => None,
                    };
                let tangent = self.parameter.and_then(|name| tangents.of(name).map(|tangent| (name, tangent)));
                let parameter = tangent.map_or(Ok(0.0), |(name, tangent)| number(&format!("d{name}"), tangent))?;
                let readers = (floats(&dx), beside.as_ref().map(floats));
                let d_beside = readers.1.as_deref().zip(beside.as_ref());
                let d_beside = d_beside.map(|(reader, array)| Field { reader, strides: &array.strides });
                let writer = float_writer(&dy);
                let dx = Field { reader: &*readers.0, strides: &dx.strides };
                compute(py, cells, |parallel| map.push(dx, d_beside, parameter, (&*writer, &dy.strides), parallel))?;
            }
        }
        self.x.finish(&dy)
    }
}

/// The derivative of one call: a linear map, backwards and forwards.
#[pyclass(module = "ndpool._ndpool", frozen)]
pub(super) struct Pullback {
    of: Vec<Box<dyn Derivative>>,
    many: bool,
}

impl Pullback {
    /// The differentiable arguments, in the order of the signature.
    fn arguments(&self) -> Vec<&'static str> {
        if !self.many {
            return self.of[0].arguments();
        }
        let given = |argument: &&str| self.of.iter().any(|of| of.arguments().contains(argument));
        ARGUMENTS.into_iter().filter(given).collect()
    }

    /// The cotangents of all arguments, summed over the modes of a list.
    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        if !self.many {
            return self.of[0].pull(dy);
        }
        let given = dy.cast::<PyTuple>().ok().filter(|given| given.len() == self.of.len());
        let Some(given) = given else {
            let message = format!("dy: must be a tuple of {} cotangents, one for each mode", self.of.len());
            return Err(PyTypeError::new_err(message));
        };
        let arguments = self.arguments();
        let mut total: Vec<Option<Bound<'py, PyAny>>> = vec![None; arguments.len()];
        for (of, dy) in self.of.iter().zip(given.iter()) {
            for (argument, cotangent) in of.arguments().into_iter().zip(of.pull(&dy)?) {
                for (name, total) in arguments.iter().zip(&mut total) {
                    if *name == argument {
                        *total = Some(match total.take() {
                            Some(sum) => sum.add(&cotangent)?,
                            None => cotangent.clone(),
                        });
                    }
                }
            }
        }
        Ok(total.into_iter().flatten().collect())
    }
}

#[pymethods]
impl Pullback {
    /// The cotangent of `x` from `dy`, that of the result: a tuple where more arguments are differentiable, and without `x`
    /// where that is of integers.
    fn __call__<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut cotangents = self.pull(dy)?;
        if cotangents.len() == 1 {
            return Ok(cotangents.swap_remove(0));
        }
        Ok(PyTuple::new(dy.py(), cotangents)?.into_any())
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
        let given = std::iter::once(dx.clone()).chain(tangents.iter());
        let tangents = Tangents(arguments.into_iter().zip(given).collect());
        let mut results = self.of.iter().map(|of| of.push(py, &tangents)).collect::<PyResult<Vec<_>>>()?;
        if self.many { Ok(PyTuple::new(py, results)?.into_any()) } else { Ok(results.swap_remove(0)) }
    }

    /// The names of the arguments that have a cotangent, in the order of the signature.
    #[getter(arguments)]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.arguments())
    }

    fn __repr__(&self) -> String {
        let (x, y) = self.of[0].shapes();
        format!("<pullback from {} to {}>", Shape(y), Shape(x))
    }
}

pub(super) fn no_gradient(dtype: DType) -> PyErr {
    PyTypeError::new_err(format!("x: {} has no gradient: only floating-point arrays are differentiable", dtype.name()))
}
