//! A solved call: places for its results found, computed, recorded on a tape, and handed back.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::array::{Array, kept};
use super::dtype::{DType, descr_of, with_dtype};
use super::error::compute;
use super::gradient::{Beside, Recorded, Tape};
use super::mode::{Mode, Reduction};
use super::visited;
use crate::element::Element;
use crate::ops::{self, Differentiable, Lowering, MeanMap, RouteMap, Second, Solved};
use crate::strided::ViewMut;

/// Options that some modes have and others do not.
#[derive(Default)]
pub(super) struct Options<'a, 'py> {
    pub return_indices: bool,
    pub dtype: Option<&'a Bound<'py, PyAny>>,
    pub fill_value: Option<&'a Bound<'py, PyAny>>,
    pub min_count: usize,
    /// Axes that the result does not keep.
    pub dropped: &'a [usize],
    /// Which cells are valid, of the shape of `x`; all, if there is none.
    pub valid: Option<&'a Array<'py>>,
    /// An array that was given, though it says nothing: results may not overlap it.
    pub also_read: Option<&'a Array<'py>>,
    /// Whether NaN is not.
    pub omit: bool,
    /// Weights or logits, of the shape of `x`, and how they were given.
    pub beside: Option<(&'a Array<'py>, Beside)>,
    /// Whether cells weigh as much as the part of them that lies in their bin.
    pub overlap: bool,
}

impl Options<'_, '_> {
    /// Whether windows have to be visited one by one.
    fn visits(&self, mode: Mode) -> bool {
        let special = matches!(mode.reduction, Reduction::Statistic(_) | Reduction::Choice(_));
        special || self.leave_out() || self.beside.is_some() || self.overlap
    }

    /// Whether real cells may be left out.
    pub fn leave_out(&self) -> bool {
        self.valid.is_some() || self.omit
    }
}

