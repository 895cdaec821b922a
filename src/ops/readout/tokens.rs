//! Tokens: the rows of a sample, read a block at a time in the type that is computed in.

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use crate::element::{Element, Real, same};
use crate::engine::{Reader, reserve};
use crate::error::{PoolError, Result};
use crate::strided::Raw;

/// A matrix without gaps.
pub(super) fn matrix<C>(values: &[C], rows: usize, columns: usize) -> ArrayView2<'_, C> {
    ArrayView2::from_shape((rows, columns), &values[..rows * columns]).expect("the slice was cut to this shape")
}

/// A matrix without gaps, to write.
pub(super) fn matrix_mut<C>(values: &mut [C], rows: usize, columns: usize) -> ArrayViewMut2<'_, C> {
    ArrayViewMut2::from_shape((rows, columns), &mut values[..rows * columns]).expect("the slice was cut to this shape")
}

/// Where tokens are read from.
enum Source<C> {
    /// An array of the type that is computed in: tokens that lie side by side are used in place.
    Direct(Raw<C>),
    /// An array of any other type.
    Other(Box<dyn Reader<C>>),
}

/// How an array of samples, their tokens, and the channels of these lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub shape: [usize; 3],
    pub strides: [isize; 3],
}

impl Layout {
    pub fn offset(self, sample: usize, token: usize, channel: usize) -> isize {
        [sample, token, channel].into_iter().zip(self.strides).map(|(at, stride)| at as isize * stride).sum()
    }
}

/// An array `(N, L, D)`: `N` samples of `L` tokens of `D` channels.
pub(crate) struct Tokens<C> {
    source: Source<C>,
    pub layout: Layout,
}

impl<C: Real> Tokens<C> {
    /// Those of an array of any type.
    pub fn new<T: Element>((array, layout): (Raw<T>, Layout)) -> Self {
        let source = same(&array).map_or_else(|| Source::Other(Box::new(array)), Source::Direct);
        Self { source, layout }
    }

    /// Those of a copy in C order, which the caller keeps.
    #[cfg(feature = "python")]
    pub fn of(values: &[C], shape: [usize; 3]) -> Self {
        let strides = [(shape[1] * shape[2]) as isize, shape[2] as isize, 1];
        Self { source: Source::Direct(Raw::from_ref(values)), layout: Layout { shape, strides } }
    }

    fn read(&self, offset: isize, into: &mut [C]) {
        let stride = self.layout.strides[2];
        match &self.source {
            Source::Direct(raw) => raw.gather(offset, stride, into, |x| x),
            Source::Other(reader) => reader.read(offset, stride, into),
        }
    }

    /// Some channels of a token.
    pub fn row<'s>(
        &'s self,
        (sample, token): (usize, usize),
        channels: &Range<usize>,
        scratch: &'s mut Vec<C>,
    ) -> Result<&'s [C]> {
        let (offset, n) = (self.layout.offset(sample, token, channels.start), channels.len());
        if let Source::Direct(raw) = &self.source
            && (self.layout.strides[2] == 1 || n == 1)
        {
            return Ok(raw.row(offset, n));
        }
        reserve(scratch, n)?;
        self.read(offset, &mut scratch[..n]);
        Ok(&scratch[..n])
    }

    /// All channels of some tokens of a sample, in ascending order, a row for each.
    pub fn block<'s>(&'s self, sample: usize, tokens: &[usize], scratch: &'s mut Vec<C>) -> Result<ArrayView2<'s, C>> {
        let Layout { shape: [_, _, width], strides: [_, step, stride] } = self.layout;
        let count = tokens.len();
        let side_by_side = count > 0 && tokens[count - 1] - tokens[0] + 1 == count;
        if let Source::Direct(raw) = &self.source
            && side_by_side
            && (stride == 1 || width == 1)
            && (step >= width as isize || count == 1)
        {
            let step = if count == 1 { width } else { step as usize };
            let rows = raw.row(self.layout.offset(sample, tokens[0], 0), (count - 1) * step + width);
            let rows = ArrayView2::from_shape((count, width).strides((step, 1)), rows);
            return Ok(rows.expect("the row ends with the last token"));
        }
        reserve(scratch, count * width)?;
        for (&token, row) in tokens.iter().zip(scratch.chunks_exact_mut(width)) {
            self.read(self.layout.offset(sample, token, 0), row);
        }
        Ok(matrix(scratch, count, width))
    }
}

/// The tokens of a range that take part. A mask says so for each of `len` tokens of each sample.
pub(super) fn valid(
    mask: Option<&[bool]>,
    (sample, len): (usize, usize),
    range: Range<usize>,
    into: &mut Vec<usize>,
) -> Result<()> {
    into.clear();
    let memory = |_| PoolError::Memory { bytes: range.len() * size_of::<usize>() };
    into.try_reserve(range.len()).map_err(memory)?;
    match mask {
        Some(mask) => into.extend(range.filter(|token| mask[sample * len + token])),
        None => into.extend(range),
    }
    Ok(())
}

/// The parts of a list of tokens, and of their weights, in which they lie side by side.
pub(super) fn runs<'s, C>(tokens: &'s [usize], weights: &'s [C]) -> impl Iterator<Item = (&'s [usize], &'s [C])> {
    let mut first = 0;
    tokens.chunk_by(|before, after| before + 1 == *after).map(move |run| {
        first += run.len();
        (run, &weights[first - run.len()..first])
    })
}
