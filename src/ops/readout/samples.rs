//! Samples of tokens: their shape, with which those of masks, parameters and results are compared.

use ndarray::ArrayViewD;

use super::tokens::Layout;
use crate::error::{PoolError, Result, Shape, try_vec};

/// The shape of `x`, `(N, L, D)` or `(L, D)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Samples {
    /// Samples, tokens, and numbers of a token.
    pub shape: [usize; 3],
    /// Whether there is an axis of samples.
    pub batched: bool,
}

impl Samples {
    pub fn new(x: &[usize]) -> Result<Self> {
        let shape = match *x {
            [tokens, width] => [1, tokens, width],
            [samples, tokens, width] => [samples, tokens, width],
            _ => return Err(refused("x", x, "must have 3 axes, (N, L, D), or 2, (L, D)")),
        };
        if shape[1] == 0 {
            return Err(refused("x", x, "must have a token: its second to last axis is empty"));
        }
        Ok(Self { shape, batched: x.len() == 3 })
    }

    /// The first of three axes that is given.
    fn first(&self) -> usize {
        usize::from(!self.batched)
    }

    /// Refuses tokens that cannot be scored.
    pub fn expect_channels(&self) -> Result<()> {
        if self.shape[2] > 0 {
            return Ok(());
        }
        Err(refused("x", &self.shape[self.first()..], "must have channels: its last axis is empty"))
    }

    /// Checks the shape of a mask, which may repeat along an axis: it lacks that, or has one cell there.
    pub fn expect_mask(&self, mask: &[usize]) -> Result<()> {
        let tokens = &self.shape[self.first()..2];
        let fits = |(&own, &len): (&usize, &usize)| own == len || own == 1;
        if mask.len() <= tokens.len() && mask.iter().rev().zip(tokens.iter().rev()).all(fits) {
            return Ok(());
        }
        let rule = format!("must have the shape of x without its last axis, {}, or broadcast to it", Shape(tokens));
        Err(refused("mask", mask, rule))
    }

    /// Whether each token takes part; nothing, if all do.
    pub fn valid(&self, mask: Option<&ArrayViewD<'_, bool>>) -> Result<Option<Vec<bool>>> {
        let Some(mask) = mask else { return Ok(None) };
        self.expect_mask(mask.shape())?;
        let [samples, tokens, _] = self.shape;
        let mut valid = try_vec(samples * tokens)?;
        valid.extend(mask.broadcast((samples, tokens)).expect("its shape was checked"));
        Ok(valid.contains(&false).then_some(valid))
    }

    /// The shape of a result, from that of each sample.
    pub fn result(&self, of_sample: &[usize]) -> Result<Vec<usize>> {
        let samples = self.batched.then_some(&self.shape[0]);
        let shape: Vec<usize> = samples.into_iter().chain(of_sample).copied().collect();
        let cells = shape.iter().try_fold(1usize, |cells, &len| cells.checked_mul(len));
        if cells.is_none_or(|cells| cells > isize::MAX as usize / 8) {
            let result = format!("a result of shape {}", Shape(&shape));
            return Err(PoolError::value("x", result, "is more than an array can hold"));
        }
        Ok(shape)
    }

    /// How tokens with the given strides lie in memory.
    pub fn layout(&self, strides: &[isize]) -> Layout {
        Layout { shape: self.shape, strides: with_samples(strides) }
    }
}

/// The strides of an array that may lack the axis of samples.
pub(crate) fn with_samples<const RANK: usize>(strides: &[isize]) -> [isize; RANK] {
    let mut all = [0; RANK];
    all[RANK - strides.len()..].copy_from_slice(strides);
    all
}

/// An array that has the wrong shape.
pub(super) fn refused(argument: &'static str, shape: &[usize], rule: impl Into<String>) -> PoolError {
    PoolError::value(argument, format!("an array of shape {}", Shape(shape)), rule)
}
