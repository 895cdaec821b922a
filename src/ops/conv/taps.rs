//! One axis of a correlation: which cells of the input each position multiplies with which weights.
//!
//! A strided correlation and its gradient in the input are of one form. Forwards, position `o` multiplies tap `t` with cell
//! `o s - lo + t d`. Backwards, a cell takes part in the windows whose taps hit it, and cells that are a stride apart are
//! hit by the same taps: such a *phase* of the cells is a correlation of the cotangents, with every so many a tap and a
//! stride of 1. So nothing is scattered, and every cell of the gradient is written once.
//!
//! ```text
//! kernel 3, stride 2, padding 1:  windows (. 0 1) (1 2 3) (3 4 .)
//! cells 0 2 4: tap 1 of windows 0 1 2;   cells 1 3: taps 0 and 2 of windows 1 0 and 2 1
//! ```

use crate::spans::{Regular, gcd};

/// Position `p` multiplies weight `kernel_first + j kernel_step` with cell `p step + first + j tap_step`, for `j < kernel`;
/// cells that do not lie in `0..cells` are 0. Its sum belongs to place `out_first + p out_step` of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taps {
    pub positions: usize,
    pub step: isize,
    pub first: isize,
    pub kernel: usize,
    pub tap_step: isize,
    pub cells: usize,
    pub kernel_first: usize,
    pub kernel_step: usize,
    pub out_first: usize,
    pub out_step: usize,
}

impl Taps {
    /// An axis that is passed through.
    pub fn through(len: usize) -> Self {
        let forward = Regular { len_in: len, len_out: len, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };
        Self::forward(&forward)
    }

    /// The windows of an axis.
    pub fn forward(window: &Regular) -> Self {
        Self {
            positions: window.len_out,
            step: window.stride as isize,
            first: -window.before,
            kernel: window.kernel,
            tap_step: window.dilation as isize,
            cells: window.len_in,
            kernel_first: 0,
            kernel_step: 1,
            out_first: 0,
            out_step: 1,
        }
    }

    /// The phases of the cells of an axis that are hit by some tap.
    pub fn transposed(window: &Regular) -> Vec<Self> {
        let (s, d) = (window.stride, window.dilation);
        let common = gcd(s, d);
        // Taps that are so far apart hit the same phase, each other tap one of its own.
        let period = s / common;
        let phase = |tap: usize| {
            let reach = (tap * d) as isize - window.before;
            let cell = reach.rem_euclid(s as isize);
            (cell < window.len_in as isize).then(|| Self {
                positions: (window.len_in - cell as usize).div_ceil(s),
                step: 1,
                first: (cell - reach) / s as isize,
                kernel: (window.kernel - tap).div_ceil(period),
                tap_step: -((d / common) as isize),
                cells: window.len_out,
                kernel_first: tap,
                kernel_step: period,
                out_first: cell as usize,
                out_step: s,
            })
        };
        (0..window.kernel.min(period)).filter_map(phase).collect()
    }

    /// The positions whose tap `tap` is a cell, from the first to one past the last.
    pub fn inside(&self, tap: usize) -> (usize, usize) {
        let shift = self.shift(tap);
        let before = |cell: isize| {
            // The positions whose cell is before this one.
            let room = cell - shift;
            if room <= 0 { 0 } else { ((room - 1) / self.step + 1).min(self.positions as isize) as usize }
        };
        (before(0), before(self.cells as isize))
    }

    /// The cell of tap `tap` of position 0, on the axis or not.
    pub fn shift(&self, tap: usize) -> isize {
        self.first + tap as isize * self.tap_step
    }

    /// Whether the axis is passed through as a whole.
    pub fn is_through(&self) -> bool {
        *self == Self::through(self.cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(len_in: usize, kernel: usize, stride: usize, dilation: usize, pad: usize) -> Regular {
        let len_out = (len_in + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        Regular { len_in, len_out, kernel, stride, dilation, before: pad as isize, after: pad }
    }

    /// All triples (place of the result, cell that is read, weight).
    fn products(taps: &Taps) -> Vec<(usize, usize, usize)> {
        let mut products = Vec::new();
        for p in 0..taps.positions {
            for tap in 0..taps.kernel {
                let cell = p as isize * taps.step + taps.shift(tap);
                let (begin, end) = taps.inside(tap);
                assert_eq!((0..taps.cells as isize).contains(&cell), (begin..end).contains(&p), "{taps:?} {p} {tap}");
                if (begin..end).contains(&p) {
                    let weight = taps.kernel_first + tap * taps.kernel_step;
                    products.push((taps.out_first + p * taps.out_step, cell as usize, weight));
                }
            }
        }
        products
    }

    #[test]
    fn phases_are_the_windows_seen_from_the_cells() {
        for (len, kernel, stride, dilation, pad) in
            [(5, 3, 2, 1, 1), (9, 4, 3, 2, 2), (7, 2, 4, 4, 0), (8, 3, 6, 4, 5), (3, 1, 7, 1, 9), (6, 6, 1, 1, 3)]
        {
            let window = window(len, kernel, stride, dilation, pad);
            let mut there: Vec<_> =
                products(&Taps::forward(&window)).into_iter().map(|(o, cell, weight)| (cell, o, weight)).collect();
            let phases = Taps::transposed(&window);
            let mut back: Vec<_> = phases.iter().flat_map(products).collect();
            there.sort_unstable();
            back.sort_unstable();
            assert_eq!(there, back, "{window:?}");
        }
    }
}
