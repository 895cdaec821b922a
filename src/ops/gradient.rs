//! The linear maps that are the derivatives of pooling: pulled back (`vjp`), and pushed forward (`jvp`).

use ndarray::{ArrayD, ArrayView, Dimension};

use super::extreme::{Second, extreme};
use super::indexed::IndexMap;
use super::regions::RegionMap;
use super::solved::{Solved, zeros};
use super::statistic::Placed;
use super::statistic_map::StatisticMap;
use super::sum::{Lowering, Sought, mean_gradient, sought, sum};
use crate::element::{Element, Kind};
use crate::engine::{self, At, Codes, DivisorRule, Field, Intake, NOWHERE, Offsets, Routed, RoutedAxis, Winners};
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::parallel::Parallel;
use crate::spans::Spans;
use crate::strided::{Raw, View, ViewMut};

/// The derivative of one call; it keeps what it needs and no more.
#[derive(Clone, Debug)]
pub enum Differentiable {
    /// Of a sum or a mean.
    Mean(MeanMap),
    /// Of a max, a min, or another choice.
    Route(RouteMap),
    /// Of a statistic.
    Statistic(StatisticMap),
    /// Of an unpooling or a fractional pooling.
    Index(IndexMap),
    /// Of pooled regions.
    Region(RegionMap),
}

/// The derivative of one call on an array of `T`.
#[derive(Clone, Debug)]
pub struct Pullback<T> {
    map: Differentiable,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> Pullback<T> {
    pub(crate) fn new(map: Differentiable) -> Self {
        Self { map, element: std::marker::PhantomData }
    }

    /// The cotangent of `x` from that of the result.
    ///
    /// # Errors
    /// [`PoolError::Value`] if the shape is not that of the result.
    pub fn pull<D: Dimension>(&self, dy: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        let mut dx = zeros(self.map.solved().shape())?;
        self.map.pull(&View::from(dy), &ViewMut::from(&mut dx), &Parallel::default())?;
        Ok(dx)
    }

    /// The tangent of the result from that of `x`.
    ///
    /// # Errors
    /// [`PoolError::Value`] if the shape is not that of `x`.
    pub fn push<D: Dimension>(&self, dx: &ArrayView<'_, T, D>) -> Result<ArrayD<T>> {
        let mut dy = zeros(self.map.solved().output_shape())?;
        let place = ViewMut::from(&mut dy);
        self.map.push(&View::from(dx), &place, &Parallel::default())?;
        self.map.solved().fill(&place, T::default(), 1, &Parallel::default())?;
        Ok(dy)
    }
}

impl Differentiable {
    /// The call that this is the derivative of.
    pub(crate) fn solved(&self) -> &Solved {
        match self {
            Self::Mean(map) => &map.solved,
            Self::Route(map) => &map.solved,
            Self::Statistic(map) => &map.solved,
            Self::Index(map) => map.solved(),
            Self::Region(map) => map.solved(),
        }
    }

    /// Writes the cotangent of `x`.
    pub(crate) fn pull<T: Element>(
        &self,
        dy: &View<'_, T>,
        dx: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self {
            Self::Mean(map) => map.pull(dy, dx, parallel),
            Self::Route(map) => map.pull(dy, dx, parallel),
            Self::Statistic(map) => {
                expect_shape("dy", dy.shape(), map.solved.output_shape())?;
                let dy = Field { reader: &dy.raw(), strides: dy.strides() };
                map.pull(dy, (&dx.raw(), dx.strides()), None, parallel).map(|_| ())
            }
            Self::Index(map) => map.pull(dy, dx, parallel),
            Self::Region(map) => map.pull(dy, dx, parallel),
        }
    }

