//! Boxes, copied and checked, and what a box means for one axis: for each bin the cells it looks at, and their weights.
//!
//! Bilinear weights are products of a row's and a column's, and a sample lies inside the image if it does so along both
//! axes. So everything about a box is two lists of [`Tap`]s, one for each axis, and a bin is the product of two runs of them.

use ndarray::{ArrayView, Dimension};

use super::lanes::Lane;
use crate::element::Element;
use crate::engine::Reader;
use crate::error::{PoolError, Result, Shape, try_vec};
use crate::strided::View;

/// Corners further away, in cells, count as if they were here: where PyTorch's numbers overflow.
const FAR: f64 = 4_294_967_296.0;

/// Boxes with the image of each; checked, so that nothing has to be asked of them again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boxes {
    images: Vec<usize>,
    /// `x1, y1, x2, y2` of each.
    corners: Vec<[f64; 4]>,
}

impl Boxes {
    /// The boxes of one array, for so many images.
    pub fn of<B: Element, E: Dimension>(boxes: &ArrayView<'_, B, E>, images: usize) -> Result<Self> {
        let (mut read, view) = (Self::default(), View::from(boxes));
        read.add(&view.raw(), view.shape(), view.strides(), None, images)?;
        Ok(read)
    }

    /// Adds the rows of an array: an index of one of `count` images and four corners, or four corners in the given `image`.
    pub fn add(
        &mut self,
        reader: &dyn Reader<f64>,
        shape: &[usize],
        strides: &[isize],
        image: Option<usize>,
        count: usize,
    ) -> Result<()> {
        let columns = if image.is_some() { 4 } else { 5 };
        let &[rows, _] = shape.strip_suffix(&[columns]).map_or(&[][..], |_| shape) else {
            let rule = format!("must have 2 axes, the last one of {columns}");
            return Err(PoolError::value("boxes", format!("an array of shape {}", Shape(shape)), rule));
        };
        let memory = |_| PoolError::Memory { bytes: rows.saturating_mul(size_of::<(usize, [f64; 4])>()) };
        self.images.try_reserve(rows).map_err(memory)?;
        self.corners.try_reserve(rows).map_err(memory)?;
        let mut numbers = [0.0; 5];
        for row in 0..rows {
            let numbers = &mut numbers[..columns];
            reader.read(row as isize * strides[0], strides[1], numbers);
            let (index, corners) = numbers.split_at(columns - 4);
            let corners = [corners[0], corners[1], corners[2], corners[3]];
            if let Some(corner) = corners.iter().find(|corner| !corner.is_finite()) {
                let rule = format!("of box {} must be finite", self.images.len());
                return Err(PoolError::value("boxes", format!("a coordinate {corner}"), rule));
            }
            let image = match index.first() {
                None => image.unwrap_or_default(),
                Some(&index) if index >= 0.0 && index < count as f64 && index.fract() == 0.0 => index as usize,
                Some(index) => {
                    let which = self.images.len();
                    let rule = match count.checked_sub(1) {
                        Some(last) => format!("of box {which} must be an integer from 0 to {last}"),
                        None => format!("of box {which}: x has no images"),
                    };
                    return Err(PoolError::value("boxes", format!("the batch index {index}"), rule));
                }
            };
            self.images.push(image);
            self.corners.push(corners);
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// The numbers of the boxes, by image, those of one image in the order given.
    pub fn by_image(&self) -> Result<Vec<(usize, usize)>> {
        let mut order = try_vec(self.len())?;
        order.extend(self.images.iter().copied().zip(0..));
        order.sort_unstable();
        Ok(order)
    }

    /// Where a box begins and ends, along the height or the width.
    pub fn along(&self, number: usize, axis: Axis) -> (f64, f64) {
        let [x1, y1, x2, y2] = self.corners[number];
        if axis == Axis::Height { (y1, y2) } else { (x1, x2) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Axis {
    Height,
    Width,
}

/// How a bin looks at cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cover {
    /// At points between cells: so many along an axis, or if that is 0 one for each cell that a bin is long, rounded up.
    Points { ratio: u64, half_pixel: bool, at_least_a_cell: bool },
    /// At whole cells, corners rounded. `inclusive` if the last corner is a cell of the box.
    Cells { inclusive: bool },
}

/// What weights of points that fall on the same cell become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Merge {
    Sum,
    Extremes,
}

/// A cell along an axis, and its weight; where weights are not summed, the largest and the least.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tap<W> {
    /// What the cell adds to the number of a cell in its plane.
    pub place: usize,
    pub weight: W,
    pub least: W,
}

/// The part of a bin that lies along one axis.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    pub start: usize,
    pub end: usize,
    /// What the sum over the axis is divided by: points, or cells.
    pub divisor: f64,
    /// Whether some points lie outside of the image, where it is 0.
    pub outside: bool,
}

/// The bins of some boxes along one axis, one box after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Bins<W> {
    pub bins: Vec<Bin>,
    pub taps: Vec<Tap<W>>,
}

