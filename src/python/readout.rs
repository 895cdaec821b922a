//! Attention pooling: its arguments, its call, its derivative.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{flag, number, size};
use super::array::Array;
use super::dtype::DType;
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::gradient::{Derivative, Side, Tangents, no_gradient};
use super::sequences::{Sequences, copied, numbers, write_numbers, zeros};
use super::visited::real_writer;
use crate::element::{Real, with_real};
use crate::engine::Writer;
use crate::ops::{Attention, AttentionSizes, GatedAttention, GatedSizes, Parameters, Readout, Tokens, with_samples};

/// `attention_pool`.
#[pyfunction]
#[pyo3(signature = (x, query, key_weight, value_weight, num_heads, mask, scale, return_weights, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn attention_pool<'py>(
    x: &Bound<'py, PyAny>,
    query: &Bound<'py, PyAny>,
    key_weight: Option<&Bound<'py, PyAny>>,
    value_weight: Option<&Bound<'py, PyAny>>,
    num_heads: &Bound<'py, PyAny>,
    mask: Option<&Bound<'py, PyAny>>,
    scale: Option<&Bound<'py, PyAny>>,
    return_weights: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = query.py();
    let x = Sequences::read(x)?;
    let given = Parameters {
        query: Array::read("query", query)?,
        key_weight: key_weight.map(|weight| Array::read("key_weight", weight)).transpose()?,
        value_weight: value_weight.map(|weight| Array::read("value_weight", weight)).transpose()?,
    };
    let (heads, return_weights) = (size("num_heads", num_heads, 1)?, flag("return_weights", return_weights)?);
    let shapes = given.list().into_iter().map(|array| &array.shape[..]).collect();
    let sizes = AttentionSizes::new(&x.samples, &given.like(shapes), heads)?;
    let scale = sizes.scale(scale.map(|scale| number("scale", scale)).transpose()?)?;
    let mask = mask.map(|mask| x.mask(mask)).transpose()?;
    let mut others = vec![Other { name: "query", tangent: "dquery", array: &given.query }];
    let (key, value) = (given.key_weight.as_ref(), given.value_weight.as_ref());
    others.extend(key.map(|array| Other { name: "key_weight", tangent: "dkey_weight", array }));
    others.extend(value.map(|array| Other { name: "value_weight", tangent: "dvalue_weight", array }));
    let mut inputs = inputs(&x, &others);
    inputs.extend(mask.as_ref().map(|mask| &mask.array));
    let dtype = result_dtype(&x, &others);

    let (tape, out) = destination(py, out);
    if tape.is_some() {
        expect_float(&x, &others)?;
    }
    let (values_out, weights_out) = split_out(out.as_ref(), return_weights)?;
    let y = x.result(dtype, &sizes.of_sample(), values_out.as_ref(), &inputs)?;
    let mut weights = None;
    if return_weights {
        let place = x.result(dtype, &sizes.weights_of_sample(), weights_out.as_ref(), &inputs)?;
        place.expect_apart(&y)?;
        weights = Some(place);
    }
    let valid = mask.as_ref().and_then(|mask| mask.valid.as_deref());
    with_real!(dtype == DType::F64, C => {
        let parameters = given.list().into_iter().map(numbers::<C>).collect::<PyResult<_>>()?;
        let attention = Attention { sizes, scale, parameters: given.like(parameters) };
        if y.len() > 0 {
            let (tokens, y_writer) = (x.tokens::<C>(), real_writer::<C>(&y));
            let to = weights.as_ref().map(|weights| (real_writer::<C>(weights), with_samples(&weights.strides)));
            let to = to.as_ref().map(|(writer, strides)| (&**writer, *strides));
            let y = (&*y_writer, attention.strides(&y.strides));
            compute(py, x.array.len(), |parallel| attention.run_with_weights(&tokens, valid, y, to, parallel))?;
        }
        if let Some(tape) = tape {
            tape.borrow_mut().record(Recorded::new(&x, valid, &others, &y, attention)?)?;
        }
    });
    let values = wrap(&x.array, y, values_out)?;
    match weights {
        Some(weights) => Ok(PyTuple::new(py, [values, wrap(&x.array, weights, weights_out)?])?.into_any()),
        None => Ok(values),
    }
}

/// `gated_attention_pool`.
#[pyfunction]
#[pyo3(signature = (x, v, u, w, mask, out))]
pub(super) fn gated_attention_pool<'py>(
    x: &Bound<'py, PyAny>,
    v: &Bound<'py, PyAny>,
    u: &Bound<'py, PyAny>,
    w: &Bound<'py, PyAny>,
    mask: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let x = Sequences::read(x)?;
    let (v, u, w) = (Array::read("v", v)?, Array::read("u", u)?, Array::read("w", w)?);
    let sizes = GatedSizes::new(&x.samples, [&v.shape, &u.shape, &w.shape])?;
    let mask = mask.map(|mask| x.mask(mask)).transpose()?;
    let others = [("v", "dv", &v), ("u", "du", &u), ("w", "dw", &w)];
    let others = others.map(|(name, tangent, array)| Other { name, tangent, array });
    let mut inputs = inputs(&x, &others);
    inputs.extend(mask.as_ref().map(|mask| &mask.array));
    let dtype = result_dtype(&x, &others);

    let (tape, out) = destination(py, out);
    if tape.is_some() {
        expect_float(&x, &others)?;
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let y = x.result(dtype, &sizes.of_sample(), out.as_ref(), &inputs)?;
    let valid = mask.as_ref().and_then(|mask| mask.valid.as_deref());
    with_real!(dtype == DType::F64, C => {
        let weights = [numbers::<C>(&v)?, numbers(&u)?, numbers(&w)?];
        let gated = GatedAttention { sizes, weights };
        if y.len() > 0 {
            let (tokens, y_writer) = (x.tokens::<C>(), real_writer::<C>(&y));
            let y = (&*y_writer, gated.strides(&y.strides));
            compute(py, x.array.len(), |parallel| gated.run(&tokens, valid, y, parallel))?;
        }
        if let Some(tape) = tape {
            tape.borrow_mut().record(Recorded::new(&x, valid, &others, &y, gated)?)?;
        }
    });
    wrap(&x.array, y, out)
}

