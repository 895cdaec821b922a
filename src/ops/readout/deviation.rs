//! The standard deviation of tokens.
//!
//! A part of a sample is read twice: for its mean, relative to its first token, so that equal tokens deviate by exactly 0,
//! and for the squares of what tokens differ from that. Parts are put together in order, by the rule of Chan et al.
//! (1979).

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

/// Mean and standard deviation of the valid tokens of each sample, `(N, D)`.
pub(crate) struct Deviation {
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// The number of valid tokens of each sample.
    counts: Vec<f64>,
}

/// Adds what a row of tokens differs from another row, or the squares of that.
struct AddDifferences<'a, C, const SQUARED: bool> {
    row: &'a [C],
    from: &'a [f64],
    sums: &'a mut [f64],
}

impl<C: Real, const SQUARED: bool> Kernel for AddDifferences<'_, C, SQUARED> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for ((sum, &from), x) in self.sums.iter_mut().zip(self.from).zip(self.row) {
            let difference = x.to_f64() - from;
            *sum += if SQUARED { difference * difference } else { difference };
        }
    }
}

/// Adds the products of a row of tangents with what a row of tokens differs from the mean.
struct AddProducts<'a, C> {
    row: &'a [C],
    means: &'a [f64],
    tangents: &'a [C],
    sums: &'a mut [f64],
}

impl<C: Real> Kernel for AddProducts<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for (((sum, &mean), x), d) in self.sums.iter_mut().zip(self.means).zip(self.row).zip(self.tangents) {
            *sum += (x.to_f64() - mean) * d.to_f64();
        }
    }
}

impl Deviation {
    pub fn new<C: Real>(tokens: &Tokens<C>, mask: Option<&[bool]>, parallel: &Parallel<'_>) -> Result<Self> {
        let [samples, len, width] = tokens.layout.shape;
        let (shares, level) = (Shares::new(tokens.layout.shape), Level::current());
        let moments = |buffers: &mut Buffers<C>, share: &Share, moments: &mut [f64]| {
            let (means, squares) = moments.split_at_mut(share.channels.len());
            let Buffers { tokens: valid, rows: [buffer, ..], first, .. } = buffers;
            let Some((&head, tail)) = valid.split_first() else { return Ok(()) };
            first.clear();
            first.extend(tokens.row((share.sample, head), &share.channels, buffer)?.iter().map(|x| x.to_f64()));
            for &token in tail {
                let row = tokens.row((share.sample, token), &share.channels, buffer)?;
                level.run(AddDifferences::<_, false> { row, from: first, sums: means });
            }
            means.iter_mut().zip(first).for_each(|(mean, first)| *mean = *first + *mean / valid.len() as f64);
            for &token in &*valid {
                let row = tokens.row((share.sample, token), &share.channels, buffer)?;
                level.run(AddDifferences::<_, true> { row, from: means, sums: squares });
            }
            Ok(())
        };
        let parts = shares.collect(2, mask, parallel, moments)?;
        let (mut means, mut squares, mut counts) = (zeros(samples * width)?, zeros(samples * width)?, zeros(samples)?);
        for (sample, count) in counts.iter_mut().enumerate() {
            let of_sample = sample * width..(sample + 1) * width;
            let (means, squares) = (&mut means[of_sample.clone()], &mut squares[of_sample]);
            for part in 0..shares.parts {
                let range = shares.tokens(part);
                let valid = mask.map(|mask| &mask[sample * len..][range.clone()]);
                let more = valid.map_or(range.len(), |valid| valid.iter().filter(|valid| **valid).count()) as f64;
                if more > 0.0 {
                    let moments = parts[(sample * shares.parts + part) * 2 * width..][..2 * width].split_at(width);
                    merge((means, squares, *count), (moments, more));
                    *count += more;
                }
            }
            for square in squares {
                *square = (*square / count.max(1.0)).sqrt();
            }
        }
        Ok(Self { means, deviations: squares, counts })
    }

    /// Writes the deviations, `(N, D)`.
    pub fn write(&self, y: (&dyn Writer<f64>, [isize; 2])) {
        self.write_rows(&self.deviations, y);
    }

    fn write_rows(&self, values: &[f64], (writer, strides): (&dyn Writer<f64>, [isize; 2])) {
        for (sample, row) in values.chunks_exact(values.len() / self.counts.len()).enumerate() {
            writer.write(sample as isize * strides[0], strides[1], row);
        }
    }

    /// The derivative of a deviation, for a difference to the mean of 1. Where the deviation is 0 it has none: it is 0 there.
    fn slope(&self, sample: usize, at: usize) -> f64 {
        if self.deviations[at] == 0.0 { 0.0 } else { 1.0 / (self.counts[sample] * self.deviations[at]) }
    }

    /// Writes the cotangent of the tokens, from that of the result, `(N, D)` in C order.
    pub fn pull<C: Real>(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dy: &[f64],
        dx: To<'_, f64>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let shape = tokens.layout.shape;
        let mut factors = zeros(dy.len())?;
        for (at, (factor, dy)) in factors.iter_mut().zip(dy).enumerate() {
            *factor = dy * self.slope(at / shape[2], at);
        }
        Shares::new(shape).write(mask, dx, parallel, |buffer: &mut Vec<C>, share, token, row| {
            let x = tokens.row((share.sample, token), &share.channels, buffer)?;
            let from = share.sample * shape[2] + share.channels.start;
            for ((dx, x), (mean, factor)) in row.iter_mut().zip(x).zip(self.means[from..].iter().zip(&factors[from..]))
            {
                *dx = (x.to_f64() - mean) * factor;
            }
            Ok(())
        })
    }

    /// Writes the tangent of the result, from that of the tokens.
    pub fn push<C: Real>(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        d_tokens: &Tokens<C>,
        y: (&dyn Writer<f64>, [isize; 2]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let [_, _, width] = tokens.layout.shape;
        let (shares, level) = (Shares::new(tokens.layout.shape), Level::current());
        let add = |buffers: &mut Buffers<C>, share: &Share, sums: &mut [f64]| {
            let [buffer, buffer_too, ..] = &mut buffers.rows;
            let means = &self.means[share.sample * width + share.channels.start..];
            for &token in &buffers.tokens {
                let row = tokens.row((share.sample, token), &share.channels, buffer)?;
                let tangents = d_tokens.row((share.sample, token), &share.channels, buffer_too)?;
                level.run(AddProducts { row, means, tangents, sums });
            }
            Ok(())
        };
        let mut sums = shares.summed(shares.collect(1, mask, parallel, add)?)?;
        sums.iter_mut().enumerate().for_each(|(at, sum)| *sum *= self.slope(at / width, at));
        self.write_rows(&sums, y);
        Ok(())
    }
}

/// Takes the moments of more tokens into those of some: means, sums of squared differences to these, and their number.
fn merge(
    (means, squares, count): (&mut [f64], &mut [f64], f64),
    ((more_means, more_squares), more): ((&[f64], &[f64]), f64),
) {
    let (of_mean, of_square) = (more / (count + more), count * more / (count + more));
    let pairs = means.iter_mut().zip(squares).zip(more_means.iter().zip(more_squares));
    for ((mean, square), (more_mean, more_square)) in pairs {
        let difference = more_mean - *mean;
        *mean += difference * of_mean;
        // In this order nothing overflows where the factor is 0.
        *square += more_square + difference * (difference * of_square);
    }
}
