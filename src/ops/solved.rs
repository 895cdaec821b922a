//! A call solved for one shape: checked sizes, the shape of the result, and the engine's plans.

use ndarray::{ArrayD, ArrayViewMut, Dimension, IxDyn};

use crate::element::Element;
use crate::engine::{AxisRequest, Codes, DivisorRule, Order, Plan};
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::parallel::Parallel;
use crate::spans::Spans;
use crate::strided::ViewMut;

/// Outputs that a task looks at for those without enough cells: about a millisecond.
const FILL_OUTPUTS: usize = 1 << 16;

/// An operation solved for one shape.
#[derive(Clone, Debug)]
pub struct Solved {
    shape: Vec<usize>,
    spans: Vec<Option<Spans>>,
    output_shape: Vec<usize>,
    pub(super) fill_value: Option<f64>,
    pub(crate) rule: DivisorRule,
}

impl Solved {
    /// Refuses results that no array can hold.
    pub(super) fn new(
        shape: &[usize],
        spans: Vec<Option<Spans>>,
        fill_value: Option<f64>,
        rule: DivisorRule,
    ) -> Result<Self> {
        let len = |(&len, spans): (&usize, &Option<Spans>)| spans.as_ref().map_or(len, Spans::len_out);
        let output_shape = shape.iter().zip(&spans).map(len).collect();
        Self { shape: shape.to_vec(), spans, output_shape, fill_value, rule }.holdable()
    }

    /// An operation that is known by its shapes alone: it has no windows.
    pub(super) fn of_shapes(shape: &[usize], output_shape: Vec<usize>) -> Result<Self> {
        let spans = vec![None; shape.len()];
        Self { shape: shape.to_vec(), spans, output_shape, fill_value: None, rule: DivisorRule::None }.holdable()
    }

    fn holdable(self) -> Result<Self> {
        let cells = self.output_shape.iter().try_fold(1usize, |cells, &len| cells.checked_mul(len));
        if cells.is_none_or(|cells| cells > isize::MAX as usize / 8) {
            return Err(PoolError::value("output shape", Shape(&self.output_shape), "is more than an array can hold"));
        }
        Ok(self)
    }

    /// The shape it was solved for.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape of the result.
    #[must_use]
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    pub(crate) fn spans(&self) -> &[Option<Spans>] {
        &self.spans
    }

    /// The product of the lengths of the pooled axes: one past the largest index.
    pub(crate) fn plane_cells(&self) -> usize {
        let pooled = self.shape.iter().zip(&self.spans).filter(|(_, spans)| spans.is_some());
        pooled.fold(1, |cells, (&len, _)| cells.saturating_mul(len))
    }

    /// The most cells of a window.
    pub(crate) fn window_cells(&self) -> usize {
        self.spans.iter().flatten().map(Spans::max_len).fold(1, usize::saturating_mul)
    }

    /// Refuses windows without a real cell.
    pub(super) fn expect_cells(&self) -> Result<()> {
        let empty = |spans: &Option<Spans>| spans.as_ref().is_some_and(Spans::any_empty);
        let Some(axis) = self.spans.iter().position(empty) else { return Ok(()) };
        let rule = format!("leaves a window of axis {axis} without a real cell: give fill_value, or pad less");
        Err(PoolError::value("padding", format!("on an axis of {} cells", self.shape[axis]), rule))
    }

    /// Writes the fill value, if there is one, to every output without a real cell.
    pub(super) fn fill_empty<T: Element>(&self, y: &ViewMut<'_, T>) -> Result<()> {
        match self.fill_value {
            Some(value) => self.fill(y, T::from_f64(value), 1, &Parallel::default()),
            None => Ok(()),
        }
    }

    /// The real cells of output `o` of an axis; of an axis that is not pooled, one.
    fn count(&self, axis: usize, o: usize) -> usize {
        self.spans[axis].as_ref().map_or(1, |spans| spans.at(o).len)
    }

    /// Whether some output has fewer than `least` real cells; there may be no output at all.
    pub(crate) fn any_below(&self, least: usize) -> bool {
        if least <= 1 {
            return !self.output_shape.contains(&0) && self.spans.iter().flatten().any(Spans::any_empty);
        }
        let fewest = |(axis, &len): (usize, &usize)| (0..len).map(|o| self.count(axis, o)).min();
        let axes = &mut self.output_shape.iter().enumerate();
        let cells = axes.map(fewest).try_fold(1usize, |cells, n| Some(cells.saturating_mul(n?)));
        cells.is_some_and(|cells| cells < least)
    }

