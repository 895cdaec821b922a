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
use crate::reduce::in_pairs;
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

/// Adds `N` rows of tokens, by their weights unless they are of the same weight.
struct Add<'a, C, const N: usize> {
    rows: [&'a [C]; N],
    weights: Option<[f64; N]>,
    sums: &'a mut [f64],
}

impl<C: Real, const N: usize> Kernel for Add<'_, C, N> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Self { rows, weights, sums } = self;
        match weights {
            None => add(rows, sums, |_, x| x),
            Some(weights) => add(rows, sums, |row, x| x * weights[row]),
        }
    }
}

/// Adds terms in pairs, of which two are added.
#[inline(always)]
fn add<C: Real, const N: usize>(rows: [&[C]; N], sums: &mut [f64], term: impl Fn(usize, f64) -> f64) {
    let rows = rows.map(|row| &row[..sums.len()]);
    for (channel, sum) in sums.iter_mut().enumerate() {
        let terms: [f64; N] = std::array::from_fn(|row| term(row, rows[row][channel].to_f64()));
        *sum += in_pairs(terms, |a, b| a + b);
    }
}

/// Divides sums.
struct Divide<'a> {
    sums: &'a mut [f64],
    divisor: f64,
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        self.sums.iter_mut().for_each(|sum| *sum /= self.divisor);
    }
}

impl Average {
    fn is_weighted(self) -> bool {
        self == Self::Weighted
    }

    fn weight(self, token: usize) -> f64 {
        if self.is_weighted() { (token + 1) as f64 } else { 1.0 }
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
            divisors.fill(of_weights(if self.is_weighted() { tokens * (tokens + 1.0) / 2.0 } else { tokens }));
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
            let weight = |token| self.weight(token);
            for four in fours {
                let row = |j: usize, scratch| tokens.row((sample, four[j]), channels, scratch);
                let rows: [&[C]; 4] = [row(0, &mut *a)?, row(1, &mut *b)?, row(2, &mut *c)?, row(3, &mut *d)?];
                level.run(Add { rows, weights: self.is_weighted().then(|| four.map(weight)), sums });
            }
            for &token in rest {
                let rows = [tokens.row((sample, token), channels, a)?];
                level.run(Add { rows, weights: self.is_weighted().then(|| [weight(token)]), sums });
            }
            Ok(())
        };
        shares.sum_up(mask, parallel, add, |sample, channel, sums| {
            level.run(Divide { sums, divisor: divisors[sample] });
            writer.write(sample as isize * strides[0] + channel as isize * strides[1], strides[1], sums);
        })
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
