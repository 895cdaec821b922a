//! Tokens chosen one for each channel: the largest, the first, the last.
//!
//! What is found is the number of the token, from which both the value and its gradient follow.

use super::To;
use super::shares::{Share, Shares};
use super::tokens::{Layout, valid};
use crate::element::{Element, Ordered, same};
use crate::engine::reserve;
use crate::error::{PoolError, Result, try_vec};
use crate::kernel::dispatch::{Kernel, Level};
use crate::parallel::Parallel;
use crate::strided::Raw;
use crate::vector::Vectors;

/// Which token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choose {
    /// The first of equals, and the first NaN.
    Max,
    First,
    Last,
}

/// Stands for the token of a sample without a valid one.
const NONE: u32 = u32::MAX;

/// The number of the chosen token, for each channel of each sample.
pub(crate) struct Chosen {
    shape: [usize; 3],
    tokens: Vec<u32>,
}

/// Takes what is larger, and the first NaN.
struct Larger<'a, O> {
    token: u32,
    row: &'a [O],
    most: &'a mut [O],
    chosen: &'a mut [u32],
}

#[inline(always)]
fn beats<O: Ordered>(new: O, old: O) -> bool {
    (new > old) | (new.is_nan() & !old.is_nan())
}

impl<O: Ordered> Kernel for Larger<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for ((&new, most), chosen) in self.row.iter().zip(self.most).zip(self.chosen) {
            let beats = beats(new, *most);
            *most = if beats { new } else { *most };
            *chosen = if beats { self.token } else { *chosen };
        }
    }
}

impl Chosen {
    /// Refuses more tokens than numbers tell apart.
    pub fn expect_few(tokens: usize) -> Result<()> {
        if tokens >= NONE as usize {
            return Err(PoolError::value("x", tokens, "tokens are too many to tell apart: give fewer than 2**32 - 1"));
        }
        Ok(())
    }

    /// Finds the chosen tokens of an array `(N, L, D)`.
    pub fn new<T: Element>(
        (x, layout): (Raw<T>, Layout),
        mask: Option<&[bool]>,
        choose: Choose,
        parallel: &Parallel<'_>,
    ) -> Result<Self> {
        let [samples, len, width] = layout.shape;
        Self::expect_few(len)?;
        let tokens = match choose {
            Choose::Max => largest(x, layout, mask, parallel)?,
            Choose::First | Choose::Last => {
                let mut tokens = try_vec(samples * width)?;
                for sample in 0..samples {
                    let valid = mask.map(|mask| &mask[sample * len..(sample + 1) * len]);
                    let token = match (choose, valid) {
                        (Choose::Last, None) => Some(len - 1),
                        (Choose::Last, Some(valid)) => valid.iter().rposition(|valid| *valid),
                        (_, None) => Some(0),
                        (_, Some(valid)) => valid.iter().position(|valid| *valid),
                    };
                    tokens.resize(tokens.len() + width, token.map_or(NONE, |token| token as u32));
                }
                tokens
            }
        };
        Ok(Self { shape: layout.shape, tokens })
    }

    /// Writes the chosen cells of an array, `(N, D)`, as they are or as floats; zeros where there is none.
    pub fn take<T: Element, Y: Element>(
        &self,
        (x, from): (Raw<T>, Layout),
        (y, to): (Raw<Y>, [isize; 2]),
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let [samples, _, width] = self.shape;
        let task = |(): &mut (), sample: usize| {
            for (channel, &token) in self.tokens[sample * width..(sample + 1) * width].iter().enumerate() {
                let mut cell = [T::default()];
                if token != NONE {
                    x.gather(from.offset(sample, token as usize, channel), 1, &mut cell, |x| x);
                }
                let cell = same(&cell[0]).unwrap_or_else(|| Y::from_f64(cell[0].to_f64()));
                y.scatter(sample as isize * to[0] + channel as isize * to[1], 1, 1, |_| cell);
            }
            Ok(())
        };
        parallel.run(samples, samples.saturating_mul(width).saturating_mul(16), || (), task, drop)
    }

    /// Writes the cotangent of the tokens from that of the result, `(N, D)` in C order.
    pub fn pull(&self, dy: &[f64], dx: To<'_, f64>, parallel: &Parallel<'_>) -> Result<()> {
        let [_, _, width] = self.shape;
        Shares::new(self.shape).write(None, dx, parallel, |(): &mut (), share, token, row| {
            let from = share.sample * width + share.channels.start;
            for ((dx, &chosen), dy) in row.iter_mut().zip(&self.tokens[from..]).zip(&dy[from..]) {
                *dx = if chosen == token as u32 { *dy } else { 0.0 };
            }
            Ok(())
        })
    }
}

/// The work buffers of a thread.
#[derive(Default)]
struct State<O> {
    tokens: Vec<usize>,
    row: Vec<O>,
    most: Vec<O>,
    chosen: Vec<u32>,
}

/// The largest of the tokens, for each channel of each sample.
fn largest<T: Element>(x: Raw<T>, layout: Layout, mask: Option<&[bool]>, parallel: &Parallel<'_>) -> Result<Vec<u32>> {
    let [samples, len, width] = layout.shape;
    let (shares, level) = (Shares::new(layout.shape), Level::current());
    let mut found = try_vec(samples * shares.parts * width)?;
    found.resize(samples * shares.parts * width, NONE);
    let to = Raw::of(&mut found);
    let find = |state: &mut State<T::Order>, share: &Share| {
        let n = share.channels.len();
        valid(mask, (share.sample, len), share.tokens.clone(), &mut state.tokens)?;
        reserve(&mut state.row, n)?;
        reserve(&mut state.most, n)?;
        reserve(&mut state.chosen, n)?;
        let read = |token: usize, row: &mut [T::Order]| {
            let offset = layout.offset(share.sample, token, share.channels.start);
            x.gather(offset, layout.strides[2], row, T::to_order);
        };
        let Some((&first, others)) = state.tokens.split_first() else { return Ok(()) };
        read(first, &mut state.most[..n]);
        state.chosen.fill(first as u32);
        for &token in others {
            read(token, &mut state.row[..n]);
            let (row, most, chosen) = (&state.row[..n], &mut state.most[..n], &mut state.chosen[..n]);
            level.run(Larger { token: token as u32, row, most, chosen });
        }
        let row = share.sample * shares.parts + share.part;
        to.scatter((row * width + share.channels.start) as isize, 1, n, |j| state.chosen[j]);
        Ok(())
    };
    shares.run(parallel, size_of::<T>(), State::default, find)?;
    if shares.parts == 1 { Ok(found) } else { merged(x, layout, &found, shares.parts) }
}

/// Chooses among what the parts of each sample have chosen, in order.
fn merged<T: Element>(x: Raw<T>, layout: Layout, found: &[u32], parts: usize) -> Result<Vec<u32>> {
    let [samples, _, width] = layout.shape;
    let mut chosen = try_vec(samples * width)?;
    for sample in 0..samples {
        for channel in 0..width {
            let order = |token: u32| {
                let mut cell = [T::Order::default()];
                x.gather(layout.offset(sample, token as usize, channel), 1, &mut cell, T::to_order);
                cell[0]
            };
            let better = |best: u32, new: u32| if best == NONE || beats(order(new), order(best)) { new } else { best };
            let of_parts = (0..parts).map(|part| found[(sample * parts + part) * width + channel]);
            chosen.push(of_parts.filter(|&token| token != NONE).fold(NONE, better));
        }
    }
    Ok(chosen)
}
