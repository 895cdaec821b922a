//! The functions for any axes and every mode: their rules for cells, their options, one mode or a list.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::arguments::{Geometry, axes, count, flag, items, one_of, per_axis, shown, size};
use super::array::Array;
use super::dtype::DType;
use super::execute::{Options, execute};
use super::functions::spatial;
use super::gradient::{Beside, Tape};
use super::mode::{Mode, Reduction, expect_options};
use crate::PoolError;
use crate::error::Shape;
use crate::ops::Pool;
use crate::window::{Boundary, Side};

/// The numbers of bins along some axes.
pub(super) fn output_sizes(x: &Array<'_>, output_size: &Bound<'_, PyAny>, axes: &[usize]) -> PyResult<Vec<usize>> {
    match items("output_size", output_size)? {
        None => Ok(vec![size("output_size", output_size, 0)?; axes.len()]),
        // As in PyTorch, None keeps an axis as it is.
        Some(items) if items.len() == axes.len() => {
            let size = |(item, &axis): (&Bound<'_, PyAny>, &usize)| {
                if item.is_none() { Ok(x.shape[axis]) } else { size("output_size", item, 0) }
            };
            items.iter().zip(axes).map(size).collect()
        }
        Some(items) => {
            let (given, n, expected) = (shown(output_size), items.len(), axes.len());
            let message = format!("output_size: {given} has {n} values; give one, or {expected}");
            Err(PyValueError::new_err(message))
        }
    }
}

/// The rules for cells that the functions for any axes share: `where`, `nan_policy`, `min_count` and `fill_value`.
#[derive(FromPyObject)]
pub(super) struct Cells<'py>(
    Option<Bound<'py, PyAny>>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
);

/// Pools by one mode, or by each of a list: the end of all functions for any axes. `options` are those that not every mode has.
fn reduce<'py>(
    x: &Array<'py>,
    pool: Pool,
    mode: &Bound<'py, PyAny>,
    Cells(valid, nan_policy, min_count, fill_value): Cells<'py>,
    options: &Bound<'py, PyDict>,
    (dropped, overlap): (&[usize], bool),
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = mode.py();
    let modes = modes_of(mode)?;
    // A switch that is off is no option.
    for switch in ["count_include_pad", "return_indices"] {
        if let Some(on) = options.get_item(switch)?
            && !flag(switch, &on)?
        {
            options.del_item(switch)?;
        }
    }
    let given: Vec<String> = options.keys().iter().map(|key| key.extract()).collect::<PyResult<_>>()?;
    expect_options(&modes, &given)?;
    let given_valid = valid;
    let masked = given_valid.as_ref().map(|valid| mask(x, valid)).transpose()?;
    let omit = nan_rule(x, given_valid.as_ref(), &nan_policy)?;
    let ruled = omit || masked.is_some() || overlap || options.contains("weights")?;
    let omit = omit && x.dtype.is_float();
    // A mask that masks nothing costs nothing more.
    let valid = match &masked {
        Some(mask) if !py.import("ndpool._interop")?.getattr("all_true")?.call1((mask.object(),))?.is_truthy()? => {
            masked.as_ref()
        }
        _ => None,
    };
    let include = options.contains("count_include_pad")?;
    if include && ruled {
        let message = "count_include_pad: True counts cells that no rule says anything about: not with where, weights, omitted NaN or areas";
        return Err(PyValueError::new_err(message));
    }
    let mut pool = pool.count_include_pad(include);
    if fill_value.is_some() {
        // Its value is written by `execute`, in the dtype of the result.
        pool = pool.fill_value(0.0);
    }
    let solved = pool.solve(&x.shape).map_err(of_window)?;
    let beside = [beside(x, options, "weights")?, beside(x, options, "g")?];
    let dtype = options.get_item("dtype")?;
    let one = |mode: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| -> PyResult<Bound<'py, PyAny>> {
        let mode = Mode::parse(mode, options, x.dtype)?;
        let beside = beside.iter().flatten().find(|(_, beside)| mode.has(beside.argument));
        if mode.has("g") && beside.is_none() {
            return Err(PyTypeError::new_err(
                "g: mode 'lip' needs this option: logits, of a shape that broadcasts to that of x",
            ));
        }
        if overlap && !matches!(mode.reduction, Reduction::Sum | Reduction::Avg) {
            return Err(PyTypeError::new_err(format!(
                "method: 'area' is only for modes 'sum' and 'avg', not '{}'",
                mode.name
            )));
        }
        if mode.name == "stochastic" {
            let check = py.import("ndpool._interop")?.getattr("expect_not_negative")?;
            check.call1(("x", x.object(), valid.map(Array::object), "mode 'stochastic' draws cells by their value"))?;
        }
        let options = Options {
            return_indices: mode.has("return_indices") && options.contains("return_indices")?,
            dtype: dtype.as_ref().filter(|_| mode.has("dtype")),
            fill_value: fill_value.as_ref(),
            min_count: size("min_count", &min_count, 1)?,
            dropped,
            valid,
            also_read: masked.as_ref(),
            omit,
            beside: beside.map(|(array, beside)| (array, beside.clone())),
            overlap,
        };
        execute(x, &solved, mode, &options, out)
    };
    if !is_list(mode) {
        return one(mode, out);
    }
    let mut inputs = vec![x];
    inputs.extend(masked.as_ref());
    inputs.extend(beside.iter().flatten().map(|(array, _)| array));
    each(&modes, out, &inputs, one)
}

