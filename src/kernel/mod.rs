//! The row primitives, each a [`dispatch::Kernel`] that runs over one tile.
//!
//! `windows` reduces small windows, and slides along or folds rows, straight from the array, whose cells are those of a
//! `source`; long windows it reads `across`. For all others, `stage` brings strided rows of an array into a work buffer;
//! `combine` and `runs` reduce the buffer along one axis, large windows by way of a `ladder`, windows of pixels with a `sift`,
//! those that begin at every second cell by `alternate`; `finish` writes rows of the result; `route` sends gradients to the cells
//! that won.

pub(crate) mod across;
pub(crate) mod alternate;
pub(crate) mod blur;
pub(crate) mod combine;
pub(crate) mod direct;
pub(crate) mod dispatch;
pub(crate) mod finish;
pub(crate) mod ladder;
pub(crate) mod math;
pub(crate) mod route;
pub(crate) mod runs;
pub(crate) mod sift;
pub(crate) mod sorted;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod terms;
pub(crate) mod windows;

use crate::reduce::Monoid;

/// A work buffer of partial results: the values, and their tags in an array beside them.
pub(crate) struct Cells<M: Monoid> {
    pub values: Vec<M::Value>,
    pub tags: Vec<M::Tag>,
}

impl<M: Monoid> Cells<M> {
    pub fn new() -> Self {
        Self { values: Vec::new(), tags: Vec::new() }
    }

    /// Makes room for `len` cells; what they hold is whatever was there.
    pub fn resize(&mut self, len: usize) -> crate::Result<()> {
        if self.values.len() < len {
            let memory = |_| crate::PoolError::Memory { bytes: len.saturating_mul(size_of::<(M::Value, M::Tag)>()) };
            self.values.try_reserve_exact(len - self.values.len()).map_err(memory)?;
            self.tags.try_reserve_exact(len - self.tags.len()).map_err(memory)?;
            self.values.resize(len, M::Value::default());
            self.tags.resize(len, M::Tag::default());
        }
        Ok(())
    }
}
