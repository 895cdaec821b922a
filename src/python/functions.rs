//! The functions that Python calls: arguments to a solved operation, arrays in, arrays out.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::arguments::{Geometry, axes, count, per_axis, size};
use super::array::{Array, DType, descr_of, kept, with_dtype};
use super::error::compute;
use super::gradient::{Recorded, Tape};
use crate::element::Element;
use crate::error::Shape;
use crate::ops::{self, Differentiable, Lowering, MeanMap, Pool, RouteMap, Second, Solved};
use crate::strided::ViewMut;

/// What is computed of each window.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Max,
    Min,
    Sum,
    Avg,
    Count,
}

impl Mode {
    fn parse(mode: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Ok(name) = mode.cast::<PyString>() else {
            let message = format!("mode: {} ({}) must be a str", mode.repr()?, mode.get_type().name()?);
            return Err(PyTypeError::new_err(message));
        };
        Ok(match &*name.to_cow()? {
            "max" => Self::Max,
            "min" => Self::Min,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "count" => Self::Count,
            _ => {
                let message = format!("mode: {} must be one of max, min, sum, avg, count", mode.repr()?);
                return Err(PyValueError::new_err(message));
            }
        })
    }

    fn is_extreme(self) -> bool {
        matches!(self, Self::Max | Self::Min)
    }
}

/// Options that some modes have and others do not.
#[derive(Default)]
struct Options<'a, 'py> {
    return_indices: bool,
    dtype: Option<&'a Bound<'py, PyAny>>,
    fill_value: Option<&'a Bound<'py, PyAny>>,
    min_count: usize,
    /// Axes that the result does not keep.
    dropped: &'a [usize],
}

/// `max_pool*` and `min_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, minimum, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out))]
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // the arguments of the Python function
pub(super) fn extreme_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    minimum: bool,
    kernel_size: &Bound<'py, PyAny>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: bool,
    return_indices: bool,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let geometry = Geometry { argument: "kernel_size", kernel: kernel_size, stride, padding, dilation, ceil_mode };
    let pool = geometry.pool(rank)?.axes(&spatial(&x, rank, layout)?);
    let mode = if minimum { Mode::Min } else { Mode::Max };
    execute(&x, pool, mode, &Options { return_indices, ..Options::default() }, out)
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
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<&Bound<'py, PyAny>>,
    dilation: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let geometry = Geometry { argument: "kernel_size", kernel: kernel_size, stride, padding, dilation, ceil_mode };
    let mut pool = geometry.pool(rank)?.axes(&spatial(&x, rank, layout)?).count_include_pad(count_include_pad);
    if let Some(divisor) = divisor_override {
        pool = pool.divisor(size("divisor_override", divisor, 1)?);
    }
    execute(&x, pool, Mode::Avg, &Options { dtype, ..Options::default() }, out)
}

/// `adaptive_avg_pool*` and `adaptive_max_pool*`.
#[pyfunction]
#[pyo3(signature = (x, rank, mode, output_size, return_indices, layout, out))]
pub(super) fn adaptive_pool<'py>(
    x: &Bound<'py, PyAny>,
    rank: usize,
    mode: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    return_indices: bool,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let axes = spatial(&x, rank, layout)?;
    // As in PyTorch, None keeps an axis as it is.
    let sizes = match output_size.try_iter() {
        Ok(items) if output_size.cast::<PyString>().is_err() => {
            let items = items.collect::<PyResult<Vec<_>>>()?;
            if items.len() != rank {
                let message =
                    format!("output_size: {} has {} values; give one, or {rank}", output_size.repr()?, items.len());
                return Err(PyValueError::new_err(message));
            }
            let size = |(item, &axis): (&Bound<'py, PyAny>, &usize)| {
                if item.is_none() { Ok(x.shape[axis]) } else { size("output_size", item, 1) }
            };
            items.iter().zip(&axes).map(size).collect::<PyResult<Vec<_>>>()?
        }
        _ => vec![size("output_size", output_size, 1)?; rank],
    };
    let pool = Pool::adaptive(&sizes).axes(&axes);
    execute(&x, pool, Mode::parse(mode)?, &Options { return_indices, ..Options::default() }, out)
}

