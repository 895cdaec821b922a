//! Draws, from a generator that counts: the number of a window and a seed give its draw, whoever makes it and when.

use super::{Cells, Number, sum};

/// `SplitMix64` (Steele, Lea and Flood, 2014): a bijection of 64 bits whose outputs pass for random.
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number in `[0, 1)`, of 53 bits.
fn uniform(seed: u64, window: u64) -> f64 {
    (mixed(mixed(seed).wrapping_add(window.wrapping_mul(0x2545_f491_4f6c_dd1d))) >> 11) as f64 / (1u64 << 53) as f64
}

/// The place of a cell drawn with a probability proportional to its value; the first if all are 0.
pub(super) fn draw<V: Number>(cells: &Cells<'_, V>, seed: u64) -> usize {
    let total = sum(cells.len(), |i| cells.values[i].to_f64());
    let most = cells.values.iter().fold(0.0, |most: f64, value| most.max(value.to_f64()));
    // What the values are divided by, where their sum is out of range.
    let scale = if total == f64::INFINITY && most < f64::INFINITY { most } else { 1.0 };
    let value = |i: usize| cells.values[i].to_f64() / scale;
    if let Some(nan) = cells.values.iter().position(|value| value.is_nan()) {
        return nan;
    }
    let total = sum(cells.len(), value);
    let mut rest = uniform(seed, cells.window) * total;
    let mut last = 0;
    for i in 0..cells.len() {
        if value(i) > 0.0 {
            // An infinite value is all there is to draw from.
            if value(i) == f64::INFINITY || rest < value(i) {
                return i;
            }
            rest -= value(i);
            last = i;
        }
    }
    // What rounding leaves over goes to the last cell that can be drawn.
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::statistic::tests::cells;

    #[test]
    fn cells_are_drawn_as_often_as_they_weigh() {
        let values = [1.0, 0.0, 3.0, 4.0];
        let mut drawn = [0u32; 4];
        for window in 0..80_000 {
            drawn[draw(&Cells { window, ..cells(&values, &[]) }, 7)] += 1;
        }
        for (count, value) in drawn.into_iter().zip(values) {
            assert!((f64::from(count) - 10_000.0 * value).abs() < 500.0, "{drawn:?}");
        }
        assert_eq!(draw(&cells(&[0.0, 0.0], &[]), 1), 0);
    }
}
