//! The spans of a sliding window seen from the other side: for each input position, the outputs that cover it.

use super::arithmetic::{gcd, inverse};
use super::{Pattern, Regular, Span};

/// Output `o` covers input `i` where `o * stride = i + before - t * dilation` for some `t < kernel`: an arithmetic
/// progression of outputs, `dilation / gcd(stride, dilation)` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transposed {
    pub of: Regular,
    /// `gcd(stride, dilation)`.
    common: usize,
    /// Distance between the outputs that cover one input.
    step: usize,
    /// The inverse of `stride / common` modulo `step`.
    inverse: usize,
}

impl Transposed {
    pub fn new(of: Regular) -> Self {
        let common = gcd(of.stride, of.dilation);
        let step = of.dilation / common;
        Self { of, common, step, inverse: inverse(of.stride / common, step) }
    }

    pub fn at(&self, i: usize) -> Span {
        let Regular { len_out, kernel, stride, dilation, before, .. } = self.of;
        let none = Span { start: 0, len: 0, step: self.step };
        let Some(position) = i.checked_add_signed(before).filter(|position| position.is_multiple_of(self.common))
        else {
            return none;
        };
        let residue = (((position / self.common) as u128 * self.inverse as u128) % self.step as u128) as usize;
        let least = position.saturating_sub((kernel - 1) * dilation).div_ceil(stride);
        let most = (position / stride).min(len_out - 1);
        let start = least + (residue + self.step - least % self.step) % self.step;
        if least > most || start > most {
            none
        } else {
            Span { start, len: (most - start) / self.step + 1, step: self.step }
        }
    }

    /// The same spans as a window that slides, where the stride is 1.
    pub fn sliding(&self) -> Option<Regular> {
        let Regular { len_in, len_out, kernel, stride, dilation, before, .. } = self.of;
        let before = ((kernel - 1) * dilation) as isize - before;
        let after = len_in.saturating_add_signed(((kernel - 1) * dilation) as isize - before).saturating_sub(len_out);
        (stride == 1).then_some(Regular { len_in: len_out, len_out: len_in, kernel, stride, dilation, before, after })
    }

    /// Which cell of output `o` of the windows input `i` is.
    pub fn tap(&self, i: usize, o: usize) -> usize {
        i.saturating_add_signed(self.of.before).saturating_sub(o * self.of.stride) / self.of.dilation
    }

    /// How that changes from one covering output to the next.
    pub fn tap_step(&self) -> isize {
        -((self.step * self.of.stride / self.of.dilation) as isize)
    }

    pub fn step(&self) -> usize {
        self.step
    }

    pub fn max_len(&self) -> usize {
        let Regular { kernel, stride, dilation, len_out, .. } = self.of;
        (((kernel - 1) * dilation / stride) / self.step + 1).min(len_out)
    }

    pub fn pattern(&self) -> Pattern {
        let Regular { kernel, stride, dilation, before, .. } = self.of;
        let taps = (0..stride)
            .map(|i| {
                let at = |t: usize| i as isize + before - (t * dilation) as isize;
                (0..kernel).rev().map(at).filter(|a| a % stride as isize == 0).map(|a| a / stride as isize).collect()
            })
            .collect();
        Pattern { outputs: stride, inputs: 1, taps }
    }
}
