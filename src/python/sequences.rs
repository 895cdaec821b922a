//! Sequences of tokens, `(N, L, D)` or `(L, D)`: as arguments, with the mask that says which tokens take part.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::array::Array;
use super::dtype::{DType, with_dtype};
use super::visited::{floats, real_writer, reals};
use crate::element::Real;
use crate::engine::offset_of;
use crate::error::try_vec;
use crate::ops::{Layout, Samples, Tokens};

/// The argument `x` of a readout.
pub(super) struct Sequences<'py> {
    pub array: Array<'py>,
    pub samples: Samples,
}

/// The argument `mask` of a readout.
pub(super) struct Mask<'py> {
    pub array: Array<'py>,
    /// Whether each token takes part; none, if all do.
    pub valid: Option<Vec<bool>>,
}

impl<'py> Sequences<'py> {
    pub fn read(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = Array::read("x", x)?;
        let samples = Samples::new(&array.shape)?;
        Ok(Self { array, samples })
    }

    /// Reads a mask, and checks what it holds.
    pub fn mask(&self, mask: &Bound<'py, PyAny>) -> PyResult<Mask<'py>> {
        let mut array = Array::read("mask", mask)?;
        if array.dtype.is_float() {
            let message =
                format!("mask: an array of {} must be of bool, or of integers that are 0 or 1", array.dtype.name());
            return Err(PyTypeError::new_err(message));
        }
        self.samples.expect_mask(&array.shape)?;
        let [samples, tokens, _] = self.samples.shape;
        array.broadcast("mask", &[samples, tokens])?;
        let mut valid = try_vec(samples * tokens)?;
        let (reader, mut flags) = (floats(&array), [0.0; 256]);
        for sample in 0..samples {
            for first in (0..tokens).step_by(flags.len()) {
                let flags = &mut flags[..(tokens - first).min(256)];
                let offset = sample as isize * array.strides[0] + first as isize * array.strides[1];
                reader.read(offset, array.strides[1], flags);
                if let Some(flag) = flags.iter().find(|flag| **flag != 0.0 && **flag != 1.0) {
                    return Err(PyValueError::new_err(format!("mask: {flag} must be 0 or 1")));
                }
                valid.extend(flags.iter().map(|&flag| flag != 0.0));
            }
        }
        drop(reader);
        Ok(Mask { array, valid: valid.contains(&false).then_some(valid) })
    }

    /// The place of a result for each sample: what the caller gave, or a new array.
    pub fn result(
        &self,
        dtype: DType,
        of_sample: &[usize],
        out: Option<&Bound<'py, PyAny>>,
        inputs: &[&Array<'py>],
    ) -> PyResult<Array<'py>> {
        let shape = self.samples.result(of_sample)?;
        match out {
            Some(out) => Array::target(out, dtype, &shape, inputs),
            None => Array::new(self.array.object().py(), dtype, None, &shape, &vec![0; shape.len()]),
        }
    }

    /// How the tokens lie in memory.
    pub fn layout(&self) -> Layout {
        self.samples.layout(&self.array.strides)
    }

    /// The tokens, in the type that is computed in.
    pub fn tokens<C: Real>(&self) -> Tokens<C> {
        with_dtype!(self.array.dtype, T => Tokens::new((self.array.view::<T>().raw(), self.layout())))
    }
}

/// A copy of which tokens take part.
pub(super) fn copied(valid: Option<&[bool]>) -> crate::Result<Option<Vec<bool>>> {
    let copy = |valid: &[bool]| {
        let mut copy = try_vec(valid.len())?;
        copy.extend_from_slice(valid);
        Ok(copy)
    };
    valid.map(copy).transpose()
}

/// The rows of an array along its last axis: where each begins, their length and their stride.
fn rows(array: &Array<'_>) -> (impl Iterator<Item = isize>, usize, isize) {
    let axes: Vec<(usize, isize)> = array.shape.iter().copied().zip(array.strides.iter().copied()).collect();
    let (len, stride) = axes.last().copied().unwrap_or((1, 1));
    let outer = axes[..axes.len().saturating_sub(1)].to_vec();
    let count = array.len().checked_div(len).unwrap_or(0);
    ((0..count).map(move |row| offset_of(row, &outer)), len, stride)
}

pub(super) fn zeros<C: Real>(len: usize) -> PyResult<Vec<C>> {
    let mut zeros = try_vec(len)?;
    zeros.resize(len, C::default());
    Ok(zeros)
}

/// A copy of an array in C order, in the type that is computed in.
pub(super) fn numbers<C: Real>(array: &Array<'_>) -> PyResult<Vec<C>> {
    let reader = reals::<C>(array);
    let mut numbers = zeros(array.len())?;
    let (rows, len, stride) = rows(array);
    for (offset, row) in rows.zip(numbers.chunks_exact_mut(len.max(1))) {
        reader.read(offset, stride, row);
    }
    Ok(numbers)
}

/// Writes an array in C order.
pub(super) fn write_numbers<C: Real>(array: &Array<'_>, numbers: &[C]) {
    let writer = real_writer::<C>(array);
    let (rows, len, stride) = rows(array);
    for (offset, row) in rows.zip(numbers.chunks_exact(len.max(1))) {
        writer.write(offset, stride, row);
    }
}
