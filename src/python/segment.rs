//! `segment_pool`: rows reduced to segments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::arguments::{flag, one_of, size};
use super::array::{Array, interop};
use super::dtype::{descr_of, with_dtype, with_float};
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::gradient::no_gradient;
use super::linear::{self, Linear};
use crate::PoolError;
use crate::element::{Element, Kind};
use crate::error::{Result, Shape, try_vec};
use crate::ops::{Groups, Rows, RowsMut, SegmentMap, SegmentMode, Segmenting, Solved, table, table_mut};
use crate::parallel::Parallel;
use crate::strided::View;

const MODES: [(&str, SegmentMode); 7] = [
    ("sum", SegmentMode::Sum),
    ("mean", SegmentMode::Mean),
    ("max", SegmentMode::Max),
    ("min", SegmentMode::Min),
    ("std", SegmentMode::Std),
    ("lse", SegmentMode::LogMeanExp),
    ("softmax", SegmentMode::Softmax),
];

/// `segment_pool`.
#[pyfunction]
#[pyo3(signature = (x, segments, mode, num_segments, offsets, fill_value, out))]
pub(super) fn segment_pool<'py>(
    x: &Bound<'py, PyAny>,
    segments: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    num_segments: Option<&Bound<'py, PyAny>>,
    offsets: Option<&Bound<'py, PyAny>>,
    fill_value: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, segments) = (Array::read("x", x)?, Array::read("segments", segments)?);
    let py = x.object().py();
    let mode = one_of("mode", mode, &MODES)?;
    let (tape, out) = destination(py, out);
    if tape.is_some() && !x.dtype.is_float() {
        return Err(no_gradient(x.dtype));
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let call = Segmenting::new(&x.shape, groups(py, &x, &segments, num_segments, offsets)?, mode)?;
    let dtype = match mode {
        SegmentMode::Sum => x.dtype.total(),
        SegmentMode::Max | SegmentMode::Min => x.dtype,
        _ => x.dtype.mean(),
    };
    let fill = match fill_value {
        Some(value) => {
            let scalar = interop(py, "scalar")?.call1(("fill_value", value, descr_of(py, dtype)?))?;
            Some(Array::read("fill_value", &scalar)?)
        }
        None if mode != SegmentMode::Sum && !dtype.is_float() => call.expect_rows(dtype.name()).map(|()| None)?,
        None => None,
    };
    let shape = call.solved.output_shape();
    let y = match &out {
        Some(out) => Array::target(out, dtype, shape, &[&x, &segments])?,
        None => x.like(dtype, None, shape, &[])?,
    };
    let missing = if mode == SegmentMode::Sum { 0.0 } else { f64::NAN };
    let cells = x.len().saturating_add(y.len());
    let kind = if dtype.is_float() { Kind::Float } else { with_dtype!(x.dtype, T => T::KIND) };
    if let Some(tape) = tape {
        let fill = fill.as_ref().map_or(missing, |fill| first(&*reader(fill)));
        let mut map = None;
        with_float!(x.dtype, T => {
            let (from, into) = (x.view::<T>(), writer(&y));
            compute(py, cells, |parallel| {
                map = Some(call.record(&from, &*into, fill, parallel)?);
                Ok(())
            })?;
        }, else return Err(no_gradient(x.dtype)));
        if let Some(map) = map {
            linear::record(tape, map, &x, &y)?;
        }
    } else if let Some(whole) = call.whole(kind) {
        let fill = fill.as_ref().map_or(0, |fill| first(&*whole_reader(fill)));
        let (from, into) = (whole_reader(&x), whole_writer(&y));
        compute(py, cells, |parallel| call.fold(&whole, &*from, &*into, fill, parallel))?;
    } else {
        let fill = fill.as_ref().map_or(missing, |fill| first(&*reader(fill)));
        let (from, into) = (reader(&x), writer(&y));
        compute(py, cells, |parallel| call.fold(&call.floats(false), &*from, &*into, fill, parallel))?;
    }
    wrap(&x, y, out)
}

