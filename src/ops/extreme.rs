//! Max and min: values, and the places where they were found.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ndarray::ArrayD;

use super::pool::Pool;
use super::solved::Solved;
use crate::element::{Element, Ordered, Position};
use crate::engine::{self, Codes, DivisorRule, Finishing, Job, Monoids, Order, Reading, Staging, Winners};
use crate::error::Result;
use crate::kernel::Cells;
use crate::kernel::dispatch::{Kernel, Level};
use crate::kernel::finish::{Divisors, Finish, FromOrder, FromRanked, Lower, ToIndex};
use crate::kernel::route::Encode;
use crate::kernel::source::Whole;
use crate::kernel::stage::{Lift, Number, Ranking, Stage, ToOrder, ToOrderOfNumbers, ToRanked, Usual, Wide};
use crate::parallel::Parallel;
use crate::reduce::{ArgMax, ArgMaxNan, Max, MaxNan};
use crate::strided::{Raw, View, ViewMut};
use crate::vector::Vectors;

/// What is wanted beside the values.
pub(crate) enum Second<'a> {
    /// Nothing.
    None,
    /// Flat indices within the pooled axes.
    Indices(&'a ViewMut<'a, i64>),
    /// Winners within their windows: codes with these digits, or offsets if there are none; with these strides.
    Winners { winners: Winners, digits: &'a [(f64, f64)], strides: &'a [isize] },
}

/// Writes the largest (or, `reversed`, the smallest) value of each window to `y`.
pub(crate) fn extreme<T: Element>(
    x: &View<'_, T>,
    solved: &Solved,
    reversed: bool,
    y: &ViewMut<'_, T>,
    second: &Second<'_>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    if y.shape().contains(&0) {
        return Ok(());
    }
    if reversed {
        run::<T, true>(x, solved, y, second, parallel)
    } else {
        run::<T, false>(x, solved, y, second, parallel)
    }
}

fn run<T: Element, const REVERSED: bool>(
    x: &View<'_, T>,
    solved: &Solved,
    y: &ViewMut<'_, T>,
    second: &Second<'_>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let strides = match second {
        Second::None => y.strides(),
        Second::Indices(indices) => indices.strides(),
        Second::Winners { strides, .. } => strides,
    };
    let codes = matches!(second, Second::Winners { digits, .. } if !digits.is_empty()).then_some(Codes::Won);
    let order = match second {
        Second::None if !T::Order::IS_FLOAT => Order::Any, // equal integers are the same
        Second::None => Order::C,
        _ => Order::Placed,
    };
    let plan = solved.plan(x.strides(), [y.strides(), strides], DivisorRule::None, codes, order);
    if let Second::None = second {
        let mut job =
            Values::<T, REVERSED> { x: x.raw(), y: y.raw(), unordered: false, failed: AtomicBool::new(false) };
        if plan.hurries() && T::Order::IS_FLOAT {
            // Unless there are NaN or zeros of both signs, the order of cells makes no difference.
            job.unordered = true;
            let plan = solved.plan(x.strides(), [y.strides(); 2], DivisorRule::None, None, Order::Any);
            engine::run::<Valued<T>>(&job, &plan, parallel)?;
            if !std::mem::take(job.failed.get_mut()) {
                return Ok(());
            }
            job.unordered = false;
        }
        return engine::run::<Valued<T>>(&job, &plan, parallel);
    }
    let (x, y) = (x.raw(), y.raw());
    if solved.plane_cells() as u64 <= T::Position::LIMIT {
        let job = Placed::<T, Usual, REVERSED> { x, y, second, ranking: PhantomData };
        engine::run::<Ranked<T::Ranked, T::Position>>(&job, &plan, parallel)
    } else {
        let job = Placed::<T, Wide, REVERSED> { x, y, second, ranking: PhantomData };
        engine::run::<Ranked<T::Wide, u64>>(&job, &plan, parallel)
    }
}

/// Any job that finds values in one order.
type Valued<'a, T> = dyn Job<Plain = Max<<T as Element>::Order>, Exact = MaxNan<<T as Element>::Order>> + 'a;

/// Any job that finds winners in one order with one kind of position.
type Ranked<'a, V, P> = dyn Job<Plain = ArgMax<V, P>, Exact = ArgMaxNan<V, P>> + 'a;

