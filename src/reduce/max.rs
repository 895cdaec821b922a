//! The maximum, with and without the place where it was found. (The minimum is the maximum of the reversed order.)
//!
//! Ties, and zeros of either sign, go to the earlier cell: `later > earlier` is strict. The `Nan` variants let the first
//! NaN win; they cost two comparisons more, so the engine uses them on tiles that hold a NaN and nowhere else.

use std::marker::PhantomData;

use super::{Monoid, run_in_lanes};
use crate::element::{Ordered, Position};

/// The largest value; no NaN among them.
#[derive(Clone, Copy)]
pub(crate) struct Max<V>(PhantomData<V>);

/// The first NaN if there is one, else the largest value.
#[derive(Clone, Copy)]
pub(crate) struct MaxNan<V>(PhantomData<V>);

/// The largest value and its position; no NaN among them.
#[derive(Clone, Copy)]
pub(crate) struct ArgMax<V, P>(PhantomData<(V, P)>);

/// The first NaN if there is one, else the largest value, and its position.
#[derive(Clone, Copy)]
pub(crate) struct ArgMaxNan<V, P>(PhantomData<(V, P)>);

/// Whether `later` beats `earlier` where the first NaN wins.
#[inline(always)]
fn beats<V: Ordered>(later: V, earlier: V) -> bool {
    (later > earlier) | (later.is_nan() & !earlier.is_nan())
}

#[inline(always)]
fn larger<V: Ordered>(earlier: V, later: V) -> V {
    if later > earlier { later } else { earlier }
}

impl<V: Ordered> Monoid for Max<V> {
    type Value = V;
    type Tag = ();
    type Watch = V::Watch;
    const IDEMPOTENT: bool = true;
    const IN_LANES: bool = true;

    #[inline(always)]
    fn identity() -> (V, ()) {
        (V::LOWEST, ())
    }

    #[inline(always)]
    fn watch(seen: [V::Watch; 2], value: V) -> [V::Watch; 2] {
        value.watch_zeros(seen)
    }

    #[inline(always)]
    fn depends_on_order(seen: [V::Watch; 2]) -> bool {
        V::saw_both_zeros(seen)
    }

    #[inline(always)]
    fn is_settled(result: V) -> bool {
        !(V::IS_FLOAT && result.is_zero())
    }

    #[inline(always)]
    fn is_same(cell: V, result: V) -> bool {
        cell == result
    }

    #[inline(always)]
    fn merge(earlier: (V, ()), later: (V, ())) -> (V, ()) {
        (larger(earlier.0, later.0), ())
    }

    #[inline(always)]
    fn run(values: &[V], _: &[()]) -> (V, ()) {
        let result = run_in_lanes(values, larger);
        // Lanes do not keep the order of cells; it matters only between zeros of different sign.
        if !Self::is_settled(result) {
            return (values.iter().copied().find(|value| value.is_zero()).unwrap_or(result), ());
        }
        (result, ())
    }
}

impl<V: Ordered> Monoid for MaxNan<V> {
    type Value = V;
    type Tag = ();
    type Watch = ();
    const IDEMPOTENT: bool = true;
    const IN_LANES: bool = false;

    #[inline(always)]
    fn identity() -> (V, ()) {
        (V::LOWEST, ())
    }

    #[inline(always)]
    fn merge(earlier: (V, ()), later: (V, ())) -> (V, ()) {
        (if beats(later.0, earlier.0) { later.0 } else { earlier.0 }, ())
    }
}

impl<V: Ordered, P: Position> Monoid for ArgMax<V, P> {
    type Value = V;
    type Tag = P;
    type Watch = ();
    const IDEMPOTENT: bool = true;
    const IN_LANES: bool = true;

    #[inline(always)]
    fn identity() -> (V, P) {
        (V::LOWEST, P::default())
    }

    #[inline(always)]
    fn is_settled(_: V) -> bool {
        false
    }

    #[inline(always)]
    fn is_same(cell: V, result: V) -> bool {
        cell == result
    }

    #[inline(always)]
    fn merge(earlier: (V, P), later: (V, P)) -> (V, P) {
        let take = later.0 > earlier.0;
        (if take { later.0 } else { earlier.0 }, if take { later.1 } else { earlier.1 })
    }

    #[inline(always)]
    fn run(values: &[V], tags: &[P]) -> (V, P) {
        let result = run_in_lanes(values, larger);
        let first = values.iter().position(|&value| value == result).unwrap_or(0);
        (values[first], tags[first])
    }
}

impl<V: Ordered, P: Position> Monoid for ArgMaxNan<V, P> {
    type Value = V;
    type Tag = P;
    type Watch = ();
    const IDEMPOTENT: bool = true;
    const IN_LANES: bool = false;

    #[inline(always)]
    fn identity() -> (V, P) {
        (V::LOWEST, P::default())
    }

    #[inline(always)]
    fn merge(earlier: (V, P), later: (V, P)) -> (V, P) {
        let take = beats(later.0, earlier.0);
        (if take { later.0 } else { earlier.0 }, if take { later.1 } else { earlier.1 })
    }
}
