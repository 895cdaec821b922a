//! The primitive under every pass: contiguous runs of cells combined element by element.

use crate::reduce::Monoid;

/// Reads runs of a source.
#[derive(Clone, Copy)]
pub(crate) struct From<'a, M: Monoid> {
    pub values: &'a [M::Value],
    pub tags: &'a [M::Tag],
}

/// Writes runs of a destination.
pub(crate) struct Into<'a, M: Monoid> {
    pub values: &'a mut [M::Value],
    pub tags: &'a mut [M::Tag],
}

/// Sets `into[to..to + n]` to the runs of `from` that begin at `taps`, merged in order; without taps, to the identity.
///
/// Blocks of results stay in registers over all taps. The last block overlaps the one before instead of leaving a tail.
#[inline(always)]
pub(crate) fn combine<M: Monoid>(
    from: From<'_, M>,
    taps: impl Iterator<Item = usize> + Clone,
    into: &mut Into<'_, M>,
    to: usize,
    n: usize,
) {
    // One 64-byte vector of values a block, a quarter of that for rows too short for it.
    if const { size_of::<M::Value>() == 1 } {
        in_blocks::<M, 64, 16>(from, taps, into, to, n);
    } else if const { size_of::<M::Value>() == 2 } {
        in_blocks::<M, 32, 8>(from, taps, into, to, n);
    } else if const { size_of::<M::Value>() == 4 } {
        in_blocks::<M, 16, 4>(from, taps, into, to, n);
    } else {
        in_blocks::<M, 8, 2>(from, taps, into, to, n);
    }
}

#[inline(always)]
fn in_blocks<M: Monoid, const LONG: usize, const SHORT: usize>(
    from: From<'_, M>,
    taps: impl Iterator<Item = usize> + Clone,
    into: &mut Into<'_, M>,
    to: usize,
    n: usize,
) {
    let mut at = 0;
    while at + LONG <= n {
        block::<M, LONG>(from, taps.clone(), into, to, at);
        at += LONG;
    }
    if at < n && n >= LONG {
        block::<M, LONG>(from, taps, into, to, n - LONG);
        return;
    }
    while at + SHORT <= n {
        block::<M, SHORT>(from, taps.clone(), into, to, at);
        at += SHORT;
    }
    if at < n && n >= SHORT {
        block::<M, SHORT>(from, taps, into, to, n - SHORT);
        return;
    }
    while at < n {
        block::<M, 1>(from, taps.clone(), into, to, at);
        at += 1;
    }
}

#[inline(always)]
fn block<M: Monoid, const N: usize>(
    from: From<'_, M>,
    mut taps: impl Iterator<Item = usize>,
    into: &mut Into<'_, M>,
    to: usize,
    at: usize,
) {
    let (mut values, mut tags) = match taps.next() {
        Some(tap) => load::<M, N>(from, tap + at),
        None => ([M::identity().0; N], [M::identity().1; N]),
    };
    for tap in taps {
        let (later, later_tags) = load::<M, N>(from, tap + at);
        for l in 0..N {
            (values[l], tags[l]) = M::merge((values[l], tags[l]), (later[l], later_tags[l]));
        }
    }
    into.values[to + at..to + at + N].copy_from_slice(&values);
    into.tags[to + at..to + at + N].copy_from_slice(&tags);
}

#[inline(always)]
fn load<M: Monoid, const N: usize>(from: From<'_, M>, at: usize) -> ([M::Value; N], [M::Tag; N]) {
    let (mut values, mut tags) = ([M::Value::default(); N], [M::Tag::default(); N]);
    values.copy_from_slice(&from.values[at..at + N]);
    tags.copy_from_slice(&from.tags[at..at + N]);
    (values, tags)
}