/// Writes the largest (or, `reversed`, the smallest) number of each window, or `fill` where all cells are NaN. Returns whether
/// that is certain: not if there is an infinity, which is what such windows cannot be told from.
pub(crate) fn extreme_number<T: Element>(
    x: &View<'_, T>,
    solved: &Solved,
    reversed: bool,
    y: &ViewMut<'_, T>,
    fill: T,
    parallel: &Parallel<'_>,
) -> Result<bool> {
    if y.shape().contains(&0) {
        return Ok(true);
    }
    if reversed {
        run_numbers::<T, true, false>(x, solved, y, fill, parallel)
    } else {
        run_numbers::<T, false, true>(x, solved, y, fill, parallel)
    }
}

fn run_numbers<T: Element, const REVERSED: bool, const OPPOSITE: bool>(
    x: &View<'_, T>,
    solved: &Solved,
    y: &ViewMut<'_, T>,
    fill: T,
    parallel: &Parallel<'_>,
) -> Result<bool> {
    if !numbers::<T, REVERSED>(x, solved, y, fill, parallel)? {
        return Ok(true);
    }
    // Some window has nothing but NaN, or infinities of the one sign. Whether there are any is seen in the extreme of all.
    let all: Vec<usize> = (0..x.shape().len()).collect();
    let solved = Pool::global(all.len()).axes(&all).solve(x.shape())?;
    let mut last = ArrayD::from_elem(solved.output_shape(), T::default());
    numbers::<T, OPPOSITE>(x, &solved, &ViewMut::from(&mut last), T::default(), parallel)?;
    Ok(last.iter().all(|&last| ToOrder::<T, REVERSED>::lift(last) != T::Order::LOWEST))
}

/// Returns whether a window was filled.
fn numbers<T: Element, const REVERSED: bool>(
    x: &View<'_, T>,
    solved: &Solved,
    y: &ViewMut<'_, T>,
    fill: T,
    parallel: &Parallel<'_>,
) -> Result<bool> {
    let order = if T::Order::IS_FLOAT { Order::C } else { Order::Any };
    let plan = solved.plan(x.strides(), [y.strides(); 2], DivisorRule::None, None, order);
    let job = Numbers::<T, REVERSED> { x: x.raw(), y: y.raw(), fill, filled: AtomicBool::new(false) };
    engine::run::<Valued<T>>(&job, &plan, parallel)?;
    Ok(job.filled.into_inner())
}

struct Numbers<T, const REVERSED: bool> {
    x: Raw<T>,
    y: Raw<T>,
    fill: T,
    filled: AtomicBool,
}

impl<T: Element, const REVERSED: bool> Job for Numbers<T, REVERSED> {
    type Plain = Max<T::Order>;
    type Exact = MaxNan<T::Order>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Self::Plain>) -> bool {
        level.run(Stage::<ToOrderOfNumbers<T, REVERSED>> { source: self.x, rows: staging.rows, into: &mut into.values })
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, _: Monoids, into: &mut Cells<Self::Plain>) -> bool {
        let (values, tags) = (&mut into.values[..], &mut into.tags[..]);
        level.run(reading.kernel::<Whole<ToOrderOfNumbers<T, REVERSED>>, Self::Plain>(Whole(self.x), values, tags))
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Self::Plain>) {
        let (rows, divisors) = (finishing.rows[0], Divisors::default());
        let from = &from.values[..];
        level.run(Finish::<FromOrder<T, REVERSED>> { from, rows, divisors, target: self.y });
        if !level.run(AnyLowest(&from[..rows.offsets.len() * rows.row])) {
            return;
        }
        for (offset, value) in rows.places(from) {
            if value == T::Order::LOWEST {
                self.y.scatter(offset, 1, 1, |_| self.fill);
                self.filled.store(true, Relaxed);
            }
        }
    }
}

/// Whether the lowest value is among some.
struct AnyLowest<'a, V>(&'a [V]);

impl<V: Ordered> Kernel for AnyLowest<'_, V> {
    type Output = bool;

    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool)] // lazy operators are branches
    fn run<W: Vectors>(self, _: W) -> bool {
        self.0.iter().fold(false, |any, &value| any | (value == V::LOWEST))
    }
}

struct Values<T, const REVERSED: bool> {
    x: Raw<T>,
    y: Raw<T>,
    /// Whether cells are merged in any order, and whether that turned out to make a difference.
    unordered: bool,
    failed: AtomicBool,
}

