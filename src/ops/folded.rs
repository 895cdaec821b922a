//! Statistics that are sums of functions of their cells: by the engine, a cell once for all windows that hold it.
//!
//! Sums that many windows share cannot be scaled for each of them. Where that would matter, a call says so and its windows
//! are visited one by one instead; the numbers are those of the same definition.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::solved::Solved;
use super::sum::{Outlet, Output};
use crate::element::Element;
use crate::engine::{self, DivisorRule, Finishing, Job, Monoids, Order, Plan, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::dispatch::Level;
use crate::kernel::finish::Divisors;
use crate::kernel::math::{cbrt, exp, ln};
use crate::kernel::source::Whole;
use crate::kernel::stage::{Rows, Stage, ToAddend};
use crate::kernel::terms::{FromTerms, NOT_GOOD, Terms, ToTerms};
use crate::modes::Statistic;
use crate::parallel::Parallel;
use crate::reduce::{Pair, Sum, Valid};
use crate::strided::{Raw, ViewMut};

/// An array of any type, on its way in.
pub(crate) trait Intake: Sync {
    /// Fills a buffer with staged rows.
    fn stage(&self, level: Level, rows: Rows<'_>, into: &mut [f64]);

    /// Sums and counts the cells of small windows that are not NaN, straight from the array.
    fn valid(&self, level: Level, reading: &Reading<'_>, sums: &mut [f64], counts: &mut [f64]);
}

impl<T: Element> Intake for Raw<T> {
    fn stage(&self, level: Level, rows: Rows<'_>, into: &mut [f64]) {
        level.run(Stage::<ToAddend<T, f64>> { source: *self, rows, into });
    }

    fn valid(&self, level: Level, reading: &Reading<'_>, sums: &mut [f64], counts: &mut [f64]) {
        level.run(reading.kernel::<Whole<ToAddend<T, f64>>, Valid>(Whole(*self), sums, counts));
    }
}

/// An array as the engine takes it in.
pub(crate) struct Folding<'a> {
    pub solved: &'a Solved,
    pub intake: &'a dyn Intake,
    pub x_strides: &'a [isize],
    pub output: &'a dyn Outlet<f64>,
    pub y_strides: &'a [isize],
}

/// An array as the place of results.
pub(crate) fn outlet<Y: Element>(y: &ViewMut<'_, Y>) -> Box<dyn Outlet<f64>> {
    Box::new(Output { y: y.raw(), mean: false, sums: PhantomData })
}

/// Windows with fewer valid cells have no value, but that which is filled in.
#[derive(Clone, Copy)]
pub(crate) struct Filling {
    pub least: usize,
    pub value: f64,
}

impl Folding<'_> {
    /// Writes a statistic of each window; returns whether that was possible. Cells have no more than single precision unless
    /// `double`; `origin` is one of them. With `omitting`, cells that are NaN are not valid.
    pub fn statistic(
        &self,
        of: &Statistic,
        double: bool,
        origin: f64,
        omitting: Option<Filling>,
        parallel: &Parallel<'_>,
    ) -> Result<bool> {
        if let Some(filling) = omitting {
            return match *of {
                Statistic::Sum => self.run_valid(OfValid { mean: false, filling }, parallel),
                Statistic::Mean => self.run_valid(OfValid { mean: true, filling }, parallel),
                _ => Ok(false),
            };
        }
        match *of {
            Statistic::Norm { p: 1.0 } => self.run(Norm::<1>, parallel),
            Statistic::Norm { p: 2.0 } => self.run(Norm::<2>, parallel),
            Statistic::Norm { p: 3.0 } => self.run(Norm::<3>, parallel),
            Statistic::PowerMean { p: 1.0, eps } => self.run(PowerMean::<1> { eps }, parallel),
            Statistic::PowerMean { p: 2.0, eps } => self.run(PowerMean::<2> { eps }, parallel),
            Statistic::PowerMean { p: 3.0, eps } => self.run(PowerMean::<3> { eps }, parallel),
            Statistic::LogMeanExp { r } if of.is_well_scaled() => self.run(LogMeanExp { r }, parallel),
            Statistic::SoftMean { beta } if beta != 0.0 => self.run(SoftMean { beta }, parallel),
            Statistic::Expected => self.run(Expected, parallel),
            Statistic::Variance { ddof, root } if !double => {
                // Few digits, so that differences from it are exact.
                let shift = f64::from_bits(origin.to_bits() & !((1 << 44) - 1));
                let shift = if shift.is_finite() { shift } else { 0.0 };
                self.run(Variance { ddof, root, shift }, parallel)
            }
            _ => Ok(false),
        }
    }

    fn run<F: Terms>(&self, terms: F, parallel: &Parallel<'_>) -> Result<bool> {
        let job = self.folded(terms);
        engine::run(&job, &self.plan(Order::Staged), parallel)?;
        Ok(!job.failed.into_inner())
    }

    fn run_valid(&self, terms: OfValid, parallel: &Parallel<'_>) -> Result<bool> {
        engine::run(&ValidOnly { folded: self.folded(terms) }, &self.plan(Order::OneByOne), parallel)?;
        Ok(true)
    }

    fn folded<F: Terms>(&self, terms: F) -> Folded<'_, F> {
        Folded { terms, intake: self.intake, output: self.output, failed: AtomicBool::new(false) }
    }

    fn plan(&self, order: Order) -> Plan {
        self.solved.plan(self.x_strides, [self.y_strides; 2], DivisorRule::Cells, None, order)
    }
}