/// The rules by which boxes become bins along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub cover: Cover,
    pub merge: Merge,
    pub scale: f64,
    /// Cells of the axis, the step from one to the next in the number of a cell, and bins.
    pub cells: usize,
    pub step: usize,
    pub bins: usize,
    /// Whether coordinates are computed in `f32`, as PyTorch does for arrays of that.
    pub single: bool,
}

impl Grid {
    /// Rounds as the type that coordinates are computed in. Sums, products and quotients of `f32` are the same whether
    /// rounded once or first to `f64`.
    fn round(&self, value: f64) -> f64 {
        if self.single { value as f32 as f64 } else { value }
    }

    /// A corner in cells.
    fn corner(&self, value: f64) -> f64 {
        let value = if self.single { value.clamp(f32::MIN as f64, f32::MAX as f64) } else { value };
        self.round(self.round(value) * self.round(self.scale)).clamp(-FAR, FAR)
    }

    /// Where the first bin begins, and the length of each.
    fn points(&self, (begin, end): (f64, f64), half_pixel: bool, at_least_a_cell: bool) -> (f64, f64) {
        let shift = if half_pixel { 0.5 } else { 0.0 };
        let (begin, end) = (self.round(self.corner(begin) - shift), self.round(self.corner(end) - shift));
        let len = self.round(end - begin);
        let len = if at_least_a_cell { len.max(1.0) } else { len };
        (begin, self.round(len / self.round(self.bins as f64)))
    }

    /// Where the first bin begins, and the length of all of them.
    fn whole(&self, (begin, end): (f64, f64), inclusive: bool) -> (i64, i64) {
        let (begin, end) = (self.corner(begin).round() as i64, self.corner(end).round() as i64);
        (begin, (end - begin + inclusive as i64).max(1))
    }

    /// About how many taps a box has, to share out the work.
    pub fn reach(&self, span: (f64, f64)) -> usize {
        let (begin, len, most) = match self.cover {
            Cover::Points { ratio, half_pixel, at_least_a_cell } => {
                let (begin, bin) = self.points(span, half_pixel, at_least_a_cell);
                let most = if ratio == 0 { usize::MAX } else { self.bins.saturating_mul(2 * ratio as usize) };
                (begin, bin * self.bins as f64, most)
            }
            Cover::Cells { inclusive } => {
                let (begin, len) = self.whole(span, inclusive);
                (begin as f64, len as f64, usize::MAX)
            }
        };
        let (low, high) = if len < 0.0 { (begin + len, begin) } else { (begin, begin + len) };
        let inside = high.min(self.cells as f64) - low.max(0.0);
        if inside < -1.0 { 1 } else { (inside.max(0.0) as usize + self.bins.saturating_mul(3)).min(most) }
    }

    /// Appends the bins of a box.
    pub fn add<W: Lane>(&self, span: (f64, f64), into: &mut Bins<W>) -> Result<()> {
        match self.cover {
            Cover::Points { ratio, half_pixel, at_least_a_cell } => {
                let (begin, bin) = self.points(span, half_pixel, at_least_a_cell);
                // Bins of a length that is not positive have no points, unless their number is given.
                let points = if ratio > 0 { ratio } else { bin.ceil() as u64 };
                let mut cells = Vec::new();
                for b in 0..self.bins {
                    self.add_points(self.round(begin + self.round(b as f64 * bin)), bin, points, &mut cells, into)?;
                }
            }
            Cover::Cells { inclusive } => {
                let (begin, len) = self.whole(span, inclusive);
                let bin = self.round(self.round(len as f64) / self.round(self.bins as f64));
                // As in PyTorch, the last cell of an axis is no cell of a position-sensitive mean.
                let last = self.cells - !inclusive as usize;
                let border = |at: i64| (at + begin).clamp(0, last as i64) as usize;
                for b in 0..self.bins {
                    let low = border(self.round(b as f64 * bin).floor() as i64);
                    let high = border(self.round((b + 1) as f64 * bin).ceil() as i64).max(low);
                    let start = into.taps.len();
                    into.reserve(high - low)?;
                    let tap = |cell| Tap { place: cell * self.step, weight: W::of(1.0), least: W::of(1.0) };
                    into.taps.extend((low..high).map(tap));
                    let (end, divisor) = (into.taps.len(), (high - low) as f64);
                    into.bins.push(Bin { start, end, divisor, outside: false });
                }
            }
        }
        Ok(())
    }