/// Calls `one` for each mode of a list, with its own part of `out`.
fn each<'py>(
    modes: &[Bound<'py, PyAny>],
    out: Option<&Bound<'py, PyAny>>,
    inputs: &[&Array<'py>],
    one: impl Fn(&Bound<'py, PyAny>, Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = modes[0].py();
    let tape = out.and_then(|out| out.cast_exact::<Tape>().ok());
    let out = match tape {
        Some(tape) => tape.borrow().out(py),
        None => out.filter(|out| !out.is_none()).cloned(),
    };
    let places = match &out {
        None => vec![None; modes.len()],
        Some(out) => match out.cast::<PyTuple>() {
            Ok(places) if places.len() == modes.len() => {
                py.import("ndpool._interop")?.getattr("expect_apart")?.call1((places,))?;
                places.iter().map(Some).collect()
            }
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "out: must be a tuple of {}, one for each mode",
                    modes.len()
                )));
            }
        },
    };
    // Nothing is written before everything is computed: a later mode may refuse what an earlier one takes.
    let mut results = Vec::new();
    let mut tapes = Vec::new();
    for mode in modes {
        let own = Bound::new(py, Tape::new(None))?;
        results.push(one(mode, tape.map(|_| own.as_any()))?);
        tapes.push(own);
    }
    let written = places.iter().zip(&results).map(|(place, result)| placed(place.as_ref(), result, inputs));
    let written: Vec<_> = written.collect::<PyResult<Vec<_>>>()?.into_iter().flatten().collect();
    let copy = py.import("numpy")?.getattr("copyto")?;
    for (target, result) in &written {
        copy.call1((target.object(), result.object()))?;
    }
    if let Some(tape) = tape {
        let mut tape = tape.borrow_mut();
        tape.expect_many();
        for own in &tapes {
            tape.gather(&mut own.borrow_mut());
        }
    }
    let results = places.into_iter().zip(results).map(|(place, result)| place.unwrap_or(result));
    Ok(PyTuple::new(py, results)?.into_any())
}