struct Folded<'a, F> {
    terms: F,
    intake: &'a dyn Intake,
    output: &'a dyn Outlet<f64>,
    failed: AtomicBool,
}

impl<F: Terms> Job for Folded<'_, F> {
    type Plain = F::Monoid;
    type Exact = F::Monoid;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<F::Monoid>) -> bool {
        if self.failed.load(Relaxed) {
            return false;
        }
        let (values, seconds) = (&mut into.values[..], &mut into.tags[..]);
        self.intake.stage(level, staging.rows, values);
        if !level.run(ToTerms { terms: self.terms, rows: staging.rows, values, seconds }) {
            self.failed.store(true, Relaxed);
        }
        false
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<F::Monoid>) {
        if self.failed.load(Relaxed) {
            return;
        }
        let rows = finishing.rows[0];
        let good = level.run(FromTerms {
            terms: self.terms,
            values: &mut from.values,
            seconds: &from.tags,
            rows: rows.offsets.len(),
            row: rows.row,
            positions: rows.positions,
            phases: rows.phases,
            lanes: rows.lanes,
            counts: finishing.divisors,
        });
        if !good {
            self.failed.store(true, Relaxed);
        }
        let finishing = Finishing { divisors: Divisors::default(), ..*finishing };
        self.output.finish(level, &finishing, &from.values);
    }
}

/// Small windows, whose cells are not turned into terms but counted as they are read.
struct ValidOnly<'a> {
    folded: Folded<'a, OfValid>,
}

impl Job for ValidOnly<'_> {
    type Plain = Pair;
    type Exact = Pair;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Pair>) -> bool {
        self.folded.stage(level, staging, into)
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<Pair>) -> bool {
        self.folded.intake.valid(level, reading, &mut into.values, &mut into.tags);
        false
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Pair>) {
        self.folded.finish(level, finishing, from);
    }
}

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
fn power<const P: usize>(x: f64) -> f64 {
    match P {
        1 => x,
        2 => x * x,
        _ => x * x * x,
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
struct Norm<const P: usize>;

impl<const P: usize> Terms for Norm<P> {
    type Second = ();
    type Monoid = Sum<f64>;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, ()) {
        (power::<P>(x.abs()), ())
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        outside_powers::<P>(x.abs())
    }

    #[inline(always)]
    fn is_safe(self, seen: f64) -> bool {
        seen == 0.0
    }

    #[inline(always)]
    fn lower(self, sum: f64, (): (), _: f64) -> f64 {
        root::<P>(sum)
    }
}

#[derive(Clone, Copy)]
struct PowerMean<const P: usize> {
    eps: f64,
}

impl<const P: usize> PowerMean<P> {
    #[inline(always)]
    fn floored(self, x: f64) -> f64 {
        if x < self.eps { self.eps } else { x }
    }
}

impl<const P: usize> Terms for PowerMean<P> {
    type Second = ();
    type Monoid = Sum<f64>;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, ()) {
        (power::<P>(self.floored(x)), ())
    }

    #[inline(always)]
    fn watch(self, x: f64) -> f64 {
        outside_powers::<P>(self.floored(x))
    }

    #[inline(always)]
    fn is_safe(self, seen: f64) -> bool {
        seen == 0.0
    }

    #[inline(always)]
    fn lower(self, sum: f64, (): (), n: f64) -> f64 {
        root::<P>(sum / n)
    }
}

/// Exponents whose exponentials are in range, and so are the sums of up to 10^80 of them.
const EXPONENT: f64 = 300.0;

#[derive(Clone, Copy)]
struct LogMeanExp {
    r: f64,
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

#[derive(Clone, Copy)]
struct SoftMean {
    beta: f64,
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

#[derive(Clone, Copy)]
struct Expected;

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
    fn is_safe(self, seen: f64) -> bool {
        seen == 0.0
    }

    #[inline(always)]
    fn lower(self, squares: f64, sum: f64, _: f64) -> f64 {
        if sum == 0.0 { 0.0 } else { squares / sum }
    }
}

#[derive(Clone, Copy)]
struct Variance {
    ddof: f64,
    root: bool,
    shift: f64,
}

impl Terms for Variance {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        let x = x - self.shift;
        (x, x * x)
    }

    #[inline(always)]
    fn watch(self, _: f64) -> f64 {
        0.0
    }

    #[inline(always)]
    fn is_safe(self, _: f64) -> bool {
        true
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

#[derive(Clone, Copy)]
struct OfValid {
    mean: bool,
    filling: Filling,
}

impl Terms for OfValid {
    type Second = f64;
    type Monoid = Pair;

    #[inline(always)]
    fn of(self, x: f64) -> (f64, f64) {
        if x.is_nan() { (0.0, 0.0) } else { (x, 1.0) }
    }

    #[inline(always)]
    fn watch(self, _: f64) -> f64 {
        0.0
    }

    #[inline(always)]
    fn is_safe(self, _: f64) -> bool {
        true
    }

    #[inline(always)]
    fn lower(self, sum: f64, count: f64, _: f64) -> f64 {
        let value = if self.mean { sum / count } else { sum };
        if count < self.filling.least as f64 { self.filling.value } else { value }
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