    /// Appends a bin that begins at `base` and looks at evenly spaced points; `cells` is scratch.
    fn add_points<W: Lane>(
        &self,
        base: f64,
        bin: f64,
        points: u64,
        cells: &mut Vec<(usize, f64, f64)>,
        into: &mut Bins<W>,
    ) -> Result<()> {
        let at = |point: u64| {
            let along = self.round(self.round(self.round(point as f64 + 0.5) * bin) / self.round(points as f64));
            self.round(base + along)
        };
        // Points further out than a cell are 0. There may be any number of them, and the others are neighbours.
        let (low, high) = (-1.0, self.cells as f64);
        let inside = if bin < 0.0 {
            first(points, |point| at(point) <= high)..first(points, |point| at(point) < low)
        } else {
            first(points, |point| at(point) >= low)..first(points, |point| at(point) > high)
        };
        cells.clear();
        let last = self.cells - 1;
        for y in inside.clone().map(at) {
            let y = y.max(0.0);
            let below = (y as usize).min(last);
            // Past the last cell there is nothing to interpolate with.
            let beyond = if below == last { 0.0 } else { self.round(y - below as f64) };
            for (cell, weight) in [(below, self.round(1.0 - beyond)), ((below + 1).min(last), beyond)] {
                let recent = cells.len().saturating_sub(2);
                match cells[recent..].iter_mut().find(|known| known.0 == cell) {
                    Some(known) if self.merge == Merge::Sum => known.1 += weight,
                    Some(known) => (known.1, known.2) = (known.1.max(weight), known.2.min(weight)),
                    None => {
                        cells.try_reserve(1).map_err(|_| PoolError::Memory { bytes: 24 })?;
                        cells.push((cell, weight, weight));
                    }
                }
            }
        }
        let start = into.taps.len();
        into.reserve(cells.len())?;
        let tap = |&(cell, weight, least): &(usize, f64, f64)| Tap {
            place: cell * self.step,
            weight: W::of(weight),
            least: W::of(least),
        };
        into.taps.extend(cells.iter().map(tap));
        let outside = inside.end.saturating_sub(inside.start) < points;
        into.bins.push(Bin { start, end: into.taps.len(), divisor: points as f64, outside });
        Ok(())
    }
}

impl<W> Bins<W> {
    /// Makes room for a bin of so many taps.
    fn reserve(&mut self, taps: usize) -> Result<()> {
        let memory = |_| PoolError::Memory { bytes: taps.saturating_mul(size_of::<Tap<W>>()) };
        self.taps.try_reserve(taps).map_err(memory)?;
        self.bins.try_reserve(1).map_err(memory)
    }
}

/// The first number below `end` that has a property which all later ones have too, or `end`.
fn first(end: u64, has: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if has(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(cover: Cover, cells: usize, bins: usize) -> Grid {
        Grid { cover, merge: Merge::Sum, scale: 1.0, cells, step: 1, bins, single: true }
    }

    /// The cells and weights of each bin.
    fn drawn(grid: &Grid, span: (f64, f64)) -> Vec<Vec<(usize, f64)>> {
        let mut bins = Bins::<f64>::default();
        grid.add(span, &mut bins).unwrap();
        let taps = |bin: &Bin| bins.taps[bin.start..bin.end].iter().map(|tap| (tap.place, tap.weight)).collect();
        bins.bins.iter().map(taps).collect()
    }

    #[test]
    fn points_weigh_the_cells_around_them() {
        // Cells 0 1 2 3, points at 0.5, 1.5 | 2.5, 3.5, of which the last has no cell behind it.
        let cover = Cover::Points { ratio: 2, half_pixel: false, at_least_a_cell: true };
        let bins = drawn(&grid(cover, 4, 2), (0.0, 4.0));
        assert_eq!(bins, [vec![(0, 0.5), (1, 1.0), (2, 0.5)], vec![(2, 0.5), (3, 1.5)]]);
        assert_eq!(drawn(&grid(cover, 4, 1), (50.0, 60.0)), [vec![]]);
    }

    #[test]
    fn points_outside_are_counted_and_not_visited() {
        let cover = Cover::Points { ratio: 0, half_pixel: true, at_least_a_cell: false };
        let mut bins = Bins::<f64>::default();
        grid(cover, 10, 1).add((-1e9, 1e9), &mut bins).unwrap();
        assert_eq!(bins.bins[0].divisor, 2e9);
        assert!(bins.bins[0].outside);
        let inverted = drawn(&grid(cover, 10, 2), (8.0, 2.0));
        assert_eq!(inverted, [vec![], vec![]]);
    }

    #[test]
    fn cells_of_bins_overlap_and_are_clipped() {
        let inclusive = grid(Cover::Cells { inclusive: true }, 6, 2);
        let cells = |bins: Vec<Vec<(usize, f64)>>| -> Vec<Vec<usize>> {
            bins.into_iter().map(|bin| bin.into_iter().map(|tap| tap.0).collect()).collect()
        };
        assert_eq!(cells(drawn(&inclusive, (1.4, 3.4))), [[1, 2], [2, 3]]);
        assert_eq!(cells(drawn(&inclusive, (4.5, 7.0))), [vec![5], vec![]]);
        assert_eq!(cells(drawn(&grid(Cover::Cells { inclusive: false }, 6, 2), (2.0, 6.0))), [vec![2, 3], vec![4]]);
    }
}
