//! Which functions of cells are summed, and what is made of the sums.

use super::{Filling, Intake, Straight};
use crate::engine::{Order, Reading};
use crate::kernel::dispatch::Level;
use crate::kernel::math::{cbrt, exp, ln};
use crate::kernel::source::Power;
use crate::kernel::terms::{NOT_GOOD, Terms};
use crate::reduce::{Pair, Sum};

/// 0 for what is within bounds, or 0; 1 for what is not.
#[inline(always)]
#[allow(clippy::needless_bitwise_bool)] // lazy operators are branches
fn outside(size: f64, least: f64, most: f64) -> f64 {
    if (size > most) | (size < least) & (size != 0.0) { 1.0 } else { 0.0 }
}

/// Powers that are in range, and so are the sums of up to 10^50 of them.
#[inline(always)]
fn outside_powers<const P: usize>(size: f64) -> f64 {
    match P {
        1 => outside(size, 0.0, 1e250),
        2 => outside(size, 1e-140, 1e125),
        _ => outside(size, 1e-95, 1e80),
    }
}

#[inline(always)]
fn root<const P: usize>(x: f64) -> f64 {
    match P {
        1 => x,
        2 => x.sqrt(),
        _ => cbrt(x),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Norm<const P: usize>;

impl<const P: usize> Norm<P> {
    const POWER: Power = Power { exponent: P, floor: None };
}

impl<const P: usize> Terms for Norm<P> {
    type Second = ();
    type Monoid = Sum<f64>;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, ()) {
        (Self::POWER.of(x), ())
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        outside_powers::<P>(x.abs())
    }

    #[inline(always)]
    fn lower(self, sum: f64, (): (), _: f64) -> f64 {
        root::<P>(sum)
    }
}

impl<const P: usize> Straight for Norm<P> {
    fn order(self, intake: &dyn Intake) -> Order {
        if intake.is_narrow() { Order::Any } else { Order::Staged }
    }

    fn windows(self, intake: &dyn Intake, level: Level, reading: &Reading<'_>, sums: &mut [f64], tags: &mut [()]) {
        intake.powers(level, reading, Self::POWER, sums, tags);
    }
}

#[derive(Clone, Copy)]
pub(super) struct PowerMean<const P: usize> {
    pub eps: f64,
}

impl<const P: usize> PowerMean<P> {
    #[inline(always)]
    fn power(self) -> Power {
        Power { exponent: P, floor: Some(self.eps) }
    }

    /// Whether the powers of all cells are in range if those of single precision are.
    fn is_in_range(self) -> bool {
        outside_powers::<P>(self.eps) == 0.0
    }
}

impl<const P: usize> Terms for PowerMean<P> {
    type Second = ();
    type Monoid = Sum<f64>;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, ()) {
        (self.power().of(x), ())
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        outside_powers::<P>(self.power().base(x))
    }

    #[inline(always)]
    fn lower(self, sum: f64, (): (), n: f64) -> f64 {
        root::<P>(sum / n)
    }
}

impl<const P: usize> Straight for PowerMean<P> {
    fn order(self, intake: &dyn Intake) -> Order {
        if intake.is_narrow() && self.is_in_range() { Order::Any } else { Order::Staged }
    }

    fn windows(self, intake: &dyn Intake, level: Level, reading: &Reading<'_>, sums: &mut [f64], tags: &mut [()]) {
        intake.powers(level, reading, self.power(), sums, tags);
    }
}

/// Exponents whose exponentials are in range, and so are the sums of up to 10^80 of them.
const EXPONENT: f64 = 300.0;

#[derive(Clone, Copy)]
pub(super) struct LogMeanExp {
    pub r: f64,
}

impl Terms for LogMeanExp {
    type Second = ();
    type Monoid = Sum<f64>;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, ()) {
        (exp(self.r * x), ())
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        (self.r * x).abs()
    }

    #[inline(always)]
    fn is_safe(self, seen: f64) -> bool {
        seen <= EXPONENT
    }

    #[inline(always)]
    fn lower(self, sum: f64, (): (), n: f64) -> f64 {
        ln(sum / n) / self.r
    }
}

