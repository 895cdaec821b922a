//! Windows of many cells in few steps: each is put together from smaller windows, and these from smaller ones still.
//!
//! ```text
//! rungs 4:   [0 1 2 3] [4 5 6 7] 8       a sum over 9 cells has three taps
//!            [0 1 2 3] [4 5 6 7]         a maximum may read a cell twice: over 7 cells it has two,
//!                  [3 4 5 6]             that from 0 and that from 3
//! ```
//!
//! Nothing is ever subtracted, so a NaN stays in the windows that hold it and nothing cancels.

use super::combine::{Combine, From, Into, Repeat};
use super::dispatch::Level;
use crate::reduce::Monoid;

/// The sizes of the smaller windows, each a multiple of the one before; none if windows are made of their cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ladder {
    rungs: Vec<usize>,
}

impl Ladder {
    /// The one that costs least, in loads and stores, for `outputs` windows of `len` out of `cells` cells.
    pub fn new(len: usize, cells: usize, outputs: usize) -> Self {
        /// From one rung to the next; more taps than that cost more than another rung.
        const RATIOS: std::ops::RangeInclusive<usize> = 2..=8;
        let mut best = (outputs as f64 * len as f64, Self::default());
        for ratio in RATIOS {
            let mut ladder = Self::default();
            let mut size = ratio;
            while size <= len {
                ladder.rungs.push(size);
                let climbing = ladder.rungs.len() as f64 * cells as f64 * (ratio + 2) as f64;
                let cost = climbing + outputs as f64 * ladder.count(len) as f64;
                if cost < best.0 {
                    best = (cost, ladder.clone());
                }
                size = size.saturating_mul(ratio);
            }
        }
        best.1
    }

    /// Copies of the cells that the rungs and the cells themselves take together.
    pub fn height(&self) -> usize {
        self.rungs.len() + 1
    }

    /// The number of taps of a sum.
    fn count(&self, len: usize) -> usize {
        let each = self.rungs.iter().rev().scan(len, |rest, rung| Some(std::mem::replace(rest, *rest % rung) / rung));
        each.sum::<usize>() + self.rungs.first().map_or(len, |rung| len % rung)
    }

    /// Where a window of `len` cells finds its parts, first cells first: `total` values on, there are the windows of the next
    /// rung. Cells are `step` values apart.
    pub fn taps<M: Monoid>(&self, len: usize, total: usize, step: usize) -> Vec<usize> {
        let (mut taps, mut at) = (Vec::new(), 0);
        for (level, &rung) in self.rungs.iter().enumerate().rev() {
            let base = (level + 1) * total;
            while at + rung <= len {
                taps.push(base + at * step);
                at += rung;
            }
            if M::IDEMPOTENT && at < len && rung <= len {
                taps.push(base + (len - rung) * step);
                return taps;
            }
        }
        taps.extend((at..len).map(|at| at * step));
        taps
    }

    /// Fills the buffer behind the first `total` values with the windows of each rung, from every value on. Those that would
    /// reach past the end are left out; those that reach from one row into the next are of no use to anyone.
    pub fn climb<M: Monoid>(&self, level: Level, cells: &mut Into<'_, M>, total: usize, step: usize) {
        let (mut below, mut begin) = (1, 0);
        for &rung in &self.rungs {
            let (values, above) = cells.values.split_at_mut(begin + total);
            let (tags, above_tags) = cells.tags.split_at_mut(begin + total);
            let taps: Vec<usize> = (0..rung / below).map(|t| begin + t * below * step).collect();
            level.run(Combine {
                from: From::<M> { values, tags },
                taps: &taps,
                into: Into { values: above, tags: above_tags },
                to: 0,
                n: total.saturating_sub((rung - 1) * step),
                width: step,
                runs: [Repeat::ONCE; 2],
            });
            (below, begin) = (rung, begin + total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ladder;
    use crate::reduce::{Max, Monoid, Sum};

    /// How often each cell of a window is read, by way of its taps.
    fn read<M: Monoid>(ladder: &Ladder, len: usize) -> Vec<usize> {
        let (mut times, total) = (vec![0; len], 1 << 20);
        let taps = ladder.taps::<M>(len, total, 1);
        assert!(taps.is_sorted_by_key(|tap| tap % total));
        for tap in taps {
            let size = if tap < total { 1 } else { ladder.rungs[tap / total - 1] };
            (0..size).for_each(|cell| times[tap % total + cell] += 1);
        }
        times
    }

    #[test]
    fn taps_hold_every_cell_of_a_window_once_or_for_a_maximum_at_least_once() {
        for len in (1..200).chain([501, 4096, 99_999]) {
            let ladder = Ladder::new(len, 2 * len, len);
            for clipped in [len, len.div_ceil(2), 1] {
                assert!(read::<Sum<f64>>(&ladder, clipped).iter().all(|&times| times == 1), "{ladder:?} {clipped}");
                assert!(read::<Max<f32>>(&ladder, clipped).iter().all(|&times| times >= 1), "{ladder:?} {clipped}");
            }
            assert!(ladder.count(len) <= 40, "{ladder:?} {len}");
        }
    }

    #[test]
    fn small_windows_are_made_of_their_cells() {
        assert_eq!(Ladder::new(5, 100, 100), Ladder::default());
        assert_eq!(Ladder::new(75, 1000, 60), Ladder::default());
    }
}
