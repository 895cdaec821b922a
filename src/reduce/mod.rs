//! What a window is reduced by: one monoid a file.
//!
//! A [`Monoid`] merges partial results of neighbouring cells, the earlier one first. Kernels need nothing else: the same
//! passes serve every monoid, forwards and on transposed spans.

mod max;
mod sum;

pub(crate) use max::{ArgMax, ArgMaxNan, Max, MaxNan};
pub(crate) use sum::{Addend, Sum};

use crate::element::Position;

/// An associative merge with an identity, over partial results of two parts kept in arrays of their own.
///
/// The second part, `Tag`, travels with the first (a position, a second moment); monoids without one say `()`, whose
/// arrays occupy no memory.
pub(crate) trait Monoid: Copy + Send + Sync + 'static {
    type Value: Copy + Default + Send + Sync + 'static;
    type Tag: Tag;

    /// What merges without effect.
    fn identity() -> (Self::Value, Self::Tag);

    /// Merges the partial result of earlier cells with that of later ones.
    fn merge(earlier: (Self::Value, Self::Tag), later: (Self::Value, Self::Tag)) -> (Self::Value, Self::Tag);

    /// Reduces a run of cells. The order of operations depends on the length alone, so the bits do too.
    #[inline(always)]
    fn run(values: &[Self::Value], tags: &[Self::Tag]) -> (Self::Value, Self::Tag) {
        let mut result = (values[0], tags[0]);
        for (&value, &tag) in values[1..].iter().zip(&tags[1..]) {
            result = Self::merge(result, (value, tag));
        }
        result
    }
}

/// What travels with a value.
pub(crate) trait Tag: Copy + Default + Send + Sync + 'static {
    /// That of a cell with the given flat index.
    fn of(index: u64) -> Self;
}

impl Tag for () {
    #[inline(always)]
    fn of(_: u64) {}
}

impl<P: Position> Tag for P {
    #[inline(always)]
    fn of(index: u64) -> Self {
        P::new(index)
    }
}

/// Reduces a run of at least one cell in as many independent lanes as `L`, then merges the lanes pairwise.
#[inline(always)]
fn run_in_lanes<V: Copy, const L: usize>(values: &[V], merge: impl Fn(V, V) -> V) -> V {
    if values.len() < L {
        return values[1..].iter().fold(values[0], |result, &value| merge(result, value));
    }
    let (blocks, rest) = values.as_chunks::<L>();
    let mut lanes = blocks[0];
    for block in &blocks[1..] {
        for l in 0..L {
            lanes[l] = merge(lanes[l], block[l]);
        }
    }
    let mut width = L;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] = merge(lanes[l], lanes[l + width]);
        }
    }
    rest.iter().fold(lanes[0], |result, &value| merge(result, value))
}