    /// Writes `value` to every output with fewer than `least` real cells.
    pub(crate) fn fill<T: Copy + Send + Sync>(
        &self,
        y: &ViewMut<'_, T>,
        value: T,
        least: usize,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        if !self.any_below(least) {
            return Ok(());
        }
        let Some((&row, outer)) = self.output_shape.split_last() else {
            y.fill(value);
            return Ok(());
        };
        let (last, outputs) = (outer.len(), self.output_shape.iter().product::<usize>());
        let task = |(): &mut (), index: usize| {
            let (mut at, end) = (index * FILL_OUTPUTS, outputs.min((index + 1) * FILL_OUTPUTS));
            while at < end {
                let (mut rest, column) = (at / row, at % row);
                let columns = column..row.min(column + end - at);
                at += columns.len();
                let (mut offset, mut cells) = (0, 1usize);
                for axis in (0..last).rev() {
                    let o = rest % outer[axis];
                    rest /= outer[axis];
                    offset += o as isize * y.strides()[axis];
                    cells = cells.saturating_mul(self.count(axis, o));
                }
                for o in columns {
                    if cells.saturating_mul(self.count(last, o)) < least {
                        y.raw().scatter(offset + o as isize * y.strides()[last], 1, 1, |_| value);
                    }
                }
            }
            Ok(())
        };
        parallel.run(outputs.div_ceil(FILL_OUTPUTS), outputs * size_of::<T>(), || (), task, drop)
    }

    /// The plan of the forward pass.
    pub(crate) fn plan(
        &self,
        x: &[isize],
        y: [&[isize]; 2],
        divisor: DivisorRule,
        codes: Option<Codes>,
        order: Order,
    ) -> Plan {
        let axis = |j: usize| AxisRequest {
            spans: self.spans[j].clone(),
            len: self.shape[j],
            stride_in: x[j],
            strides_out: [y[0][j], y[1][j]],
            counts: self.spans[j].clone(),
        };
        Plan::new((0..self.shape.len()).map(axis), [DivisorRule::None, divisor], codes, order)
    }

    /// The plan of the gradient of a mean: cotangents, summed over transposed spans, and divided: where they come in, or if
    /// all divisors are the same, when they are summed. Or the plan of the gradient of an extreme: cotangents summed where
    /// their code is that of the cell.
    pub(crate) fn transposed_plan(
        &self,
        cotangents: &[isize],
        dx: &[isize],
        divisor: DivisorRule,
        codes: Option<Codes>,
    ) -> Plan {
        let axis = |j: usize| AxisRequest {
            spans: self.spans[j].as_ref().map(Spans::transposed),
            len: self.spans[j].as_ref().map_or(self.shape[j], Spans::len_out),
            stride_in: cotangents[j],
            strides_out: [dx[j]; 2],
            counts: self.spans[j].clone(),
        };
        let divisors = match self.uniform_divisor(divisor) {
            Some(number) => [DivisorRule::None, DivisorRule::Fixed(number)],
            None => [divisor, DivisorRule::None],
        };
        Plan::new((0..self.shape.len()).map(axis), divisors, codes, Order::Any)
    }

    /// The divisor of every window, if they have the same.
    fn uniform_divisor(&self, rule: DivisorRule) -> Option<f64> {
        let include_pad = match rule {
            DivisorRule::None => return None,
            DivisorRule::Fixed(divisor) => return Some(divisor),
            DivisorRule::Cells => false,
            DivisorRule::Padded => true,
        };
        let mut pooled = self.spans.iter().flatten();
        let count = |spans: &Spans| spans.uniform_count(include_pad).then(|| spans.count(0, include_pad) as f64);
        pooled.try_fold(1.0, |product, spans| Some(product * count(spans)?))
    }

    /// Checks the shape of a result array.
    pub(super) fn target<'a, T: Copy, D: Dimension>(
        &self,
        y: &'a mut ArrayViewMut<'_, T, D>,
    ) -> Result<ViewMut<'a, T>> {
        if y.shape() != self.output_shape() {
            let rule = format!("must have the shape of the result, {}", Shape(self.output_shape()));
            return Err(PoolError::value("y", format!("an array of shape {}", Shape(y.shape())), rule));
        }
        Ok(ViewMut::from(y))
    }
}

/// A new array of zeros, or [`PoolError::Memory`].
pub(super) fn zeros<T: Copy + Default>(shape: &[usize]) -> Result<ArrayD<T>> {
    let len = shape.iter().product();
    let mut values = try_vec(len)?;
    values.resize(len, T::default());
    let memory = |_| PoolError::Memory { bytes: len * size_of::<T>() };
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(memory)
}
