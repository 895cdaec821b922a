//! The oracle: five nested loops, obviously right, and the generator of cases for everything that is compared with it.

use ndarray::{ArrayD, Dimension, IxDyn, Slice};
use ndpool::{Pool, Window};
use proptest::prelude::*;

/// One pooled axis as a caller would describe it.
#[derive(Clone, Debug)]
pub enum Axis {
    Free,
    Window { kernel: usize, stride: usize, dilation: usize, before: usize, after: usize, ceil: bool },
    Adaptive(usize),
}

impl Axis {
    /// For each output, the cells it covers; and how many cells it covers of the padded axis.
    pub fn cells(&self, n: usize) -> Vec<(Vec<usize>, usize)> {
        match *self {
            Self::Free => (0..n).map(|i| (vec![i], 1)).collect(),
            Self::Adaptive(m) => (0..m)
                .map(|o| {
                    let cells: Vec<usize> = (o * n / m..((o + 1) * n).div_ceil(m)).collect();
                    (cells.clone(), cells.len())
                })
                .collect(),
            Self::Window { kernel, stride, dilation, before, after, ceil } => {
                let free = (n + before + after) as isize - (dilation * (kernel - 1) + 1) as isize;
                let round_up = if ceil { stride - 1 } else { 0 };
                let mut outputs = ((free + round_up as isize).div_euclid(stride as isize) + 1) as usize;
                if ceil && (outputs - 1) * stride >= n + before {
                    outputs -= 1;
                }
                (0..outputs)
                    .map(|o| {
                        let taps = (0..kernel).map(|t| (o * stride + t * dilation) as isize - before as isize);
                        let padded = taps.clone().filter(|&i| i < (n + after) as isize).count();
                        let cells = taps.filter(|&i| i >= 0 && i < n as isize).map(|i| i as usize).collect();
                        (cells, padded)
                    })
                    .collect()
            }
        }
    }
}

/// A generated call: axes of an array, the array as a view of a larger one, and options.
#[derive(Clone, Debug)]
pub struct Case {
    pub axes: Vec<Axis>,
    pub array: ArrayD<f64>,
    pub order: Vec<usize>,
    pub steps: Vec<isize>,
    pub include_pad: bool,
}

impl Case {
    /// The operation under test.
    pub fn pool(&self) -> Vec<Pool> {
        let pooled: Vec<usize> = (0..self.axes.len()).filter(|&j| !matches!(self.axes[j], Axis::Free)).collect();
        let windows: Vec<Window> = pooled
            .iter()
            .filter_map(|&j| match self.axes[j] {
                Axis::Window { kernel, stride, dilation, before, after, ceil } => {
                    let window = Window::new(kernel).stride(stride).padding(before, after);
                    Some(window.dilation(dilation).ceil_mode(ceil))
                }
                _ => None,
            })
            .collect();
        if windows.len() == pooled.len() {
            return vec![Pool::windows(&windows).axes(&pooled).count_include_pad(self.include_pad)];
        }
        let sizes: Vec<usize> =
            pooled.iter().filter_map(|&j| if let Axis::Adaptive(m) = self.axes[j] { Some(m) } else { None }).collect();
        if sizes.len() == pooled.len() { vec![Pool::adaptive(&sizes).axes(&pooled)] } else { Vec::new() }
    }