/// `global_pool`.
#[pyfunction]
#[pyo3(signature = (x, mode, layout, keepdims, return_indices, dtype, out))]
pub(super) fn global_pool<'py>(
    x: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    keepdims: bool,
    return_indices: bool,
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
    let dropped = if keepdims { &[][..] } else { &axes };
    let pool = Pool::global(axes.len()).axes(&axes);
    execute(&x, pool, Mode::parse(mode)?, &Options { return_indices, dtype, dropped, ..Options::default() }, out)
}

/// `pool`.
#[pyfunction]
#[pyo3(signature = (
    x, window, mode, axis, stride, padding, dilation, ceil_mode, count_include_pad, min_count, fill_value, return_indices,
    dtype, out
))]
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // the arguments of the Python function
pub(super) fn pool<'py>(
    x: &Bound<'py, PyAny>,
    window: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    stride: Option<&Bound<'py, PyAny>>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    ceil_mode: bool,
    count_include_pad: bool,
    min_count: &Bound<'py, PyAny>,
    fill_value: Option<&Bound<'py, PyAny>>,
    return_indices: bool,
    dtype: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let mode = Mode::parse(mode)?;
    if count_include_pad && mode != Mode::Avg {
        return Err(PyTypeError::new_err("count_include_pad: only mode 'avg' has this option"));
    }
    if x.shape.is_empty() {
        return Err(PyValueError::new_err("x: an array of rank 0 has no axis to pool"));
    }
    let axes = pooled_axes(x.shape.len(), window, axis)?;
    let geometry = Geometry { argument: "window", kernel: window, stride, padding, dilation, ceil_mode };
    let pool = geometry.pool(axes.len())?.axes(&axes).count_include_pad(count_include_pad);
    let min_count = size("min_count", min_count, 1)?;
    let options = Options { return_indices, dtype, fill_value, min_count, dropped: &[] };
    execute(&x, pool, mode, &options, out)
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
    ceil_mode: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let rank = count(shape)?.unwrap_or(1);
    let lens = per_axis("shape", shape, rank, 0)?;
    let shape: Vec<usize> = (0..rank).map(|axis| lens.at(axis)).collect();
    let axes = pooled_axes(rank, window, axis)?;
    let geometry = Geometry { argument: "window", kernel: window, stride, padding, dilation, ceil_mode };
    let lens = geometry.pool(axes.len())?.axes(&axes).output_shape(&shape)?;
    PyTuple::new(window.py(), lens)
}

/// The axes that `pool` pools: those named, else as many of the last as the window has numbers, else all.
fn pooled_axes(rank: usize, window: &Bound<'_, PyAny>, axis: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<usize>> {
    match (axis, count(window)?) {
        (Some(axis), _) => axes(axis, rank),
        (None, None) => Ok((0..rank).collect()),
        (None, Some(n)) if n <= rank => Ok((rank - n..rank).collect()),
        (None, Some(n)) => {
            let message = format!("window: {} has {n} values, more than the {rank} axes of x", window.repr()?);
            Err(PyValueError::new_err(message))
        }
    }
}

