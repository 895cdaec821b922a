//! Sums, means and counts, and the gradient that sums and means share.

use std::marker::PhantomData;

use super::pool::Solved;
use crate::element::{Element, Kind};
use crate::engine::{self, DivisorRule, Finishing, Job, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::dispatch::Level;
use crate::kernel::finish::{Divide, Divisors, Finish, ToMean, ToSum};
use crate::kernel::stage::{Stage, ToAddend};
use crate::parallel::Parallel;
use crate::reduce::{Addend, Sum};
use crate::strided::{Raw, View, ViewMut};

/// Whether sums are divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lowering {
    Sum,
    Mean(DivisorRule),
}

impl Lowering {
    fn rule(self) -> DivisorRule {
        if let Self::Mean(rule) = self { rule } else { DivisorRule::None }
    }
}

/// Writes the sum or the mean of each window to `y`.
pub(crate) fn sum<T: Element, Y: Element>(
    x: &View<'_, T>,
    solved: &Solved,
    lowering: Lowering,
    y: &ViewMut<'_, Y>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    if T::KIND == Kind::Float {
        return run::<T, Y, f64>(x, solved, lowering, y, parallel);
    }
    if size_of::<T>() <= 2 && solved.window_cells() < 1 << 15 {
        return run::<T, Y, i32>(x, solved, lowering, y, parallel);
    }
    // 32-bit integers need a window of 2^31 cells to leave 63 bits; sums wrap there by contract, means must not.
    let narrow = size_of::<T>() <= 4 && solved.window_cells() < 1 << 31;
    if narrow || lowering == Lowering::Sum {
        return run::<T, Y, i64>(x, solved, lowering, y, parallel);
    }
    run::<T, Y, i128>(x, solved, lowering, y, parallel)
}

fn run<T: Element, Y: Element, V: Addend>(
    x: &View<'_, T>,
    solved: &Solved,
    lowering: Lowering,
    y: &ViewMut<'_, Y>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let plan = solved.plan(x.strides(), [y.strides(); 2], lowering.rule());
    let output = Output::<V, Y> { y: y.raw(), mean: lowering != Lowering::Sum, sums: PhantomData };
    let job: &dyn Job<Plain = Sum<V>, Exact = Sum<V>> = &Forward::<T, V> { x: x.raw(), output: &output };
    engine::run(job, &plan, parallel)
}

/// Sums elements of type `T`; what becomes of the sums is another's business, so that input and output types need not be
/// compiled in all their pairs.
struct Forward<'a, T, V> {
    x: Raw<T>,
    output: &'a dyn Outlet<V>,
}

impl<T: Element, V: Addend> Job for Forward<'_, T, V> {
    type Plain = Sum<V>;
    type Exact = Sum<V>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Sum<V>>) -> bool {
        level.run(Stage::<ToAddend<T, V>> { source: self.x, rows: staging.rows, into: &mut into.values })
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<V>>) {
        self.output.finish(level, finishing, &from.values);
    }
}

/// Where sums go.
trait Outlet<V>: Sync {
    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &[V]);
}

struct Output<V, Y> {
    y: Raw<Y>,
    mean: bool,
    sums: PhantomData<V>,
}

impl<V: Addend, Y: Element> Outlet<V> for Output<V, Y> {
    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &[V]) {
        let &Finishing { rows: [rows, _], divisors, .. } = finishing;
        if self.mean {
            level.run(Finish::<ToMean<V, Y>> { from, rows, divisors, target: self.y });
        } else {
            level.run(Finish::<ToSum<V, Y>> { from, rows, divisors, target: self.y });
        }
    }
}

/// Writes the gradient of a sum or a mean: each cell's share of the cotangents of all windows that hold it.
pub(crate) fn mean_gradient<T: Element>(
    cotangents: &View<'_, T>,
    solved: &Solved,
    lowering: Lowering,
    dx: &ViewMut<'_, T>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let plan = solved.transposed_plan(cotangents.strides(), dx.strides(), lowering.rule());
    let job: &dyn Job<Plain = Sum<f64>, Exact = Sum<f64>> =
        &Backward { cotangents: cotangents.raw(), dx: dx.raw(), mean: lowering != Lowering::Sum };
    engine::run(job, &plan, parallel)
}

struct Backward<T> {
    cotangents: Raw<T>,
    dx: Raw<T>,
    mean: bool,
}

impl<T: Element> Job for Backward<T> {
    type Plain = Sum<f64>;
    type Exact = Sum<f64>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Sum<f64>>) -> bool {
        let rows = staging.rows;
        level.run(Stage::<ToAddend<T, f64>> { source: self.cotangents, rows, into: &mut into.values });
        if self.mean {
            let values = &mut into.values[..rows.offsets.len() * rows.row()];
            level.run(Divide { values, row: rows.row(), divisors: staging.divisors, element: PhantomData::<T> });
        }
        false
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<f64>>) {
        let (rows, divisors) = (finishing.rows[0], Divisors::default());
        level.run(Finish::<ToSum<f64, T>> { from: &from.values, rows, divisors, target: self.dx });
    }
}

/// Writes the number of real cells of each window to `y`.
pub(crate) fn count(solved: &Solved, y: &ViewMut<'_, i64>, parallel: &Parallel<'_>) -> Result<()> {
    // The sum of ones: an array of any shape whose strides are all 0.
    let one = [1i64];
    let strides = vec![0; solved.shape().len()];
    // SAFETY: with strides of 0 every index reaches the one element, which outlives the call.
    let ones = unsafe { View::from_raw_parts(one.as_ptr(), solved.shape().to_vec(), strides) };
    run::<i64, i64, i64>(&ones, solved, Lowering::Sum, y, parallel)
}