    /// Writes the tangent of the result.
    pub(crate) fn push<T: Element>(
        &self,
        dx: &View<'_, T>,
        dy: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        match self {
            Self::Mean(map) => map.push(dx, dy, parallel),
            Self::Route(map) => map.push(dx, dy, parallel),
            Self::Statistic(map) => {
                expect_shape("dx", dx.shape(), map.solved.shape())?;
                let dx = Field { reader: &dx.raw(), strides: dx.strides() };
                map.push(dx, None, 0.0, (&dy.raw(), dy.strides()), parallel)
            }
            Self::Index(map) => map.push(dx, dy, parallel),
            Self::Region(map) => map.push(dx, dy, parallel),
        }
    }
}

pub(super) fn expect_shape(argument: &'static str, given: &[usize], expected: &[usize]) -> Result<()> {
    if given == expected {
        return Ok(());
    }
    Err(PoolError::value(
        argument,
        format!("an array of shape {}", Shape(given)),
        format!("must have the shape {}", Shape(expected)),
    ))
}

/// Checks the shape of a cotangent; that of an empty result leaves nothing but zeros to write, which it does.
fn is_nothing<Y: Element, T: Element>(solved: &Solved, dy: &View<'_, Y>, dx: &ViewMut<'_, T>) -> Result<bool> {
    expect_shape("dy", dy.shape(), solved.output_shape())?;
    let nothing = dy.shape().contains(&0);
    if nothing {
        dx.fill(T::default());
    }
    Ok(nothing)
}

pub(super) fn expect_float<T: Element>() -> Result<()> {
    if T::KIND == Kind::Float {
        return Ok(());
    }
    Err(PoolError::wrong_type("x", T::NAME, "has no gradient: only floating-point arrays are differentiable"))
}

/// The derivative of a sum or a mean.
#[derive(Clone, Debug)]
pub struct MeanMap {
    solved: Solved,
    lowering: Lowering,
}

impl MeanMap {
    pub(crate) fn new<T: Element>(solved: &Solved, lowering: Lowering) -> Result<Self> {
        expect_float::<T>()?;
        Ok(Self { solved: solved.clone(), lowering })
    }

    /// Writes the cotangent of an `x` of type `T` from that of a result of type `Y`.
    pub(crate) fn pull<Y: Element, T: Element>(
        &self,
        dy: &View<'_, Y>,
        dx: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        if is_nothing(&self.solved, dy, dx)? {
            return Ok(());
        }
        mean_gradient(dy, &self.solved, self.lowering, dx, parallel)
    }

    /// Writes the tangent of a result of type `Y` from that of an `x` of type `T`.
    pub(crate) fn push<T: Element, Y: Element>(
        &self,
        dx: &View<'_, T>,
        dy: &ViewMut<'_, Y>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        expect_shape("dx", dx.shape(), self.solved.shape())?;
        sum(dx, &self.solved, self.lowering, dy, parallel)
    }
}

/// The derivative of a max, a min or another choice: for each output, where in its window the winner was.
#[derive(Clone, Debug)]
pub struct RouteMap {
    solved: Solved,
    /// One for each output, in the order of memory of the array that was pooled.
    stored: Stored,
    strides: Vec<isize>,
    /// How offsets become codes, and codes offsets; empty if offsets are stored.
    digits: Vec<(f64, f64)>,
    table: Vec<u64>,
}

/// Codes of winners in one or two bytes, or offsets in more.
#[derive(Clone, Debug)]
enum Stored {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl Stored {
    fn new(len: usize, largest: u64) -> Result<Self> {
        fn zeros<P: Copy + Default>(len: usize) -> Result<Vec<P>> {
            let mut vec = try_vec(len)?;
            vec.resize(len, P::default());
            Ok(vec)
        }
        Ok(match largest {
            0..=0xff => Self::U8(zeros(len)?),
            0x100..=0xffff => Self::U16(zeros(len)?),
            0x1_0000..=0xffff_ffff => Self::U32(zeros(len)?),
            _ => Self::U64(zeros(len)?),
        })
    }

