//! Where kernels that read an array straight find its cells.

use super::stage::Lift;
use crate::element::Position;
use crate::strided::{AHEAD, Raw};
use crate::vector::Vectors;

/// Where a cell lies in the array, and its flat index within the pooled axes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    pub offset: isize,
    pub index: u64,
}

impl Place {
    /// This place, counted from another.
    pub fn after(self, other: Self) -> Self {
        Self { offset: self.offset + other.offset, index: self.index.wrapping_add(other.index) }
    }

    /// The way from another place to this.
    pub fn since(self, other: Self) -> Self {
        Self { offset: self.offset - other.offset, index: self.index.wrapping_sub(other.index) }
    }

    /// So many times this way.
    pub fn times(self, n: usize) -> Self {
        Self { offset: self.offset * n as isize, index: self.index.wrapping_mul(n as u64) }
    }
}

/// Where cells come from.
pub(crate) trait Source: Copy {
    /// How they become work values.
    type Lift: Lift;
    /// Whether cells of one window can be asked for as they lie side by side, and not only one cell of many windows.
    const SIDE_BY_SIDE: bool;

    /// An element as a work value.
    #[inline(always)]
    fn lift(&self, x: <Self::Lift as Lift>::Element) -> Value<Self> {
        Self::Lift::lift(x)
    }

    /// Cells of `N` results, from a place on and so many steps further.
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N>;

    /// Cells from an offset on, side by side.
    fn row(&self, offset: isize, cells: usize) -> &[<Self::Lift as Lift>::Element];

    /// Asks for memory that is wanted soon: `cells` from an offset on, or if `FURTHER` so much further on.
    fn prefetch<const FURTHER: bool>(&self, offset: isize, cells: usize);
}

pub(crate) type Value<S> = <<S as Source>::Lift as Lift>::Value;
pub(crate) type Values<S, const N: usize> = [Value<S>; N];

/// `N` elements, `STEP` (of 1, 2 or 4) apart, or any distance if it is 0.
#[inline(always)]
fn elements<T: Copy + Default, V: Vectors, const STEP: usize, const N: usize>(
    source: Raw<T>,
    vectors: V,
    place: Place,
    step: Place,
) -> [T; N] {
    match const { STEP } {
        1 => source.block(place.offset),
        2 => source.evens(vectors, place.offset),
        4 => source.fourths(vectors, place.offset),
        _ => source.spread(place.offset, step.offset),
    }
}

/// The cells of an array.
#[derive(Clone, Copy)]
pub(crate) struct Whole<L: Lift>(pub Raw<L::Element>);

impl<L: Lift> Source for Whole<L> {
    type Lift = L;
    const SIDE_BY_SIDE: bool = true;

    #[inline(always)]
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N> {
        let elements = elements::<_, V, STEP, N>(self.0, vectors, place, step);
        let mut values = [L::padding(); N];
        for l in 0..N {
            values[l] = L::lift(elements[l]);
        }
        values
    }

    #[inline(always)]
    fn row(&self, offset: isize, cells: usize) -> &[L::Element] {
        self.0.row(offset, cells)
    }

    #[inline(always)]
    fn prefetch<const FURTHER: bool>(&self, offset: isize, cells: usize) {
        let ahead = if const { FURTHER } { AHEAD / size_of::<L::Element>().max(1) } else { 0 };
        self.0.prefetch::<false>(offset + ahead as isize, cells);
    }
}

/// The cells of an array beside which the code stands that is sought, one for all results of a segment; of all others, the
/// identity.
#[derive(Clone, Copy)]
pub(crate) struct Matching<L: Lift, P> {
    pub cells: Whole<L>,
    /// Codes, with the strides of the array.
    pub codes: Raw<P>,
}

impl<L: Lift, P: Position> Source for Matching<L, P> {
    type Lift = L;
    const SIDE_BY_SIDE: bool = false;

    #[inline(always)]
    fn load<V: Vectors, const STEP: usize, const N: usize>(
        &self,
        vectors: V,
        place: Place,
        step: Place,
    ) -> Values<Self, N> {
        let values = self.cells.load::<V, STEP, N>(vectors, place, step);
        let codes = elements::<_, V, STEP, N>(self.codes, vectors, place, step);
        let sought = P::new(place.index);
        let mut held = [L::padding(); N];
        for l in 0..N {
            held[l] = if codes[l] == sought { values[l] } else { L::padding() };
        }
        held
    }

    fn row(&self, _: isize, _: usize) -> &[L::Element] {
        unreachable!("SIDE_BY_SIDE is false")
    }

    #[inline(always)]
    fn prefetch<const FURTHER: bool>(&self, offset: isize, cells: usize) {
        self.cells.prefetch::<FURTHER>(offset, cells);
        let ahead = if const { FURTHER } { AHEAD / size_of::<P>() } else { 0 };
        self.codes.prefetch::<false>(offset + ahead as isize, cells);
    }
}

/// A function of cells.
pub(crate) trait OfCells: Copy {
    fn of_all<const N: usize>(self, values: [f64; N]) -> [f64; N];
}

/// A power of each cell.
#[derive(Clone, Copy)]
pub(crate) struct Power {
    /// From 1 to 3.
    pub exponent: usize,
    /// What less counts as; without it, absolute values are taken.
    pub floor: Option<f64>,
}

impl Power {
    /// What the power is taken of.
    #[inline(always)]
    pub fn base(self, x: f64) -> f64 {
        match self.floor {
            None => x.abs(),
            Some(floor) => {
                if x < floor {
                    floor
                } else {
                    x
                }
            }
        }
    }

    #[inline(always)]
    pub fn of(self, x: f64) -> f64 {
        let [power] = self.of_all([x]);
        power
    }
}

impl OfCells for Power {
    #[inline(always)]
    fn of_all<const N: usize>(self, mut values: [f64; N]) -> [f64; N] {
        for value in &mut values {
            *value = self.base(*value);
        }
        match self.exponent {
            1 => {}
            2 => (0..N).for_each(|l| values[l] *= values[l]),
            _ => (0..N).for_each(|l| values[l] = values[l] * values[l] * values[l]),
        }
        values
    }
}

/// Each cell, less so much.
#[derive(Clone, Copy)]
pub(crate) struct Less(pub f64);

impl OfCells for Less {
    #[inline(always)]
    fn of_all<const N: usize>(self, mut values: [f64; N]) -> [f64; N] {
        (0..N).for_each(|l| values[l] -= self.0);
        values
    }
}

/// A function of the cells of an array.
#[derive(Clone, Copy)]
pub(crate) struct Of<F, L: Lift> {
    pub cells: Whole<L>,
    pub of: F,
}

impl<F: OfCells, L: Lift<Value = f64>> Source for Of<F, L> {
    type Lift = L;
    const SIDE_BY_SIDE: bool = true;

    #[inline(always)]
    fn lift(&self, x: L::Element) -> f64 {
        let [value] = self.of.of_all([self.cells.lift(x)]);
        value
    }

    #[inline(always)]
    fn load<V: Vectors, const STEP: usize, const N: usize>(&self, vectors: V, place: Place, step: Place) -> [f64; N] {
        self.of.of_all(self.cells.load::<V, STEP, N>(vectors, place, step))
    }

    #[inline(always)]
    fn row(&self, offset: isize, cells: usize) -> &[L::Element] {
        self.cells.row(offset, cells)
    }

    #[inline(always)]
    fn prefetch<const FURTHER: bool>(&self, offset: isize, cells: usize) {
        self.cells.prefetch::<FURTHER>(offset, cells);
    }
}
