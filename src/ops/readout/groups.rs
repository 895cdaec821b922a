//! Products of rows and tokens: what attention is made of.
//!
//! Matrix products are for many rows. Of a few, each token is better read where it lies than packed for a product: these
//! have kernels of their own.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::tokens::{matrix, matrix_mut};
use crate::element::Real;
use crate::kernel::dispatch::{Kernel, Level};
use crate::vector::Vectors;

/// Rows of a group below which tokens are read where they lie.
const FEW: usize = 4;
/// Numbers that are added up side by side.
const LANES: usize = 16;
/// Columns whose sums stay in registers.
const STRIP: usize = 32;

/// Which columns of the tokens a row of a matrix speaks of: consecutive rows form `count` groups, each with `width` columns
/// of its own, one group after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    pub count: usize,
    pub width: usize,
}

impl Groups {
    /// Every row against all columns.
    pub fn whole(width: usize) -> Self {
        Self { count: 1, width }
    }

    fn each(self, rows: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let rows = rows / self.count;
        (0..self.count).map(move |g| (g * rows..(g + 1) * rows, g * self.width..(g + 1) * self.width))
    }

    fn few(self, rows: usize) -> bool {
        rows < FEW * self.count
    }

    /// The product of each row with each token: `products` is `beta` times itself and that.
    pub fn against<C: Real>(self, rows: &[C], block: &ArrayView2<'_, C>, beta: C, products: &mut ArrayViewMut2<'_, C>) {
        let count = products.nrows();
        if self.few(count) {
            return Level::current().run(Dots {
                groups: self,
                rows,
                block: block.view(),
                beta,
                products: products.view_mut(),
            });
        }
        let rows = matrix(rows, count, self.width);
        for (at, columns) in self.each(count) {
            let mut products = products.slice_mut(s![at.clone(), ..]);
            general_mat_mul(C::one(), &rows.slice(s![at, ..]), &block.slice(s![.., columns]).t(), beta, &mut products);
        }
    }

    /// Adds the sum of tokens by each row's weights to the row.
    pub fn gather<C: Real>(self, weights: &ArrayView2<'_, C>, block: &ArrayView2<'_, C>, rows: &mut [C]) {
        let count = weights.nrows();
        if self.few(count) {
            return Level::current().run(Sums { groups: self, weights: weights.view(), block: block.view(), rows });
        }
        let mut rows = matrix_mut(rows, count, self.width);
        for (at, columns) in self.each(count) {
            let (weights, mut rows) = (weights.slice(s![at.clone(), ..]), rows.slice_mut(s![at, ..]));
            general_mat_mul(C::one(), &weights, &block.slice(s![.., columns]), C::one(), &mut rows);
        }
    }

    /// Adds the sum of rows by each token's weights to the token: the transpose of both.
    pub fn spread<C: Real>(self, weights: &ArrayView2<'_, C>, rows: &[C], block: &mut ArrayViewMut2<'_, C>) {
        let count = weights.nrows();
        if self.few(count) {
            return Level::current().run(Spread {
                groups: self,
                weights: weights.view(),
                rows,
                block: block.view_mut(),
            });
        }
        let rows = matrix(rows, count, self.width);
        for (at, columns) in self.each(count) {
            let (weights, rows) = (weights.slice(s![at.clone(), ..]), rows.slice(s![at, ..]));
            general_mat_mul(C::one(), &weights.t(), &rows, C::one(), &mut block.slice_mut(s![.., columns]));
        }
    }
}

/// [`Groups::against`] for a few rows.
struct Dots<'a, C> {
    groups: Groups,
    rows: &'a [C],
    block: ArrayView2<'a, C>,
    beta: C,
    products: ArrayViewMut2<'a, C>,
}

impl<C: Real> Kernel for Dots<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        let count = self.products.nrows();
        for (t, token) in self.block.outer_iter().enumerate() {
            let token = token.to_slice().expect("the numbers of a token lie side by side");
            for (at, columns) in self.groups.each(count) {
                for r in at {
                    let row = &self.rows[r * self.groups.width..][..self.groups.width];
                    let product = &mut self.products[[r, t]];
                    let before = if self.beta == C::default() { C::default() } else { *product * self.beta };
                    *product = before + dot(row, &token[columns.clone()]);
                }
            }
        }
    }
}

