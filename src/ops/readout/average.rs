//! Means of tokens, plain and weighted: sums, in `f64`, that are divided in the end.

use super::To;
use super::shares::{Buffers, Share, Shares};
use super::softmax::zeros;
use super::tokens::Tokens;
use crate::element::Real;
use crate::engine::Writer;
use crate::error::Result;
use crate::kernel::dispatch::{Kernel, Level};
use crate::parallel::Parallel;
use crate::vector::Vectors;

/// How the valid tokens of a sample are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Average {
    Mean,
    /// Tokens weigh as much as their place in the sample, from 1 on.
    Weighted,
    /// The sum, divided by the square root of their number.
    SquareRoot,
}

/// Adds four rows of tokens by their weights.
struct AddFour<'a, C> {
    rows: [&'a [C]; 4],
    weights: [f64; 4],
    sums: &'a mut [f64],
}

impl<C: Real> Kernel for AddFour<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let [a, b, c, d] = self.rows;
        let [of_a, of_b, of_c, of_d] = self.weights;
        for ((((sum, a), b), c), d) in self.sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (a.to_f64() * of_a + b.to_f64() * of_b) + (c.to_f64() * of_c + d.to_f64() * of_d);
        }
    }
}

/// Adds a row of tokens by its weight.
struct AddOne<'a, C> {
    row: &'a [C],
    weight: f64,
    sums: &'a mut [f64],
}

impl<C: Real> Kernel for AddOne<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for (sum, x) in self.sums.iter_mut().zip(self.row) {
            *sum += x.to_f64() * self.weight;
        }
    }
}

impl Average {
    fn weight(self, token: usize) -> f64 {
        if self == Self::Weighted { (token + 1) as f64 } else { 1.0 }
    }

    /// What the sum over each sample is divided by; 1 without valid tokens, so that the result is 0.
    fn divisors(self, [samples, tokens, _]: [usize; 3], mask: Option<&[bool]>) -> Result<Vec<f64>> {
        let of_weights = |sum: f64| match self {
            _ if sum == 0.0 => 1.0,
            Self::SquareRoot => sum.sqrt(),
            _ => sum,
        };
        let mut divisors = zeros(samples)?;
        if let Some(mask) = mask {
            for (divisor, valid) in divisors.iter_mut().zip(mask.chunks_exact(tokens)) {
                let weights =
                    valid.iter().enumerate().filter(|(_, valid)| **valid).map(|(token, _)| self.weight(token));
                *divisor = of_weights(weights.sum());
            }
        } else {
            let tokens = tokens as f64;
            divisors.fill(of_weights(if self == Self::Weighted { tokens * (tokens + 1.0) / 2.0 } else { tokens }));
        }
        Ok(divisors)
    }

    /// Writes the result, `(N, D)`.
    pub fn run<C: Real>(
        self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        (writer, strides): (&dyn Writer<f64>, [isize; 2]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let shape = tokens.layout.shape;
        let (shares, divisors, level) = (Shares::new(shape), self.divisors(shape, mask)?, Level::current());
        let add = |buffers: &mut Buffers<C>, share: &Share, sums: &mut [f64]| {
            let (sample, channels) = (share.sample, &share.channels);
            let [a, b, c, d] = &mut buffers.rows;
            let (fours, rest) = buffers.tokens.as_chunks::<4>();
            for four in fours {
                let row = |j: usize, scratch| tokens.row((sample, four[j]), channels, scratch);
                let rows: [&[C]; 4] = [row(0, &mut *a)?, row(1, &mut *b)?, row(2, &mut *c)?, row(3, &mut *d)?];
                level.run(AddFour { rows, weights: four.map(|token| self.weight(token)), sums });
            }
            for &token in rest {
                let row = tokens.row((sample, token), channels, a)?;
                level.run(AddOne { row, weight: self.weight(token), sums });
            }
            Ok(())
        };
        let mut sums = shares.summed(shares.collect(1, mask, parallel, add)?)?;
        for (sample, (row, divisor)) in sums.chunks_exact_mut(shape[2]).zip(divisors).enumerate() {
            for sum in &mut *row {
                *sum /= divisor;
            }
            writer.write(sample as isize * strides[0], strides[1], row);
        }
        Ok(())
    }

    /// Writes the cotangent of tokens of a shape, from that of the result, `(N, D)` in C order.
    pub fn pull(
        self,
        shape: [usize; 3],
        mask: Option<&[bool]>,
        dy: &[f64],
        dx: To<'_, f64>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let divisors = self.divisors(shape, mask)?;
        Shares::new(shape).write(mask, dx, parallel, |(): &mut (), share, token, row| {
            let weight = self.weight(token) / divisors[share.sample];
            let dy = &dy[share.sample * shape[2] + share.channels.start..];
            row.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * weight);
            Ok(())
        })
    }
}