/// Groups the rows of `x` by what was given: an id for each, unless it is said that there are offsets, or there is another
/// number of them.
fn groups(
    py: Python<'_>,
    x: &Array<'_>,
    segments: &Array<'_>,
    num_segments: Option<&Bound<'_, PyAny>>,
    offsets: Option<&Bound<'_, PyAny>>,
) -> PyResult<Groups> {
    let number = num_segments.map(|number| size("num_segments", number, 0)).transpose()?;
    let offsets = offsets.map(|offsets| flag("offsets", offsets)).transpose()?;
    let refuse =
        |rule: String| PyValueError::new_err(format!("segments: an array of shape {} {rule}", Shape(&segments.shape)));
    let Some(&rows) = x.shape.first() else {
        return Err(PyValueError::new_err("x: an array of shape () must have an axis of rows"));
    };
    let &[given] = &segments.shape[..] else { return Err(refuse("must have one axis".to_owned())) };
    // An empty list has no dtype of its own.
    if given > 0 && with_dtype!(segments.dtype, T => matches!(T::KIND, Kind::Float | Kind::Bool)) {
        let dtype = segments.dtype.name();
        return Err(PyTypeError::new_err(format!("segments: an array of dtype {dtype} must hold integers")));
    }
    let offsets = offsets.unwrap_or(given != rows);
    if !offsets && given != rows {
        return Err(refuse(format!("must have an id for each row of x, of which there are {rows}")));
    }
    if offsets && number.is_some_and(|number| number.checked_add(1) != Some(given)) {
        let number = number.unwrap_or_default();
        return Err(refuse(format!(
            "must have an id for each of the {rows} rows of x, or an offset for each of num_segments = {number} segments and one more"
        )));
    }
    let mut groups = Groups::default();
    compute(py, given, |parallel| {
        let values = with_dtype!(segments.dtype, T => copied(&segments.view::<T>())?);
        groups = if offsets { Groups::of_offsets(&values, rows)? } else { Groups::of_ids(&values, number, parallel)? };
        Ok(())
    })?;
    Ok(groups)
}

/// Copies ids or offsets, and checks the copy.
fn copied<T: Element>(segments: &View<'_, T>) -> Result<Vec<usize>> {
    let mut values: Vec<usize> = try_vec(segments.shape()[0])?;
    values.resize(segments.shape()[0], 0);
    segments.raw().gather(0, segments.strides()[0], &mut values, |value| value.to_i64() as usize);
    match values.iter().find(|&&value| value > i64::MAX as usize) {
        None => Ok(values),
        Some(&value) if T::KIND == Kind::Signed => {
            Err(PoolError::value("segments", value as i64, "must be at least 0"))
        }
        Some(value) => Err(PoolError::value("segments", value, "does not fit 63 bits")),
    }
}

fn reader(array: &Array<'_>) -> Box<dyn Rows<f64>> {
    with_dtype!(array.dtype, T => Box::new(table(&array.view::<T>())))
}

fn writer(array: &Array<'_>) -> Box<dyn RowsMut<f64>> {
    with_dtype!(array.dtype, T => Box::new(table_mut(&array.view_mut::<T>())))
}

fn whole_reader(array: &Array<'_>) -> Box<dyn Rows<i64>> {
    with_dtype!(array.dtype, T => Box::new(table(&array.view::<T>())))
}

fn whole_writer(array: &Array<'_>) -> Box<dyn RowsMut<i64>> {
    with_dtype!(array.dtype, T => Box::new(table_mut(&array.view_mut::<T>())))
}

/// The number in an array of one.
fn first<V: Copy + Default>(number: &dyn Rows<V>) -> V {
    let mut value = [V::default()];
    number.read(&[0], &(0..1), &mut value);
    value[0]
}

impl Linear for SegmentMap {
    fn solved(&self) -> &Solved {
        &self.solved
    }

    fn apply(&self, x: &Array<'_>, y: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        self.push(&*reader(x), &*writer(y), parallel)
    }

    fn transposed(&self, dy: &Array<'_>, dx: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        self.pull(&*reader(dy), &*writer(dx), parallel)
    }
}
