//! Calls whose windows are visited one by one: arrays of any dtype as readers and writers, so that nothing of the
//! computation is compiled once for each dtype.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::array::Array;
use super::dtype::{DType, with_dtype, with_float};
use super::error::compute;
use super::execute::{Options, write_fill};
use super::gradient::no_gradient;
use super::mode::{Mode, Reduction};
use crate::element::{Element, Real};
use crate::engine::{Field, Reader, Writer};
use crate::modes::{Choice, Exact, Statistic};
use crate::ops::{self, Differentiable, Filling, Folding, Kept, RouteMap, Rules, Solved, StatisticMap, Target};

/// An array as floats of the type that is computed in.
pub(super) fn reals<A: Real>(array: &Array<'_>) -> Box<dyn Reader<A>> {
    with_dtype!(array.dtype, T => Box::new(array.view::<T>().raw()))
}

/// An array as floats.
pub(super) fn floats(array: &Array<'_>) -> Box<dyn Reader<f64>> {
    reals(array)
}

/// An array of integers.
fn integers(array: &Array<'_>) -> Box<dyn Reader<i128>> {
    with_dtype!(array.dtype, T => Box::new(array.view::<T>().raw()))
}

/// A place for floats of the type that is computed in.
pub(super) fn real_writer<A: Real>(array: &Array<'_>) -> Box<dyn Writer<A>> {
    with_dtype!(array.dtype, T => Box::new(array.view_mut::<T>().raw()))
}

/// A place for floats.
pub(super) fn float_writer(array: &Array<'_>) -> Box<dyn Writer<f64>> {
    real_writer(array)
}

/// A place for integers.
fn integer_writer(array: &Array<'_>) -> Box<dyn Writer<i128>> {
    with_dtype!(array.dtype, T => Box::new(array.view_mut::<T>().raw()))
}

/// A copy of an array.
pub(super) fn copy<A: Real>(array: &Array<'_>) -> PyResult<Kept<A>> {
    Ok(with_dtype!(array.dtype, T => Kept::copy(&array.view::<T>()))?)
}

/// The arrays beside `x`, opened.
struct Opened {
    valid: Option<Box<dyn Reader<f64>>>,
    beside: Option<Box<dyn Reader<f64>>>,
}

impl Opened {
    fn new(options: &Options<'_, '_>) -> Self {
        Self { valid: options.valid.map(floats), beside: options.beside.as_ref().map(|(array, _)| floats(array)) }
    }

    fn rules<'a>(&'a self, options: &'a Options<'_, '_>) -> Rules<'a> {
        let valid = self.valid.as_ref().zip(options.valid);
        let beside = self.beside.as_ref().zip(options.beside.as_ref());
        Rules {
            valid: valid.map(|(reader, array)| Field { reader: &**reader, strides: &array.strides }),
            omit: options.omit,
            beside: beside.map(|(reader, (array, _))| Field { reader: &**reader, strides: &array.strides }),
            overlap: options.overlap,
            least: options.min_count,
        }
    }
}

/// What a mode is when its windows are visited.
enum Visited {
    Statistic(Statistic),
    Choice(Choice),
    Exact(Exact),
}

impl Visited {
    fn new(mode: Mode, x: DType, y: DType, weighted: bool) -> Self {
        let exact = !x.is_float() && !weighted;
        match mode.reduction {
            Reduction::Max => Self::Choice(Choice::Max),
            Reduction::Min => Self::Choice(Choice::Min),
            Reduction::Count => Self::Statistic(Statistic::Count),
            Reduction::Sum if exact => Self::Exact(Exact::Sum),
            Reduction::Statistic(Statistic::Product) if exact => Self::Exact(Exact::Product),
            Reduction::Avg if exact && !y.is_float() => {
                let (least, most) =
                    with_dtype!(y, Y => (Y::from_i128(i128::MIN).to_i128(), Y::from_i128(i128::MAX).to_i128()));
                Self::Exact(Exact::Mean { least, most })
            }
            Reduction::Sum => Self::Statistic(Statistic::Sum),
            Reduction::Avg => Self::Statistic(Statistic::Mean),
            Reduction::Statistic(statistic) => Self::Statistic(statistic),
            Reduction::Choice(choice) => Self::Choice(choice),
        }
    }
}