/// A result, or values and indices, with the arrays that they are to be copied to.
fn placed<'py>(
    place: Option<&Bound<'py, PyAny>>,
    result: &Bound<'py, PyAny>,
    inputs: &[&Array<'py>],
) -> PyResult<Vec<(Array<'py>, Array<'py>)>> {
    let Some(place) = place else { return Ok(Vec::new()) };
    let one = |place: &Bound<'py, PyAny>, result: &Bound<'py, PyAny>| {
        let result = Array::read("out", result)?;
        Ok((Array::target(place, result.dtype, &result.shape, inputs)?, result))
    };
    match (result.cast::<PyTuple>(), place.cast::<PyTuple>()) {
        (Ok(results), Ok(places)) if results.len() == places.len() => {
            places.iter().zip(results.iter()).map(|(place, result)| one(&place, &result)).collect()
        }
        (Err(_), Err(_)) => Ok(vec![one(place, result)?]),
        _ => Err(PyTypeError::new_err("out: give an array for values, and a pair of arrays for values and indices")),
    }
}

fn is_list(mode: &Bound<'_, PyAny>) -> bool {
    mode.cast::<PyList>().is_ok() || mode.cast::<PyTuple>().is_ok()
}

/// The modes of a call: one, or those of a list.
fn modes_of<'py>(mode: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if !is_list(mode) {
        return Ok(vec![mode.clone()]);
    }
    let modes: Vec<_> = mode.try_iter()?.collect::<PyResult<_>>()?;
    if modes.is_empty() {
        return Err(PyValueError::new_err("mode: an empty list must name at least one mode"));
    }
    Ok(modes)
}

/// Whether NaN is left out. NaN that must not be there is an error.
fn nan_rule(x: &Array<'_>, valid: Option<&Bound<'_, PyAny>>, nan_policy: &Bound<'_, PyAny>) -> PyResult<bool> {
    let rules = [("propagate", (false, false)), ("omit", (true, false)), ("raise", (false, true))];
    let (omit, raise) = one_of("nan_policy", nan_policy, &rules)?;
    if raise && x.dtype.is_float() {
        let check = nan_policy.py().import("ndpool._interop")?.getattr("expect_no_nan")?;
        check.call1((x.object(), valid))?;
    }
    Ok(omit)
}

/// The cells that are valid, of the shape of `x`.
fn mask<'py>(x: &Array<'py>, valid: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
    let mut valid = Array::read("where", valid)?;
    if valid.dtype != DType::Bool {
        return Err(PyTypeError::new_err(format!("where: an array of dtype {} must be of bool", valid.dtype.name())));
    }
    valid.broadcast("where", &x.shape)?;
    Ok(valid)
}

/// Weights or logits, of the shape of `x`, and how they were given.
fn beside<'py>(
    x: &Array<'py>,
    options: &Bound<'py, PyDict>,
    argument: &'static str,
) -> PyResult<Option<(Array<'py>, Beside)>> {
    let Some(given) = options.get_item(argument)? else { return Ok(None) };
    let mut array = Array::read(argument, &given)?;
    if argument == "weights" {
        let check = given.py().import("ndpool._interop")?.getattr("expect_not_negative")?;
        check.call1((argument, array.object(), None::<Bound<'_, PyAny>>, "weights are not negative, and no NaN"))?;
    }
    let dtype = array.dtype.mean();
    let beside = Beside { argument, shape: array.shape.clone(), dtype };
    array.broadcast(argument, &x.shape)?;
    Ok(Some((array, beside)))
}

/// `adaptive_pool`.
#[pyfunction]
#[pyo3(signature = (x, output_size, mode, axis, method, cells, options, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn adaptive_bins<'py>(
    x: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    method: &Bound<'py, PyAny>,
    cells: Cells<'py>,
    options: &Bound<'py, PyDict>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let area = one_of("method", method, &[("bins", false), ("area", true)])?;
    let axes = pooled_axes("output_size", expect_axes(&x)?, output_size, axis)?;
    let sizes = output_sizes(&x, output_size, &axes)?;
    reduce(&x, Pool::adaptive(&sizes).axes(&axes), mode, cells, options, (&[], area), out)
}

/// `global_pool`.
#[pyfunction]
#[pyo3(signature = (x, mode, layout, keepdims, cells, options, out))]
pub(super) fn global_pool<'py>(
    x: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    keepdims: &Bound<'py, PyAny>,
    cells: Cells<'py>,
    options: &Bound<'py, PyDict>,
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
    reduce(&x, Pool::global(axes.len()).axes(&axes), mode, cells, options, (dropped, false), out)
}

