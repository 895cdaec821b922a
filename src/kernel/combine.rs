//! The primitive under every pass: runs of cells combined element by element.

use super::dispatch::Kernel;
use crate::reduce::Monoid;
use crate::vector::Vectors;

/// Reads runs of a source.
#[derive(Clone, Copy)]
pub(crate) struct From<'a, M: Monoid> {
    pub values: &'a [M::Value],
    pub tags: &'a [M::Tag],
}

impl<M: Monoid> From<'_, M> {
    /// A block of `N` neighbours.
    #[inline(always)]
    pub fn load<const N: usize>(&self, at: usize) -> ([M::Value; N], [M::Tag; N]) {
        (block(self.values, at), block(self.tags, at))
    }
}

/// `N` neighbours. Of what has no size there is nothing to read, nor a bound to check.
#[inline(always)]
fn block<T: Copy + Default, const N: usize>(from: &[T], at: usize) -> [T; N] {
    let mut block = [T::default(); N];
    if const { size_of::<T>() > 0 } {
        block.copy_from_slice(&from[at..at + N]);
    }
    block
}

/// Writes runs of a destination.
pub(crate) struct Into<'a, M: Monoid> {
    pub values: &'a mut [M::Value],
    pub tags: &'a mut [M::Tag],
}

impl<M: Monoid> Into<'_, M> {
    /// Sets a block of `N` neighbours.
    #[inline(always)]
    pub fn store<const N: usize>(&mut self, at: usize, values: &[M::Value; N], tags: &[M::Tag; N]) {
        self.values[at..at + N].copy_from_slice(values);
        if const { size_of::<M::Tag>() > 0 } {
            self.tags[at..at + N].copy_from_slice(tags);
        }
    }
}

/// Sets runs of `n` values of `into` to the runs of `from` that begin at `taps`, merged in order; without taps, to the
/// identity.
pub(crate) struct Combine<'a, M: Monoid> {
    pub from: From<'a, M>,
    pub taps: &'a [usize],
    pub into: Into<'a, M>,
    /// Where the first run is written.
    pub to: usize,
    pub n: usize,
    /// Each run consists of rows of so many values, and taps are apart by whole rows.
    pub width: usize,
    /// How many runs there are, and as many again further on.
    pub runs: [Repeat; 2],
}

/// How often something is done, and the ways from one time to the next.
#[derive(Clone, Copy)]
pub(crate) struct Repeat {
    pub times: usize,
    pub from: usize,
    pub to: usize,
}

impl Repeat {
    pub const ONCE: Self = Self { times: 1, from: 0, to: 0 };
}

impl<M: Monoid> Kernel for Combine<'_, M> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        /// Bytes that stay in the nearest cache while the next rows are combined.
        const NEAR: usize = 16 << 10;
        // Strip by strip, what the taps of one row share with those of the next is still there.
        let strip = const { 256 / size_of::<M::Value>() };
        let near = self.n * size_of::<M::Value>() <= NEAR || self.width < 2 * strip || self.taps.len() < 2;
        let (width, strip) = if near { (self.n, self.n) } else { (self.width, strip) };
        let [outer, inner] = self.runs;
        for (i, j) in (0..outer.times).flat_map(|i| (0..inner.times).map(move |j| (i, j))) {
            let (from, to) = (i * outer.from + j * inner.from, self.to + i * outer.to + j * inner.to);
            for left in (0..width).step_by(strip.max(1)) {
                for at in (left..self.n).step_by(width) {
                    self.row(from + at, to + at, strip.min(width - left).min(self.n - at));
                }
            }
        }
    }
}

impl<M: Monoid> Combine<'_, M> {
    /// Blocks of results stay in registers over all taps. The last block overlaps the one before instead of leaving a tail.
    #[inline(always)]
    fn row(&mut self, base: usize, to: usize, n: usize) {
        // Four vectors of 64 bytes a block, so that the way from tap to tap is walked once for all of them; less for the rest.
        match const { size_of::<M::Value>() } {
            1 => self.blocks::<128, 32, 8>(base, to, n),
            2 => self.blocks::<64, 32, 8>(base, to, n),
            4 => self.blocks::<64, 16, 4>(base, to, n),
            _ => self.blocks::<32, 8, 2>(base, to, n),
        }
    }

    #[inline(always)]
    fn blocks<const LONG: usize, const MIDDLE: usize, const SHORT: usize>(&mut self, base: usize, to: usize, n: usize) {
        let mut at = 0;
        while at + LONG <= n {
            self.block::<LONG>(base + at, to + at);
            at += LONG;
        }
        if n >= MIDDLE {
            while at < n {
                let begin = at.min(n - MIDDLE);
                self.block::<MIDDLE>(base + begin, to + begin);
                at += MIDDLE;
            }
        } else if n >= SHORT {
            while at < n {
                let begin = at.min(n - SHORT);
                self.block::<SHORT>(base + begin, to + begin);
                at += SHORT;
            }
        } else {
            while at < n {
                self.block::<1>(base + at, to + at);
                at += 1;
            }
        }
    }

    #[inline(always)]
    fn block<const N: usize>(&mut self, base: usize, to: usize) {
        let (mut values, mut tags) = match self.taps.first() {
            Some(tap) => self.from.load::<N>(base + tap),
            None => ([M::identity().0; N], [M::identity().1; N]),
        };
        for tap in self.taps.iter().skip(1) {
            let (later, later_tags) = self.from.load::<N>(base + tap);
            for l in 0..N {
                (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
            }
        }
        self.into.store(to, &values, &tags);
    }
}
