//! One of the cells of a window.

use std::cmp::Ordering;

use super::{Cells, Number, Rank, draw::draw};

/// One of the cells of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The first NaN, else the largest, the first of equal ones.
    Max,
    /// The first NaN, else the smallest, the first of equal ones.
    Min,
    /// The first cell.
    First,
    /// The cell in the middle of the window's cells along each axis.
    Center,
    /// The most frequent value, the lowest of those that are equally frequent: a NaN if there is one.
    Majority {
        /// A value that has no vote; it wins where nobody has.
        ignore: Option<Label>,
    },
    /// A quantile whose method chooses a cell.
    Quantile(Rank),
    /// A cell drawn with a probability proportional to its value, which is at least 0.
    Draw {
        /// The same seed draws the same cells.
        seed: u64,
    },
}

/// A value that cells may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// Any number.
    Real(f64),
    /// An integer, of any size.
    Whole(i128),
}

impl Choice {
    /// The place of the chosen cell among at least one; `None` if it is not there. `order` is scratch.
    pub(crate) fn choose<V: Number>(&self, cells: &Cells<'_, V>, order: &mut Vec<usize>) -> Option<usize> {
        match *self {
            Self::Max => Some(extreme(cells.values, |later, best| later > best)),
            Self::Min => Some(extreme(cells.values, |later, best| later < best)),
            Self::First => Some(0),
            Self::Center => cells.positions.binary_search(&cells.center).ok(),
            Self::Majority { ignore } => Some(majority(cells.values, ignore, order)),
            Self::Quantile(rank) => Some(rank.choose(cells.values, order)),
            Self::Draw { seed } => Some(draw(cells, seed)),
        }
    }
}

fn extreme<V: Number>(values: &[V], beats: impl Fn(V, V) -> bool) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate().skip(1) {
        if !values[best].is_nan() && (value.is_nan() || beats(value, values[best])) {
            best = i;
        }
    }
    best
}

fn majority<V: Number>(values: &[V], ignore: Option<Label>, order: &mut Vec<usize>) -> usize {
    if let Some(nan) = values.iter().position(|value| value.is_nan()) {
        return nan;
    }
    let compare = |&a: &usize, &b: &usize| values[a].partial_cmp(&values[b]).unwrap_or(Ordering::Equal).then(a.cmp(&b));
    let votes = |&i: &usize| ignore.is_none_or(|ignore| !values[i].has(ignore));
    order.clear();
    order.extend((0..values.len()).filter(votes));
    order.sort_unstable_by(compare);
    let (mut best, mut most) = (0, 0);
    for alike in order.chunk_by(|&a, &b| values[a] == values[b]) {
        if alike.len() > most {
            (best, most) = (alike[0], alike.len());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_counted() {
        let majority = |values: &[i128], ignore| values[majority(values, ignore, &mut Vec::new())];
        assert_eq!(majority(&[3, 1, 3, 1, 2], None), 1);
        assert_eq!(majority(&[3, 1, 3, 2], None), 3);
        assert_eq!(majority(&[3, 1, 3, 1, 2], Some(Label::Real(1.0))), 3);
        assert_eq!(majority(&[1, 1], Some(Label::Whole(1))), 1);
        assert_eq!(majority(&[1, 1, 2], Some(Label::Real(1.5))), 1);
    }

    #[test]
    fn the_first_extreme_is_chosen() {
        let beats = |later: f64, best: f64| later > best;
        assert_eq!(extreme(&[1.0, 5.0, 5.0], beats), 1);
        assert_eq!(extreme(&[1.0, f64::NAN, 5.0, f64::NAN], beats), 1);
        assert_eq!(extreme(&[0.0, -0.0], beats), 0);
    }
}
