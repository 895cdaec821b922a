//! Statistics that are sums of functions of their cells: by the engine, a cell once for all windows that hold it.
//!
//! Sums that many windows share cannot be scaled for each of them. Where that would matter, a call says so and its windows
//! are visited one by one instead; the numbers are those of the same definition.

mod terms;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use self::terms::{Expected, LogMeanExp, Norm, OfValid, PowerMean, SoftMean, Variance};
use super::solved::Solved;
use super::sum::{Outlet, Output};
use crate::element::{Element, Kind};
use crate::engine::{self, DivisorRule, Finishing, Job, Monoids, Order, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::dispatch::Level;
use crate::kernel::finish::Divisors;
use crate::kernel::sorted::Sorted;
use crate::kernel::source::{Less, Of, Power, Whole};
use crate::kernel::stage::{Rows, Stage, ToAddend};
use crate::kernel::terms::{FromTerms, Terms, ToTerms};
use crate::modes::{Network, Networks, Rank, Statistic};
use crate::parallel::Parallel;
use crate::reduce::{Moments, OneByOne, Sum, Valid};
use crate::strided::{Raw, ViewMut};

/// An array of any type, on its way in.
pub(crate) trait Intake: Sync {
    /// Fills a buffer with staged rows.
    fn stage(&self, level: Level, rows: Rows<'_>, into: &mut [f64]);

    /// Whether cells may be NaN, so that they can be counted straight from the array.
    fn has_nan(&self) -> bool;

    /// Sums and counts the cells of small windows that are not NaN, straight from the array.
    fn valid(&self, level: Level, reading: &Reading<'_>, sums: &mut [f64], counts: &mut [f64]);

    /// Whether cells are floats of single precision or less, of which the next two make terms straight from the array: their
    /// powers do not leave the range of `f64`.
    fn is_narrow(&self) -> bool;

    /// Sums powers of the cells of small windows.
    fn powers(&self, level: Level, reading: &Reading<'_>, of: Power, sums: &mut [f64], tags: &mut [()]);

    /// Sums the cells of small windows, less a shift, and their squares.
    fn moments(&self, level: Level, reading: &Reading<'_>, shift: f64, sums: &mut [f64], squares: &mut [f64]);

    /// Finds an order statistic of windows of a few cells.
    fn sorted(&self, level: Level, reading: &Reading<'_>, networks: &Networks, into: &mut [f64]);
}

impl<T: Element> Intake for Raw<T> {
    fn stage(&self, level: Level, rows: Rows<'_>, into: &mut [f64]) {
        level.run(Stage::<ToAddend<T, f64>> { source: *self, rows, into });
    }

    fn valid(&self, level: Level, reading: &Reading<'_>, sums: &mut [f64], counts: &mut [f64]) {
        if const { matches!(T::KIND, Kind::Float) } {
            level.run(reading.kernel::<Whole<ToAddend<T, f64>>, OneByOne<Valid>>(Whole(*self), sums, counts));
        } else {
            unreachable!("`has_nan` is false, and cells are staged")
        }
    }

    fn has_nan(&self) -> bool {
        T::KIND == Kind::Float
    }

    fn is_narrow(&self) -> bool {
        is_narrow::<T>()
    }

    fn powers(&self, level: Level, reading: &Reading<'_>, of: Power, sums: &mut [f64], tags: &mut [()]) {
        if const { is_narrow::<T>() } {
            let source = Of { cells: Whole::<ToAddend<T, f64>>(*self), of };
            level.run(reading.kernel::<_, Sum<f64>>(source, sums, tags));
        } else {
            unreachable!("`is_narrow` is false, and cells are staged")
        }
    }

    fn moments(&self, level: Level, reading: &Reading<'_>, shift: f64, sums: &mut [f64], squares: &mut [f64]) {
        if const { is_narrow::<T>() } {
            let source = Of { cells: Whole::<ToAddend<T, f64>>(*self), of: Less(shift) };
            level.run(reading.kernel::<_, OneByOne<Moments>>(source, sums, squares));
        } else {
            unreachable!("`is_narrow` is false, and cells are staged")
        }
    }

    fn sorted(&self, level: Level, reading: &Reading<'_>, networks: &Networks, into: &mut [f64]) {
        let &Reading { base, rows, ends, segments, row, .. } = reading;
        level.run(Sorted::<T> { source: Whole(*self), base, rows, ends, segments, row, networks, into });
    }
}

const fn is_narrow<T: Element>() -> bool {
    matches!(T::KIND, Kind::Float) && size_of::<T>() <= 4
}

/// Terms that may be made of cells straight from the array, where windows are small.
trait Straight: Terms {
    /// In which order cells may be merged, and whether straight from the array.
    fn order(self, _: &dyn Intake) -> Order {
        Order::Staged
    }

    /// Reduces small windows straight from the array.
    fn windows(self, _: &dyn Intake, _: Level, _: &Reading<'_>, _: &mut [f64], _: &mut [Self::Second]) {
        unreachable!("plans of `Order::Staged` are staged")
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
                Statistic::Sum => self.run(OfValid { mean: false, filling }, parallel),
                Statistic::Mean => self.run(OfValid { mean: true, filling }, parallel),
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
            Statistic::Quantile(rank) => self.sorted(rank, parallel),
            Statistic::Variance { ddof, root } if !double => {
                // Few digits, so that differences from it are exact.
                let shift = f64::from_bits(origin.to_bits() & !((1 << 44) - 1));
                let shift = if shift.is_finite() { shift } else { 0.0 };
                self.run(Variance { ddof, root, shift }, parallel)
            }
            _ => Ok(false),
        }
    }

    fn run<F: Straight>(&self, terms: F, parallel: &Parallel<'_>) -> Result<bool> {
        let order = terms.order(self.intake);
        let plan = self.solved.plan(self.x_strides, [self.y_strides; 2], DivisorRule::Cells, None, order);
        let job = Folded { terms, intake: self.intake, output: self.output, failed: AtomicBool::new(false) };
        engine::run(&job, &plan, parallel)?;
        Ok(!job.failed.into_inner())
    }

    /// Writes an order statistic of each window, if windows have few cells.
    fn sorted(&self, rank: Rank, parallel: &Parallel<'_>) -> Result<bool> {
        if self.solved.window_cells() > Network::TAPS {
            return Ok(false);
        }
        let plan = self.solved.plan(self.x_strides, [self.y_strides; 2], DivisorRule::None, None, Order::Whole);
        if plan.intake != engine::Intake::Windows {
            return Ok(false);
        }
        let sorting = Sorting { intake: self.intake, output: self.output, networks: Networks::new(rank) };
        engine::run(&sorting, &plan, parallel)?;
        Ok(true)
    }
}

/// The job of [`Folding::sorted`].
struct Sorting<'a> {
    intake: &'a dyn Intake,
    output: &'a dyn Outlet<f64>,
    networks: Networks,
}

impl Job for Sorting<'_> {
    type Plain = Sum<f64>;
    type Exact = Sum<f64>;

    fn stage(&self, _: Level, _: &Staging<'_>, _: &mut Cells<Sum<f64>>) -> bool {
        unreachable!("a plan of `Intake::Windows` stages nothing")
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<Sum<f64>>) -> bool {
        self.intake.sorted(level, reading, &self.networks, &mut into.values);
        false
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<f64>>) {
        self.output.finish(level, finishing, &from.values);
    }
}

struct Folded<'a, F> {
    terms: F,
    intake: &'a dyn Intake,
    output: &'a dyn Outlet<f64>,
    failed: AtomicBool,
}

impl<F: Straight> Job for Folded<'_, F> {
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

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<F::Monoid>) -> bool {
        self.terms.windows(self.intake, level, reading, &mut into.values, &mut into.tags);
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
            seconds: &mut from.tags,
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
