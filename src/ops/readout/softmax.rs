//! Tokens pooled by the softmax of scores, in blocks and in one pass.
//!
//! Scores of a block of tokens are turned into weights as soon as they are known, relative to the largest score so far; when
//! a larger one comes, what was summed is scaled down (online softmax: Milakov and Gimelshein, 2018). So nothing is kept of
//! a token but what it added, and tokens that are masked out are never looked at. Derivatives read the tokens once more:
//! the weights follow from the largest score and the sum of exponentials that the first pass found.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::groups::Groups;
use super::tokens::{Tokens, matrix, matrix_mut, runs, valid};
use crate::element::Real;
use crate::engine::{Writer, reserve};
use crate::error::{Result, try_vec};
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Numbers of a block of tokens, or of its scores: half of it leaves room in a cache of 1 MiB for the rest.
const BLOCK: usize = 1 << 17;
/// Multiplications of a task, roughly: 5 ms.
const WORK: usize = 1 << 28;
/// Numbers that the tasks of a chunk of samples leave behind, roughly.
const CHUNK: usize = 1 << 20;

/// A vector of zeros, or an error.
pub(super) fn zeros<C: Real>(len: usize) -> Result<Vec<C>> {
    let mut values = try_vec(len)?;
    values.resize(len, C::default());
    Ok(values)
}

/// How tokens are scored: a number for each row of the result.
pub(crate) trait Scores<C: Real>: Sync {
    /// Rows of the result of a sample.
    fn rows(&self) -> usize;

    /// Numbers in the cotangent of what scores depend on beside the tokens.
    fn parameters(&self) -> usize;

    /// Multiplications for the scores of a token.
    fn cost(&self) -> usize;

    /// What the scores of a row were divided by, and differences of them are to be multiplied with: a power of two.
    fn power(&self, _sample: usize, _row: usize) -> C {
        C::one()
    }

    /// The same for tangents of scores.
    fn power_of_tangents(&self, _sample: usize, _row: usize) -> C {
        C::one()
    }

    /// The scores of a block of tokens, a row for each row.
    fn score(&self, sample: usize, block: &ArrayView2<'_, C>, scores: ArrayViewMut2<'_, C>) -> Result<()>;

    /// Adds the cotangents of tokens and parameters that follow from those of scores, which it may write over.
    fn pull(
        &self,
        sample: usize,
        block: &ArrayView2<'_, C>,
        d_scores: ArrayViewMut2<'_, C>,
        d_block: ArrayViewMut2<'_, C>,
        d_parameters: &mut [C],
    ) -> Result<()>;

    /// The tangents of scores, from those of tokens, and of parameters which it holds.
    fn push(
        &self,
        sample: usize,
        block: &ArrayView2<'_, C>,
        d_block: &ArrayView2<'_, C>,
        d_scores: ArrayViewMut2<'_, C>,
    ) -> Result<()>;
}

/// A call: tokens, and how they are pooled.
pub(crate) struct Softmax<'a, C, S> {
    tokens: &'a Tokens<C>,
    mask: Option<&'a [bool]>,
    scores: &'a S,
    /// The columns that each row pools.
    groups: Groups,
    /// Tokens of a block, and of a segment, which is the work of a task.
    block: usize,
    segment: usize,
    segments: usize,
}

/// What the first pass finds out about some samples.
pub(crate) struct Pooled<C> {
    samples: Range<usize>,
    /// The pooled tokens: a matrix for each sample.
    pub rows: Vec<C>,
    /// For each row the largest score and the sum of exponentials relative to it.
    most: Vec<C>,
    total: Vec<f64>,
}

/// The work buffers of a thread.
#[derive(Default)]
struct State<C> {
    tokens: Vec<usize>,
    read: Vec<C>,
    read_too: Vec<C>,
    scores: Vec<C>,
    d_scores: Vec<C>,
    d_block: Vec<C>,
    sums: Vec<C>,
    most: Vec<C>,
    total: Vec<f64>,
}

/// Where a task finds its tokens, and where it leaves what it found.
#[derive(Clone, Copy)]
struct Unit {
    /// The sample, and its place in the chunk.
    sample: usize,
    place: usize,
    segment: usize,
}

