//! Statistics and choices of windows that are visited one by one, and the derivatives of statistics.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
#[cfg(feature = "python")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::solved::Solved;
use crate::element::Element;
use crate::engine::{At, Field, Gathered, Owned, Reader, Visit, Writer, fastest_last};
use crate::error::{Result, try_vec};
#[cfg(feature = "python")]
use crate::modes::Exact;
use crate::modes::{Choice, InBlocks, LANES, Number, Results, Slopes, Statistic};
use crate::parallel::Parallel;
use crate::spans::Spans;
use crate::strided::{Raw, View};

/// Which cells of a window count, and what weighs them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    /// Cells that are not 0 here are valid; all, if there is none.
    pub valid: Option<Field<'a, f64>>,
    /// Whether NaN is not.
    pub omit: bool,
    /// Weights or logits.
    pub beside: Option<Field<'a, f64>>,
    /// Whether cells weigh as much as the part of them that lies in their bin.
    pub overlap: bool,
    /// Windows with fewer valid cells have no value.
    pub least: usize,
}

impl Rules<'_> {
    /// Whether windows may have fewer valid cells than real ones.
    fn leaves_out(&self) -> bool {
        self.valid.is_some() || self.omit
    }
}

/// Where results go.
pub(crate) struct Target<'a, V> {
    pub y: &'a dyn Writer<V>,
    pub strides: &'a [isize],
    /// Writes what stands for the value of a window that has none.
    pub fill: &'a (dyn Fn(isize) + Sync),
}

impl Solved {
    /// The windows of an array.
    pub(crate) fn visit<'a, V>(&'a self, x: Field<'a, V>, rules: &Rules<'a>) -> Visit<'a, V> {
        Visit {
            shape: self.shape(),
            spans: self.spans(),
            x,
            valid: rules.valid,
            omit: rules.omit,
            beside: rules.beside.into_iter().collect(),
            weighted: rules.beside.is_some(),
            overlap: rules.overlap,
        }
    }

    /// The number of a window, in C order.
    fn number(&self, at: &At) -> u64 {
        at.index.iter().zip(self.output_shape()).fold(0, |number, (&o, &len)| number * len as u64 + o as u64)
    }
}

/// Runs `result` on every window, with its valid cells if they are enough, and fills where it has none.
fn each<V: Number>(
    x: Field<'_, V>,
    solved: &Solved,
    rules: &Rules<'_>,
    target: &Target<'_, V>,
    parallel: &Parallel<'_>,
    result: impl Fn(Option<&mut Gathered<V>>, &At) -> Option<V> + Sync,
) -> Result<()> {
    let visit = solved.visit(x, rules);
    let flats = visit.flats();
    visit.all_windows(parallel, Gathered::default, |gathered, at| {
        one(&visit, &flats, rules, target, gathered, at, &result)
    })
}

/// Runs `result` on one window.
fn one<V: Number>(
    visit: &Visit<'_, V>,
    flats: &[u64],
    rules: &Rules<'_>,
    target: &Target<'_, V>,
    gathered: &mut Gathered<V>,
    at: &At,
    result: &impl Fn(Option<&mut Gathered<V>>, &At) -> Option<V>,
) -> Result<()> {
    visit.gather(at, flats, gathered)?;
    let offset = at.offset(target.strides);
    match result((gathered.len() >= rules.least.max(1)).then_some(gathered), at) {
        Some(value) => target.y.write(offset, 1, &[value]),
        None => (target.fill)(offset),
    }
    Ok(())
}

