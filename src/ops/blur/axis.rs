//! One axis of a blur: the padding, the filter, and which windows a cell takes part in.

use std::ops::Range;

/// What stands beyond the border of a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Border {
    /// The cells inside, mirrored at the outermost, which is not repeated: `3 2 1 | 0 1 2 3`. Short axes are mirrored again.
    #[default]
    Reflect,
    /// Zeros.
    Zero,
    /// The outermost cell again.
    Edge,
}

impl Border {
    /// The cell that stands at a place, which may lie beyond an axis of `len` cells.
    pub(super) fn cell(self, place: isize, len: usize) -> Option<usize> {
        let last = len as isize - 1;
        if (0..=last).contains(&place) {
            return Some(place as usize);
        }
        match self {
            Self::Zero => None,
            Self::Edge => Some(place.clamp(0, last) as usize),
            Self::Reflect if last == 0 => Some(0),
            Self::Reflect => {
                let turn = place.rem_euclid(2 * last);
                Some(turn.min(2 * last - turn) as usize)
            }
        }
    }
}

/// One of the two axes of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Its number.
    pub at: usize,
    pub len: usize,
    pub out: usize,
    pub stride: usize,
    pub filter: usize,
    pub border: Border,
}

impl Axis {
    /// Cells of padding before the axis.
    pub fn before(self) -> isize {
        (self.filter as isize - 1) / 2
    }

    /// Cells of padding behind the axis.
    pub fn behind(self) -> isize {
        self.filter as isize / 2
    }

    /// The place of the first cell of a window.
    pub fn start(self, o: usize) -> isize {
        (o * self.stride) as isize - self.before()
    }

    /// The windows that touch a range of places.
    pub fn touching(self, places: &Range<isize>) -> Range<usize> {
        let first = (places.start - self.filter as isize + 1 + self.before()).max(0) as usize;
        let last = (places.end - 1 + self.before()).max(0) as usize;
        first.div_ceil(self.stride).min(self.out)..(last / self.stride + 1).min(self.out)
    }

    /// The places beyond the border that lie in a range, with the cells that stand there, both counted from its start.
    pub fn patches(self, places: &Range<isize>, into: &mut Vec<(usize, Option<usize>)>) {
        into.clear();
        let len = self.len as isize;
        let (left, right) = (places.start..places.end.min(0), places.start.max(len)..places.end);
        into.extend(left.chain(right).map(|place| {
            let cell = self.border.cell(place, self.len).map(|cell| (cell as isize - places.start) as usize);
            ((place - places.start) as usize, cell)
        }));
    }

    /// The windows that a cell takes part in, with its coefficient in each.
    pub fn windows_of(self, cell: usize, coefficients: &[f64], into: &mut Vec<(usize, f64)>) {
        into.clear();
        let len = self.len as isize;
        let beyond = (-self.before()..0).chain(len..len + self.behind());
        let same = |&place: &isize| self.border.cell(place, self.len) == Some(cell);
        for place in std::iter::once(cell as isize).chain(beyond.filter(same)) {
            for o in self.touching(&(place..place + 1)) {
                into.push((o, coefficients[(place - self.start(o)) as usize]));
            }
        }
    }
}

/// A row of Pascal's triangle: the coefficients of a filter, whole numbers.
pub(super) fn pascal(filter: usize) -> Vec<f64> {
    let next = |row: Vec<f64>| -> Vec<f64> {
        let shifted = std::iter::once(0.0).chain(row.iter().copied());
        shifted.zip(row.iter().copied().chain([0.0])).map(|(a, b)| a + b).collect()
    };
    (1..filter).fold(vec![1.0], |row, _| next(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_those_of_numpy() {
        let cells =
            |border: Border, len| (-4..len as isize + 4).map(|place| border.cell(place, len)).collect::<Vec<_>>();
        let some = |cells: &[usize]| cells.iter().map(|&cell| Some(cell)).collect::<Vec<_>>();
        assert_eq!(cells(Border::Reflect, 3), some(&[0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]));
        assert_eq!(cells(Border::Reflect, 1), some(&[0; 9]));
        assert_eq!(cells(Border::Edge, 2), some(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]));
        assert_eq!(cells(Border::Zero, 1), [[None; 4].as_slice(), &[Some(0)], &[None; 4]].concat());
    }

    #[test]
    fn windows_and_coefficients() {
        assert_eq!(pascal(5), [1.0, 4.0, 6.0, 4.0, 1.0]);
        // 1 | 0 1 2 3 4 | 3   ->   (1 0 1) (1 2 3) (3 4 3)
        let axis = Axis { at: 0, len: 5, out: 3, stride: 2, filter: 3, border: Border::Reflect };
        let mut windows = Vec::new();
        axis.windows_of(1, &[1.0, 2.0, 1.0], &mut windows);
        assert_eq!(windows, [(0, 1.0), (1, 1.0), (0, 1.0)]);
        axis.windows_of(4, &[1.0, 2.0, 1.0], &mut windows);
        assert_eq!(windows, [(2, 2.0)]);
    }
}
