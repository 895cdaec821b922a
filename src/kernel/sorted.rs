//! Order statistics of windows of a few cells, straight from the array: all cells of a block of windows are read, a lane for each
//! window, and sorted by a network of comparisons.

use super::dispatch::Kernel;
use super::source::{Place, Source, Whole};
use super::stage::{Lift, ToOrder};
use super::windows::Segment;
use crate::element::Element;
use crate::modes::{Network, Networks};
use crate::vector::Vectors;

/// `rows of the array -> [rows][results]`, as [`super::windows::Windows`] reads them.
pub(crate) struct Sorted<'a, T: Element> {
    pub source: Whole<ToOrder<T, false>>,
    pub base: Place,
    pub rows: &'a [Place],
    pub ends: &'a [usize],
    pub segments: &'a [Segment],
    /// Results in a row.
    pub row: usize,
    pub networks: &'a Networks,
    pub into: &'a mut [f64],
}

/// The cells of a block of windows, a lane for each.
type Taps<T, const N: usize> = [[<T as Element>::Order; N]; Network::TAPS];

/// Results that begin no further apart are picked out of those that begin at every cell.
const NEAR: isize = 4;

impl<T: Element> Kernel for Sorted<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, vectors: V) {
        match const { size_of::<T::Order>() } {
            1 => self.all::<V, 256, 64>(vectors),
            2 => self.all::<V, 128, 32>(vectors),
            4 => self.all::<V, 64, 16>(vectors),
            _ => self.all::<V, 32, 8>(vectors),
        }
    }
}

impl<T: Element> Sorted<'_, T> {
    /// Long blocks are of four vectors: the cells of one are compared while those of another wait for each other.
    #[inline(always)]
    fn all<V: Vectors, const LONG: usize, const N: usize>(&mut self, vectors: V) {
        /// Results of a row that is too short, and the few that are left of it.
        const SHORT: usize = 4;
        let mut long: Taps<T, LONG> = [[T::Order::default(); LONG]; Network::TAPS];
        let mut taps: Taps<T, N> = [[T::Order::default(); N]; Network::TAPS];
        let mut short: Taps<T, SHORT> = [[T::Order::default(); SHORT]; Network::TAPS];
        let mut single: Taps<T, 1> = [[T::Order::default(); 1]; Network::TAPS];
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let rows = &self.rows[begin..end];
            begin = end;
            for segment in self.segments {
                let to = row * self.row + segment.to;
                let near = (1..=NEAR).contains(&segment.step.offset);
                let cells = (segment.len - 1) * segment.step.offset.unsigned_abs() + 1;
                if near && cells >= LONG {
                    self.segment::<V, 1, LONG>(vectors, rows, segment, to, &mut long);
                } else if near && cells >= N {
                    self.segment::<V, 1, N>(vectors, rows, segment, to, &mut taps);
                } else if segment.len >= SHORT {
                    self.segment::<V, 0, SHORT>(vectors, rows, segment, to, &mut short);
                } else {
                    self.segment::<V, 0, 1>(vectors, rows, segment, to, &mut single);
                }
            }
        }
    }

    /// The results of a segment: if `STEP` is 1, picked out of those of windows that begin at every cell. The last block overlaps
    /// the one before.
    #[inline(always)]
    fn segment<V: Vectors, const STEP: usize, const N: usize>(
        &mut self,
        vectors: V,
        rows: &[Place],
        segment: &Segment,
        to: usize,
        taps: &mut Taps<T, N>,
    ) {
        let every = if const { STEP == 1 } { segment.step.offset.unsigned_abs() } else { 1 };
        let windows = (segment.len - 1) * every + 1;
        for at in (0..windows).step_by(N / every * every) {
            let at = at.min(windows - N);
            let results = self.block::<V, STEP, N>(vectors, rows, segment, at, taps);
            let first = at.div_ceil(every);
            let picked = results.iter().skip(first * every - at).step_by(every);
            self.into[to + first..to + segment.len].iter_mut().zip(picked).for_each(|(into, &y)| *into = y);
        }
    }

    /// The results of `N` windows from number `at` on: of those that begin at every cell if `STEP` is 1, else of the segment's.
    #[inline(always)]
    fn block<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        rows: &[Place],
        segment: &Segment,
        at: usize,
        taps: &mut Taps<T, N>,
    ) -> [f64; N] {
        let way = if const { STEP == 1 } { Place { offset: 1, index: 0 } } else { segment.step };
        let base = way.times(at).after(segment.first).after(self.base);
        let mut seen = [<ToOrder<T, false> as Lift>::Watch::default(); N];
        let mut count = 0;
        for &row in rows {
            let mut place = base.after(row);
            self.source.prefetch::<true>(place.offset, N);
            for _ in 0..segment.taps {
                taps[count] = self.source.load::<V, STEP, N>(vectors, place, way);
                for l in 0..N {
                    seen[l] = ToOrder::<T, false>::watch(seen[l], taps[count][l]);
                }
                count += 1;
                place = place.after(segment.tap_step);
            }
        }
        let mut results = [f64::NAN; N];
        if count == 0 {
            return results;
        }
        let network = self.networks.of(count);
        network.sort(&mut taps[..count]);
        let [lower, upper] = network.places();
        let (lower, upper) = (&taps[lower], &taps[upper]);
        for l in 0..N {
            results[l] = T::from_order(lower[l]).to_f64();
        }
        if !network.chooses() {
            for l in 0..N {
                results[l] = network.blend(results[l], T::from_order(upper[l]).to_f64());
            }
        }
        for l in 0..N {
            results[l] = if ToOrder::<T, false>::special(seen[l]) { f64::NAN } else { results[l] };
        }
        results
    }
}