    fn winners(&mut self) -> Winners {
        match self {
            Self::U8(winners) => Winners::U8(Raw::of(winners)),
            Self::U16(winners) => Winners::U16(Raw::of(winners)),
            Self::U32(winners) => Winners::U32(Raw::of(winners)),
            Self::U64(winners) => Winners::U64(Raw::of(winners)),
        }
    }
}

impl RouteMap {
    /// Makes room for the winners of an array with the given strides. Windows that have real cells may have no winner if
    /// `missing`.
    pub(crate) fn new<T: Element>(solved: &Solved, strides: &[isize], missing: bool) -> Result<Self> {
        expect_float::<T>()?;
        let shape = solved.output_shape();
        // The fastest axis of the array is the fastest of the winners too.
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.sort_by_key(|&axis| std::cmp::Reverse((strides[axis].unsigned_abs(), std::cmp::Reverse(axis))));
        let mut places = vec![0; shape.len()];
        let mut len = 1;
        for &axis in order.iter().rev() {
            places[axis] = len as isize;
            len *= shape[axis];
        }
        let (mut flat, mut largest, mut codes) = (1u64, 0u64, 1u64);
        // Of each pooled axis, inner ones first: taps, and the offset from one to the next.
        let mut taps = Vec::new();
        for (&len, spans) in solved.shape().iter().zip(solved.spans()).rev() {
            if let Some(spans) = spans {
                let (most, step) = (spans.taps().max(1) as u64, flat.saturating_mul(spans.step() as u64));
                taps.push((most, step));
                largest = largest.saturating_add((most - 1).saturating_mul(step));
                codes = codes.saturating_mul(most);
                flat = flat.saturating_mul(len as u64);
            }
        }
        let mut map = Self {
            solved: solved.clone(),
            stored: Stored::U8(Vec::new()),
            strides: places,
            digits: Vec::new(),
            table: Vec::new(),
        };
        if codes.saturating_add(u64::from(missing)) <= 1 << 16 && largest < 1 << 51 {
            map.table.push(0);
            for &(most, step) in &taps {
                map.digits.push((step as f64, map.table.len() as f64));
                map.table = (0..most).flat_map(|t| map.table.iter().map(move |offset| offset + t * step)).collect();
            }
            map.digits.reverse();
            largest = codes - 1;
            if missing {
                // One code more: that of no cell.
                map.table.push(NOWHERE);
                largest = codes;
            }
        } else if missing {
            largest = NOWHERE;
        }
        map.stored = Stored::new(len, largest)?;
        Ok(map)
    }

    /// Pools `x` to `y` and keeps the winners.
    pub(crate) fn record<T: Element>(
        &mut self,
        x: &View<'_, T>,
        reversed: bool,
        y: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let winners = self.stored.winners();
        let second = Second::Winners { winners, digits: &self.digits, strides: &self.strides };
        extreme(x, &self.solved, reversed, y, &second, parallel)
    }

    /// Keeps winners one by one, given by their flat index.
    pub(crate) fn recorder(&mut self) -> Box<Placed<'_>> {
        let Self { solved, stored, strides, table, .. } = self;
        let winners = stored.winners();
        let coded = !table.is_empty();
        // Of each pooled axis: its step in the flat index, and what one cell of a window more adds to the code.
        let mut axes = Vec::new();
        let (mut flat, mut code) = (1, 1u64);
        for (axis, spans) in solved.spans().iter().enumerate().rev() {
            if let Some(spans) = spans {
                axes.push((axis, flat, code));
                flat *= solved.shape()[axis] as u64;
                // Where this would not fit, offsets are kept and no codes.
                code = code.saturating_mul(spans.taps().max(1) as u64);
            }
        }
        Box::new(move |at: &At, winner: Option<u64>| {
            let tap = |axis: usize, position: u64| {
                let spans = &solved.spans()[axis];
                let first = spans.as_ref().map_or(0, |spans| spans.first(at.index[axis]));
                (position as i64 - first as i64) as u64 / at.spans[axis].step as u64
            };
            let code = match winner {
                None if coded => table.len() as u64 - 1,
                None => NOWHERE,
                Some(winner) => axes.iter().fold(0, |sum, &(axis, flat, code)| {
                    let position = winner / flat % solved.shape()[axis] as u64;
                    let from_start = position - at.spans[axis].start as u64;
                    sum + if coded { tap(axis, position) * code } else { from_start * flat }
                }),
            };
            let place = at.offset(strides);
            match winners {
                Winners::U8(winners) => winners.scatter(place, 1, 1, |_| code as u8),
                Winners::U16(winners) => winners.scatter(place, 1, 1, |_| code as u16),
                Winners::U32(winners) => winners.scatter(place, 1, 1, |_| code as u32),
                Winners::U64(winners) => winners.scatter(place, 1, 1, |_| code),
            }
        })
    }

