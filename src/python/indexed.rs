//! The functions whose cells are named by number: unpooling, and fractional pooling.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::arguments::{flag, items, shown, size, sizes};
use super::array::Array;
use super::dtype::{DType, with_dtype, with_float};
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::functions::spatial;
use super::gradient::{Recorded, no_gradient};
use crate::ops::{Differentiable, Duplicates, FractionalPool, Indices, Unpool};

/// `max_unpool*`.
#[pyfunction]
#[pyo3(signature = (x, indices, rank, kernel_size, stride, padding, output_size, duplicates, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn max_unpool<'py>(
    x: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    rank: usize,
    kernel_size: &Bound<'py, PyAny>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    output_size: Option<&Bound<'py, PyAny>>,
    duplicates: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, indices) = (Array::read("x", x)?, Array::read("indices", indices)?);
    let py = x.object().py();
    let axes = spatial(&x, rank, layout)?;
    let kernel = sizes("kernel_size", kernel_size, rank, 1)?;
    let stride = stride.map_or(Ok(kernel.clone()), |stride| sizes("stride", stride, rank, 1))?;
    let mut unpool = Unpool::new(&kernel)
        .stride(&stride)
        .padding(&sizes("padding", padding, rank, 0)?)
        .axes(&axes)
        .duplicates(parse_duplicates(duplicates)?);
    if let Some(given) = output_size {
        let channels_last = axes[rank - 1] + 1 < x.shape.len();
        unpool = unpool.output_size(&plane_size(given, rank, channels_last)?);
    }
    let call = unpool.solve(&x.shape)?;
    let given = with_dtype!(indices.dtype, I => Box::new(call.indices(&indices.view::<I>())?) as Box<dyn Indices>);
    let (tape, out) = destination(py, out);
    let (out, _) = split_out(out.as_ref(), false)?;
    let y = match &out {
        Some(out) => Array::target(out, x.dtype, call.solved.output_shape(), &[&x, &indices])?,
        None => x.like(x.dtype, None, call.solved.output_shape(), &[])?,
    };
    if let Some(tape) = tape {
        let mut map = None;
        with_float!(x.dtype, T => {
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            compute(py, cells(&[&indices]) + y.shape().iter().product::<usize>(), |parallel| {
                map = Some(call.record(&x, &*given, &y, parallel)?);
                Ok(())
            })?;
        }, else return Err(no_gradient(x.dtype)));
        if let Some(map) = map {
            let map = Differentiable::Index(map);
            tape.borrow_mut().record(Recorded::new(&x, x.dtype, map, &[], 1))?;
        }
    } else {
        with_dtype!(x.dtype, T => {
            let work = cells(&[&x, &y]);
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            // A caller's array is written only after everything is checked.
            let checked_first = out.is_some();
            compute(py, work, |parallel| {
                if checked_first { call.place_checked(&x, &*given, &y, parallel) } else { call.place(&x, &*given, &y, parallel) }
            })?;
        });
    }
    wrap(&x, y, out)
}

