//! Order statistics of a few cells by a network of comparisons, the same ones whatever the cells are: so they are found in many
//! windows at once.

use std::sync::OnceLock;

use super::Rank;
use super::rank::Between;

/// The comparisons that put the cells that a quantile is made of in their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    comparisons: Vec<(usize, usize)>,
    between: Between,
}

impl Network {
    /// The most cells that are sorted by a network.
    pub const TAPS: usize = 32;

    /// For a quantile of so many cells.
    pub fn new(rank: Rank, cells: usize) -> Self {
        let between = rank.between(cells);
        Self { comparisons: comparisons(cells, &[between.lower, between.upper]), between }
    }

    /// Sorts the cells of windows, a lane for each, as far as is needed.
    #[inline(always)]
    pub fn sort<V: Copy + PartialOrd, const N: usize>(&self, cells: &mut [[V; N]]) {
        for &(a, b) in &self.comparisons {
            let (mut low, mut high) = (cells[a], cells[b]);
            for l in 0..N {
                let (x, y) = (low[l], high[l]);
                low[l] = if y < x { y } else { x };
                high[l] = if y < x { x } else { y };
            }
            (cells[a], cells[b]) = (low, high);
        }
    }

    /// The places of the two cells that the quantile is made of.
    #[inline(always)]
    pub fn places(&self) -> [usize; 2] {
        [self.between.lower, self.between.upper]
    }

    /// Whether the quantile is the first of them.
    #[inline(always)]
    pub fn chooses(&self) -> bool {
        self.between.part == 0.0
    }

    /// The quantile, made of the two cells.
    #[inline(always)]
    pub fn blend(&self, a: f64, b: f64) -> f64 {
        Rank::blend(a, b, self.between.part)
    }
}

/// The networks of a quantile, by the number of cells; made when they are asked for.
pub(crate) struct Networks {
    rank: Rank,
    by_cells: [OnceLock<Network>; Network::TAPS + 1],
}

impl Networks {
    pub fn new(rank: Rank) -> Self {
        Self { rank, by_cells: [const { OnceLock::new() }; Network::TAPS + 1] }
    }

    /// That for so many cells, of which there is at least one.
    pub fn of(&self, cells: usize) -> &Network {
        self.by_cells[cells].get_or_init(|| Network::new(self.rank, cells))
    }
}

/// Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2 M), without the comparisons that do not bear on
/// the wanted places.
fn comparisons(n: usize, wanted: &[usize]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            pairs.extend((0..n.saturating_sub(d)).filter(|i| i & p == r).map(|i| (i, i + d)));
            if q == p {
                break;
            }
            (d, r) = (q - p, p);
            q /= 2;
        }
        p /= 2;
    }
    let mut live = vec![false; n];
    for &place in wanted {
        live[place] = true;
    }
    let mut needed: Vec<(usize, usize)> = Vec::new();
    for &(a, b) in pairs.iter().rev() {
        if live[a] || live[b] {
            (live[a], live[b]) = (true, true);
            needed.push((a, b));
        }
    }
    needed.reverse();
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_put_what_is_wanted_in_its_place() {
        for n in 1..=Network::TAPS {
            for wanted in 0..n {
                let mut values: Vec<usize> = (0..n).map(|i| (i * 7 + 3) % n.next_power_of_two() * 5 % 11).collect();
                let mut sorted = values.clone();
                sorted.sort_unstable();
                for (a, b) in comparisons(n, &[wanted]) {
                    if values[b] < values[a] {
                        values.swap(a, b);
                    }
                }
                assert_eq!(values[wanted], sorted[wanted], "{n} {wanted}");
            }
        }
        assert!(comparisons(9, &[4]).len() < comparisons(9, &[0, 4, 8]).len());
    }
}
