//! What a window is reduced by: one monoid a file.
//!
//! A [`Monoid`] merges partial results of neighbouring cells, the earlier one first. Kernels need nothing else: the same
//! passes serve every monoid, forwards and on transposed spans.

mod max;
mod sum;

pub(crate) use max::{ArgMax, ArgMaxNan, Max, MaxNan};
pub(crate) use sum::{Addend, Moments, OneByOne, Pair, Sum, Valid};

use crate::element::Position;

/// An associative merge with an identity, over partial results of two parts kept in arrays of their own.
///
/// The second part, `Tag`, travels with the first (a position, a second moment); monoids without one say `()`, whose
/// arrays occupy no memory.
pub(crate) trait Monoid: Copy + Send + Sync + 'static {
    type Value: Copy + Default + Send + Sync + 'static;
    type Tag: Tag;
    /// Whether a cell may be merged more than once.
    const IDEMPOTENT: bool;

    /// What merges without effect.
    fn identity() -> (Self::Value, Self::Tag);

    /// What a window's cells are merged into one by one, given the tag of the first: that is the winner's even where no cell is
    /// above the identity.
    #[inline(always)]
    fn start(first: Self::Tag) -> (Self::Value, Self::Tag) {
        (Self::identity().0, first)
    }

    /// Merges the partial result of earlier cells with that of later ones.
    fn merge(earlier: (Self::Value, Self::Tag), later: (Self::Value, Self::Tag)) -> (Self::Value, Self::Tag);

    /// What is kept of cells, to tell whether equal ones among them are not the same.
    type Watch: Copy + Default + Ord;

    /// Takes note of a cell.
    #[inline(always)]
    fn watch(seen: [Self::Watch; 2], _: Self::Value) -> [Self::Watch; 2] {
        seen
    }

    /// Whether a merge of the cells seen may depend on their order.
    #[inline(always)]
    fn depends_on_order(_: [Self::Watch; 2]) -> bool {
        false
    }

    /// Whether cells may be merged in any order, if afterwards a result that is not settled is looked for among them.
    const IN_LANES: bool;

    /// Whether the value of a result from lanes says all that there is to say.
    #[inline(always)]
    fn is_settled(_: Self::Value) -> bool {
        true
    }

    /// Whether a cell is the one that an unsettled result comes from.
    #[inline(always)]
    fn is_same(_: Self::Value, _: Self::Value) -> bool {
        false
    }

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

/// A second sum, or how many cells there are.
impl Tag for f64 {
    #[inline(always)]
    fn of(_: u64) -> Self {
        1.0
    }
}

impl<P: Position> Tag for P {
    #[inline(always)]
    fn of(index: u64) -> Self {
        P::new(index)
    }
}

/// Reduces a run of at least one cell in independent lanes, as many as there is work for.
#[inline(always)]
fn run_in_lanes<V: Copy>(values: &[V], merge: impl Fn(V, V) -> V + Copy) -> V {
    const WIDE: usize = 32;
    const NARROW: usize = 8;
    let (wide, rest) = values.as_chunks::<WIDE>();
    let (narrow, rest) = rest.as_chunks::<NARROW>();
    let merged = |blocks: &[[V; NARROW]], mut lanes: [V; NARROW]| {
        for block in blocks {
            for l in 0..NARROW {
                lanes[l] = merge(lanes[l], block[l]);
            }
        }
        rest.iter().fold(in_pairs(lanes, merge), |result, &value| merge(result, value))
    };
    if let [first, wide @ ..] = wide {
        let mut lanes = *first;
        for block in wide {
            for l in 0..WIDE {
                lanes[l] = merge(lanes[l], block[l]);
            }
        }
        let (parts, _) = lanes.as_chunks::<NARROW>();
        let half = |half: usize| -> [V; NARROW] { std::array::from_fn(|l| merge(parts[half][l], parts[half + 2][l])) };
        let all = [half(0), half(1)];
        return merged(narrow, std::array::from_fn(|l| merge(all[0][l], all[1][l])));
    }
    match narrow {
        [first, narrow @ ..] => merged(narrow, *first),
        [] => rest[1..].iter().fold(rest[0], |result, &value| merge(result, value)),
    }
}

/// Merges lanes, a power of two of them, each with the one half of them away.
#[inline(always)]
pub(crate) fn in_pairs<V: Copy, const N: usize>(mut lanes: [V; N], merge: impl Fn(V, V) -> V) -> V {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] = merge(lanes[l], lanes[l + width]);
        }
    }
    lanes[0]
}
