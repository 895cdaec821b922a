//! The work of pooling tokens channel by channel, shared out among tasks.

use std::ops::Range;

use super::To;
use super::softmax::zeros;
use super::tokens::valid;
use crate::engine::reserve;
use crate::error::Result;
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Channels that are pooled together: what is kept of them stays in the L1 cache.
const STRIP: usize = 1024;
/// Numbers of a task, roughly: 2 to 5 ms.
const WORK: usize = 1 << 22;
/// Numbers below which samples share a task.
const LITTLE: usize = 1 << 14;

/// Samples, each in strips of channels and parts of tokens. Small samples go together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    shape: [usize; 3],
    group: usize,
    strips: usize,
    pub parts: usize,
    /// Tokens of a part.
    each: usize,
}

/// What is worked on at a time.
pub(super) struct Share {
    pub sample: usize,
    pub part: usize,
    pub tokens: Range<usize>,
    pub channels: Range<usize>,
}

/// The work buffers of a thread that adds up tokens.
pub(super) struct Buffers<C> {
    /// The valid tokens of the share.
    pub tokens: Vec<usize>,
    pub rows: [Vec<C>; 4],
    pub first: Vec<f64>,
    sums: Vec<f64>,
}

impl<C> Default for Buffers<C> {
    fn default() -> Self {
        Self { tokens: Vec::new(), rows: [const { Vec::new() }; 4], first: Vec::new(), sums: Vec::new() }
    }
}

impl Shares {
    pub fn new(shape: [usize; 3]) -> Self {
        let [_, tokens, width] = shape;
        let parts = tokens.saturating_mul(width.min(STRIP)).div_ceil(WORK).max(1);
        let each = tokens.div_ceil(parts).max(1);
        let group = (LITTLE / tokens.saturating_mul(width).max(1)).max(1);
        Self { shape, group, strips: width.div_ceil(STRIP), parts: tokens.div_ceil(each), each }
    }

    /// The tokens of a part.
    pub fn tokens(&self, part: usize) -> Range<usize> {
        part * self.each..((part + 1) * self.each).min(self.shape[1])
    }

    /// Runs `task` for every share. A number takes `bytes` to read or write.
    pub fn run<S>(
        &self,
        parallel: &Parallel<'_>,
        bytes: usize,
        state: impl Fn() -> S + Sync,
        task: impl Fn(&mut S, &Share) -> Result<()> + Sync,
    ) -> Result<()> {
        let [samples, _, width] = self.shape;
        let task = |state: &mut S, index: usize| {
            let (strip, part) = (index % self.strips, index / self.strips % self.parts);
            let first = index / self.strips / self.parts * self.group;
            for sample in first..(first + self.group).min(samples) {
                let tokens = self.tokens(part);
                let channels = strip * STRIP..((strip + 1) * STRIP).min(width);
                task(state, &Share { sample, part, tokens, channels })?;
            }
            Ok(())
        };
        let traffic = self.shape.into_iter().fold(bytes, usize::saturating_mul);
        parallel.run(samples.div_ceil(self.group) * self.parts * self.strips, traffic, state, task, drop)
    }

    /// Has `task` compute `lanes` numbers, from zeros on, for every channel of every part of every sample, which are
    /// returned in this order. `mask` says which tokens the buffers list.
    pub fn collect<C: Send>(
        &self,
        lanes: usize,
        mask: Option<&[bool]>,
        parallel: &Parallel<'_>,
        task: impl Fn(&mut Buffers<C>, &Share, &mut [f64]) -> Result<()> + Sync,
    ) -> Result<Vec<f64>> {
        let [samples, _, width] = self.shape;
        let mut collected = zeros(samples * self.parts * lanes * width)?;
        let to = Raw::of(&mut collected);
        self.sum(lanes, mask, parallel, task, |share, sums| {
            let n = share.channels.len();
            for (lane, sums) in sums.chunks_exact(n).enumerate() {
                let row = (share.sample * self.parts + share.part) * lanes + lane;
                to.scatter((row * width + share.channels.start) as isize, 1, n, |j| sums[j]);
            }
        })?;
        Ok(collected)
    }