    /// The winners, to read.
    fn offsets(&self) -> Offsets<'_> {
        let winners = match &self.stored {
            Stored::U8(winners) => Winners::U8(Raw::from_ref(winners)),
            Stored::U16(winners) => Winners::U16(Raw::from_ref(winners)),
            Stored::U32(winners) => Winners::U32(Raw::from_ref(winners)),
            Stored::U64(winners) => Winners::U64(Raw::from_ref(winners)),
        };
        Offsets { winners, table: &self.table }
    }

    fn routed(&self, strides_in: &[isize], strides_out: &[isize]) -> Routed {
        let axis = |j: usize| RoutedAxis {
            len: self.solved.shape()[j],
            spans: self.solved.spans()[j].clone(),
            stride_in: strides_in[j],
            stride_out: strides_out[j],
            stride_offsets: self.strides[j],
        };
        Routed::new((0..strides_in.len()).map(axis).collect())
    }

    /// Writes the cotangent of `x`. Small windows: each cell looks for its code in the windows that cover it. Others: each
    /// window finds its cell.
    pub(crate) fn pull<T: Element>(
        &self,
        dy: &View<'_, T>,
        dx: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        if is_nothing(&self.solved, dy, dx)? {
            return Ok(());
        }
        let same = |(axis, len): (usize, usize)| len <= 1 || dy.strides()[axis] == self.strides[axis];
        // The codes that a cell has in the windows that cover it are known of sliding windows alone.
        let slides = self.solved.spans().iter().flatten().all(|spans| matches!(spans, Spans::Regular(_)));
        if !self.table.is_empty() && slides && dy.shape().iter().copied().enumerate().all(same) {
            let plan = self.solved.transposed_plan(dy.strides(), dx.strides(), DivisorRule::None, Some(Codes::Sought));
            if plan.intake == Intake::Windows {
                let (cotangents, dx) = (dy.raw(), dx.raw());
                match &self.stored {
                    Stored::U8(codes) => {
                        return sought(&Sought { cotangents, codes: Raw::from_ref(codes), dx }, &plan, parallel);
                    }
                    Stored::U16(codes) => {
                        return sought(&Sought { cotangents, codes: Raw::from_ref(codes), dx }, &plan, parallel);
                    }
                    // Offsets, which have no table.
                    Stored::U32(_) | Stored::U64(_) => {}
                }
            }
        }
        let routed = self.routed(dx.strides(), dy.strides());
        engine::scatter(&routed, dy.raw(), self.offsets(), dx.raw(), parallel)
    }

    /// Writes the tangent of the result.
    pub(crate) fn push<T: Element>(
        &self,
        dx: &View<'_, T>,
        dy: &ViewMut<'_, T>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        expect_shape("dx", dx.shape(), self.solved.shape())?;
        if dy.shape().contains(&0) {
            return Ok(());
        }
        // Planes in flat order, one after the other: the pooled axes moved behind the others.
        let (mut order, pooled): (Vec<usize>, Vec<usize>) =
            (0..dx.shape().len()).partition(|&axis| self.solved.spans()[axis].is_none());
        order.extend(pooled);
        let planes = dx.in_order(&order)?;
        let mut strides = vec![0; order.len()];
        let mut step = 1;
        for &axis in order.iter().rev() {
            strides[axis] = step;
            step *= dx.shape()[axis] as isize;
        }
        let routed = self.routed(&strides, dy.strides());
        engine::gather(&routed, Raw::from_ref(&planes), self.offsets(), dy.raw(), parallel)
    }
}