/// Pools `x` as solved: finds the places for results, computes, and wraps.
pub(super) fn execute<'py>(
    x: &Array<'py>,
    solved: &Solved,
    mode: Mode,
    options: &Options<'_, 'py>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.object().py();
    let (dtype, descr) = result_dtype(x.dtype, mode, options)?;
    let shape = kept(solved.output_shape(), options.dropped);
    let (tape, out) = destination(py, out);
    let (values_out, indices_out) = split_out(out.as_ref(), options.return_indices)?;
    let read: Vec<&Array<'py>> =
        [Some(x), options.valid, options.also_read, options.beside.as_ref().map(|&(array, _)| array)]
            .into_iter()
            .flatten()
            .collect();
    let place = |out: &Given<'py>, dtype, descr| match out {
        Some(out) => Array::target(out, dtype, &shape, &read),
        None => x.like(dtype, descr, &shape, options.dropped),
    };
    let mut y = place(&values_out, dtype, descr.as_ref())?;
    let mut indices = None;
    if options.return_indices {
        let place = place(&indices_out, DType::I64, None)?;
        place.expect_apart(&y)?;
        indices = Some(place);
    }
    let visits = options.visits(mode);
    let fill = fill_value(py, x, solved, mode, options, dtype)?;
    y.expand(options.dropped);
    if let Some(indices) = &mut indices {
        indices.expand(options.dropped);
    }
    let least = options.min_count.max(1);
    let map = if visits {
        visited::run(py, x, solved, mode, options, &y, indices.as_ref(), fill.as_ref(), tape.is_some())?
    } else {
        run(py, x, solved, mode, &y, indices.as_ref(), tape.is_some())?
    };
    if let Some(fill) = fill
        && !visits
    {
        write_fill(py, solved, &y, &fill, least)?;
        if let Some(indices) = &indices {
            let indices = indices.view_mut::<i64>();
            compute(py, y.len(), |parallel| solved.fill(&indices, -1, least, parallel))?;
        }
    }
    if let (Some(tape), Some(map)) = (tape, map) {
        let beside = options.beside.as_ref().map(|(_, beside)| beside.clone());
        // Visited windows know themselves which of them have a value.
        let least = if visits { 1 } else { least };
        let recorded = Recorded::new(x, dtype, map, options.dropped, least).with(beside, mode.parameter);
        tape.borrow_mut().record(recorded)?;
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
    match mode.reduction {
        Reduction::Max | Reduction::Min => with_dtype!(x.dtype, T => {
            let reversed = mode.reduction == Reduction::Min;
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            let mut map = if taped { Some(RouteMap::new::<T>(solved, x.strides(), false)?) } else { None };
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
        Reduction::Sum | Reduction::Avg => {
            let lowering = if mode.reduction == Reduction::Sum { Lowering::Sum } else { Lowering::Mean(solved.rule) };
            let map = if taped { Some(with_dtype!(x.dtype, T => MeanMap::new::<T>(solved, lowering))?) } else { None };
            if !empty {
                compute(py, cells, |parallel| summed(x, solved, lowering, y, parallel))?;
            }
            Ok(map.map(Differentiable::Mean))
        }
        Reduction::Count if taped => Err(PyTypeError::new_err("mode: 'count' is not differentiable")),
        Reduction::Count => {
            if !empty {
                compute(py, cells, |parallel| ops::count(solved, &y.view_mut::<i64>(), parallel))?;
            }
            Ok(None)
        }
        Reduction::Statistic(_) | Reduction::Choice(_) => {
            unreachable!("`Options::visits` is true of these, so that `execute` gives them to `visited::run`")
        }
    }
}

/// Sums of floats are floats, sums of integers any number.
pub(super) fn summed(
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
fn result_dtype<'py>(x: DType, mode: Mode, options: &Options<'_, 'py>) -> PyResult<(DType, Option<Bound<'py, PyAny>>)> {
    let Some(dtype) = options.dtype else {
        return Ok((mode.result(x, options.beside.is_some() || options.overlap), None));
    };
    let (dtype, descr) = DType::parse(dtype)?;
    let integer = !dtype.is_float();
    let whole = mode.is_total() || mode.reduction == Reduction::Avg;
    let refuse =
        |why: &str| Err(PyTypeError::new_err(format!("dtype: {} cannot hold {why} of {}", dtype.name(), x.name())));
    if integer && x.is_float() || dtype == DType::Bool {
        return refuse(if mode.reduction == Reduction::Avg { "the mean" } else { "the result" });
    }
    if integer && (!whole || options.beside.is_some() || options.overlap) {
        return refuse("what may be no integer,");
    }
    Ok((dtype, Some(descr)))
}

/// The value of windows with too few cells, as an array of one cell.
fn fill_value<'py>(
    py: Python<'py>,
    x: &Array<'py>,
    solved: &Solved,
    mode: Mode,
    options: &Options<'_, 'py>,
    dtype: DType,
) -> PyResult<Option<Array<'py>>> {
    let visits = options.visits(mode);
    let value = match options.fill_value {
        Some(value) => value.clone(),
        None if dtype.is_float() && visits => f64::NAN.into_pyobject(py)?.into_any(),
        None if visits && visited::all_have_enough(py, x, solved, mode, options)? => return Ok(None),
        None if !visits && (options.min_count <= 1 || !solved.any_below(options.min_count)) => return Ok(None),
        None if dtype.is_float() => f64::NAN.into_pyobject(py)?.into_any(),
        None => {
            let message = format!(
                "fill_value: None must be a number: a window has fewer cells than min_count = {}, and {} has no NaN",
                options.min_count.max(1),
                dtype.name()
            );
            return Err(PyValueError::new_err(message));
        }
    };
    let scalar = py.import("ndpool._interop")?.getattr("scalar")?.call1(("fill_value", value, descr_of(py, dtype)?))?;
    Array::read("fill_value", &scalar).map(Some)
}

/// Writes the fill value to every output with fewer than `least` cells.
pub(super) fn write_fill(
    py: Python<'_>,
    solved: &Solved,
    y: &Array<'_>,
    fill: &Array<'_>,
    least: usize,
) -> PyResult<()> {
    with_dtype!(y.dtype, T => {
        let (value, place) = (fill.view::<T>().raw().row(0, 1)[0], y.view_mut::<T>());
        compute(py, y.len(), |parallel| solved.fill(&place, value, least, parallel))
    })
}

/// An array that the caller may have given.
pub(super) type Given<'py> = Option<Bound<'py, PyAny>>;

/// `out` for values and for indices.
pub(super) fn split_out<'py>(out: Option<&Bound<'py, PyAny>>, indices: bool) -> PyResult<(Given<'py>, Given<'py>)> {
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

/// The tape that was passed as `out`, if it was one, and where results are written.
pub(super) fn destination<'a, 'py>(
    py: Python<'py>,
    out: Option<&'a Bound<'py, PyAny>>,
) -> (Option<&'a Bound<'py, Tape>>, Option<Bound<'py, PyAny>>) {
    match out.and_then(|out| out.cast_exact::<Tape>().ok()) {
        Some(tape) => (Some(tape), tape.borrow().out(py)),
        None => (None, out.filter(|out| !out.is_none()).cloned()),
    }
}

/// A result as the caller wants it: what was given as `out`, or a new array of the caller's library.
pub(super) fn wrap<'py>(x: &Array<'py>, y: Array<'py>, out: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
    match (out, &x.restore) {
        (Some(out), _) => Ok(out),
        (None, Some(restore)) => restore.bind(x.object().py()).call1((y.into_object(),)),
        (None, None) => Ok(y.into_object()),
    }
}
