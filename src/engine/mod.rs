//! The traversal: a call is solved into a [`Plan`], cut into tiles, and each tile is staged, reduced and finished.

mod axes;
mod blocks;
mod cut;
mod geometry;
mod intake;
mod plan;
mod route;
mod tile;
mod visit;

pub(crate) use axes::{AxisRequest, Codes};
pub(crate) use intake::Intake;
pub(crate) use plan::{DivisorRule, Order, Plan};
pub(crate) use route::{NOWHERE, Offsets, Routed, RoutedAxis, Winners, gather, reserve, scatter};
pub(crate) use visit::{At, Field, Gathered, Owned, Reader, Visit, Writer, fastest_last};

use std::marker::PhantomData;

use crate::error::{Result, try_vec};
use crate::kernel::Cells;
use crate::kernel::combine::Into;
use crate::kernel::direct::Direct;
use crate::kernel::dispatch::Level;
use crate::kernel::finish::{Divisors, Finish, Lower, OutRows};
use crate::kernel::route::First;
use crate::kernel::source::{Place, Source};
use crate::kernel::stage::{Lift, Rows, Stage};
use crate::kernel::windows::{Clipping, Segment, Windows};
use crate::parallel::Parallel;
use crate::reduce::Monoid;
use crate::strided::Raw;

/// What an operation adds to the engine: its monoid, how cells come in and how results go out.
pub(crate) trait Job: Sync {
    /// The monoid of tiles without a special value.
    type Plain: Monoid;
    /// The monoid of all other tiles.
    type Exact: Monoid<Value = <Self::Plain as Monoid>::Value, Tag = <Self::Plain as Monoid>::Tag>;

    /// Fills `into` with staged rows; returns whether the tile needs the exact monoid.
    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<Self::Plain>) -> bool;

    /// Reduces small windows straight from the array; returns whether they need the exact monoid. Jobs that only ever run
    /// staged plans need not know how.
    fn windows(&self, _: Level, _: &Reading<'_>, _: Monoids, _: &mut Cells<Self::Plain>) -> bool {
        unreachable!("a job without this puts pieces together, by a plan of `Plan::split` that is always staged")
    }

    /// Reduces small windows straight from the array to the result, if it knows how; returns whether they need the exact monoid
    /// after all, so that it has to be done again.
    fn direct(&self, _: Level, _: &Reading<'_>, _: &Finishing<'_>) -> Option<bool> {
        None
    }

    /// Hears that results depend on the order of cells, which the plan did not keep. Of no concern to jobs whose plans keep the
    /// order that they need.
    fn unsettled(&self) {}

    /// Writes finished rows.
    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<Self::Plain>);
}

/// Which of its two monoids a job is to use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Monoids {
    Plain,
    Exact,
}

/// Where a tile's windows lie in the array.
pub(crate) struct Reading<'a> {
    /// What the rows are counted from.
    pub base: Place,
    /// The rows that each row of results is made of, one list after the other, and where each list ends.
    pub rows: &'a [Place],
    pub ends: &'a [usize],
    pub segments: &'a [Segment],
    /// What long segments are clipped by.
    pub clipping: Option<&'a Clipping>,
    /// Results in a row.
    pub row: usize,
}

impl Reading<'_> {
    /// The kernel that reads them.
    pub fn kernel<'a, S: Source<Lift: Lift<Value = M::Value>>, M: Monoid>(
        &'a self,
        source: S,
        values: &'a mut [M::Value],
        tags: &'a mut [M::Tag],
    ) -> Windows<'a, S, M> {
        let &Self { base, rows, ends, segments, clipping, row } = self;
        Windows { source, base, rows, ends, segments, clipping, row, into: Into { values, tags } }
    }
}

impl<'a> Reading<'a> {
    /// The kernel that reads them, and writes results to `target`.
    pub fn direct<S, M, L: Lower>(
        &self,
        source: S,
        target: Raw<L::Element>,
        finishing: &'a Finishing<'a>,
    ) -> Direct<'a, S, M, L> {
        let &Self { base, rows, ends, segments, .. } = self;
        let (results, divisors) = (finishing.rows[0], finishing.divisors.rows);
        Direct { source, base, rows, ends, segments, target, results, divisors, monoid: PhantomData }
    }
}

/// A tile's rows on their way in.
pub(crate) struct Staging<'a> {
    pub rows: Rows<'a>,
    /// The flat index of each row's position 0, counted from a base, and the steps from there.
    pub base: u64,
    pub indices: &'a [u64],
    pub position_step: u64,
    pub lane_step: u64,
    pub dilation: usize,
    /// Divisors by input position, for the gradients of means.
    pub divisors: Divisors<'a>,
}