/// Runs a mode on blocks of windows, and `result` on windows by themselves where blocks do not serve.
fn each_in_blocks(
    x: Field<'_, f64>,
    solved: &Solved,
    mode: &InBlocks,
    rules: &Rules<'_>,
    target: &Target<'_, f64>,
    parallel: &Parallel<'_>,
    result: impl Fn(Option<&mut Gathered<f64>>, &At) -> Option<f64> + Sync,
) -> Result<()> {
    let visit = solved.visit(x, rules);
    let flats = visit.flats();
    let least = rules.least.max(1) as f64;
    let single = |gathered: &mut Gathered<f64>, at: &At| one(&visit, &flats, rules, target, gathered, at, &result);
    let block = |gathered: &mut Gathered<f64>, at: &mut At, row: usize, first: usize, results: &Results| {
        let (offset, stride) = (at.offset(target.strides), target.strides[row]);
        let Results { values, counts, odd } = results;
        if (0..LANES).all(|l| odd[l] == 0.0 && counts[l] >= least) {
            target.y.write(offset, stride, values);
            return Ok(());
        }
        for l in 0..LANES {
            let offset = offset + l as isize * stride;
            if counts[l] < least {
                (target.fill)(offset);
            } else if odd[l] == 0.0 {
                target.y.write(offset, 1, &[values[l]]);
            } else {
                visit.step(at, row, first + l);
                single(gathered, at)?;
            }
        }
        Ok(())
    };
    visit.all_in_blocks(mode, parallel, Gathered::default, block, single)
}

/// Writes a statistic of each window.
pub(crate) fn statistic(
    x: Field<'_, f64>,
    solved: &Solved,
    statistic: &Statistic,
    rules: &Rules<'_>,
    target: &Target<'_, f64>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let result = |gathered: Option<&mut Gathered<f64>>, _: &At| {
        let gathered = gathered?;
        let mut order = std::mem::take(&mut gathered.order);
        let value = statistic.value(&gathered.cells(rules.beside.is_some(), 0), &mut order);
        gathered.order = order;
        // Of two NaNs, instructions keep the one or the other: all become one.
        Some(if value.is_nan() { f64::NAN } else { value })
    };
    match InBlocks::statistic(*statistic, solved.window_cells(), rules.leaves_out()) {
        Some(mode) if !rules.overlap => each_in_blocks(x, solved, &mode, rules, target, parallel, result),
        _ => each(x, solved, rules, target, parallel, result),
    }
}

/// Writes an exact total of the integers of each window.
#[cfg(feature = "python")]
pub(crate) fn exact(
    x: Field<'_, i128>,
    solved: &Solved,
    total: Exact,
    rules: &Rules<'_>,
    target: &Target<'_, i128>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    each(x, solved, rules, target, parallel, |gathered, _| {
        gathered.map(|gathered| total.value(&gathered.cells(false, 0)))
    })
}

/// What becomes of the place of a chosen cell: of no cell, where a window has none.
pub(crate) type Placed<'a> = dyn Fn(&At, Option<u64>) + Sync + 'a;

/// Writes the chosen cell of each window, of which nothing but the value is wanted.
pub(crate) fn chosen_value(
    x: Field<'_, f64>,
    solved: &Solved,
    of: &Choice,
    rules: &Rules<'_>,
    target: &Target<'_, f64>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    let Some(mode) = InBlocks::choice(*of, solved.window_cells(), rules.leaves_out()) else {
        return choice(x, solved, of, rules, target, &|_, _| {}, parallel);
    };
    each_in_blocks(x, solved, &mode, rules, target, parallel, |gathered, at| {
        gathered.and_then(|gathered| chosen(of, solved, gathered, at)).map(|(_, value)| value)
    })
}

/// The place and the value of the cell that is chosen, if there is one.
fn chosen<V: Number>(of: &Choice, solved: &Solved, gathered: &mut Gathered<V>, at: &At) -> Option<(u64, V)> {
    let mut order = std::mem::take(&mut gathered.order);
    let chosen = of.choose(&gathered.cells(false, solved.number(at)), &mut order);
    gathered.order = order;
    chosen.map(|chosen| (gathered.positions[chosen], gathered.values[chosen]))
}

