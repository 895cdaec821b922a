//! The weight between tokens and heads: from tokens to keys, or to values.
//!
//! There are few queries and many tokens, so the weight is applied on the side of queries: it takes queries to rows that
//! tokens are multiplied with ([`Heads::split`]), and pooled tokens to values ([`Heads::join`], the transpose). Without a
//! weight, a row is the part of a query that belongs to its head, and speaks of as many numbers of each token.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, s};

use super::groups::Groups;
use super::softmax::zeros;
use super::tokens::{matrix, matrix_mut};
use crate::element::Real;
use crate::engine::reserve;
use crate::error::Result;
use crate::parallel::Parallel;
use crate::strided::Raw;

/// Queries of a task: enough for products to be fast, and for what is read of the weight to be shared.
const QUERIES: usize = 64;

/// Values `(N, queries, size)`, those of all heads side by side, and rows `(N, count, queries, width)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub count: usize,
    pub queries: usize,
    /// Numbers of a token, and of a value.
    pub token: usize,
    pub size: usize,
    /// Whether there is a weight `(token, size)`.
    pub weighted: bool,
}

impl Heads {
    /// Which numbers of the tokens rows speak of.
    pub fn groups(self) -> Groups {
        if self.weighted { Groups::whole(self.token) } else { Groups { count: self.count, width: self.each() } }
    }

    /// Numbers of a row.
    fn width(self) -> usize {
        self.groups().width
    }

    /// Numbers of a value that belong to a head.
    fn each(self) -> usize {
        self.size / self.count
    }

    /// The columns of a head.
    fn of<'a, C>(self, head: usize, matrix: &ArrayView2<'a, C>) -> ArrayView2<'a, C> {
        (*matrix).slice_move(s![.., head * self.each()..(head + 1) * self.each()])
    }

    /// Where the row of a head and a query begins, queries counted over all samples.
    fn row(self, head: usize, query: usize) -> usize {
        ((query / self.queries * self.count + head) * self.queries + query % self.queries) * self.width()
    }

    /// The rows of a head and some queries.
    fn rows<C: Real>(self, rows: &[C], head: usize, queries: Range<usize>, into: &mut Vec<C>) -> Result<()> {
        reserve(into, queries.len() * self.width())?;
        for (query, row) in queries.zip(into.chunks_exact_mut(self.width())) {
            row.copy_from_slice(&rows[self.row(head, query)..][..self.width()]);
        }
        Ok(())
    }

    /// Runs a task, with two buffers, for each head and some of `queries` at a time.
    fn run<C: Real>(
        self,
        queries: usize,
        parallel: &Parallel<'_>,
        task: impl Fn(&mut [Vec<C>; 2], usize, Range<usize>) -> Result<()> + Sync,
    ) -> Result<()> {
        let parts = queries.div_ceil(QUERIES);
        let traffic = queries.saturating_mul(self.width()).saturating_mul(self.size / 8 + 4);
        let task = |buffers: &mut [Vec<C>; 2], index: usize| {
            let first = index % parts * QUERIES;
            task(buffers, index / parts, first..(first + QUERIES).min(queries))
        };
        parallel.run(self.count * parts, traffic, Default::default, task, drop)
    }

    /// Rows from values: times the transposed weight, or as they are.
    pub fn split<C: Real>(self, values: &[C], weight: Option<&[C]>, parallel: &Parallel<'_>) -> Result<Vec<C>> {
        let (queries, width) = (values.len() / self.size, self.width());
        let mut rows = zeros(queries * self.count * width)?;
        let to = Raw::of(&mut rows);
        self.run(queries, parallel, |[buffer, _], head, range| {
            let values = matrix(&values[range.start * self.size..], range.len(), self.size);
            let values = self.of(head, &values);
            reserve(buffer, range.len() * width)?;
            let mut product = matrix_mut(buffer, range.len(), width);
            match weight {
                Some(weight) => {
                    let weight = self.of(head, &matrix(weight, self.token, self.size));
                    general_mat_mul(C::one(), &values, &weight.t(), C::default(), &mut product);
                }
                None => product.assign(&values),
            }
            for (query, row) in range.zip(buffer.chunks_exact(width)) {
                to.scatter(self.row(head, query) as isize, 1, width, |j| row[j]);
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Values from rows: times the weight, or as they are.
    pub fn join<C: Real>(self, rows: &[C], weight: Option<&[C]>, parallel: &Parallel<'_>) -> Result<Vec<C>> {
        let (width, each) = (self.width(), self.each());
        let queries = rows.len() / (width * self.count);
        let mut values = zeros(queries * self.size)?;
        let to = Raw::of(&mut values);
        self.run(queries, parallel, |[gathered, product], head, range| {
            let n = range.len();
            self.rows(rows, head, range.clone(), gathered)?;
            let mut values = &*gathered;
            if let Some(weight) = weight {
                reserve(product, n * each)?;
                let weight = self.of(head, &matrix(weight, self.token, self.size));
                let mut product_of = matrix_mut(product, n, each);
                general_mat_mul(C::one(), &matrix(gathered, n, width), &weight, C::default(), &mut product_of);
                values = product;
            }
            for (query, value) in range.zip(values.chunks_exact(each)) {
                to.scatter((query * self.size + head * each) as isize, 1, each, |j| value[j]);
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// Adds the cotangent of the weight: the product of rows and values, summed over queries.
    pub fn outer<C: Real>(self, rows: &[C], values: &[C], d_weight: &mut [C], parallel: &Parallel<'_>) -> Result<()> {
        let (width, each, queries) = (self.width(), self.each(), values.len() / self.size);
        let to = Raw::of(d_weight);
        let traffic = values.len().saturating_mul(width / 8 + 4);
        let task = |[gathered, sums]: &mut [Vec<C>; 2], head: usize| {
            self.rows(rows, head, 0..queries, gathered)?;
            reserve(sums, width * each)?;
            for (token, sums) in sums.chunks_exact_mut(each).take(width).enumerate() {
                to.gather((token * self.size + head * each) as isize, 1, sums, |x| x);
            }
            let (rows, values) = (matrix(gathered, queries, width), matrix(values, queries, self.size));
            let mut product = matrix_mut(sums, width, each);
            general_mat_mul(C::one(), &rows.t(), &self.of(head, &values), C::one(), &mut product);
            for (token, sums) in sums.chunks_exact(each).take(width).enumerate() {
                to.scatter((token * self.size + head * each) as isize, 1, each, |j| sums[j]);
            }
            Ok(())
        };
        parallel.run(self.count, traffic, Default::default, task, drop)
    }
}
