//! The functions that Python calls: their arguments as a solved operation.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::arguments::{Geometry, axes, count, flag, integer, items, per_axis, shown, size};
use super::array::Array;
use super::execute::{Mode, Options, execute};
use crate::PoolError;
use crate::error::Shape;
use crate::ops::Pool;

/// `max_pool*` and `min_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, minimum, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn extreme_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    minimum: bool,
    kernel_size: &Bound<'py, PyAny>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let geometry = Geometry { argument: "kernel_size", kernel: kernel_size, stride, padding, dilation, ceil_mode };
    let pool = geometry.pool(rank)?.axes(&spatial(&x, rank, layout)?);
    let mode = if minimum { Mode::Min } else { Mode::Max };
    let return_indices = flag("return_indices", return_indices)?;
    execute(&x, &pool.solve(&x.shape)?, mode, &Options { return_indices, ..Options::default() }, out)
}

/// `avg_pool*`.
#[pyfunction]
#[pyo3(signature = (
    x, rank, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation, dtype, layout, out
))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn mean_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    kernel_size: &Bound<'py, PyAny>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    count_include_pad: &Bound<'py, PyAny>,
    divisor_override: Option<&Bound<'py, PyAny>>,
    dilation: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let geometry = Geometry { argument: "kernel_size", kernel: kernel_size, stride, padding, dilation, ceil_mode };
    let mut pool = geometry
        .pool(rank)?
        .axes(&spatial(&x, rank, layout)?)
        .count_include_pad(flag("count_include_pad", count_include_pad)?);
    if let Some(divisor) = divisor_override {
        pool = pool.divisor(integer("divisor_override", divisor)?);
    }
    execute(&x, &pool.solve(&x.shape)?, Mode::Avg, &Options { dtype, ..Options::default() }, out)
}

/// `adaptive_avg_pool*` and `adaptive_max_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, mode, output_size, return_indices, layout, out))]
pub(super) fn adaptive_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    mode: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let axes = spatial(&x, rank, layout)?;
    let sizes = match items(output_size)? {
        None => vec![size("output_size", output_size, 0)?; rank],
        // As in PyTorch, None keeps an axis as it is.
        Some(items) if items.len() == rank => {
            let size = |(item, &axis): (&Bound<'py, PyAny>, &usize)| {
                if item.is_none() { Ok(x.shape[axis]) } else { size("output_size", item, 0) }
            };
            items.iter().zip(&axes).map(size).collect::<PyResult<Vec<_>>>()?
        }
        Some(items) => {
            let (given, n) = (shown(output_size), items.len());
            let message = format!("output_size: {given} has {n} values; give one, or {rank}");
            return Err(PyValueError::new_err(message));
        }
    };
    let solved = Pool::adaptive(&sizes).axes(&axes).solve(&x.shape)?;
    let return_indices = flag("return_indices", return_indices)?;
    execute(&x, &solved, Mode::parse(mode)?, &Options { return_indices, ..Options::default() }, out)
}

/// `global_pool`.
#[pyfunction]
#[pyo3(signature = (x, mode, layout, keepdims, nan_policy, min_count, fill_value, return_indices, dtype, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn global_pool<'py>(
    x: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    keepdims: &Bound<'py, PyAny>,
    nan_policy: &Bound<'py, PyAny>,
    min_count: &Bound<'py, PyAny>,
    fill_value: Option<&Bound<'py, PyAny>>,
    return_indices: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let rank = x.shape.len();
    if rank < 3 {
        let message = format!(
            "x: an array of shape {} must have a batch, a channel and at least one spatial axis",
            Shape(&x.shape)
        );
        return Err(PyValueError::new_err(message));
    }
    let axes = spatial(&x, rank - 2, layout)?;
    let dropped = if flag("keepdims", keepdims)? { &[][..] } else { &axes };
    let solved = Pool::global(axes.len()).axes(&axes).solve(&x.shape)?;
    let mode = Mode::parse(mode)?;
    expect_propagate(nan_policy)?;
    let (return_indices, min_count) = (flag("return_indices", return_indices)?, size("min_count", min_count, 1)?);
    execute(&x, &solved, mode, &Options { return_indices, dtype, fill_value, min_count, dropped }, out)
}

