//! The derivative of a reduction to segments: what is known of each segment, and where it takes that, a copy of the cells.

use super::fold::{Block, Blocks, States};
#[cfg(feature = "python")]
use super::fold::{Sink, fold};
use super::groups::Groups;
use super::rows::{Rows, RowsMut};
#[cfg(feature = "python")]
use super::states::SegmentMode;
use super::states::{Floats, Reduction};
use crate::engine::reserve;
use crate::error::{Result, try_vec};
use crate::ops::solved::Solved;
use crate::parallel::Parallel;
use crate::strided::Raw;

/// A linear map between the tangents of rows and of segments.
pub(crate) struct SegmentMap {
    #[cfg_attr(not(feature = "python"), allow(dead_code))] // for the binding, which checks shapes by it
    pub solved: Solved,
    pub(super) groups: Groups,
    pub(super) lanes: usize,
    pub(super) of: Floats,
    /// The states of all segments that have a row; none if slopes do not depend on them.
    pub(super) states: Vec<f64>,
    /// The cells, if slopes depend on them.
    pub(super) x: Option<Box<dyn Rows<f64>>>,
}

/// The work buffers of a thread.
#[derive(Default)]
struct Scratch {
    cells: Vec<f64>,
    state: Vec<f64>,
    factors: Vec<f64>,
    slopes: Vec<f64>,
}

impl SegmentMap {
    /// Computes how the results change with each cell of a block, times a factor of its segment: the cotangents that are
    /// given, or 1.
    fn slopes(
        &self,
        Scratch { cells, state, factors, slopes }: &mut Scratch,
        block: &Block<'_>,
        dy: Option<&dyn Rows<f64>>,
    ) -> Result<()> {
        let (n, lines) = (block.lanes.len(), self.of.lines());
        reserve(cells, block.rows.len() * n)?;
        reserve(slopes, block.rows.len() * n)?;
        reserve(state, lines * n)?;
        reserve(factors, block.runs.len() * n)?;
        if let Some(x) = &self.x {
            x.read(block.rows, &block.lanes, &mut cells[..block.rows.len() * n]);
        }
        match dy {
            Some(dy) => {
                let segments = &self.groups.numbers()[block.runs.clone()];
                dy.read(segments, &block.lanes, &mut factors[..segments.len() * n]);
            }
            None => factors.fill(1.0),
        }
        let states = States { place: Raw::from_ref(&self.states), lines, lanes: self.lanes };
        for (place, factors) in block.runs.clone().zip(factors.chunks_exact(n)) {
            let state = &mut state[..lines * n];
            if !self.states.is_empty() {
                states.take(place, &block.lanes, state);
            }
            let rows = block.rows_of(&self.groups, place);
            let (cells, slopes) = (&cells[rows.start * n..rows.end * n], &mut slopes[rows.start * n..rows.end * n]);
            self.of.slopes(&block.rows[rows], cells, state, self.groups.run(place).len(), factors, slopes);
        }
        Ok(())
    }

    /// Writes the cotangent of the rows.
    pub fn pull(&self, dy: &dyn Rows<f64>, dx: &dyn RowsMut<f64>, parallel: &Parallel<'_>) -> Result<()> {
        Blocks::new(&self.groups, self.lanes).run(3, parallel, |scratch: &mut Scratch, block| {
            self.slopes(scratch, block, Some(dy))?;
            dx.write(block.rows, &block.lanes, &scratch.slopes[..block.rows.len() * block.lanes.len()]);
            Ok(())
        })
    }

    /// Writes the tangent of the segments.
    #[cfg(feature = "python")]
    pub fn push(&self, dx: &dyn Rows<f64>, dy: &dyn RowsMut<f64>, parallel: &Parallel<'_>) -> Result<()> {
        let read = |block: &Block<'_>, into: &mut [f64]| {
            let mut scratch = Scratch::default();
            self.slopes(&mut scratch, block, None)?;
            dx.read(block.rows, &block.lanes, into);
            for (tangent, slope) in into.iter_mut().zip(&scratch.slopes) {
                // What did not win an extreme does not count, whatever it is.
                *tangent = if *slope == 0.0 { 0.0 } else { *tangent * slope };
            }
            Ok(())
        };
        let sum = Floats { mode: SegmentMode::Sum, placed: false };
        fold(&self.groups, self.lanes, &sum, &read, &Sink { y: dy, fill: 0.0, kept: None }, parallel)
    }

    /// Room for the states of all segments that have a row, if slopes depend on them.
    pub(super) fn room(groups: &Groups, lanes: usize, of: Floats) -> Result<Vec<f64>> {
        let needed = of.placed || of.reads_cells();
        let lines = if needed { of.lines() } else { 0 };
        let mut states = try_vec(groups.numbers().len().saturating_mul(lanes).saturating_mul(lines))?;
        states.resize(groups.numbers().len() * lanes * lines, 0.0);
        Ok(states)
    }
}