/// An array that is given beside `x`, and what its tangent is called.
#[derive(Clone, Copy)]
struct Other<'a, 'py> {
    name: &'static str,
    tangent: &'static str,
    array: &'a Array<'py>,
}

fn inputs<'a, 'py>(x: &'a Sequences<'py>, others: &[Other<'a, 'py>]) -> Vec<&'a Array<'py>> {
    std::iter::once(&x.array).chain(others.iter().map(|other| other.array)).collect()
}

/// Refuses to differentiate where no array is of floats.
fn expect_float(x: &Sequences<'_>, others: &[Other<'_, '_>]) -> PyResult<()> {
    if x.array.dtype.is_float() || others.iter().any(|other| other.array.dtype.is_float()) {
        return Ok(());
    }
    Err(no_gradient(x.array.dtype))
}

/// Where the cotangent of tokens is written that are of integers, and have none.
struct Nowhere;

impl<C> Writer<C> for Nowhere {
    fn write(&self, _: isize, _: isize, _: &[C]) {}
}

fn result_dtype(x: &Sequences<'_>, others: &[Other<'_, '_>]) -> DType {
    others.iter().fold(x.array.dtype.mean(), |dtype, other| dtype.promoted(other.array.dtype))
}

/// The derivative of a readout, at a copy of what it was called with.
struct Recorded<C, R> {
    readout: R,
    tokens: Vec<C>,
    shape: [usize; 3],
    valid: Option<Vec<bool>>,
    x: Side,
    y: Side,
    /// The arrays beside `x`: name, name of the tangent, and how they look from Python.
    others: Vec<(&'static str, &'static str, Side)>,
}

impl<C: Real, R: Readout<C>> Recorded<C, R> {
    fn new(
        x: &Sequences<'_>,
        valid: Option<&[bool]>,
        others: &[Other<'_, '_>],
        y: &Array<'_>,
        readout: R,
    ) -> PyResult<Self> {
        let others = others.iter().map(|other| (other.name, other.tangent, Side::of(other.array))).collect();
        Ok(Self {
            readout,
            tokens: numbers(&x.array)?,
            shape: x.samples.shape,
            valid: copied(valid)?,
            x: Side::of(&x.array),
            y: Side::of(y),
            others,
        })
    }
}

impl<C: Real, R: Readout<C>> Derivative for Recorded<C, R> {
    fn arguments(&self) -> Vec<&'static str> {
        let others = self.others.iter().map(|(name, _, side)| (*name, side));
        let all = std::iter::once(("x", &self.x)).chain(others);
        all.filter(|(_, side)| side.dtype.is_float()).map(|(name, _)| name).collect()
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (&self.x.shape, &self.y.shape)
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = dy.py();
        let dy = self.y.read("dy", dy, "the result")?;
        let dy = numbers(&dy)?;
        let dx = if self.x.dtype.is_float() { Some(self.x.empty(py)?) } else { None };
        let writer: Box<dyn Writer<C>> = dx.as_ref().map_or_else(|| Box::new(Nowhere) as _, real_writer);
        let to = (&*writer, dx.as_ref().map_or([0; 3], |dx| with_samples(&dx.strides)));
        let mut d_others = Vec::new();
        compute(py, self.tokens.len(), |parallel| {
            let tokens = Tokens::of(&self.tokens, self.shape);
            d_others = self.readout.pull(&tokens, self.valid.as_deref(), &dy, to, parallel)?;
            Ok(())
        })?;
        let mut cotangents = dx.iter().map(|dx| self.x.finish(dx)).collect::<PyResult<Vec<_>>>()?;
        for ((_, _, side), numbers) in
            self.others.iter().zip(d_others).filter(|((_, _, side), _)| side.dtype.is_float())
        {
            let cotangent = side.empty(py)?;
            write_numbers(&cotangent, &numbers);
            cotangents.push(side.finish(&cotangent)?);
        }
        Ok(cotangents)
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let read = |side: &Side, name: &'static str, tangent: &'static str| match tangents.of(name) {
            Some(given) => numbers::<C>(&side.read(tangent, given, name)?),
            // Of an array of integers there is no tangent.
            None => zeros(side.shape.iter().product()),
        };
        let dx = read(&self.x, "x", "dx")?;
        let others = self.others.iter().map(|(name, tangent, side)| read(side, name, tangent));
        let d_others = others.collect::<PyResult<Vec<_>>>()?;
        let dy = self.y.empty(py)?;
        let dy_writer = real_writer(&dy);
        let to = (&*dy_writer, self.readout.strides(&dy.strides));
        compute(py, self.tokens.len(), |parallel| {
            let (tokens, d_tokens) = (Tokens::of(&self.tokens, self.shape), Tokens::of(&dx, self.shape));
            self.readout.push(&tokens, self.valid.as_deref(), (&d_tokens, d_others), to, parallel)
        })?;
        self.x.finish(&dy)
    }
}