/// Writes the chosen cell of each window.
pub(crate) fn choice<V: Number>(
    x: Field<'_, V>,
    solved: &Solved,
    choice: &Choice,
    rules: &Rules<'_>,
    target: &Target<'_, V>,
    placed: &Placed<'_>,
    parallel: &Parallel<'_>,
) -> Result<()> {
    each(x, solved, rules, target, parallel, |gathered, at| {
        let chosen = gathered.and_then(|gathered| chosen(choice, solved, gathered, at));
        placed(at, chosen.map(|(position, _)| position));
        chosen.map(|(_, value)| value)
    })
}

/// Whether every window has enough valid cells, and its middle cell is valid if that is what is chosen.
#[cfg(feature = "python")]
pub(crate) fn all_have_enough(
    x: Field<'_, f64>,
    solved: &Solved,
    chosen: Option<&Choice>,
    rules: &Rules<'_>,
    parallel: &Parallel<'_>,
) -> Result<bool> {
    let few = AtomicBool::new(false);
    let strides = vec![0; solved.shape().len()];
    let nowhere = Target { y: &Nothing, strides: &strides, fill: &|_| few.store(true, Relaxed) };
    let of = if let Some(Choice::Center) = chosen { &Choice::Center } else { &Choice::First };
    choice(x, solved, of, rules, &nowhere, &|_, _| {}, parallel)?;
    Ok(!few.into_inner())
}

/// Writes nothing.
#[cfg(feature = "python")]
struct Nothing;

#[cfg(feature = "python")]
impl<V> Writer<V> for Nothing {
    fn write(&self, _: isize, _: isize, _: &[V]) {}
}

/// A copy of an array of the caller's, who may write to it after the call.
#[derive(Clone)]
pub(crate) struct Kept {
    reader: Arc<dyn Reader<f64>>,
    strides: Vec<isize>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("strides", &self.strides).finish_non_exhaustive()
    }
}

impl Kept {
    /// Copies an array, in the order of its memory; broadcast axes stay so.
    pub fn copy<T: Element>(array: &View<'_, T>) -> Result<Self> {
        let order = fastest_last(array.strides());
        let mut strides = vec![0; order.len()];
        let mut step = 1;
        for &axis in order.iter().rev() {
            if array.strides()[axis] != 0 {
                strides[axis] = step;
                step *= array.shape()[axis] as isize;
            }
        }
        Ok(Self { reader: Arc::new(Owned(array.without_repeats(&order)?)), strides })
    }

    fn field(&self) -> Field<'_, f64> {
        Field { reader: &*self.reader, strides: &self.strides }
    }
}

/// The derivative of a statistic: what it was computed from.
#[derive(Clone, Debug)]
pub struct StatisticMap {
    pub(super) solved: Solved,
    statistic: Statistic,
    x: Kept,
    valid: Option<Kept>,
    beside: Option<Kept>,
    omit: bool,
    overlap: bool,
    least: usize,
}

/// Cells of a band of sums: 512 KiB of `f64`.
const BAND: usize = 1 << 16;

/// An array to write to, and its strides.
pub(crate) type Outlet<'a> = (&'a dyn Writer<f64>, &'a [isize]);