#[inline(always)]
fn dot<C: Real>(a: &[C], b: &[C]) -> C {
    let mut sums = [C::default(); LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += a * b;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            sums[j] += sums[j + half];
        }
        half /= 2;
    }
    sums[0]
}

/// [`Groups::gather`] for a few rows.
struct Sums<'a, C> {
    groups: Groups,
    weights: ArrayView2<'a, C>,
    block: ArrayView2<'a, C>,
    rows: &'a mut [C],
}

impl<C: Real> Kernel for Sums<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        for (at, columns) in self.groups.each(self.weights.nrows()) {
            for r in at {
                let row = &mut self.rows[r * self.groups.width..][..self.groups.width];
                for (strip, row) in row.chunks_mut(STRIP).enumerate() {
                    let first = columns.start + strip * STRIP;
                    let mut sums = [C::default(); STRIP];
                    for (token, &weight) in self.block.outer_iter().zip(self.weights.row(r)) {
                        let token = token.to_slice().expect("the numbers of a token lie side by side");
                        // Of a length that is known, the sums stay in registers.
                        let token = &token[first..first + row.len()];
                        match <&[C; STRIP]>::try_from(token) {
                            Ok(token) => add_scaled(&mut sums, weight, token),
                            Err(_) => add_scaled(&mut sums, weight, token),
                        }
                    }
                    row.iter_mut().zip(sums).for_each(|(row, sum)| *row += sum);
                }
            }
        }
    }
}

/// [`Groups::spread`] for a few rows.
struct Spread<'a, C> {
    groups: Groups,
    weights: ArrayView2<'a, C>,
    rows: &'a [C],
    block: ArrayViewMut2<'a, C>,
}

impl<C: Real> Kernel for Spread<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(mut self, _: V) {
        for (t, token) in self.block.outer_iter_mut().enumerate() {
            let token = token.into_slice().expect("the numbers of a token lie side by side");
            for (at, columns) in self.groups.each(self.weights.nrows()) {
                for r in at {
                    let row = &self.rows[r * self.groups.width..][..self.groups.width];
                    add_scaled(&mut token[columns.clone()], self.weights[[r, t]], row);
                }
            }
        }
    }
}

#[inline(always)]
fn add_scaled<C: Real>(to: &mut [C], by: C, numbers: &[C]) {
    for (to, &number) in to.iter_mut().zip(numbers) {
        *to += number * by;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// Few rows and many give the same, whatever the number of columns.
    #[test]
    fn a_few_rows_are_multiplied_as_many_are() {
        for (count, width) in [(1, 3), (2, 16), (1, 32), (3, 75)] {
            let groups = Groups { count, width };
            let numbers = |rows: usize, columns: usize, seed: usize| {
                Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17 + seed * 7) % 23) as f64 - 11.0)
            };
            let block = numbers(5, count * width, 1);
            for each in [1, 3] {
                let (rows, weights) = (numbers(count * each, width, 2), numbers(count * each, 5, 3));
                let (row_slice, mut gathered) = (rows.as_slice().unwrap(), rows.clone());
                let (mut products, mut spread) = (weights.clone(), block.clone());
                groups.against(row_slice, &block.view(), 2.0, &mut products.view_mut());
                groups.gather(&weights.view(), &block.view(), gathered.as_slice_mut().unwrap());
                groups.spread(&weights.view(), row_slice, &mut spread.view_mut());
                for (at, columns) in groups.each(count * each) {
                    let of_group = block.slice(s![.., columns.clone()]);
                    let (w, r) = (weights.slice(s![at.clone(), ..]), rows.slice(s![at.clone(), ..]));
                    assert_eq!(products.slice(s![at.clone(), ..]), &w * 2.0 + r.dot(&of_group.t()));
                    assert_eq!(gathered.slice(s![at, ..]), &r + w.dot(&of_group));
                    assert_eq!(spread.slice(s![.., columns]), &of_group + w.t().dot(&r));
                }
            }
        }
    }
}