/// `coarsen`.
#[pyfunction]
#[pyo3(signature = (x, factor, mode, axis, boundary, side, cells, options, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn coarsen<'py>(
    x: &Bound<'py, PyAny>,
    factor: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    axis: Option<&Bound<'py, PyAny>>,
    boundary: &Bound<'py, PyAny>,
    side: &Bound<'py, PyAny>,
    cells: Cells<'py>,
    options: &Bound<'py, PyDict>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let boundaries =
        [("exact", Boundary::Exact), ("trim", Boundary::Trim), ("pad", Boundary::Pad), ("partial", Boundary::Partial)];
    let boundary = one_of("boundary", boundary, &boundaries)?;
    let side = one_of("side", side, &[("left", Side::Left), ("right", Side::Right)])?;
    let axes = pooled_axes("factor", expect_axes(&x)?, factor, axis)?;
    let factors = per_axis("factor", factor, axes.len(), 1)?;
    let factors: Vec<usize> = (0..axes.len()).map(|j| factors.at(j)).collect();
    if boundary != Boundary::Pad
        && let Some(include) = options.get_item("count_include_pad")?
    {
        // Other blocks hold no padding; whether the mode has the option is looked at all the same.
        flag("count_include_pad", &include)?;
        expect_options(&modes_of(mode)?, &["count_include_pad".to_owned()])?;
        options.del_item("count_include_pad")?;
    }
    reduce(&x, Pool::coarse(&factors, boundary, side).axes(&axes), mode, cells, options, (&[], false), out)
}

/// `pool`.
#[pyfunction]
#[pyo3(signature = (x, window, mode, axis, stride, padding, dilation, ceil_mode, cells, options, out))]
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
    cells: Cells<'py>,
    options: &Bound<'py, PyDict>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let axes = pooled_axes("window", expect_axes(&x)?, window, axis)?;
    let geometry = Geometry { argument: "window", kernel: window, stride, padding, dilation, ceil_mode };
    reduce(&x, geometry.pool(axes.len())?.axes(&axes), mode, cells, options, (&[], false), out)
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
    let rank = count("shape", shape)?.unwrap_or(1);
    let lens = per_axis("shape", shape, rank, 0)?;
    let shape: Vec<usize> = (0..rank).map(|axis| lens.at(axis)).collect();
    let axes = pooled_axes("window", rank, window, axis)?;
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

/// The rank of an array, which must not be 0.
fn expect_axes(x: &Array<'_>) -> PyResult<usize> {
    match x.shape.len() {
        0 => Err(PyValueError::new_err("x: an array of rank 0 has no axis to pool")),
        rank => Ok(rank),
    }
}

/// The axes that `pool` pools: those named, else as many of the last as the window has numbers, else all.
fn pooled_axes(
    argument: &str,
    rank: usize,
    window: &Bound<'_, PyAny>,
    axis: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<usize>> {
    match (axis, count(argument, window)?) {
        (Some(axis), given) => {
            let axes = axes(axis, rank)?;
            match given {
                Some(n) if n != axes.len() => {
                    let message = format!("{argument}: {} has {n} values; give one, or {}", shown(window), axes.len());
                    Err(PyValueError::new_err(message))
                }
                _ => Ok(axes),
            }
        }
        (None, None) => Ok((0..rank).collect()),
        (None, Some(n)) if n <= rank => Ok((rank - n..rank).collect()),
        (None, Some(n)) => {
            let message = format!("{argument}: {} has {n} values, more than the {rank} axes of x", shown(window));
            Err(PyValueError::new_err(message))
        }
    }
}
