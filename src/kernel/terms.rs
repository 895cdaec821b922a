//! Functions of cells on their way in, and of sums on their way out: what makes a sum a norm, a variance or the log of a mean.

use super::dispatch::Kernel;
use super::finish::Divisors;
use super::stage::Rows;
use crate::reduce::{Monoid, Tag};
use crate::vector::Vectors;

/// A statistic as one or two sums of functions of its cells.
pub(crate) trait Terms: Copy + Send + Sync + 'static {
    /// What is summed beside the value: `()` or `f64`.
    type Second: Tag;
    type Monoid: Monoid<Value = f64, Tag = Self::Second>;

    /// What a cell adds to the sums.
    fn of(self, x: f64) -> (f64, Self::Second);

    /// What is kept of cells seen, as the largest number: from 0 on.
    fn watch(self, x: f64) -> f64;

    /// Whether the sums of cells of which so much was seen are as good as those of each window by itself.
    fn is_safe(self, seen: f64) -> bool;

    /// The statistic of `n` cells, from the sums; [`NOT_GOOD`] where these are not good enough.
    fn lower(self, sum: f64, second: Self::Second, n: f64) -> f64;
}

/// Turns staged cells into what they add to the sums; returns whether that is safe.
pub(crate) struct ToTerms<'a, F: Terms> {
    pub terms: F,
    pub rows: Rows<'a>,
    pub values: &'a mut [f64],
    pub seconds: &'a mut [F::Second],
}

impl<F: Terms> Kernel for ToTerms<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) -> bool {
        const LANES: usize = 32;
        let mut seen = [0.0; LANES];
        let lanes = self.rows.lanes;
        for row in 0..self.rows.offsets.len() {
            let at = row * self.rows.row()..(row + 1) * self.rows.row();
            let (values, seconds) = (&mut self.values[at.clone()], &mut self.seconds[at]);
            let run = self.rows.cells() * lanes;
            for phase in 0..self.rows.phases {
                let held = self.rows.on_axis_of(phase);
                let (values, seconds) = (&mut values[phase * run..][..run], &mut seconds[phase * run..][..run]);
                // What padding holds adds nothing.
                for outside in [0..held.start * lanes, held.end * lanes..run] {
                    values[outside.clone()].fill(0.0);
                    seconds[outside].fill(F::Second::default());
                }
                let held = held.start * lanes..held.end * lanes;
                let (values, seconds) = (&mut values[held.clone()], &mut seconds[held]);
                let (blocks, rest) = values.as_chunks_mut::<LANES>();
                let (second_blocks, second_rest) = seconds.as_chunks_mut::<LANES>();
                for (values, seconds) in blocks.iter_mut().zip(second_blocks) {
                    for l in 0..LANES {
                        let watched = self.terms.watch(values[l]);
                        seen[l] = if watched > seen[l] { watched } else { seen[l] };
                        (values[l], seconds[l]) = self.terms.of(values[l]);
                    }
                }
                for ((value, second), seen) in rest.iter_mut().zip(second_rest).zip(&mut seen) {
                    let watched = self.terms.watch(*value);
                    *seen = if watched > *seen { watched } else { *seen };
                    (*value, *second) = self.terms.of(*value);
                }
            }
        }
        self.terms.is_safe(seen.iter().fold(0.0, |most: f64, &seen| most.max(seen)))
    }
}

/// Turns sums into statistics, in place; returns whether all of them are good enough.
pub(crate) struct FromTerms<'a, F: Terms> {
    pub terms: F,
    pub values: &'a mut [f64],
    pub seconds: &'a [F::Second],
    /// Rows, and values of each; the positions of results, their phases and lanes.
    pub rows: usize,
    pub row: usize,
    pub positions: usize,
    pub phases: usize,
    pub lanes: usize,
    /// The numbers of cells.
    pub counts: Divisors<'a>,
}

impl<F: Terms> Kernel for FromTerms<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) -> bool {
        let cells = self.positions.div_ceil(self.phases);
        let mut good = true;
        for row in 0..self.rows {
            let of_row = self.counts.rows.get(row).copied().unwrap_or(1.0);
            let at = row * self.row..(row + 1) * self.row;
            let (values, seconds) = (&mut self.values[at.clone()], &self.seconds[at]);
            if self.counts.positions.is_empty() {
                good &= lower(self.terms, values, seconds, |_| of_row);
                continue;
            }
            for phase in 0..self.phases {
                // Phases may end beyond the last result: there nothing is written.
                let held = self.positions.saturating_sub(phase).div_ceil(self.phases) * self.lanes;
                let at = phase * cells * self.lanes..phase * cells * self.lanes + held;
                let position = |i: usize| (i / self.lanes * self.phases + phase) * self.lanes + i % self.lanes;
                let positions = self.counts.positions;
                good &= lower(self.terms, &mut values[at.clone()], &seconds[at], |i| of_row * positions[position(i)]);
            }
        }
        good
    }
}

#[inline(always)]
fn lower<F: Terms>(terms: F, values: &mut [f64], seconds: &[F::Second], n: impl Fn(usize) -> f64) -> bool {
    const LANES: usize = 32;
    let mut bad = [0u64; LANES];
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    let (second_blocks, second_rest) = seconds.as_chunks::<LANES>();
    let done = blocks.len() * LANES;
    for (at, (values, seconds)) in blocks.iter_mut().zip(second_blocks).enumerate() {
        for l in 0..LANES {
            values[l] = terms.lower(values[l], seconds[l], n(at * LANES + l));
            bad[l] |= u64::from(values[l].to_bits() == NOT_GOOD.to_bits());
        }
    }
    for (l, (value, &second)) in rest.iter_mut().zip(second_rest).enumerate() {
        *value = terms.lower(*value, second, n(done + l));
        bad[l] |= u64::from(value.to_bits() == NOT_GOOD.to_bits());
    }
    bad.iter().all(|&bad| bad == 0)
}

/// The NaN that stands for a statistic that its sums are not good enough for.
pub(crate) const NOT_GOOD: f64 = f64::from_bits(0x7ff8_0000_0000_0bad);
