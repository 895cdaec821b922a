//! Readouts of views: what the pools by attention have in common.

use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension};

use super::samples::{Samples, refused, with_samples};
use super::tokens::Tokens;
use super::{Readout, softmax};
use crate::element::{Element, Real};
use crate::error::{Result, try_vec};
use crate::ops::gradient::expect_shape;
use crate::ops::solved::zeros;
use crate::parallel::Parallel;
use crate::strided::{View, ViewMut};

/// A readout, and the tokens that it is called with.
pub(super) struct Call<'a, T, R> {
    pub readout: R,
    pub samples: Samples,
    x: View<'a, T>,
    valid: Option<Vec<bool>>,
}

/// An array beside the tokens, its tangent, and what that is called. An array may lack a tangent, which then is zero.
pub(super) type Tangent<'a, P> = (&'static str, Option<&'a ArrayViewD<'a, P>>, Option<&'a ArrayD<P>>);

impl<'a, T: Element, R> Call<'a, T, R> {
    pub fn new(readout: R, samples: Samples, x: View<'a, T>, mask: Option<&ArrayViewD<'_, bool>>) -> Result<Self> {
        Ok(Self { readout, samples, x, valid: samples.valid(mask)? })
    }

    pub fn tokens<C: Real>(&self) -> Tokens<C> {
        Tokens::new((self.x.raw(), self.samples.layout(self.x.strides())))
    }

    pub fn valid(&self) -> Option<&[bool]> {
        self.valid.as_deref()
    }

    /// The result.
    pub fn run<C: Real, P: Element>(&self) -> Result<ArrayD<P>>
    where
        R: Readout<C>,
    {
        let mut y = zeros(&self.samples.result(&self.readout.of_sample())?)?;
        if !y.is_empty() {
            let place = ViewMut::from(&mut y);
            let to = (&place.raw() as _, self.readout.strides(place.strides()));
            self.readout.run(&self.tokens(), self.valid(), to, &Parallel::default())?;
        }
        Ok(y)
    }

    /// The cotangents of the tokens and of the arrays beside them, from that of the result.
    pub fn pull<C: Real, P: Element, D: Dimension>(
        &self,
        dy: &ArrayView<'_, P, D>,
        parameters: &[&ArrayViewD<'_, P>],
    ) -> Result<(ArrayD<P>, Vec<ArrayD<P>>)>
    where
        R: Readout<C>,
    {
        expect_shape("dy", dy.shape(), &self.samples.result(&self.readout.of_sample())?)?;
        let (dy, mut dx) = (numbers(dy)?, zeros(self.x.shape())?);
        let place = ViewMut::from(&mut dx);
        let to = (&place.raw() as _, with_samples(place.strides()));
        let cotangents = self.readout.pull(&self.tokens(), self.valid(), &dy, to, &Parallel::default())?;
        let shaped = |(numbers, parameter): (Vec<C>, &&ArrayViewD<'_, P>)| {
            let mut cotangent = zeros(parameter.shape())?;
            cotangent.iter_mut().zip(numbers).for_each(|(to, number)| *to = number.lower());
            Ok(cotangent)
        };
        Ok((dx, cotangents.into_iter().zip(parameters).map(shaped).collect::<Result<_>>()?))
    }

    /// The tangent of the result, from those of the tokens and of the arrays beside them.
    pub fn push<C: Real, P: Element>(&self, dx: &ArrayD<P>, others: &[Tangent<'_, P>]) -> Result<ArrayD<P>>
    where
        R: Readout<C>,
    {
        expect_shape("dx", dx.shape(), self.x.shape())?;
        let mut tangents = Vec::with_capacity(others.len());
        for &(name, parameter, tangent) in others {
            match (parameter, tangent) {
                (Some(parameter), Some(tangent)) => {
                    expect_shape(name, tangent.shape(), parameter.shape())?;
                    tangents.push(numbers(&tangent.view())?);
                }
                (Some(parameter), None) => tangents.push(softmax::zeros(parameter.len())?),
                (None, Some(tangent)) => {
                    return Err(refused(name, tangent.shape(), "is of an array that is not given"));
                }
                (None, None) => {}
            }
        }
        let mut dy = zeros(&self.samples.result(&self.readout.of_sample())?)?;
        let (dx, place) = (View::from(dx), ViewMut::from(&mut dy));
        let d_tokens = Tokens::new((dx.raw(), self.samples.layout(dx.strides())));
        let to = (&place.raw() as _, self.readout.strides(place.strides()));
        self.readout.push(&self.tokens(), self.valid(), (&d_tokens, tangents), to, &Parallel::default())?;
        Ok(dy)
    }
}

/// A copy of an array in C order, in the type that is computed in.
pub(super) fn numbers<C: Real, P: Element, D: Dimension>(array: &ArrayView<'_, P, D>) -> Result<Vec<C>> {
    let mut numbers = try_vec(array.len())?;
    numbers.extend(array.iter().map(|&number| C::lift(number)));
    Ok(numbers)
}