/// Computes the results, and for a tape the map of the gradient.
#[allow(clippy::too_many_arguments)] // what `execute` knows
pub(super) fn run(
    py: Python<'_>,
    x: &Array<'_>,
    solved: &Solved,
    mode: Mode,
    options: &Options<'_, '_>,
    y: &Array<'_>,
    indices: Option<&Array<'_>>,
    fill_value: Option<&Array<'_>>,
    taped: bool,
) -> PyResult<Option<Differentiable>> {
    let opened = Opened::new(options);
    let rules = opened.rules(options);
    let cells = x.len() + y.len();
    let fill: Box<dyn Fn(isize) + Sync> = match fill_value {
        Some(fill) => with_dtype!(y.dtype, T => {
            let (y, value) = (y.view_mut::<T>().raw(), fill.view::<T>().raw().row(0, 1)[0]);
            Box::new(move |offset| y.scatter(offset, 1, 1, |_| value))
        }),
        None => Box::new(|_| {}),
    };
    match Visited::new(mode, x.dtype, y.dtype, rules.beside.is_some() || options.overlap) {
        Visited::Statistic(statistic) => {
            let map = if taped { Some(statistic_map(x, solved, statistic, mode, options, &rules)?) } else { None };
            if !fold(py, x, solved, &statistic, options, y, fill_value)? {
                let (reader, writer) = (floats(x), float_writer(y));
                let target = Target { y: &*writer, strides: &y.strides, fill: &*fill };
                let x = Field { reader: &*reader, strides: &x.strides };
                compute(py, cells, |parallel| ops::statistic(x, solved, &statistic, &rules, &target, parallel))?;
            }
            Ok(map.map(Differentiable::Statistic))
        }
        Visited::Exact(_) if taped => Err(no_gradient(x.dtype)),
        Visited::Exact(exact) => {
            let (reader, writer) = (integers(x), integer_writer(y));
            let target = Target { y: &*writer, strides: &y.strides, fill: &*fill };
            let x = Field { reader: &*reader, strides: &x.strides };
            compute(py, cells, |parallel| ops::exact(x, solved, exact, &rules, &target, parallel))?;
            Ok(None)
        }
        Visited::Choice(Choice::Majority { .. }) if taped => Err(not_differentiable(mode)),
        Visited::Choice(choice) => {
            let mut map = if taped {
                Some(
                    with_float!(x.dtype, T => RouteMap::new::<T>(solved, &x.strides, true)?, else return Err(no_gradient(x.dtype))),
                )
            } else {
                None
            };
            let indices = indices.map(|indices| (indices.view_mut::<i64>().raw(), &indices.strides));
            let recorder = map.as_mut().map(RouteMap::recorder);
            let placed = |at: &crate::engine::At, position: Option<u64>| {
                if let Some((indices, strides)) = &indices {
                    indices.scatter(at.offset(strides), 1, 1, |_| position.map_or(-1, |position| position as i64));
                }
                if let Some(recorder) = &recorder {
                    recorder(at, position);
                }
            };
            if recorder.is_none() && indices.is_none() && numbers(py, x, solved, choice, options, y, fill_value)? {
                return Ok(None);
            }
            // Of integers it makes no difference which of equal cells it is.
            if let Choice::Quantile(rank) = choice
                && !x.dtype.is_float()
                && x.dtype.size() <= 4
                && indices.is_none()
                && fold(py, x, solved, &Statistic::Quantile(rank), options, y, fill_value)?
            {
                return Ok(None);
            }
            if (x.dtype.is_float() || x.dtype.size() <= 4) && recorder.is_none() && indices.is_none() {
                let (reader, writer) = (floats(x), float_writer(y));
                let target = Target { y: &*writer, strides: &y.strides, fill: &*fill };
                let x = Field { reader: &*reader, strides: &x.strides };
                compute(py, cells, |parallel| ops::chosen_value(x, solved, &choice, &rules, &target, parallel))?;
            } else if x.dtype.is_float() {
                let (reader, writer) = (floats(x), float_writer(y));
                let target = Target { y: &*writer, strides: &y.strides, fill: &*fill };
                let x = Field { reader: &*reader, strides: &x.strides };
                compute(py, cells, |parallel| ops::choice(x, solved, &choice, &rules, &target, &placed, parallel))?;
            } else {
                let (reader, writer) = (integers(x), integer_writer(y));
                let target = Target { y: &*writer, strides: &y.strides, fill: &*fill };
                let x = Field { reader: &*reader, strides: &x.strides };
                compute(py, cells, |parallel| ops::choice(x, solved, &choice, &rules, &target, &placed, parallel))?;
            }
            drop(recorder);
            Ok(map.map(Differentiable::Route))
        }
    }
}

