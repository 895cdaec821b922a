//! `conv*`, and its derivative in the input, the weights and the bias.

use pyo3::prelude::*;

use super::arguments::{PerAxis, size, windows};
use super::array::Array;
use super::dtype::{DType, with_dtype};
use super::error::compute;
use super::execute::{destination, split_out, summed, wrap};
use super::functions::spatial;
use super::gradient::{Derivative, Side, Tangents, no_gradient};
use super::visited::{copy, real_writer, reals};
use crate::element::{Element, Real};
use crate::engine::Field;
use crate::ops::{Conv, Convolution, Kept, Lowering};

/// `conv*`.
#[pyfunction]
#[pyo3(signature = (x, weight, bias, rank, stride, padding, dilation, groups, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn conv<'py>(
    x: &Bound<'py, PyAny>,
    weight: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    rank: usize,
    stride: &Bound<'py, PyAny>,
    padding: &Bound<'py, PyAny>,
    dilation: &Bound<'py, PyAny>,
    groups: &Bound<'py, PyAny>,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, weight) = (Array::read("x", x)?, Array::read("weight", weight)?);
    let bias = bias.map(|bias| Array::read("bias", bias)).transpose()?;
    let py = x.object().py();
    let axes = spatial(&x, rank, layout)?;
    // A weight of another rank is refused when all is solved.
    let kernel = (0..rank).map(|j| weight.shape.get(2 + j).copied().unwrap_or(1)).collect();
    let windows = windows(&PerAxis::Each(kernel), Some(stride), padding, dilation, rank)?;
    let mut conv = Conv::new(&windows).groups(size("groups", groups, 1)?);
    if axes[rank - 1] + 1 < x.shape.len() {
        conv = conv.channels_last();
    }
    let call = conv.solve(&x.shape, &weight.shape, bias.as_ref().map(|bias| &bias.shape[..]))?;
    let mut dtype = x.dtype.promoted(weight.dtype);
    if let Some(bias) = &bias {
        dtype = dtype.promoted(bias.dtype);
    }
    let (tape, out) = destination(py, out);
    let inputs: Vec<&Array<'py>> = [&x, &weight].into_iter().chain(&bias).collect();
    if tape.is_some() && !inputs.iter().any(|array| array.dtype.is_float()) {
        return Err(no_gradient(x.dtype));
    }
    let (out, _) = split_out(out.as_ref(), false)?;
    let y = match &out {
        Some(out) => Array::target(out, dtype, call.output_shape(), &inputs)?,
        None => x.like(dtype, None, call.output_shape(), &[])?,
    };
    if dtype == DType::F64 {
        run::<f64>(&call, &x, &weight, bias.as_ref(), &y)?;
    } else {
        run::<f32>(&call, &x, &weight, bias.as_ref(), &y)?;
    }
    if let Some(tape) = tape {
        let mut tape = tape.borrow_mut();
        if dtype == DType::F64 {
            tape.record(ConvDerivative::<f64>::new(call, &x, &weight, bias.as_ref(), &y)?)?;
        } else {
            tape.record(ConvDerivative::<f32>::new(call, &x, &weight, bias.as_ref(), &y)?)?;
        }
    }
    wrap(&x, y, out)
}

/// The work of a call, in cells that are read or written; the result has so many.
fn work(call: &Convolution, results: usize) -> usize {
    /// Products that take as long as a cell.
    const PRODUCTS: usize = 16;
    let cells = call.x_shape().iter().product::<usize>().saturating_add(results);
    cells.saturating_add(call.products() / PRODUCTS)
}

fn run<A: Real>(
    call: &Convolution,
    x: &Array<'_>,
    weight: &Array<'_>,
    bias: Option<&Array<'_>>,
    y: &Array<'_>,
) -> PyResult<()> {
    let (x_reader, weight_reader, bias_reader) = (reals::<A>(x), reals::<A>(weight), bias.map(reals::<A>));
    let writer = real_writer::<A>(y);
    let term = (
        Field { reader: &*x_reader, strides: &x.strides },
        Field { reader: &*weight_reader, strides: &weight.strides },
    );
    let bias = bias_reader.as_ref().zip(bias);
    let bias = bias.map(|(reader, bias)| Field { reader: &**reader, strides: &bias.strides });
    compute(x.object().py(), work(call, y.len()), |parallel| call.run(&[term], bias, (&*writer, &y.strides), parallel))
}

