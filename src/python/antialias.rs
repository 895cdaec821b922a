//! Pooling that keeps shifts: blurred before it is sampled, or sampled where the image says.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyTuple};

use super::arguments::{flag, one_of, size, sizes};
use super::array::Array;
use super::composed::{Link, chain};
use super::dtype::{DType, with_dtype, with_float};
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::functions::{extreme_pool, mean_pool, spatial};
use super::gradient::no_gradient;
use super::linear::{self, Linear};
use super::visited::{float_writer, floats};
use crate::ops::{BlurPool, Blurring, Border, Phase, Polyphase, Pool, Sampling, Solved, Wrap};
use crate::parallel::Parallel;
use crate::{Result, Window};

/// `blur_pool2d`.
#[pyfunction]
#[pyo3(signature = (x, filter_size, stride, padding, layout, out))]
pub(super) fn blur_pool<'py>(
    x: &Bound<'py, PyAny>,
    filter_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let call = blur(&spatial(&x, 2, layout)?, filter_size, stride, padding)?.solve(&x.shape)?;
    linear::apply(call, &x, x.dtype.mean(), out)
}

/// `max_blur_pool2d`.
#[pyfunction]
#[pyo3(signature = (x, kernel_size, filter_size, stride, padding, layout, out))]
pub(super) fn max_blur_pool<'py>(
    x: &Bound<'py, PyAny>,
    kernel_size: &Bound<'py, PyAny>,
    filter_size: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    // Everything is checked before anything is computed, so that a refused call costs nothing.
    let array = Array::read("x", x)?;
    let axes = spatial(&array, 2, layout)?;
    let windows: Vec<Window> =
        sizes("kernel_size", kernel_size, 2, 1)?.into_iter().map(|kernel| Window::new(kernel).stride(1)).collect();
    let maxima = Pool::windows(&windows).axes(&axes).solve(&array.shape)?;
    let call = blur(&axes, filter_size, stride, padding)?.solve(maxima.output_shape())?;
    let (tape, out) = destination(py, out);
    let (out, _) = split_out(out.as_ref(), false)?;
    if let Some(out) = &out {
        Array::target(out, array.dtype.mean(), call.solved.output_shape(), &[&array])?;
    }
    let (one, none) = (PyInt::new(py, 1).into_any(), PyInt::new(py, 0).into_any());
    let no = PyBool::new(py, false).to_owned().into_any();
    let max = |x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| {
        extreme_pool(x, 2, false, kernel_size, Some(&one), &none, &one, &no, &no, layout, out)
    };
    let blur = |x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| {
        blur_pool(x, filter_size, stride, padding, layout, out)
    };
    chain(x, &[&max, &blur], tape, out.as_ref())
}

/// `aps_pool2d`.
#[pyfunction]
#[pyo3(signature = (x, mode, stride, return_phase, layout, out))]
pub(super) fn aps_pool<'py>(
    x: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    stride: &Bound<'py, PyAny>,
    return_phase: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let array = Array::read("x", x)?;
    let axes = spatial(&array, 2, layout)?;
    let average = if mode.is_none() { None } else { Some(one_of("mode", mode, &[("max", false), ("avg", true)])?) };
    let steps = sizes("stride", stride, 2, 1)?;
    let polyphase = Polyphase::new([steps[0], steps[1]]).axes([axes[0], axes[1]]).batch(array.shape.len() == 4);
    let call = polyphase.solve(&array.shape)?;
    let return_phase = flag("return_phase", return_phase)?;
    let (tape, out) = destination(py, out);
    if tape.is_some() && !array.dtype.is_float() {
        return Err(no_gradient(array.dtype));
    }
    let (values_out, phase_out) = split_out(out.as_ref(), return_phase)?;
    let dtype = if average == Some(true) { array.dtype.mean() } else { array.dtype };
    let shape = call.solved.output_shape();
    let values = values_out.as_ref().map(|out| Array::target(out, dtype, shape, &[&array])).transpose()?;
    let phase_shape = if array.shape.len() == 4 { vec![array.shape[0], 2] } else { vec![2] };
    let phase = match &phase_out {
        Some(out) => Some(Array::target(out, DType::I64, &phase_shape, &[&array])?),
        None if return_phase => Some(Array::new(py, DType::I64, None, &phase_shape, &[1, 1][..phase_shape.len()])?),
        None => None,
    };
    if let (Some(values), Some(phase)) = (&values, &phase) {
        phase.expect_apart(values)?;
    }
    let (one, none) = (PyInt::new(py, 1).into_any(), PyInt::new(py, 0).into_any());
    let no = PyBool::new(py, false).to_owned().into_any();
    let around = |x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| {
        let x = Array::read("x", x)?;
        linear::apply(Wrap::before(&call)?, &x, x.dtype, out)
    };
    let pool = |x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| match average {
        Some(true) => mean_pool(x, 2, stride, Some(&one), &none, &no, &no, None, &one, None, layout, out),
        _ => extreme_pool(x, 2, false, stride, Some(&one), &none, &one, &no, &no, layout, out),
    };
    let sample = |x: &Bound<'py, PyAny>, out: Option<&Bound<'py, PyAny>>| {
        let x = Array::read("x", x)?;
        let mut phases = Vec::new();
        compute(py, x.len(), |parallel| {
            phases = call.phases(&*floats(&x), &x.strides, parallel)?;
            Ok(())
        })?;
        let chosen = phases.clone();
        let y = linear::apply(Chosen { call: call.clone(), phases }, &x, x.dtype, out)?;
        if let Some(phase) = &phase {
            write_phases(&chosen, phase);
        }
        Ok(y)
    };
    let links: &[Link<'_, 'py>] = if average.is_some() { &[&around, &pool, &sample] } else { &[&sample] };
    let y = chain(x, links, tape, values_out.as_ref())?;
    match phase {
        Some(phase) => Ok(PyTuple::new(py, [y, wrap(&array, phase, phase_out)?])?.into_any()),
        None => Ok(y),
    }
}