impl Straight for LogMeanExp {}

#[derive(Clone, Copy)]
pub(super) struct SoftMean {
    pub beta: f64,
}

impl Terms for SoftMean {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        let weight = exp(self.beta * x);
        (weight * x, weight)
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        (self.beta * x).abs()
    }

    #[inline(always)]
    fn is_safe(self, seen: f64) -> bool {
        seen <= EXPONENT
    }

    #[inline(always)]
    fn lower(self, sum: f64, weights: f64, _: f64) -> f64 {
        sum / weights
    }
}

impl Straight for SoftMean {}

#[derive(Clone, Copy)]
pub(super) struct Expected;

impl Terms for Expected {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        (x * x, x)
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        outside_powers::<2>(x.abs())
    }

    #[inline(always)]
    fn lower(self, squares: f64, sum: f64, _: f64) -> f64 {
        if sum == 0.0 { 0.0 } else { squares / sum }
    }
}

impl Straight for Expected {}

#[derive(Clone, Copy)]
pub(super) struct Variance {
    pub ddof: f64,
    pub root: bool,
    pub shift: f64,
}

impl Terms for Variance {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        let x = x - self.shift;
        (x, x * x)
    }

    /// `n sum x^2 - (sum x)^2`, exact to the rounding of the sums themselves. Where that leaves less than the digits of single
    /// precision the sums are not good enough; a few equal cells of single precision leave exactly nothing.
    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool)] // lazy operators are branches
    fn lower(self, sum: f64, squares: f64, n: f64) -> f64 {
        const EXACT: f64 = 32.0;
        let square = sum * sum;
        let rest = n.mul_add(squares, -square) - sum.mul_add(sum, -square);
        let least = n * squares * (n * 3.725_290_298_461_914e-9);
        let variance = rest / (n * (n - self.ddof).max(0.0));
        let value = if self.root { variance.sqrt() } else { variance };
        if (rest < least) & ((rest != 0.0) | (n > EXACT)) { NOT_GOOD } else { value }
    }
}

impl Straight for Variance {
    fn order(self, intake: &dyn Intake) -> Order {
        if intake.is_narrow() { Order::OneByOne } else { Order::Staged }
    }

    fn windows(self, intake: &dyn Intake, level: Level, reading: &Reading<'_>, sums: &mut [f64], squares: &mut [f64]) {
        intake.moments(level, reading, self.shift, sums, squares);
    }
}

#[derive(Clone, Copy)]
pub(super) struct OfValid {
    pub mean: bool,
    pub filling: Filling,
}

impl Terms for OfValid {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        if x.is_nan() { (0.0, 0.0) } else { (x, 1.0) }
    }

    #[inline(always)]
    fn lower(self, sum: f64, count: f64, _: f64) -> f64 {
        let value = if self.mean { sum / count } else { sum };
        if count < self.filling.least as f64 { self.filling.value } else { value }
    }
}

impl Straight for OfValid {
    fn order(self, intake: &dyn Intake) -> Order {
        if intake.has_nan() { Order::OneByOne } else { Order::Staged }
    }

    fn windows(self, intake: &dyn Intake, level: Level, reading: &Reading<'_>, sums: &mut [f64], counts: &mut [f64]) {
        intake.valid(level, reading, sums, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_are_good_or_known_not_to_be() {
        let of = |values: &[f64], shift: f64| {
            let variance = Variance { ddof: 0.0, root: false, shift };
            let terms = values.iter().map(|&x| variance.of(x));
            let (sum, squares) = terms.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            variance.lower(sum, squares, values.len() as f64)
        };
        assert_eq!(of(&[f64::from(0.1f32); 9], 0.0), 0.0);
        assert!((of(&[1.0, 2.0, 4.0], 0.0) - 14.0 / 9.0).abs() < 1e-15);
        assert!(of(&[1e6, 1e6 + 1.0, 1e6 + 2.0], 0.0).is_nan());
        assert!((of(&[1e6, 1e6 + 1.0, 1e6 + 2.0], 1e6) - 2.0 / 3.0).abs() < 1e-15);
    }
}