/// The spatial axes of an array with or without a batch axis.
fn spatial(x: &Array<'_>, rank: usize, layout: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let name = layout.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!("layout: {layout} must be a str: 'channels_first' or 'channels_last'"))
    })?;
    let dims = x.shape.len();
    let last = match &*name.to_cow()? {
        "channels_first" => dims,
        "channels_last" => dims.saturating_sub(1),
        _ => {
            let message = format!("layout: {} must be 'channels_first' or 'channels_last'", layout.repr()?);
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

/// Pools `x`: solves, finds the places for results, computes, and wraps.
fn execute<'py>(
    x: &Array<'py>,
    mut pool: Pool,
    mode: Mode,
    options: &Options<'_, 'py>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.object().py();
    if options.return_indices && !mode.is_extreme() {
        return Err(PyTypeError::new_err("return_indices: only modes 'max' and 'min' have this option"));
    }
    let (dtype, descr) = result_dtype(x.dtype, mode, options.dtype)?;
    // Its value is written below, in the dtype of the result.
    if options.fill_value.is_some() {
        pool = pool.fill_value(0.0);
    }
    let solved = pool.solve(&x.shape)?;
    let shape = kept(solved.output_shape(), options.dropped);
    let tape = out.and_then(|out| out.cast_exact::<Tape>().ok());
    let out = match tape {
        Some(tape) => tape.borrow().out(py),
        None => out.filter(|out| !out.is_none()).cloned(),
    };
    let (values_out, indices_out) = split_out(out.as_ref(), options.return_indices)?;
    let place = |out: &Given<'py>, dtype, descr, inputs: &[&Array<'py>]| match out {
        Some(out) => Array::target(out, dtype, &shape, inputs),
        None => x.like(dtype, descr, &shape, options.dropped),
    };
    let mut y = place(&values_out, dtype, descr.as_ref(), &[x])?;
    let mut indices = None;
    if options.return_indices {
        indices = Some(place(&indices_out, DType::I64, None, &[x, &y])?);
    }
    let fill = fill_value(py, options, dtype)?;
    y.expand(options.dropped);
    if let Some(indices) = &mut indices {
        indices.expand(options.dropped);
    }
    let map = run(py, x, &solved, mode, &y, indices.as_ref(), tape.is_some())?;
    let least = options.min_count.max(1);
    if let Some(fill) = fill {
        with_dtype!(dtype, T => solved.fill(&y.view_mut::<T>(), fill.view::<T>().raw().row(0, 1)[0], least));
        if let Some(indices) = &indices {
            solved.fill(&indices.view_mut::<i64>(), -1, least);
        }
    }
    if let (Some(tape), Some(map)) = (tape, map) {
        tape.borrow_mut().record(Recorded::new(py, x, dtype, map, options.dropped, least))?;
    }
    let values = wrap(x, y, values_out)?;
    match indices {
        Some(indices) => Ok(PyTuple::new(py, [values, wrap(x, indices, indices_out)?])?.into_any()),
        None => Ok(values),
    }
}

/// Computes the results, and for a tape the map of the gradient.
fn run(
    py: Python<'_>,
    x: &Array<'_>,
    solved: &Solved,
    mode: Mode,
    y: &Array<'_>,
    indices: Option<&Array<'_>>,
    taped: bool,
) -> PyResult<Option<Differentiable>> {
    let cells = x.len() + y.len();
    let empty = y.len() == 0;
    match mode {
        Mode::Max | Mode::Min => with_dtype!(x.dtype, T => {
            let reversed = mode == Mode::Min;
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            let mut map = if taped { Some(RouteMap::new::<T>(solved, x.strides())?) } else { None };
            if !empty {
                compute(py, cells, |parallel| {
                    if let Some(indices) = indices {
                        ops::extreme(&x, solved, reversed, &y, &Second::Indices(&indices.view_mut()), parallel)?;
                    }
                    match &mut map {
                        Some(map) => map.record(&x, reversed, &y, parallel),
                        None if indices.is_some() => Ok(()),
                        None => ops::extreme(&x, solved, reversed, &y, &Second::None, parallel),
                    }
                })?;
            }
            Ok(map.map(Differentiable::Route))
        }),
        Mode::Sum | Mode::Avg => {
            let lowering = if mode == Mode::Sum { Lowering::Sum } else { Lowering::Mean(solved.rule) };
            let map = if taped { Some(with_dtype!(x.dtype, T => MeanMap::new::<T>(solved, lowering))?) } else { None };
            if !empty {
                compute(py, cells, |parallel| summed(x, solved, lowering, y, parallel))?;
            }
            Ok(map.map(Differentiable::Mean))
        }
        Mode::Count if taped => Err(PyTypeError::new_err("mode: 'count' is not differentiable")),
        Mode::Count => {
            if !empty {
                compute(py, cells, |parallel| ops::count(solved, &y.view_mut::<i64>(), parallel))?;
            }
            Ok(None)
        }
    }
}

