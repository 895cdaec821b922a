//! The functions named as in PyTorch: their arguments as a solved operation.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::any_axes::output_sizes;
use super::arguments::{Geometry, flag, integer, number, shown};
use super::array::Array;
use super::execute::{Options, execute};
use super::mode::{Mode, Reduction};
use crate::error::Shape;
use crate::modes::Statistic;
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
    let mode = Mode::plain(if minimum { Reduction::Min } else { Reduction::Max });
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
    execute(&x, &pool.solve(&x.shape)?, Mode::plain(Reduction::Avg), &Options { dtype, ..Options::default() }, out)
}

/// `lp_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, norm_type, kernel_size, stride, padding, ceil_mode, dilation, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn norm_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    norm_type: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    ceil_mode: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let p = number("norm_type", norm_type)?;
    if p.is_nan() || p <= 0.0 {
        return Err(PyValueError::new_err(format!("norm_type: {p} must be above 0, or inf")));
    }
    let geometry = Geometry { argument: "kernel_size", kernel: kernel_size, stride, padding, dilation, ceil_mode };
    let pool = geometry.pool(rank)?.axes(&spatial(&x, rank, layout)?);
    let mode = Mode::plain(Reduction::Statistic(Statistic::Norm { p }));
    execute(&x, &pool.solve(&x.shape)?, mode, &Options::default(), out)
}

/// `adaptive_avg_pool*` and `adaptive_max_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, maximum, output_size, return_indices, layout, out))]
pub(super) fn adaptive_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    maximum: bool,
    output_size: &Bound<'py, PyAny>,
    return_indices: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let axes = spatial(&x, rank, layout)?;
    let sizes = output_sizes(&x, output_size, &axes)?;
    let solved = Pool::adaptive(&sizes).axes(&axes).solve(&x.shape)?;
    let return_indices = flag("return_indices", return_indices)?;
    let mode = Mode::plain(if maximum { Reduction::Max } else { Reduction::Avg });
    execute(&x, &solved, mode, &Options { return_indices, ..Options::default() }, out)
}

/// The spatial axes of an array with or without a batch axis.
pub(super) fn spatial(x: &Array<'_>, rank: usize, layout: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
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