impl StatisticMap {
    pub(crate) fn new(
        solved: &Solved,
        statistic: Statistic,
        x: Kept,
        [valid, beside]: [Option<Kept>; 2],
        rules: &Rules<'_>,
    ) -> Self {
        let &Rules { omit, overlap, least, .. } = rules;
        Self { solved: solved.clone(), statistic, x, valid, beside, omit, overlap, least: least.max(1) }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            valid: self.valid.as_ref().map(Kept::field),
            beside: self.beside.as_ref().map(Kept::field),
            omit: self.omit,
            overlap: self.overlap,
            least: self.least,
        }
    }

    /// Writes the cotangents of `x` and of what is beside it (of the shape of `x`), and returns that of the parameter.
    pub(crate) fn pull(
        &self,
        dy: Field<'_, f64>,
        dx: Outlet<'_>,
        d_beside: Option<Outlet<'_>>,
        parallel: &Parallel<'_>,
    ) -> Result<f64> {
        let visit = self.solved.visit(self.x.field(), &self.rules());
        let bands = Bands::new(&visit);
        let mut parameters = try_vec(bands.tasks())?;
        parameters.resize(bands.tasks(), 0.0);
        let parts = Raw::of(&mut parameters);
        let flats = visit.flats();
        let scratch = || (Gathered::default(), Slopes::default(), [Vec::new(), Vec::new()]);
        let task = |(gathered, slopes, [by_x, by_beside]): &mut (Gathered<f64>, Slopes, [Vec<f64>; 2]),
                    index: usize| {
            let band = bands.at(&visit, index);
            let (begin, len) = (band.cells.start as u64 * bands.flat, band.cells.len() * bands.flat as usize);
            for sums in [&mut *by_x, &mut *by_beside] {
                sums.clear();
                sums.try_reserve(len).map_err(|_| crate::PoolError::Memory { bytes: len * 8 })?;
            }
            by_x.resize(len, 0.0);
            by_beside.resize(if d_beside.is_some() { len } else { 0 }, 0.0);
            let mut parameter = 0.0;
            visit.windows(&band.windows, &bands.order, |at| {
                visit.gather(at, &flats, gathered)?;
                if gathered.len() < self.least {
                    return Ok(());
                }
                let mut cotangent = [0.0];
                dy.reader.read(at.offset(dy.strides), 1, &mut cotangent);
                let [cotangent] = cotangent;
                self.statistic.slopes(&gathered.cells(visit.weighted, 0), slopes);
                for (&position, slope) in gathered.positions.iter().zip(&slopes.x) {
                    if let Some(sum) = by_x.get_mut(position.wrapping_sub(begin) as usize) {
                        *sum += cotangent * slope;
                    }
                }
                if d_beside.is_some() {
                    for (i, &position) in gathered.positions.iter().enumerate() {
                        if let Some(sum) = by_beside.get_mut(position.wrapping_sub(begin) as usize) {
                            *sum += cotangent * slopes.beside[i] * gathered.parts.get(i).copied().unwrap_or(1.0);
                        }
                    }
                }
                // A window that reaches into several bands belongs to the one that its first cell is in.
                if at.spans.get(bands.axis).is_none_or(|span| band.cells.contains(&span.start)) {
                    parameter += cotangent * slopes.parameter;
                }
                Ok(())
            })?;
            parts.scatter(index as isize, 1, 1, |_| parameter);
            bands.write(&visit, &band, by_x, dx);
            if let Some(outlet) = d_beside {
                bands.write(&visit, &band, by_beside, outlet);
            }
            Ok(())
        };
        let traffic = self.solved.shape().iter().product::<usize>().saturating_mul(64);
        parallel.run(bands.tasks(), traffic, scratch, task, drop)?;
        Ok(parameters.iter().sum())
    }

    /// Writes the tangent of the result from those of `x`, of what is beside it and of the parameter.
    pub(crate) fn push(
        &self,
        dx: Field<'_, f64>,
        d_beside: Option<Field<'_, f64>>,
        d_parameter: f64,
        dy: Outlet<'_>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let mut visit = self.solved.visit(self.x.field(), &self.rules());
        let given = visit.beside.len();
        visit.beside.push(dx);
        visit.beside.extend(d_beside);
        let flats = visit.flats();
        let scratch = || (Gathered::default(), Slopes::default());
        visit.all_windows(parallel, scratch, |(gathered, slopes): &mut (Gathered<f64>, Slopes), at| {
            visit.gather(at, &flats, gathered)?;
            let mut tangent = 0.0;
            if gathered.len() >= self.least {
                self.statistic.slopes(&gathered.cells(visit.weighted, 0), slopes);
                for (slope, dx) in slopes.x.iter().zip(&gathered.beside[given]) {
                    tangent += slope * dx;
                }
                if let Some(d_beside) = gathered.beside.get(given + 1) {
                    for (i, d) in d_beside.iter().enumerate() {
                        tangent += slopes.beside[i] * gathered.parts.get(i).copied().unwrap_or(1.0) * d;
                    }
                }
                if d_parameter != 0.0 {
                    tangent += slopes.parameter * d_parameter;
                }
            }
            dy.0.write(at.offset(dy.1), 1, &[tangent]);
            Ok(())
        })
    }
}

