//! Sums, means and counts, and the gradient that sums and means share.

use std::marker::PhantomData;

use super::solved::Solved;
use crate::element::{Element, Kind, Position};
use crate::engine::{self, DivisorRule, Finishing, Job, Monoids, Order, Plan, Reading, Staging};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::dispatch::Level;
use crate::kernel::finish::{Divide, Divisors, Finish, ToMean, ToSum};
use crate::kernel::source::{Matching, Whole};
use crate::kernel::stage::{Stage, ToAddend};
use crate::parallel::Parallel;
use crate::reduce::{Addend, Sum};
use crate::spans::Spans;
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
    if y.shape().contains(&0) {
        return Ok(());
    }
    if const { matches!(T::KIND, Kind::Float) } {
        return run::<T, Y, f64>(x, solved, lowering, y, parallel);
    }
    if const { size_of::<T>() <= 2 } {
        // Windows of 2^47 such cells leave 63 bits.
        if solved.window_cells() < 1 << 15 {
            return run::<T, Y, i32>(x, solved, lowering, y, parallel);
        }
        return run::<T, Y, i64>(x, solved, lowering, y, parallel);
    }
    // 32-bit integers need a window of 2^31 cells to leave 63 bits; integer sums wrap there by contract, no other result may.
    let narrow = size_of::<T>() <= 4 && solved.window_cells() < 1 << 31;
    if narrow || lowering == Lowering::Sum && Y::KIND != Kind::Float {
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
    let plan = solved.plan(x.strides(), [y.strides(); 2], lowering.rule(), None, Order::Any);
    let output = Output::<V, Y> { y: y.raw(), mean: lowering != Lowering::Sum, sums: PhantomData };
    let forward = Forward::<T, V> { x: x.raw(), output: &output };
    if const { is_usual::<T, Y>() } && output.mean && plan.is_direct() {
        let direct: &dyn Job<Plain = Sum<V>, Exact = Sum<V>> = &DirectMean { forward: &forward, y: y.raw() };
        return engine::run(direct, &plan, parallel);
    }
    let job: &dyn Job<Plain = Sum<V>, Exact = Sum<V>> = &forward;
    engine::run(job, &plan, parallel)
}

/// Whether elements of type `T` have means of type `Y` unless another is asked for, or it is that which is asked for mostly.
const fn is_usual<T: Element, Y: Element>() -> bool {
    is_same(Y::NAME, T::NAME) || is_same(Y::NAME, T::Mean::NAME)
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// [`Forward`] to means, which knows the type of the result too.
struct DirectMean<'a, T, V, Y> {
    forward: &'a Forward<'a, T, V>,
    y: Raw<Y>,
}

impl<T: Element, V: Addend, Y: Element> Job for DirectMean<'_, T, V, Y> {
    type Plain = Sum<V>;
    type Exact = Sum<V>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Sum<V>>) -> bool {
        self.forward.stage(level, staging, into)
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, monoids: Monoids, into: &mut Cells<Sum<V>>) -> bool {
        self.forward.windows(level, reading, monoids, into)
    }

    fn direct(&self, level: Level, reading: &Reading<'_>, finishing: &Finishing<'_>) -> Option<bool> {
        let source = Whole::<ToAddend<T, V>>(self.forward.x);
        Some(level.run(reading.direct::<_, Sum<V>, ToMean<V, Y>>(source, self.y, finishing)))
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<V>>) {
        self.forward.finish(level, finishing, from);
    }
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

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<Sum<V>>) -> bool {
        let (values, tags) = (&mut into.values[..], &mut into.tags[..]);
        level.run(reading.kernel::<Whole<ToAddend<T, V>>, Sum<V>>(Whole(self.x), values, tags))
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<V>>) {
        self.output.finish(level, finishing, &from.values);
    }
}

/// Where sums go.
pub(crate) trait Outlet<V>: Sync {
    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &[V]);
}

pub(super) struct Output<V, Y> {
    pub y: Raw<Y>,
    pub mean: bool,
    pub sums: PhantomData<V>,
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
pub(crate) fn mean_gradient<Y: Element, T: Element>(
    cotangents: &View<'_, Y>,
    solved: &Solved,
    lowering: Lowering,
    dx: &ViewMut<'_, T>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let plan = solved.transposed_plan(cotangents.strides(), dx.strides(), lowering.rule(), None);
    let mean = plan.divisors[1] != DivisorRule::None;
    // One cotangent by a divisor that a float32 holds: the float32 quotient is the float64 quotient, rounded.
    let exact = match plan.divisors {
        [DivisorRule::None, DivisorRule::Fixed(divisor)] => divisor as f32 as f64 == divisor,
        [first, second] => first == second,
    };
    if exact && plan.is_single() && size_of::<Y>() == 4 && size_of::<T>() == 4 {
        let output = Output::<f32, T> { y: dx.raw(), mean, sums: PhantomData };
        let job: &dyn Job<Plain = Sum<f32>, Exact = Sum<f32>> =
            &Forward::<Y, f32> { x: cotangents.raw(), output: &output };
        return engine::run(job, &plan, parallel);
    }
    let output = Output::<f64, T> { y: dx.raw(), mean, sums: PhantomData };
    let forward = Forward::<Y, f64> { x: cotangents.raw(), output: &output };
    let job: &dyn Job<Plain = Sum<f64>, Exact = Sum<f64>> = &Backward { forward };
    engine::run(job, &plan, parallel)
}

/// Sums cotangents of type `Y`, divided before they are summed where their windows have different divisors.
struct Backward<'a, Y> {
    forward: Forward<'a, Y, f64>,
}