/// The derivative of a convolution, from copies of its input and its weights.
struct ConvDerivative<A> {
    call: Convolution,
    /// Integers have no derivative.
    x: (Kept<A>, Option<Side>),
    weight: (Kept<A>, Option<Side>),
    bias: Option<Side>,
    y: Side,
}

impl<A: Real> ConvDerivative<A> {
    fn new(
        call: Convolution,
        x: &Array<'_>,
        weight: &Array<'_>,
        bias: Option<&Array<'_>>,
        y: &Array<'_>,
    ) -> PyResult<Self> {
        let side = |array: &Array<'_>| array.dtype.is_float().then(|| Side::of(array));
        let (x, weight) = ((copy(x)?, side(x)), (copy(weight)?, side(weight)));
        Ok(Self { call, x, weight, bias: bias.and_then(side), y: Side::of(y) })
    }
}

fn fill_zeros(array: &Array<'_>) {
    with_dtype!(array.dtype, T => array.view_mut::<T>().fill(<T as Element>::from_i64(0)));
}

impl<A: Real> Derivative for ConvDerivative<A> {
    fn arguments(&self) -> Vec<&'static str> {
        let sides = [("x", &self.x.1), ("weight", &self.weight.1), ("bias", &self.bias)];
        sides.into_iter().filter(|(_, side)| side.is_some()).map(|(name, _)| name).collect()
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        (self.call.x_shape(), self.call.output_shape())
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let dy = self.y.read("dy", dy, "the result")?;
        let py = dy.object().py();
        let reader = reals::<A>(&dy);
        let field = Field { reader: &*reader, strides: &dy.strides };
        let mut cotangents = Vec::new();
        let work = work(&self.call, dy.len());
        if let Some(side) = &self.x.1 {
            let dx = side.empty(py)?;
            if self.call.leaves_out() {
                fill_zeros(&dx);
            }
            let writer = real_writer::<A>(&dx);
            compute(py, work, |parallel| {
                self.call.pull_x(field, self.weight.0.field(), (&*writer, &dx.strides), parallel)
            })?;
            cotangents.push(side.finish(&dx)?);
        }
        if let Some(side) = &self.weight.1 {
            let dw = side.empty(py)?;
            let writer = real_writer::<f64>(&dw);
            compute(py, work, |parallel| {
                self.call.pull_weight(self.x.0.field(), field, (&*writer, &dw.strides), parallel)
            })?;
            cotangents.push(side.finish(&dw)?);
        }
        if let Some(side) = &self.bias {
            let mut db = side.empty(py)?;
            match self.call.bias_total() {
                Some(total) => {
                    let solved = total.solve(&dy.shape)?;
                    let summed_axes: Vec<usize> =
                        (0..dy.shape.len()).filter(|&axis| solved.spans()[axis].is_some()).collect();
                    db.expand(&summed_axes);
                    compute(py, dy.len(), |parallel| summed(&dy, &solved, Lowering::Sum, &db, parallel))?;
                }
                None => fill_zeros(&db),
            }
            cotangents.push(side.finish(&db)?);
        }
        Ok(cotangents)
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let read = |side: &Option<Side>, argument: &'static str, tangent: &'static str| {
            let given = side.as_ref().zip(tangents.of(argument));
            given.map(|(side, given)| side.read(tangent, given, argument)).transpose()
        };
        let dx = read(&self.x.1, "x", "dx")?;
        let dw = read(&self.weight.1, "weight", "dweight")?;
        let db = read(&self.bias, "bias", "dbias")?;
        let dy = self.y.empty(py)?;
        let (dx_reader, dw_reader) = (dx.as_ref().map(reals::<A>), dw.as_ref().map(reals::<A>));
        let db_reader = db.as_ref().map(reals::<A>);
        let mut terms = Vec::new();
        if let Some((reader, dx)) = dx_reader.as_ref().zip(dx.as_ref()) {
            terms.push((Field { reader: &**reader, strides: &dx.strides }, self.weight.0.field()));
        }
        if let Some((reader, dw)) = dw_reader.as_ref().zip(dw.as_ref()) {
            terms.push((self.x.0.field(), Field { reader: &**reader, strides: &dw.strides }));
        }
        let bias = db_reader.as_ref().zip(db.as_ref());
        let bias = bias.map(|(reader, db)| Field { reader: &**reader, strides: &db.strides });
        let writer = real_writer::<A>(&dy);
        compute(py, work(&self.call, dy.len()), |parallel| {
            self.call.run(&terms, bias, (&*writer, &dy.strides), parallel)
        })?;
        self.y.finish(&dy)
    }
}