impl<'a, C: Real, S: Scores<C>> Softmax<'a, C, S> {
    pub fn new(tokens: &'a Tokens<C>, mask: Option<&'a [bool]>, scores: &'a S, groups: Groups) -> Self {
        let [_, len, width] = tokens.layout.shape;
        let rows = scores.rows();
        let blocks = len.div_ceil((BLOCK / width.max(rows).max(1)).clamp(16, 1024));
        let block = len.div_ceil(blocks.max(1)).max(1);
        let cost = scores.cost().saturating_add(rows.saturating_mul(2 * groups.width)).max(1);
        // What a segment leaves behind is at most half of what it reads.
        let left = rows.saturating_mul(groups.width).saturating_add(scores.parameters());
        let least = (2 * (left / width.max(1))).max(256);
        let segments = len.div_ceil((WORK / cost).min(1 << 16).max(least)).max(1);
        let segment = len.div_ceil(segments).max(1).next_multiple_of(block);
        Self { tokens, mask, scores, groups, block, segment, segments: len.div_ceil(segment).max(1) }
    }

    /// Numbers of a row of the result.
    fn width(&self) -> usize {
        self.groups.width
    }

    /// Samples, some at a time: so many that what their tasks leave behind is no more than a few megabytes.
    pub fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<C, S> {
        let left = self.scores.rows().saturating_mul(self.width()).saturating_add(self.scores.parameters());
        let (samples, each) = (self.tokens.layout.shape[0], left.saturating_mul(self.segments).max(1));
        let count = (CHUNK / each).max(1);
        (0..samples).step_by(count).map(move |first| first..(first + count).min(samples))
    }

    /// Runs a task for each segment of some samples.
    fn run(
        &self,
        samples: &Range<usize>,
        parallel: &Parallel<'_>,
        task: impl Fn(&mut State<C>, Unit) -> Result<()> + Sync,
    ) -> Result<()> {
        let units = samples.len() * self.segments;
        let cost = self.scores.cost().saturating_add(self.scores.rows().saturating_mul(2 * self.width()));
        // Memory is read about as fast as eight products are computed.
        let traffic = self.tokens.layout.shape[1]
            .saturating_mul(samples.len())
            .saturating_mul(cost / 8 + self.tokens.layout.shape[2] * 4);
        let unit = |state: &mut State<C>, index: usize| {
            let place = index / self.segments;
            task(state, Unit { sample: samples.start + place, place, segment: index % self.segments })
        };
        parallel.run(units, traffic, State::default, unit, drop)
    }