impl<T: Element, const REVERSED: bool> Job for Values<T, REVERSED> {
    type Plain = Max<T::Order>;
    type Exact = MaxNan<T::Order>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Self::Plain>) -> bool {
        level.run(Stage::<ToOrder<T, REVERSED>> { source: self.x, rows: staging.rows, into: &mut into.values })
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, monoids: Monoids, into: &mut Cells<Self::Plain>) -> bool {
        let (values, tags) = (&mut into.values[..], &mut into.tags[..]);
        if T::Order::IS_FLOAT && monoids == Monoids::Exact {
            return level.run(reading.kernel::<Whole<ToOrder<T, REVERSED>>, Self::Exact>(Whole(self.x), values, tags));
        }
        if self.failed.load(Relaxed) {
            return false;
        }
        let special =
            level.run(reading.kernel::<Whole<ToOrder<T, REVERSED>>, Self::Plain>(Whole(self.x), values, tags));
        if special && self.unordered {
            self.unsettled();
        }
        special && !self.unordered
    }

    fn direct(&self, level: Level, reading: &Reading<'_>, finishing: &Finishing<'_>) -> Option<bool> {
        if self.unordered {
            return None;
        }
        let source = Whole::<ToOrder<T, REVERSED>>(self.x);
        Some(level.run(reading.direct::<_, Max<T::Order>, FromOrder<T, REVERSED>>(source, self.y, finishing)))
    }

    fn unsettled(&self) {
        self.failed.store(self.unordered, Relaxed);
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Self::Plain>) {
        let (rows, divisors) = (finishing.rows[0], Divisors::default());
        level.run(Finish::<FromOrder<T, REVERSED>> { from: &from.values, rows, divisors, target: self.y });
    }
}

struct Placed<'a, T, R, const REVERSED: bool> {
    x: Raw<T>,
    y: Raw<T>,
    second: &'a Second<'a>,
    ranking: PhantomData<R>,
}

impl<T: Element, R: Ranking<T>, const REVERSED: bool> Job for Placed<'_, T, R, REVERSED> {
    type Plain = ArgMax<R::Value, R::Position>;
    type Exact = ArgMaxNan<R::Value, R::Position>;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Self::Plain>) -> bool {
        let &Staging { rows, base, indices, position_step, lane_step, dilation, .. } = staging;
        level.run(Number { rows, base, indices, position_step, lane_step, dilation, into: &mut into.tags });
        level.run(Stage::<ToRanked<T, R, REVERSED>> { source: self.x, rows, into: &mut into.values })
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, monoids: Monoids, into: &mut Cells<Self::Plain>) -> bool {
        let (values, tags) = (&mut into.values[..], &mut into.tags[..]);
        if T::Order::IS_FLOAT && monoids == Monoids::Exact {
            return level.run(reading.kernel::<Whole<ToRanked<T, R, REVERSED>>, Self::Exact>(
                Whole(self.x),
                values,
                tags,
            ));
        }
        level.run(reading.kernel::<Whole<ToRanked<T, R, REVERSED>>, Self::Plain>(Whole(self.x), values, tags))
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Self::Plain>) {
        let ([first, second], divisors) = (finishing.rows, Divisors::default());
        level.run(Finish::<FromRanked<T, R, REVERSED>> { from: &from.values, rows: first, divisors, target: self.y });
        match self.second {
            Second::None => {}
            Second::Indices(indices) => {
                let target = indices.raw();
                level.run(Finish::<ToIndex<R::Position>> { from: &from.tags, rows: second, divisors, target });
            }
            Second::Winners { winners, digits, .. } => {
                let &Finishing { base, firsts: rows, position_firsts: positions, .. } = finishing;
                if !finishing.coded {
                    level.run(Encode { tags: &mut from.tags, row: second.row, digits, base, rows, positions });
                }
                let from = &from.tags;
                match *winners {
                    Winners::U8(target) => level.run(Finish::<Narrow<_, _>> { from, rows: second, divisors, target }),
                    Winners::U16(target) => level.run(Finish::<Narrow<_, _>> { from, rows: second, divisors, target }),
                    Winners::U32(target) => level.run(Finish::<Narrow<_, _>> { from, rows: second, divisors, target }),
                    Winners::U64(target) => level.run(Finish::<Narrow<_, _>> { from, rows: second, divisors, target }),
                }
            }
        }
    }
}

/// A position in fewer bytes.
#[derive(Clone, Copy)]
struct Narrow<P, Q>(PhantomData<(P, Q)>);

impl<P: Position, Q: Position> Lower for Narrow<P, Q> {
    type Value = P;
    type Element = Q;

    #[inline(always)]
    fn lower(position: P, _: f64) -> Q {
        Q::new(position.get())
    }
}
