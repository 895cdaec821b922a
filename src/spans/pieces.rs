//! Long spans cut into pieces, so that a window larger than a cache is reduced piece by piece, in parallel.

use super::{Span, Spans};

/// Output `o * per + j` covers the cells `j * size .. (j + 1) * size` of span `o` of the spans it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub of: Box<Spans>,
    pub size: usize,
    pub per: usize,
}

impl Pieces {
    /// Cuts spans into pieces of at most `size` cells.
    pub fn new(of: Spans, size: usize) -> Self {
        let per = of.max_len().div_ceil(size);
        Self { of: Box::new(of), size, per }
    }

    pub fn at(&self, o: usize) -> Span {
        let Span { start, len, step } = self.of.at(o / self.per);
        let skipped = (o % self.per * self.size).min(len);
        Span { start: start + skipped * step, len: (len - skipped).min(self.size), step }
    }
}
