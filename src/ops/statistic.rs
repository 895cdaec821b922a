//! Statistics and choices of windows that are visited, in blocks or one by one.

#[cfg(feature = "python")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::solved::Solved;
use crate::engine::{At, Field, Gathered, Visit, Writer};
use crate::error::Result;
#[cfg(feature = "python")]
use crate::modes::Exact;
use crate::modes::{Choice, InBlocks, LANES, Number, Results, Statistic};
use crate::parallel::Parallel;

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