/// Sums of floats are floats, sums of integers any number.
fn summed(
    x: &Array<'_>,
    solved: &Solved,
    lowering: Lowering,
    y: &Array<'_>,
    parallel: &crate::parallel::Parallel<'_>,
) -> crate::Result<()> {
    fn to<T: Element, Y: Element>(
        x: &Array<'_>,
        solved: &Solved,
        lowering: Lowering,
        y: &ViewMut<'_, Y>,
        parallel: &crate::parallel::Parallel<'_>,
    ) -> crate::Result<()> {
        ops::sum(&x.view::<T>(), solved, lowering, y, parallel)
    }
    with_dtype!(x.dtype, T => with_dtype!(y.dtype, Y => to::<T, Y>(x, solved, lowering, &y.view_mut(), parallel)))
}

/// The dtype of a result, and its descriptor where the caller gave one.
fn result_dtype<'py>(
    x: DType,
    mode: Mode,
    dtype: Option<&Bound<'py, PyAny>>,
) -> PyResult<(DType, Option<Bound<'py, PyAny>>)> {
    let Some(dtype) = dtype else {
        let dtype = match mode {
            Mode::Max | Mode::Min => x,
            Mode::Sum => x.total(),
            Mode::Avg => x.mean(),
            Mode::Count => DType::I64,
        };
        return Ok((dtype, None));
    };
    let (dtype, descr) = DType::parse(dtype)?;
    if !matches!(mode, Mode::Sum | Mode::Avg) {
        return Err(PyTypeError::new_err("dtype: only modes 'sum' and 'avg' have this option"));
    }
    if x.is_float() && !dtype.is_float() || dtype == DType::Bool {
        return Err(PyTypeError::new_err(format!("dtype: {} cannot hold a sum of {}", dtype.name(), x.name())));
    }
    Ok((dtype, Some(descr)))
}

/// The value of windows with too few cells, as an array of one cell.
fn fill_value<'py>(py: Python<'py>, options: &Options<'_, 'py>, dtype: DType) -> PyResult<Option<Array<'py>>> {
    let value = match options.fill_value {
        Some(value) => value.clone(),
        None if options.min_count <= 1 => return Ok(None),
        None if dtype.is_float() => f64::NAN.into_pyobject(py)?.into_any(),
        None => {
            let message = format!("fill_value: none given, and {} has no NaN for min_count to give", dtype.name());
            return Err(PyValueError::new_err(message));
        }
    };
    let scalar = py.import("ndpool._interop")?.getattr("scalar")?.call1(("fill_value", value, descr_of(py, dtype)?))?;
    Array::read("fill_value", &scalar).map(Some)
}

/// An array that the caller may have given.
type Given<'py> = Option<Bound<'py, PyAny>>;

/// `out` for values and for indices.
fn split_out<'py>(out: Option<&Bound<'py, PyAny>>, indices: bool) -> PyResult<(Given<'py>, Given<'py>)> {
    match out.map(|out| (out, out.cast::<PyTuple>())) {
        Some((_, Ok(pair))) if indices && pair.len() == 2 => Ok((Some(pair.get_item(0)?), Some(pair.get_item(1)?))),
        Some((_, Ok(pair))) => {
            let rule = if indices { "give an array, or a pair (values, indices)" } else { "give one array" };
            let message = format!("out: a tuple of {}; {rule}", pair.len());
            let arrays = pair.iter().map(|item| item.hasattr("__dlpack__")).collect::<PyResult<Vec<_>>>()?;
            if arrays.contains(&false) {
                return Err(PyTypeError::new_err(message));
            }
            Err(PyValueError::new_err(message))
        }
        Some((out, Err(_))) => Ok((Some(out.clone()), None)),
        None => Ok((None, None)),
    }
}

/// A result as the caller wants it: what was given as `out`, or a new array of the caller's library.
fn wrap<'py>(x: &Array<'py>, y: Array<'py>, out: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
    match (out, &x.restore) {
        (Some(out), _) => Ok(out),
        (None, Some(restore)) => restore.bind(x.object().py()).call1((y.into_object(),)),
        (None, None) => Ok(y.into_object()),
    }
}
