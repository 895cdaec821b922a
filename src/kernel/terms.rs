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
    #[inline(always)]
    fn watch(self, _: f64) -> f64 {
        0.0
    }

    /// Whether the sums of cells of which so much was seen are as good as those of each window by itself.
    #[inline(always)]
    fn is_safe(self, seen: f64) -> bool {
        seen == 0.0
    }

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
                in_blocks(values, seconds, |_, values, seconds| {
                    for l in 0..LANES {
                        let watched = self.terms.watch(values[l]);
                        seen[l] = if watched > seen[l] { watched } else { seen[l] };
                        (values[l], seconds[l]) = self.terms.of(values[l]);
                    }
                });
            }
        }
        self.terms.is_safe(seen.iter().fold(0.0, |most: f64, &seen| most.max(seen)))
    }
}

/// Turns sums into statistics, in place; returns whether all of them are good enough.
pub(crate) struct FromTerms<'a, F: Terms> {
    pub terms: F,
    pub values: &'a mut [f64],
    pub seconds: &'a mut [F::Second],
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
        let (cells, counts) = (self.positions.div_ceil(self.phases) * self.lanes, self.counts);
        let mut bad = [0u64; LANES];
        for phase in 0..self.phases {
            // Phases may end beyond the last result: there nothing is written.
            let held = self.positions.saturating_sub(phase).div_ceil(self.phases) * self.lanes;
            let positions = counts.positions.chunks(self.lanes).skip(phase).step_by(self.phases);
            let positions: Vec<f64> = positions.flatten().copied().collect();
            for row in 0..self.rows {
                let of_row = counts.rows.get(row).copied().unwrap_or(1.0);
                let at = row * self.row + phase * cells;
                let (values, seconds) = (&mut self.values[at..at + held], &mut self.seconds[at..at + held]);
                in_blocks(values, seconds, |at, values, seconds| {
                    let positions = positions.get(at..).unwrap_or(&[]);
                    // As with values, those that fill a block up are the first.
                    let mut n = [of_row * positions.first().unwrap_or(&1.0); LANES];
                    for (n, count) in n.iter_mut().zip(positions) {
                        *n = of_row * count;
                    }
                    for l in 0..LANES {
                        values[l] = self.terms.lower(values[l], seconds[l], n[l]);
                        bad[l] |= u64::from(values[l].to_bits() == NOT_GOOD.to_bits());
                    }
                });
            }
        }
        bad.iter().all(|&bad| bad == 0)
    }
}

/// Values that are worked on together: enough of them that none waits for another.
const LANES: usize = 16;

/// Calls `each` with every block of a run of values: with its place, and the last one filled up with copies of its first value.
/// (From one place only, so that it is compiled into the caller, for the caller's CPU level.)
#[inline(always)]
fn in_blocks<S: Copy>(
    values: &mut [f64],
    seconds: &mut [S],
    mut each: impl FnMut(usize, &mut [f64; LANES], &mut [S; LANES]),
) {
    for (at, (values, seconds)) in values.chunks_mut(LANES).zip(seconds.chunks_mut(LANES)).enumerate() {
        let (mut block, mut second_block) = ([values[0]; LANES], [seconds[0]; LANES]);
        let whole = values.len() == LANES;
        if whole {
            block.copy_from_slice(values);
            second_block.copy_from_slice(seconds);
        } else {
            block[..values.len()].copy_from_slice(values);
            second_block[..seconds.len()].copy_from_slice(seconds);
        }
        each(at * LANES, &mut block, &mut second_block);
        if whole {
            values.copy_from_slice(&block);
            seconds.copy_from_slice(&second_block);
        } else {
            values.copy_from_slice(&block[..values.len()]);
            seconds.copy_from_slice(&second_block[..seconds.len()]);
        }
    }
}

/// The NaN that stands for a statistic that its sums are not good enough for.
pub(crate) const NOT_GOOD: f64 = f64::from_bits(0x7ff8_0000_0000_0bad);