    /// Runs `visit` on the valid tokens of a segment, a block at a time.
    fn blocks(
        &self,
        state: &mut State<C>,
        unit: Unit,
        mut visit: impl FnMut(&mut State<C>, &[usize], &ArrayView2<'_, C>) -> Result<()>,
    ) -> Result<()> {
        let first = unit.segment * self.segment;
        let range = first..(first + self.segment).min(self.tokens.layout.shape[1]);
        let (mut tokens, mut read) = (std::mem::take(&mut state.tokens), std::mem::take(&mut state.read));
        valid(self.mask, (unit.sample, self.tokens.layout.shape[1]), range, &mut tokens)?;
        for tokens in tokens.chunks(self.block) {
            visit(state, tokens, &self.tokens.block(unit.sample, tokens, &mut read)?)?;
        }
        (state.tokens, state.read) = (tokens, read);
        Ok(())
    }

    /// The first pass: the pooled tokens of some samples.
    pub fn pool(&self, samples: Range<usize>, parallel: &Parallel<'_>) -> Result<Pooled<C>> {
        let (rows, width) = (self.scores.rows(), self.width());
        let units = samples.len() * self.segments;
        let mut parts = Pooled {
            samples: samples.clone(),
            rows: zeros(units * rows * width)?,
            most: zeros(units * rows)?,
            total: zeros(units * rows)?,
        };
        let (sums, most, total) = (Raw::of(&mut parts.rows), Raw::of(&mut parts.most), Raw::of(&mut parts.total));
        self.run(&samples, parallel, |state, unit| {
            for (buffer, len, value) in
                [(&mut state.sums, rows * width, 0.0), (&mut state.most, rows, f64::NEG_INFINITY)]
            {
                reserve(buffer, len)?;
                buffer.fill(C::from_f64(value));
            }
            reserve(&mut state.total, rows)?;
            state.total.fill(0.0);
            self.blocks(state, unit, |state, tokens, block| self.pool_block(state, unit.sample, tokens.len(), block))?;
            let index = (unit.place * self.segments + unit.segment) * rows;
            sums.scatter((index * width) as isize, 1, rows * width, |j| state.sums[j]);
            most.scatter(index as isize, 1, rows, |j| state.most[j]);
            total.scatter(index as isize, 1, rows, |j| state.total[j]);
            Ok(())
        })?;
        self.merge(&parts, parallel)
    }

    fn pool_block(&self, state: &mut State<C>, sample: usize, n: usize, block: &ArrayView2<'_, C>) -> Result<()> {
        let (rows, width) = (self.scores.rows(), self.width());
        let State { scores, sums, most, total, .. } = state;
        reserve(scores, rows * n)?;
        self.scores.score(sample, block, matrix_mut(scores, rows, n))?;
        for (r, scores) in scores[..rows * n].chunks_exact_mut(n).enumerate() {
            let largest = scores.iter().fold(most[r], |most, &score| if score > most { score } else { most });
            let power = self.scores.power(sample, r);
            let scale = relative(most[r], largest, power);
            most[r] = largest;
            total[r] *= scale.to_f64();
            if scale != C::one() {
                sums[r * width..(r + 1) * width].iter_mut().for_each(|sum| *sum = *sum * scale);
            }
            for score in &mut *scores {
                *score = relative(*score, largest, power);
                total[r] += score.to_f64();
            }
        }
        self.groups.gather(&matrix(scores, rows, n), block, sums);
        Ok(())
    }

    /// Puts the segments of each sample together, in order, and divides.
    fn merge(&self, parts: &Pooled<C>, parallel: &Parallel<'_>) -> Result<Pooled<C>> {
        let (count, width) = (self.scores.rows(), self.width());
        let samples = parts.samples.len();
        let mut merged = Pooled {
            samples: parts.samples.clone(),
            rows: zeros(samples * count * width)?,
            most: zeros(samples * count)?,
            total: zeros(samples * count)?,
        };
        let (rows, most, total) = (Raw::of(&mut merged.rows), Raw::of(&mut merged.most), Raw::of(&mut merged.total));
        let task = |sum: &mut Vec<C>, place: usize| {
            reserve(sum, width)?;
            for r in 0..count {
                let pieces = (0..self.segments).map(|segment| (place * self.segments + segment) * count + r);
                let largest = |most, piece: usize| if parts.most[piece] > most { parts.most[piece] } else { most };
                let largest = pieces.clone().fold(C::from_f64(f64::NEG_INFINITY), largest);
                let power = self.scores.power(parts.samples.start + place, r);
                let scale = |piece: usize| relative(parts.most[piece], largest, power);
                let sum_of_all: f64 = pieces.clone().map(|piece| parts.total[piece] * scale(piece).to_f64()).sum();
                let divisor = C::from_f64(divisor(sum_of_all));
                sum.fill(C::default());
                for piece in pieces {
                    let scale = scale(piece);
                    for (sum, &part) in sum.iter_mut().zip(&parts.rows[piece * width..]) {
                        *sum += part * scale;
                    }
                }
                let at = (place * count + r) as isize;
                rows.scatter(at * width as isize, 1, width, |j| sum[j] / divisor);
                most.scatter(at, 1, 1, |_| largest);
                total.scatter(at, 1, 1, |_| sum_of_all);
            }
            Ok(())
        };
        parallel.run(samples, parts.rows.len() * 8, Vec::new, task, drop)?;
        Ok(merged)
    }

    /// The second pass: visits blocks with the weights of their tokens, a row for each row. `d_scores` and `d_block` have room
    /// for as many numbers as there are weights, and as the block has.
    fn weigh(
        &self,
        pooled: &Pooled<C>,
        parallel: &Parallel<'_>,
        begin: impl Fn(&mut State<C>) -> Result<()> + Sync,
        visit: impl Fn(&mut State<C>, Unit, &[usize], &ArrayView2<'_, C>) -> Result<()> + Sync,
        end: impl Fn(&mut State<C>, Unit) -> Result<()> + Sync,
    ) -> Result<()> {
        let rows = self.scores.rows();
        self.run(&pooled.samples, parallel, |state, unit| {
            begin(state)?;
            self.blocks(state, unit, |state, tokens, block| {
                let n = tokens.len();
                for (buffer, len) in
                    [(&mut state.scores, rows * n), (&mut state.d_scores, rows * n), (&mut state.d_block, block.len())]
                {
                    reserve(buffer, len)?;
                }
                self.scores.score(unit.sample, block, matrix_mut(&mut state.scores, rows, n))?;
                for (r, scores) in state.scores[..rows * n].chunks_exact_mut(n).enumerate() {
                    let at = unit.place * rows + r;
                    let (most, divisor) = (pooled.most[at], C::from_f64(divisor(pooled.total[at])));
                    let power = self.scores.power(unit.sample, r);
                    for score in scores {
                        *score = relative(*score, most, power) / divisor;
                    }
                }
                visit(state, unit, tokens, block)
            })?;
            end(state, unit)
        })
    }

    /// Writes the weights of tokens, `(N, heads, queries, L)`.
    pub fn weights(
        &self,
        pooled: &Pooled<C>,
        queries: usize,
        (writer, strides): (&dyn Writer<C>, [isize; 4]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let place = |sample: usize, r: usize, token: usize| {
            let index = [sample, r / queries, r % queries, token];
            index.into_iter().zip(strides).map(|(at, stride)| at as isize * stride).sum()
        };
        let visit = |state: &mut State<C>, unit: Unit, tokens: &[usize], _: &ArrayView2<'_, C>| {
            for (r, weights) in state.scores.chunks_exact(tokens.len()).take(self.scores.rows()).enumerate() {
                for (tokens, weights) in runs(tokens, weights) {
                    writer.write(place(unit.sample, r, tokens[0]), strides[3], weights);
                }
            }
            Ok(())
        };
        let none = [C::default()];
        let end = |state: &mut State<C>, unit: Unit| {
            self.masked(state, unit, |token| {
                (0..self.scores.rows()).for_each(|r| writer.write(place(unit.sample, r, token), 1, &none));
            })
        };
        self.weigh(pooled, parallel, |_| Ok(()), visit, end)
    }

    /// Visits the tokens of a segment that are masked out.
    fn masked(&self, state: &mut State<C>, unit: Unit, mut visit: impl FnMut(usize)) -> Result<()> {
        if self.mask.is_none() {
            return Ok(());
        }
        let first = unit.segment * self.segment;
        let range = first..(first + self.segment).min(self.tokens.layout.shape[1]);
        valid(self.mask, (unit.sample, self.tokens.layout.shape[1]), range.clone(), &mut state.tokens)?;
        let mut taking_part = state.tokens.iter().peekable();
        for token in range {
            if taking_part.next_if(|&&valid| valid == token).is_none() {
                visit(token);
            }
        }
        Ok(())
    }

    /// Writes the cotangents of the tokens of some samples and returns those of parameters, one after the other for each
    /// sample. `d_rows` are the cotangents of the pooled tokens.
    pub fn pull(
        &self,
        pooled: &Pooled<C>,
        d_rows: &[C],
        (writer, strides): (&dyn Writer<C>, [isize; 3]),
        parallel: &Parallel<'_>,
    ) -> Result<Vec<C>> {
        let (rows, size, parameters) =
            (self.scores.rows(), self.scores.rows() * self.width(), self.scores.parameters());
        // The cotangent of a weight, averaged by the weights: since they sum to 1, only the difference to it counts.
        let dot = |(a, b): (&[C], &[C])| C::from_f64(a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum());
        let width = self.width().max(1);
        let means: Vec<C> = d_rows.chunks_exact(width).zip(pooled.rows.chunks_exact(width)).map(dot).collect();
        let mut parts = zeros(pooled.samples.len() * self.segments * parameters)?;
        let left = Raw::of(&mut parts);
        let begin = |state: &mut State<C>| {
            reserve(&mut state.sums, parameters)?;
            state.sums.fill(C::default());
            Ok(())
        };
        let visit = |state: &mut State<C>, unit: Unit, tokens: &[usize], block: &ArrayView2<'_, C>| {
            let n = tokens.len();
            let State { scores, d_scores, d_block, sums, .. } = state;
            let weights = matrix(scores, rows, n);
            let d_rows = &d_rows[unit.place * size..][..size];
            self.groups.against(d_rows, block, C::default(), &mut matrix_mut(d_scores, rows, n));
            for (r, d_scores) in d_scores.chunks_exact_mut(n).take(rows).enumerate() {
                let at = unit.place * rows + r;
                for (d_score, &weight) in d_scores.iter_mut().zip(weights.row(r)) {
                    let alone = takes_all(weight, pooled.total[at]);
                    *d_score = if alone { C::default() } else { weight * (*d_score - means[at]) };
                }
            }
            d_block.fill(C::default());
            self.groups.spread(&weights, d_rows, &mut matrix_mut(d_block, n, block.ncols()));
            let d_scores = matrix_mut(d_scores, rows, n);
            self.scores.pull(unit.sample, block, d_scores, matrix_mut(d_block, n, block.ncols()), sums)?;
            for (&token, d_token) in tokens.iter().zip(d_block.chunks_exact(block.ncols())) {
                writer.write(unit.sample as isize * strides[0] + token as isize * strides[1], strides[2], d_token);
            }
            Ok(())
        };
        let nothing = zeros(self.tokens.layout.shape[2])?;
        let end = |state: &mut State<C>, unit: Unit| {
            let index = (unit.place * self.segments + unit.segment) * parameters;
            left.scatter(index as isize, 1, parameters, |j| state.sums[j]);
            self.masked(state, unit, |token| {
                let offset = unit.sample as isize * strides[0] + token as isize * strides[1];
                writer.write(offset, strides[2], &nothing);
            })
        };
        self.weigh(pooled, parallel, begin, visit, end)?;
        self.summed(parts, parameters)
    }

    /// The tangents of the pooled tokens of some samples, from those of tokens and of what the scores hold.
    pub fn push(&self, pooled: &Pooled<C>, d_tokens: &Tokens<C>, parallel: &Parallel<'_>) -> Result<Vec<C>> {
        let (rows, width) = (self.scores.rows(), self.width());
        let size = rows * width;
        let all = 2 * size + rows; // what follows from tangents of scores, and from those of tokens; means of the former
        let mut parts = zeros(pooled.samples.len() * self.segments * all)?;
        let left = Raw::of(&mut parts);
        let begin = |state: &mut State<C>| {
            reserve(&mut state.sums, all)?;
            state.sums.fill(C::default());
            Ok(())
        };
        let visit = |state: &mut State<C>, unit: Unit, tokens: &[usize], block: &ArrayView2<'_, C>| {
            let n = tokens.len();
            let State { scores, d_scores, sums, read_too, .. } = state;
            let d_block = d_tokens.block(unit.sample, tokens, read_too)?;
            let weights = matrix(scores, rows, n);
            let (of_scores, sums) = sums.split_at_mut(size);
            let (of_tokens, means) = sums.split_at_mut(size);
            self.scores.push(unit.sample, block, &d_block, matrix_mut(d_scores, rows, n))?;
            for (r, d_scores) in d_scores.chunks_exact_mut(n).take(rows).enumerate() {
                let total = pooled.total[unit.place * rows + r];
                for (d_score, &weight) in d_scores.iter_mut().zip(weights.row(r)) {
                    *d_score = if takes_all(weight, total) { C::default() } else { *d_score * weight };
                    means[r] += *d_score;
                }
            }
            self.groups.gather(&matrix(d_scores, rows, n), block, of_scores);
            self.groups.gather(&weights, &d_block, of_tokens);
            Ok(())
        };
        let end = |state: &mut State<C>, unit: Unit| {
            let index = (unit.place * self.segments + unit.segment) * all;
            left.scatter(index as isize, 1, all, |j| state.sums[j]);
            Ok(())
        };
        self.weigh(pooled, parallel, begin, visit, end)?;
        let sums = self.summed(parts, all)?;
        let mut tangents = zeros(pooled.samples.len() * size)?;
        for (place, sums) in sums.chunks_exact(all.max(1)).enumerate() {
            let (of_scores, of_tokens, means) = (&sums[..size], &sums[size..2 * size], &sums[2 * size..]);
            let to = place * size..(place + 1) * size;
            for (j, (tangent, row)) in tangents[to.clone()].iter_mut().zip(&pooled.rows[to]).enumerate() {
                let power = self.scores.power_of_tangents(pooled.samples.start + place, j / width);
                *tangent = of_tokens[j] + (of_scores[j] - means[j / width] * *row) * power;
            }
        }
        Ok(tangents)
    }

    /// Sums over the segments of each sample, in order.
    fn summed(&self, parts: Vec<C>, each: usize) -> Result<Vec<C>> {
        if self.segments == 1 || each == 0 {
            return Ok(parts);
        }
        let mut sums = zeros(parts.len() / self.segments)?;
        for (sums, parts) in sums.chunks_exact_mut(each).zip(parts.chunks_exact(each * self.segments)) {
            for part in parts.chunks_exact(each) {
                sums.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
            }
        }
        Ok(sums)
    }
}

/// `exp(power (score - most))`; 0 for a score of minus infinity, also where no other is larger.
#[inline(always)]
fn relative<C: Real>(score: C, most: C, power: C) -> C {
    (power * if most.to_f64() == f64::NEG_INFINITY { score } else { score - most }).exp()
}

/// Whether no other token has a weight. Then nothing depends on the score, and rounding must not pretend that it does.
#[inline(always)]
fn takes_all<C: Real>(weight: C, total: f64) -> bool {
    total == 1.0 && weight == C::one()
}

/// What sums are divided by: rows without a valid token are zeros.
fn divisor(total: f64) -> f64 {
    if total == 0.0 { 1.0 } else { total }
}