/// Writes phases to an array of shape `(N, 2)`, or `(2,)`.
fn write_phases(phases: &[Phase], into: &Array<'_>) {
    let (place, along) = (into.view_mut::<i64>().raw(), into.strides[into.strides.len() - 1]);
    for (sample, phase) in phases.iter().enumerate() {
        place.scatter(sample as isize * into.strides[0], along, 2, |axis| phase[axis] as i64);
    }
}

fn blur(
    axes: &[usize],
    filter_size: &Bound<'_, PyAny>,
    stride: &Bound<'_, PyAny>,
    padding: &Bound<'_, PyAny>,
) -> PyResult<BlurPool> {
    /// Each name, and what other libraries call it.
    const BORDERS: [(&str, Border); 5] = [
        ("reflect", Border::Reflect),
        ("zeros", Border::Zero),
        ("edge", Border::Edge),
        ("zero", Border::Zero),
        ("replicate", Border::Edge),
    ];
    let filter = size("filter_size", filter_size, 2)?;
    let stride = sizes("stride", stride, 2, 1)?;
    let border = one_of("padding", padding, &BORDERS)?;
    Ok(BlurPool::new(filter).stride([stride[0], stride[1]]).border(border).axes([axes[0], axes[1]]))
}

/// Single and double precision have kernels of their own; all else is read as `f64`.
impl Linear for Blurring {
    fn solved(&self) -> &Solved {
        &self.solved
    }

    fn apply(&self, x: &Array<'_>, y: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        let strides = (&x.strides[..], &y.strides[..]);
        match (x.dtype, y.dtype) {
            (DType::F32, DType::F32) => {
                let (x, y) = (x.view::<f32>().raw(), y.view_mut::<f32>().raw());
                self.blur((&x, strides.0), (&y, strides.1), parallel)
            }
            (DType::F64, DType::F64) => {
                let (x, y) = (x.view::<f64>().raw(), y.view_mut::<f64>().raw());
                self.blur((&x, strides.0), (&y, strides.1), parallel)
            }
            _ => self.blur((&&*floats(x), strides.0), (&&*float_writer(y), strides.1), parallel),
        }
    }

    fn transposed(&self, dy: &Array<'_>, dx: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        let strides = (&dy.strides[..], &dx.strides[..]);
        match (dy.dtype, dx.dtype) {
            (DType::F32, DType::F32) => {
                let (dy, dx) = (dy.view::<f32>().raw(), dx.view_mut::<f32>().raw());
                self.transposed((&dy, strides.0), (&dx, strides.1), parallel)
            }
            (DType::F64, DType::F64) => {
                let (dy, dx) = (dy.view::<f64>().raw(), dx.view_mut::<f64>().raw());
                self.transposed((&dy, strides.0), (&dx, strides.1), parallel)
            }
            _ => self.transposed((&&*floats(dy), strides.0), (&&*float_writer(dx), strides.1), parallel),
        }
    }
}

impl Linear for Wrap {
    fn solved(&self) -> &Solved {
        &self.solved
    }

    fn apply(&self, x: &Array<'_>, y: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        with_dtype!(x.dtype, T => self.wrap(&x.view::<T>(), &y.view_mut::<T>(), parallel))
    }

    fn transposed(&self, dy: &Array<'_>, dx: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        with_float!(dx.dtype, T => self.transposed(&dy.view::<T>(), &dx.view_mut::<T>(), parallel), else no_derivative())
    }
}

/// A sampling whose phases have been chosen: from here on it is linear.
struct Chosen {
    call: Sampling,
    phases: Vec<Phase>,
}

impl Linear for Chosen {
    fn solved(&self) -> &Solved {
        &self.call.solved
    }

    fn apply(&self, x: &Array<'_>, y: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        with_dtype!(x.dtype, T => self.call.sample(&x.view::<T>(), &self.phases, &y.view_mut::<T>(), parallel))
    }

    fn transposed(&self, dy: &Array<'_>, dx: &Array<'_>, parallel: &Parallel<'_>) -> Result<()> {
        with_float!(dx.dtype, T => {
            self.call.transposed(&dy.view::<T>(), &self.phases, &dx.view_mut::<T>(), parallel)
        }, else no_derivative())
    }
}

fn no_derivative() -> Result<()> {
    unreachable!("`linear::apply` refuses a tape where `x` is not of floats")
}