    /// The array as the view that the operation sees.
    pub fn view<'a, T>(&self, array: &'a ArrayD<T>) -> ndarray::ArrayViewD<'a, T> {
        let mut view = array.view().permuted_axes(self.order.clone());
        for (axis, &step) in self.steps.iter().enumerate() {
            view.slice_axis_inplace(ndarray::Axis(axis), Slice::new(0, None, step));
        }
        view
    }

    /// Calls `visit` for each output with its index, its cells in C order and its padded count.
    pub fn windows(&self, shape: &[usize], mut visit: impl FnMut(&[usize], &[Vec<usize>], usize)) -> Vec<usize> {
        let cells: Vec<_> = self.axes.iter().zip(shape).map(|(axis, &n)| axis.cells(n)).collect();
        let outputs: Vec<usize> = cells.iter().map(Vec::len).collect();
        for at in ndarray::indices(IxDyn(&outputs)) {
            let at = at.slice();
            let mut window = vec![Vec::new()];
            let mut padded = 1;
            for (axis, &o) in cells.iter().zip(at) {
                window = window
                    .iter()
                    .flat_map(|head: &Vec<usize>| {
                        axis[o].0.iter().map(|&i| head.iter().copied().chain([i]).collect::<Vec<_>>())
                    })
                    .collect();
                padded *= axis[o].1;
            }
            visit(at, &window, padded);
        }
        outputs
    }

    /// The flat index of a cell within the pooled axes.
    pub fn flat(&self, shape: &[usize], cell: &[usize]) -> i64 {
        let mut flat = 0;
        for (j, axis) in self.axes.iter().enumerate() {
            if !matches!(axis, Axis::Free) {
                flat = flat * shape[j] + cell[j];
            }
        }
        flat as i64
    }
}

/// The winner among values in order: the first NaN, else the first of the largest.
pub fn winner(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if i == 0 || value > best.1 || value.is_nan() && !best.1.is_nan() {
            best = (i, value);
        }
    }
    best.0
}

fn axis(n: usize, adaptive: bool) -> BoxedStrategy<Axis> {
    if adaptive {
        return (1..n + 3).prop_map(Axis::Adaptive).boxed();
    }
    let kernel = prop_oneof![4 => 1..4usize, 1 => 4..40usize];
    (kernel, 1..4usize, 1..4usize, 0..4usize, 0..4usize, any::<bool>())
        .prop_map(move |(kernel, stride, dilation, before, after, ceil)| {
            let extent = dilation * (kernel - 1) + 1;
            // Enough padding for one window to fit, or to begin.
            let slack = if ceil { stride - 1 } else { 0 };
            let missing = extent.saturating_sub(n + before + after + slack);
            Axis::Window { kernel, stride, dilation, before: before + missing, after, ceil }
        })
        .boxed()
}

fn value() -> BoxedStrategy<f64> {
    prop_oneof![
        6 => (-4..5i8).prop_map(f64::from),
        2 => -1.0..1.0f64,
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
    .boxed()
}

/// Cases of rank 1 to 4; `nan` adds NaN to some arrays.
pub fn case(nan: bool) -> BoxedStrategy<Case> {
    (proptest::collection::vec((prop_oneof![4 => 1..6usize, 2 => 6..34usize], 0..4u8), 1..5), any::<bool>())
        .prop_flat_map(move |(dims, adaptive)| {
            let rank = dims.len();
            let mut cells = 1;
            let lens: Vec<usize> = dims
                .iter()
                .map(|&(n, _)| {
                    let n = if cells * n > 4000 { 2 } else { n };
                    cells *= n;
                    n
                })
                .collect();
            let axes: Vec<BoxedStrategy<Axis>> = dims
                .iter()
                .zip(&lens)
                .enumerate()
                .map(
                    |(j, (&(_, kind), &n))| {
                        if kind == 0 && j + 1 < rank { Just(Axis::Free).boxed() } else { axis(n, adaptive) }
                    },
                )
                .collect();
            let order = Just((0..rank).collect::<Vec<_>>()).prop_shuffle();
            let steps = proptest::collection::vec(prop_oneof![4 => Just(1isize), 1 => Just(-1), 1 => Just(2)], rank);
            let special = u32::from(nan);
            let value = prop_oneof![40 => value(), special => Just(f64::NAN)];
            (axes, order, steps, any::<bool>(), Just(lens)).prop_flat_map(move |(axes, order, steps, pad, lens)| {
                // The array whose view, permuted and stepped, has the lengths wanted.
                let mut shape = vec![0; lens.len()];
                for (j, &axis) in order.iter().enumerate() {
                    shape[axis] = if steps[j] == 2 { lens[j] * 2 - 1 } else { lens[j] };
                }
                let cells = shape.iter().product::<usize>();
                proptest::collection::vec(value.clone(), cells).prop_map(move |values| Case {
                    axes: axes.clone(),
                    array: ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap(),
                    order: order.clone(),
                    steps: steps.clone(),
                    include_pad: pad,
                })
            })
        })
        .boxed()
}