    /// Has `task` compute `lanes` numbers, from zeros on, for every channel of a share, and `take` do something with them.
    fn sum<C: Send>(
        &self,
        lanes: usize,
        mask: Option<&[bool]>,
        parallel: &Parallel<'_>,
        task: impl Fn(&mut Buffers<C>, &Share, &mut [f64]) -> Result<()> + Sync,
        take: impl Fn(&Share, &mut [f64]) + Sync,
    ) -> Result<()> {
        self.run(parallel, size_of::<C>(), Buffers::default, |buffers, share| {
            let n = lanes * share.channels.len();
            let mut sums = std::mem::take(&mut buffers.sums);
            reserve(&mut sums, n)?;
            sums[..n].fill(0.0);
            valid(mask, (share.sample, self.shape[1]), share.tokens.clone(), &mut buffers.tokens)?;
            task(buffers, share, &mut sums[..n])?;
            take(share, &mut sums[..n]);
            buffers.sums = sums;
            Ok(())
        })
    }

    /// Has `task` sum every channel of every part of every sample, and `take` do something with the sums of some channels of a
    /// sample: with what is summed in one part, in the thread that summed it.
    pub fn sum_up<C: Send>(
        &self,
        mask: Option<&[bool]>,
        parallel: &Parallel<'_>,
        task: impl Fn(&mut Buffers<C>, &Share, &mut [f64]) -> Result<()> + Sync,
        take: impl Fn(usize, usize, &mut [f64]) + Sync,
    ) -> Result<()> {
        if self.parts == 1 {
            let take = |share: &Share, sums: &mut [f64]| take(share.sample, share.channels.start, sums);
            return self.sum(1, mask, parallel, task, take);
        }
        let mut sums = self.summed(self.collect(1, mask, parallel, task)?)?;
        sums.chunks_exact_mut(self.shape[2].max(1)).enumerate().for_each(|(sample, sums)| take(sample, 0, sums));
        Ok(())
    }

    /// Sums what was collected, in one lane, over the parts of each sample, in order.
    pub fn summed(&self, collected: Vec<f64>) -> Result<Vec<f64>> {
        let [samples, _, width] = self.shape;
        if self.parts == 1 {
            return Ok(collected);
        }
        let mut sums = zeros(samples * width)?;
        for (sums, parts) in sums.chunks_exact_mut(width).zip(collected.chunks_exact(width * self.parts)) {
            for part in parts.chunks_exact(width) {
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        Ok(sums)
    }

    /// Writes an array of this shape: `fill` is given the row of each token, zeros, unless the mask leaves the token out.
    pub fn write<S: Default>(
        &self,
        mask: Option<&[bool]>,
        (writer, strides): To<'_, f64>,
        parallel: &Parallel<'_>,
        fill: impl Fn(&mut S, &Share, usize, &mut [f64]) -> Result<()> + Sync,
    ) -> Result<()> {
        let len = self.shape[1];
        self.run(parallel, 8, <(Vec<f64>, S)>::default, |(row, state), share| {
            let n = share.channels.len();
            reserve(row, n)?;
            for token in share.tokens.clone() {
                row[..n].fill(0.0);
                if mask.is_none_or(|mask| mask[share.sample * len + token]) {
                    fill(state, share, token, &mut row[..n])?;
                }
                let index = [share.sample, token, share.channels.start];
                let offset = index.into_iter().zip(strides).map(|(at, stride)| at as isize * stride).sum();
                writer.write(offset, strides[2], &row[..n]);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_number_once() {
        for shape in [[3, 5, 7], [1, 9000, 1030], [40_000, 1, 1], [2, 1, 2500], [0, 4, 4]] {
            let cells = shape.iter().product();
            let mut seen = vec![0u8; cells];
            let to = Raw::of(&mut seen);
            let shares = Shares::new(shape);
            let mark = |(): &mut (), share: &Share| {
                for token in share.tokens.clone() {
                    let at = (share.sample * shape[1] + token) * shape[2] + share.channels.start;
                    let mut before = vec![0; share.channels.len()];
                    to.gather(at as isize, 1, &mut before, |x| x);
                    to.scatter(at as isize, 1, before.len(), |j| before[j] + 1);
                }
                Ok(())
            };
            shares.run(&Parallel::default(), 1, || (), mark).unwrap();
            assert!(seen.iter().all(|&times| times == 1), "{shape:?}");
        }
    }
}