/// Planes of the input cut into bands along their first axis, each with the windows that touch it: every input is written
/// once, by one task, and adds up its windows in their order.
struct Bands {
    /// Axes that are passed through, and their number of cells.
    free: Vec<usize>,
    pooled: Vec<usize>,
    planes: usize,
    /// The first pooled axis, its length, its step in the flat index, and cells of it in a band.
    axis: usize,
    len: usize,
    flat: u64,
    band: usize,
    transposed: Spans,
    order: Vec<usize>,
}

/// A band: its cells along the first pooled axis, the plane it is in, and its windows.
struct Band {
    cells: Range<usize>,
    windows: Vec<Range<usize>>,
}

impl Bands {
    fn new(visit: &Visit<'_, f64>) -> Self {
        let rank = visit.shape.len();
        let (pooled, free): (Vec<usize>, Vec<usize>) = (0..rank).partition(|&axis| visit.spans[axis].is_some());
        let planes = free.iter().map(|&axis| visit.shape[axis]).product();
        let axis = pooled.first().copied().unwrap_or(rank);
        let (len, flat) = visit.shape.get(axis).map_or((1, 1), |&len| (len, visit.flats()[axis]));
        let spans = visit.spans.get(axis).cloned().flatten().unwrap_or(Spans::identity(1));
        // Windows that reach into two bands are computed for both: most should not.
        let reach = spans.max_len().saturating_mul(spans.step()).saturating_mul(4);
        let band = (BAND / (flat as usize).max(1)).max(reach).clamp(1, len.max(1));
        let transposed = spans.transposed();
        Self { free, pooled, planes, axis, len, flat, band, transposed, order: (0..rank).collect() }
    }

    fn tasks(&self) -> usize {
        self.planes * self.len.div_ceil(self.band)
    }

    fn at(&self, visit: &Visit<'_, f64>, index: usize) -> Band {
        let bands = self.len.div_ceil(self.band);
        let cells = index % bands * self.band..((index % bands + 1) * self.band).min(self.len);
        let covering = || cells.clone().map(|cell| self.transposed.at(cell)).filter(|span| span.len > 0);
        let first = covering().map(|span| span.start).min().unwrap_or(0);
        let end = covering().map(|span| span.end()).max().unwrap_or(first);
        let mut windows: Vec<Range<usize>> = visit.lens_out().into_iter().map(|len| 0..len).collect();
        if let Some(range) = windows.get_mut(self.axis) {
            *range = first..end;
        }
        let mut plane = index / bands;
        for &axis in self.free.iter().rev() {
            windows[axis] = plane % visit.shape[axis]..plane % visit.shape[axis] + 1;
            plane /= visit.shape[axis];
        }
        Band { cells, windows }
    }

    /// Writes the sums of a band.
    fn write(&self, visit: &Visit<'_, f64>, band: &Band, sums: &[f64], (into, strides): Outlet<'_>) {
        let plane: isize = self.free.iter().map(|&axis| band.windows[axis].start as isize * strides[axis]).sum();
        let Some((&last, outer)) = self.pooled.split_last() else { return into.write(plane, 1, sums) };
        let row = if outer.is_empty() { band.cells.len() } else { visit.shape[last] };
        for (mut index, sums) in sums.chunks_exact(row.max(1)).enumerate() {
            let mut offset = plane;
            for &axis in outer.iter().rev() {
                let len = if axis == self.axis { band.cells.len() } else { visit.shape[axis] };
                let start = if axis == self.axis { band.cells.start } else { 0 };
                offset += (start + index % len) as isize * strides[axis];
                index /= len;
            }
            if outer.is_empty() {
                offset += band.cells.start as isize * strides[last];
            }
            into.write(offset, strides[last], sums);
        }
    }
}