impl<Y: Element> Job for Backward<'_, Y> {
    type Plain = Sum<f64>;
    type Exact = Sum<f64>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Sum<f64>>) -> bool {
        let special = self.forward.stage(level, staging, into);
        if !staging.divisors.is_empty() {
            let row = staging.rows.row();
            let values = &mut into.values[..staging.rows.offsets.len() * row];
            level.run(Divide { values, row, divisors: staging.divisors });
        }
        special
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, monoids: Monoids, into: &mut Cells<Sum<f64>>) -> bool {
        self.forward.windows(level, reading, monoids, into)
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<f64>>) {
        self.forward.finish(level, finishing, from);
    }
}

/// Writes the gradient of an extreme: to each cell, the cotangents of the windows that cover it and hold its code. The plan
/// goes straight.
pub(crate) fn sought<T: Element, P: Position>(job: &Sought<T, P>, plan: &Plan, parallel: &Parallel<'_>) -> Result<()> {
    let &Sought { cotangents, codes, dx } = job;
    if plan.is_single() && size_of::<T>() <= 4 {
        let job: &dyn Job<Plain = Sum<f32>, Exact = Sum<f32>> = &Seeking { cotangents, codes, dx, sums: PhantomData };
        return engine::run(job, plan, parallel);
    }
    let job: &dyn Job<Plain = Sum<f64>, Exact = Sum<f64>> = &Seeking { cotangents, codes, dx, sums: PhantomData };
    engine::run(job, plan, parallel)
}

pub(crate) struct Sought<T, P> {
    pub cotangents: Raw<T>,
    /// With the strides of the cotangents.
    pub codes: Raw<P>,
    pub dx: Raw<T>,
}

/// The job of [`sought`], with sums kept in `V`.
struct Seeking<T, P, V> {
    cotangents: Raw<T>,
    codes: Raw<P>,
    dx: Raw<T>,
    sums: PhantomData<V>,
}

impl<T: Element, P: Position, V: Addend> Job for Seeking<T, P, V> {
    type Plain = Sum<V>;
    type Exact = Sum<V>;

    fn stage(&self, _: Level, _: &Staging<'_>, _: &mut Cells<Sum<V>>) -> bool {
        unreachable!(
            "`sought` is given plans that read windows straight, and `Plan::split` leaves windows of so few cells whole"
        )
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<Sum<V>>) -> bool {
        let (values, tags) = (&mut into.values[..], &mut into.tags[..]);
        let source = Matching { cells: Whole::<ToAddend<T, V>>(self.cotangents), codes: self.codes };
        level.run(reading.kernel::<_, Sum<V>>(source, values, tags))
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Sum<V>>) {
        let (rows, divisors) = (finishing.rows[0], Divisors::default());
        level.run(Finish::<ToSum<V, T>> { from: &from.values, rows, divisors, target: self.dx });
    }
}

/// Writes the number of real cells of each window to `y`: the product of the numbers along each axis.
pub(crate) fn count(solved: &Solved, y: &ViewMut<'_, i64>, parallel: &Parallel<'_>) -> Result<()> {
    let along = |(axis, spans): (usize, &Option<Spans>)| -> Vec<i64> {
        let count = |o| spans.as_ref().map_or(1, |spans| spans.at(o).len as i64);
        (0..y.shape()[axis]).map(count).collect()
    };
    let mut axes: Vec<(Vec<i64>, isize)> =
        solved.spans().iter().enumerate().map(along).zip(y.strides().iter().copied()).collect();
    let (row, stride) = axes.pop().unwrap_or((vec![1], 1));
    let rows = axes.iter().map(|(counts, _)| counts.len()).product();
    let task = |(): &mut (), mut index: usize| {
        let (mut outer, mut offset) = (1, 0);
        for (counts, stride) in axes.iter().rev() {
            outer *= counts[index % counts.len()];
            offset += (index % counts.len()) as isize * stride;
            index /= counts.len();
        }
        y.raw().scatter(offset, stride, row.len(), |o| outer * row[o]);
        Ok(())
    };
    parallel.run(rows, rows * row.len() * size_of::<i64>(), || (), task, drop)
}
