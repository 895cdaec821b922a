//! Token pooling by a fixed rule: its arguments, its call, its derivative.

use pyo3::prelude::*;

use super::arguments::one_of;
use super::array::Array;
use super::dtype::{DType, with_dtype, with_float};
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::gradient::{Derivative, Side, Tangents, no_gradient};
use super::sequences::{Sequences, copied, numbers};
use super::visited::float_writer;
use crate::element::{Element, Real, with_real};
use crate::ops::{Layout, Pool, Second, TokenMap, TokenMode, Tokens, extreme, with_samples};

const MODES: [(&str, TokenMode); 7] = [
    ("mean", TokenMode::Mean),
    ("max", TokenMode::Max),
    ("cls", TokenMode::Cls),
    ("last", TokenMode::Last),
    ("weighted_mean", TokenMode::WeightedMean),
    ("mean_sqrt_len", TokenMode::MeanSqrtLen),
    ("std", TokenMode::Std),
];

/// `token_pool`.
#[pyfunction]
#[pyo3(signature = (x, mask, mode, out))]
pub(super) fn token_pool<'py>(
    x: &Bound<'py, PyAny>,
    mask: Option<&Bound<'py, PyAny>>,
    mode: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let x = Sequences::read(x)?;
    let mode = one_of("mode", mode, &MODES)?;
    let (tape, out) = destination(py, out);
    if mode != TokenMode::Max || mask.is_some() || tape.is_some() {
        mode.expect_few(&x.samples)?;
    }
    let mask = mask.map(|mask| x.mask(mask)).transpose()?;
    let inputs: Vec<&Array<'_>> = std::iter::once(&x.array).chain(mask.as_ref().map(|mask| &mask.array)).collect();
    if tape.is_some() && !x.array.dtype.is_float() {
        return Err(no_gradient(x.array.dtype));
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let dtype = if mode.chooses() { x.array.dtype } else { x.array.dtype.mean() };
    let mut y = x.result(dtype, &x.samples.shape[2..], out.as_ref(), &inputs)?;
    let valid = mask.as_ref().and_then(|mask| mask.valid.as_deref());
    if let (TokenMode::Max, None, None) = (mode, valid, &tape) {
        largest(&x.array, &mut y)?;
        return wrap(&x.array, y, out);
    }
    let map = pool(&x, valid, mode, &y)?;
    if let Some(tape) = tape {
        with_real!(dtype == DType::F64, C => {
            let tokens = if mode == TokenMode::Std { numbers::<C>(&x.array)? } else { Vec::new() };
            let (shape, valid) = (x.samples.shape, copied(valid)?);
            tape.borrow_mut().record(Recorded { map, tokens, valid, shape, x: Side::of(&x.array), y: Side::of(&y) })?;
        });
    }
    wrap(&x.array, y, out)
}

/// The largest of all tokens, where nobody asks which one it was: a maximum like others.
fn largest(x: &Array<'_>, y: &mut Array<'_>) -> PyResult<()> {
    let axis = x.shape.len() - 2;
    let solved = Pool::global(1).axes(&[axis]).solve(&x.shape)?;
    y.expand(&[axis]);
    with_dtype!(x.dtype, T => {
        let (from, to) = (x.view::<T>(), y.view_mut::<T>());
        compute(x.object().py(), x.len(), |parallel| extreme(&from, &solved, false, &to, &Second::None, parallel))
    })
}

/// Pools, and returns what the derivative needs beside the tokens and the mask.
fn pool(x: &Sequences<'_>, valid: Option<&[bool]>, mode: TokenMode, y: &Array<'_>) -> PyResult<TokenMap> {
    let (layout, strides) = (x.layout(), with_samples(&y.strides));
    let mut map = TokenMap::Empty;
    with_dtype!(x.array.dtype, T => {
        let from = (x.array.view::<T>().raw(), layout);
        compute(x.array.object().py(), x.array.len(), |parallel| {
            map = TokenMap::new(mode, from, valid, parallel)?;
            if mode.chooses() {
                map.run(from, valid, (y.view_mut::<T>().raw(), strides), parallel)
            } else {
                map.run(from, valid, (y.view_mut::<<T as Element>::Mean>().raw(), strides), parallel)
            }
        })?;
    });
    Ok(map)
}

/// The derivative of a call.
struct Recorded<C> {
    map: TokenMap,
    /// A copy of the tokens, if the derivative depends on them.
    tokens: Vec<C>,
    valid: Option<Vec<bool>>,
    shape: [usize; 3],
    x: Side,
    y: Side,
}

impl<C: Real> Derivative for Recorded<C> {
    fn arguments(&self) -> Vec<&'static str> {
        vec!["x"]
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (&self.x.shape, &self.y.shape)
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = dy.py();
        let dy = self.y.read("dy", dy, "the result")?;
        let (dy, dx) = (numbers::<f64>(&dy)?, self.x.empty(py)?);
        let dx_writer = float_writer(&dx);
        let to = (&*dx_writer, with_samples(&dx.strides));
        compute(py, dx.len(), |parallel| {
            self.map.pull(&Tokens::of(&self.tokens, self.shape), self.valid.as_deref(), &dy, to, parallel)
        })?;
        Ok(vec![self.x.finish(&dx)?])
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dx = self.x.read("dx", tangents.of("x").expect("jvp has counted the tangents"), "x")?;
        let dy = self.y.empty(py)?;
        let layout = Layout { shape: self.shape, strides: with_samples(&dx.strides) };
        with_float!(self.x.dtype, T => {
            let (from, to) = ((dx.view::<T>().raw(), layout), (dy.view_mut::<T>().raw(), with_samples(&dy.strides)));
            compute(py, dx.len(), |parallel| {
                self.map.push(&Tokens::of(&self.tokens, self.shape), self.valid.as_deref(), from, to, parallel)
            })?;
        }, else return Err(no_gradient(self.x.dtype)));
        self.x.finish(&dy)
    }
}