/// `pool`.
#[pyfunction]
#[pyo3(signature = (
    x, window, mode, axis, stride, padding, dilation, ceil_mode, count_include_pad, nan_policy, min_count, fill_value,
    return_indices, dtype, out
))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn pool<'py>(
    x: &Bound<'py, PyAny>,
    window: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    count_include_pad: &Bound<'py, PyAny>,
    nan_policy: &Bound<'py, PyAny>,
    min_count: &Bound<'py, PyAny>,
    fill_value: Option<&Bound<'py, PyAny>>,
    return_indices: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let mode = Mode::parse(mode)?;
    expect_propagate(nan_policy)?;
    let count_include_pad = flag("count_include_pad", count_include_pad)?;
    if count_include_pad && mode != Mode::Avg {
        return Err(PyTypeError::new_err("count_include_pad: only mode 'avg' has this option"));
    }
    if x.shape.is_empty() {
        return Err(PyValueError::new_err("x: an array of rank 0 has no axis to pool"));
    }
    let axes = pooled_axes(x.shape.len(), window, axis)?;
    let geometry = Geometry { argument: "window", kernel: window, stride, padding, dilation, ceil_mode };
    let mut pool = geometry.pool(axes.len())?.axes(&axes).count_include_pad(count_include_pad);
    if fill_value.is_some() {
        // Its value is written by `execute`, in the dtype of the result.
        pool = pool.fill_value(0.0);
    }
    let solved = pool.solve(&x.shape).map_err(of_window)?;
    let (return_indices, min_count) = (flag("return_indices", return_indices)?, size("min_count", min_count, 1)?);
    execute(&x, &solved, mode, &Options { return_indices, dtype, fill_value, min_count, dropped: &[] }, out)
}

/// The shape that `pool` gives.
#[pyfunction]
#[pyo3(signature = (shape, window, axis, stride, padding, dilation, ceil_mode))]
pub(super) fn output_shape<'py>(
    shape: &Bound<'py, PyAny>,
    window: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let rank = count(shape)?.unwrap_or(1);
    let lens = per_axis("shape", shape, rank, 0)?;
    let shape: Vec<usize> = (0..rank).map(|axis| lens.at(axis)).collect();
    let axes = pooled_axes(rank, window, axis)?;
    let geometry = Geometry { argument: "window", kernel: window, stride, padding, dilation, ceil_mode };
    let lens = geometry.pool(axes.len())?.axes(&axes).output_shape(&shape).map_err(of_window)?;
    PyTuple::new(window.py(), lens)
}

/// An error about what the core calls a kernel, and the functions for any axes a window.
fn of_window(error: PoolError) -> PoolError {
    match error {
        PoolError::Value { argument: "kernel_size", value, rule } => {
            PoolError::Value { argument: "window", value, rule }
        }
        other => other,
    }
}

/// The only rule for NaN that exists so far.
fn expect_propagate(nan_policy: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(name) = nan_policy.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("nan_policy: {} must be a str", shown(nan_policy))));
    };
    if &*name.to_cow()? == "propagate" {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("nan_policy: {} must be 'propagate'", shown(nan_policy))))
}

/// The axes that `pool` pools: those named, else as many of the last as the window has numbers, else all.
fn pooled_axes(rank: usize, window: &Bound<'_, PyAny>, axis: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<usize>> {
    match (axis, count(window)?) {
        (Some(axis), given) => {
            let axes = axes(axis, rank)?;
            match given {
                Some(n) if n != axes.len() => {
                    let message = format!("window: {} has {n} values; give one, or {}", shown(window), axes.len());
                    Err(PyValueError::new_err(message))
                }
                _ => Ok(axes),
            }
        }
        (None, None) => Ok((0..rank).collect()),
        (None, Some(n)) if n <= rank => Ok((rank - n..rank).collect()),
        (None, Some(n)) => {
            let message = format!("window: {} has {n} values, more than the {rank} axes of x", shown(window));
            Err(PyValueError::new_err(message))
        }
    }
}

/// The spatial axes of an array with or without a batch axis.
fn spatial(x: &Array<'_>, rank: usize, layout: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let name = layout.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!("layout: {} must be a str: 'channels_first' or 'channels_last'", shown(layout)))
    })?;
    let dims = x.shape.len();
    let last = match &*name.to_cow()? {
        "channels_first" => dims,
        "channels_last" => dims.saturating_sub(1),
        _ => {
            let message = format!("layout: {} must be 'channels_first' or 'channels_last'", shown(layout));
            return Err(PyValueError::new_err(message));
        }
    };
    if dims != rank + 1 && dims != rank + 2 {
        let message = format!(
            "x: an array of shape {} has {dims} axes; it must have {} axes, or {} with a batch axis: channels and {rank} spatial",
            Shape(&x.shape),
            rank + 1,
            rank + 2
        );
        return Err(PyValueError::new_err(message));
    }
    Ok((last - rank..last).collect())
}