/// Computes the extreme number of each window, by the engine, where that is possible; returns whether it was.
fn numbers(
    py: Python<'_>,
    x: &Array<'_>,
    solved: &Solved,
    choice: Choice,
    options: &Options<'_, '_>,
    y: &Array<'_>,
    fill: Option<&Array<'_>>,
) -> PyResult<bool> {
    let plain = options.omit && options.valid.is_none() && options.beside.is_none() && !options.overlap;
    let reversed = choice == Choice::Min;
    let (Some(fill), true) = (fill, plain && options.min_count <= 1 && (reversed || choice == Choice::Max)) else {
        return Ok(false);
    };
    let mut done = false;
    compute(py, x.len() + y.len(), |parallel| {
        done = with_float!(x.dtype, T => {
            let fill = fill.view::<T>().raw().row(0, 1)[0];
            ops::extreme_number(&x.view::<T>(), solved, reversed, &y.view_mut(), fill, parallel)?
        }, else false);
        Ok(())
    })?;
    Ok(done)
}

/// Computes a statistic as sums of functions of cells, by the engine, where that is possible; returns whether it was.
fn fold(
    py: Python<'_>,
    x: &Array<'_>,
    solved: &Solved,
    statistic: &Statistic,
    options: &Options<'_, '_>,
    y: &Array<'_>,
    fill: Option<&Array<'_>>,
) -> PyResult<bool> {
    if options.valid.is_some() || options.beside.is_some() || options.overlap {
        return Ok(false);
    }
    if y.len() == 0 {
        return Ok(true);
    }
    let intake = with_dtype!(x.dtype, T => Box::new(x.view::<T>().raw()) as Box<dyn ops::Intake>);
    let outlet = with_dtype!(y.dtype, Y => ops::outlet(&y.view_mut::<Y>()));
    let folding = Folding { solved, intake: &*intake, x_strides: &x.strides, output: &*outlet, y_strides: &y.strides };
    let mut done = false;
    let first = |array: &Array<'_>| {
        let mut number = [0.0];
        floats(array).read(0, 1, &mut number);
        number[0]
    };
    let (cells, origin, value) = (x.len() + y.len(), first(x), fill.map_or(f64::NAN, first));
    let (omit, least, double) = (options.omit, options.min_count.max(1), x.dtype.size() > 4);
    compute(py, cells, |parallel| {
        let omitting = omit.then_some(Filling { least, value });
        done = folding.statistic(statistic, double, origin, omitting, parallel)?;
        Ok(())
    })?;
    if let Some(fill) = fill
        && done
        && !omit
    {
        write_fill(py, solved, y, fill, least)?;
    }
    Ok(done)
}

/// Whether every window has a value.
pub(super) fn all_have_enough(
    py: Python<'_>,
    x: &Array<'_>,
    solved: &Solved,
    mode: Mode,
    options: &Options<'_, '_>,
) -> PyResult<bool> {
    let choice = if let Reduction::Choice(choice) = mode.reduction { Some(choice) } else { None };
    if !options.leave_out() {
        return Ok(!solved.any_below(options.min_count.max(1)));
    }
    let opened = Opened::new(options);
    let rules = Rules { beside: None, overlap: false, ..opened.rules(options) };
    let (reader, mut enough) = (floats(x), false);
    let field = Field { reader: &*reader, strides: &x.strides };
    compute(py, x.len(), |parallel| {
        enough = ops::all_have_enough(field, solved, choice.as_ref(), &rules, parallel)?;
        Ok(())
    })?;
    Ok(enough)
}

fn statistic_map(
    x: &Array<'_>,
    solved: &Solved,
    statistic: Statistic,
    mode: Mode,
    options: &Options<'_, '_>,
    rules: &Rules<'_>,
) -> PyResult<StatisticMap> {
    if !statistic.is_differentiable() {
        return Err(not_differentiable(mode));
    }
    if !x.dtype.is_float() {
        return Err(no_gradient(x.dtype));
    }
    let valid = options.valid.map(copy).transpose()?;
    let beside = options.beside.as_ref().map(|(array, _)| copy(array)).transpose()?;
    Ok(StatisticMap::new(solved, statistic, copy(x)?, [valid, beside], rules))
}

fn not_differentiable(mode: Mode) -> PyErr {
    PyTypeError::new_err(format!("mode: '{}' is not differentiable", mode.name))
}