/// `fractional_max_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, kernel_size, output_size, output_ratio, return_indices, samples, rng, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn fractional_max_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    kernel_size: &Bound<'py, PyAny>,
    output_size: Option<&Bound<'py, PyAny>>,
    output_ratio: Option<&Bound<'py, PyAny>>,
    return_indices: &Bound<'py, PyAny>,
    samples: Option<&Bound<'py, PyAny>>,
    rng: Option<&Bound<'py, PyAny>>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let py = x.object().py();
    let axes = spatial(&x, rank, layout)?;
    let return_indices = flag("return_indices", return_indices)?;
    let pool = FractionalPool::new(&sizes("kernel_size", kernel_size, rank, 1)?).axes(&axes);
    let pool = match (output_size, output_ratio) {
        (Some(size), None) => pool.output_size(&sizes("output_size", size, rank, 1)?),
        (None, Some(ratio)) => pool.output_ratio(&ratios(ratio, rank)?),
        (None, None) => return Err(PyValueError::new_err("output_size: None must be given, or else output_ratio")),
        (Some(_), Some(ratio)) => {
            let message = format!("output_ratio: {} must not be given together with output_size", shown(ratio));
            return Err(PyValueError::new_err(message));
        }
    };
    let call = pool.solve(&x.shape)?;
    if let (Some(_), Some(rng)) = (samples, rng) {
        let message = format!("rng: {} must not be given together with samples", shown(rng));
        return Err(PyValueError::new_err(message));
    }
    let given = samples.map(|samples| Array::read("samples", samples)).transpose()?;
    let (tape, out) = destination(py, out);
    let (values_out, indices_out) = split_out(out.as_ref(), return_indices)?;
    let shape = call.solved.output_shape();
    let mut inputs = vec![&x];
    inputs.extend(&given);
    let place = |out: &Option<Bound<'py, PyAny>>, dtype| match out {
        Some(out) => Array::target(out, dtype, shape, &inputs),
        None => x.like(dtype, None, shape, &[]),
    };
    let y = place(&values_out, x.dtype)?;
    let indices = if return_indices { Some(place(&indices_out, DType::I64)?) } else { None };
    if let Some(indices) = &indices {
        indices.expect_apart(&y)?;
    }
    let mut map = None;
    if tape.is_some() {
        with_float!(x.dtype, T => map = Some(call.map::<T>()?), else return Err(no_gradient(x.dtype)));
    }
    // Drawn last, so that a call that is refused leaves the generator as it was.
    let mut samples = if let Some(samples) = given {
        samples
    } else {
        let draw = py.import("ndpool._random")?.getattr("draw")?;
        Array::read("samples", &draw.call1((rng, PyTuple::new(py, call.samples_shape())?))?)?
    };
    if x.shape.len() == rank + 1 && samples.shape.len() == 3 && samples.shape[0] == 1 {
        // As in PyTorch, those of an array without a batch axis may have one.
        samples.shape.remove(0);
        samples.strides.remove(0);
    }
    let samples = with_dtype!(samples.dtype, S => call.samples(&samples.view::<S>())?);
    with_dtype!(x.dtype, T => {
        let work = cells(&[&x, &y]);
        let (x, y) = (x.view::<T>(), y.view_mut::<T>());
        let indices = indices.as_ref().map(|indices| indices.view_mut::<i64>());
        compute(py, work, |parallel| call.run(&x, &samples, &y, indices.as_ref(), map.as_mut(), parallel))?;
    });
    if let (Some(tape), Some(map)) = (tape, map) {
        let map = Differentiable::Index(map);
        tape.borrow_mut().record(Recorded::new(&x, x.dtype, map, &[], 1))?;
    }
    let values = wrap(&x, y, values_out)?;
    match indices {
        Some(indices) => Ok(PyTuple::new(py, [values, wrap(&x, indices, indices_out)?])?.into_any()),
        None => Ok(values),
    }
}

/// Cells that a call reads or writes: the work that it is.
fn cells(arrays: &[&Array<'_>]) -> usize {
    arrays.iter().map(|array| array.len()).fold(0, usize::saturating_add)
}

/// The size of the larger planes of an unpooling: one for each axis, or as in PyTorch the shape of the whole result.
fn plane_size(value: &Bound<'_, PyAny>, rank: usize, channels_last: bool) -> PyResult<Vec<usize>> {
    let Some(given) = items("output_size", value)? else { return sizes("output_size", value, rank, 0) };
    let first = match given.len().checked_sub(rank) {
        Some(0) => 0,
        // The axes before are a channel axis, or a batch and a channel axis; channels may come last.
        Some(others @ (1 | 2)) => others - channels_last as usize,
        _ => {
            let n = given.len();
            let message = format!(
                "output_size: {} has {n} values; give {rank}, or {} for the whole shape",
                shown(value),
                rank + 2
            );
            return Err(PyValueError::new_err(message));
        }
    };
    given[first..first + rank].iter().map(|item| size("output_size", item, 0)).collect()
}

/// A ratio for each of `n` axes, from a number or a sequence.
fn ratios(value: &Bound<'_, PyAny>, n: usize) -> PyResult<Vec<f64>> {
    let ratio = |item: &Bound<'_, PyAny>| {
        item.extract::<f64>().map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(item.py()) {
                return PyValueError::new_err(format!("output_ratio: {} must be below 1", shown(item)));
            }
            if !error.is_instance_of::<PyTypeError>(item.py()) || item.hasattr("__float__").unwrap_or(false) {
                return error;
            }
            PyTypeError::new_err(format!("output_ratio: {} must be a number", shown(item)))
        })
    };
    match items("output_ratio", value)? {
        None => Ok(vec![ratio(value)?; n]),
        Some(items) if items.len() == n => items.iter().map(ratio).collect(),
        Some(items) => {
            let (given, len) = (shown(value), items.len());
            Err(PyValueError::new_err(format!("output_ratio: {given} has {len} values; give one, or {n}")))
        }
    }
}

fn parse_duplicates(value: &Bound<'_, PyAny>) -> PyResult<Duplicates> {
    let rule = "must be 'last', 'sum', 'max' or 'error'";
    let Ok(name) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("duplicates: {} {rule}", shown(value))));
    };
    Ok(match &*name.to_cow()? {
        "last" => Duplicates::Last,
        "sum" => Duplicates::Sum,
        "max" => Duplicates::Max,
        "error" => Duplicates::Error,
        _ => return Err(PyValueError::new_err(format!("duplicates: {} {rule}", shown(value)))),
    })
}