/// A tile's rows on their way out.
pub(crate) struct Finishing<'a> {
    /// Rows of the first and the second result.
    pub rows: [OutRows<'a>; 2],
    pub divisors: Divisors<'a>,
    /// Whether tags are codes already, and not flat indices.
    pub coded: bool,
    /// The part of their windows' first cells that the values of each row share, indices counted from a base.
    pub base: u64,
    pub firsts: &'a [First],
    /// The rest for each value of a row.
    pub position_firsts: &'a [First],
}

/// Runs a job over a plan.
pub(crate) fn run<J: Job + ?Sized>(job: &J, plan: &Plan, parallel: &Parallel<'_>) -> Result<()> {
    match plan.split() {
        Some((pieces, whole)) => run_in_pieces(job, &pieces, &whole, parallel),
        None => tile::run(job, plan, parallel),
    }
}

/// Reduces windows that are larger than a tile: first their pieces, then the pieces of each window.
fn run_in_pieces<J: Job + ?Sized>(job: &J, pieces: &Plan, whole: &Plan, parallel: &Parallel<'_>) -> Result<()> {
    let len = pieces.partials();
    let mut values = try_vec(len)?;
    values.resize(len, <J::Plain as Monoid>::Value::default());
    let mut tags = try_vec(len)?;
    tags.resize(len, <J::Plain as Monoid>::Tag::default());
    let partials = (Raw::of(&mut values), Raw::of(&mut tags));
    tile::run(&InPieces { job, partials }, pieces, parallel)?;
    tile::run(&OfPieces { job, partials }, whole, parallel)
}

/// The offset of cell `index`, in C order, of axes given by length and stride.
pub(crate) fn offset_of(mut index: usize, axes: &[(usize, isize)]) -> isize {
    let mut offset = 0;
    for &(len, stride) in axes.iter().rev() {
        offset += (index % len) as isize * stride;
        index /= len;
    }
    offset
}

/// Every base with every position of a range: offsets in C order, one axis further in.
fn cross(bases: &[isize], range: &std::ops::Range<isize>, stride: isize) -> Vec<isize> {
    bases.iter().flat_map(|base| range.clone().map(move |at| base + at * stride)).collect()
}

type Partials<J> = (Raw<<<J as Job>::Plain as Monoid>::Value>, Raw<<<J as Job>::Plain as Monoid>::Tag>);

/// Keeps unfinished results.
struct InPieces<'a, J: Job + ?Sized> {
    job: &'a J,
    partials: Partials<J>,
}

impl<J: Job + ?Sized> Job for InPieces<'_, J> {
    type Plain = J::Plain;
    type Exact = J::Exact;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<J::Plain>) -> bool {
        self.job.stage(level, staging, into)
    }

    fn windows(&self, level: Level, reading: &Reading<'_>, monoids: Monoids, into: &mut Cells<J::Plain>) -> bool {
        self.job.windows(level, reading, monoids, into)
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<J::Plain>) {
        let divisors = Divisors::default();
        let rows = finishing.rows[0];
        level.run(Finish::<Same<_>> { from: &from.values, rows, divisors, target: self.partials.0 });
        level.run(Finish::<Same<_>> { from: &from.tags, rows, divisors, target: self.partials.1 });
    }
}

/// Takes unfinished results up again.
struct OfPieces<'a, J: Job + ?Sized> {
    job: &'a J,
    partials: Partials<J>,
}

impl<J: Job + ?Sized> Job for OfPieces<'_, J> {
    type Plain = J::Plain;
    type Exact = J::Exact;

    fn stage(&self, level: Level, staging: &Staging<'_>, into: &mut Cells<J::Plain>) -> bool {
        let rows = staging.rows;
        level.run(Stage::<Same<_>> { source: self.partials.0, rows, into: &mut into.values });
        level.run(Stage::<Same<_>> { source: self.partials.1, rows, into: &mut into.tags });
        true
    }

    fn finish(&self, level: Level, finishing: &Finishing<'_>, from: &mut Cells<J::Plain>) {
        self.job.finish(level, finishing, from);
    }
}

/// Values that stay as they are.
#[derive(Clone, Copy)]
struct Same<V>(PhantomData<V>);

impl<V: Copy + Default + Send + Sync + 'static> Lift for Same<V> {
    type Element = V;
    type Value = V;

    #[inline(always)]
    fn padding() -> V {
        V::default()
    }

    #[inline(always)]
    fn lift(x: V) -> V {
        x
    }

    type Watch = ();

    #[inline(always)]
    fn watch((): (), _: V) {}

    #[inline(always)]
    fn special((): ()) -> bool {
        false
    }
}

impl<V: Copy + Send + Sync + 'static> Lower for Same<V> {
    type Value = V;
    type Element = V;

    #[inline(always)]
    fn lower(value: V, _: f64) -> V {
        value
    }
}
