//! Gated attention pooling (Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", 2018, equation 9):
//! a small network scores each token, and the softmax of the scores weighs them.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::attention::add;
use super::groups::Groups;
use super::samples::{Samples, refused, with_samples};
use super::softmax::{Scores, Softmax, zeros};
use super::tokens::{Tokens, matrix, matrix_mut};
use super::{Readout, To};
use crate::element::Real;
use crate::error::{Result, Shape};
use crate::parallel::Parallel;

/// The sizes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GatedSizes {
    /// Numbers of a token, and hidden units.
    token: usize,
    hidden: usize,
    /// Scores of a token; there is one, and no axis for it, if their number is not given.
    heads: Option<usize>,
}

impl GatedSizes {
    /// Checks the shapes of the weights against each other and against that of the tokens.
    pub fn new(x: &Samples, [v, u, w]: [&[usize]; 3]) -> Result<Self> {
        let [_, _, token] = x.shape;
        x.expect_channels()?;
        let hidden = match *v {
            [rows, hidden] if rows == token && hidden > 0 => hidden,
            _ => {
                let rule = format!("must have shape ({token}, M), M at least 1: a row for each channel of x");
                return Err(refused("v", v, rule));
            }
        };
        if u != v {
            return Err(refused("u", u, format!("must have the shape of v, {}", Shape(v))));
        }
        let heads = match *w {
            [rows] if rows == hidden => None,
            [rows, heads] if rows == hidden => Some(heads),
            _ => {
                let rule = format!("must have shape ({hidden},) or ({hidden}, K): a row for each column of v");
                return Err(refused("w", w, rule));
            }
        };
        Ok(Self { token, hidden, heads })
    }

    /// The shape of the result of a sample.
    pub fn of_sample(&self) -> Vec<usize> {
        self.heads.into_iter().chain([self.token]).collect()
    }

    fn heads(&self) -> usize {
        self.heads.unwrap_or(1)
    }
}

/// A call of gated attention pooling: everything but the tokens.
pub(crate) struct GatedAttention<C> {
    pub sizes: GatedSizes,
    /// The weights `v` and `u`, `(D, M)`, and `w`, `(M,)` or `(M, K)`.
    pub weights: [Vec<C>; 3],
}

/// The network, and tangents of its weights.
struct Gates<'a, C> {
    token: usize,
    hidden: usize,
    heads: usize,
    weights: [&'a [C]; 3],
    tangents: [&'a [C]; 3],
}

/// What the two hidden layers give for a block of tokens, `(tokens, M)` each.
struct Hidden<C> {
    tanh: Vec<C>,
    gate: Vec<C>,
    product: Vec<C>,
}

impl<C: Real> Gates<'_, C> {
    fn matrices<'s>(&self, [v, u, w]: [&'s [C]; 3]) -> [ArrayView2<'s, C>; 3] {
        let of_layer = |of| matrix(of, self.token, self.hidden);
        [of_layer(v), of_layer(u), matrix(w, self.hidden, self.heads)]
    }

    fn hidden(&self, block: &ArrayView2<'_, C>) -> Result<Hidden<C>> {
        let [v, u, _] = self.matrices(self.weights);
        let n = block.nrows();
        let (mut tanh, mut gate) = (zeros(n * self.hidden)?, zeros(n * self.hidden)?);
        general_mat_mul(C::one(), block, &v, C::default(), &mut matrix_mut(&mut tanh, n, self.hidden));
        general_mat_mul(C::one(), block, &u, C::default(), &mut matrix_mut(&mut gate, n, self.hidden));
        for x in &mut tanh {
            *x = x.tanh();
        }
        for x in &mut gate {
            *x = C::one() / (C::one() + (C::default() - *x).exp());
        }
        let mut product = zeros(n * self.hidden)?;
        product.iter_mut().zip(tanh.iter().zip(&gate)).for_each(|(product, (&t, &g))| *product = t * g);
        Ok(Hidden { tanh, gate, product })
    }
}

impl<C: Real> Hidden<C> {
    /// The derivatives of the product in what goes into either layer.
    fn slopes(&self) -> impl Iterator<Item = (C, C)> {
        let slopes = |(&t, &g): (&C, &C)| ((C::one() - t * t) * g, t * g * (C::one() - g));
        self.tanh.iter().zip(&self.gate).map(slopes)
    }
}

impl<C: Real> Scores<C> for Gates<'_, C> {
    fn rows(&self) -> usize {
        self.heads
    }

    fn parameters(&self) -> usize {
        self.weights.iter().map(|weight| weight.len()).sum()
    }

    fn cost(&self) -> usize {
        2 * self.parameters()
    }

    fn score(&self, _: usize, block: &ArrayView2<'_, C>, mut scores: ArrayViewMut2<'_, C>) -> Result<()> {
        let hidden = self.hidden(block)?;
        let [_, _, w] = self.matrices(self.weights);
        let product = matrix(&hidden.product, block.nrows(), self.hidden);
        general_mat_mul(C::one(), &w.t(), &product.t(), C::default(), &mut scores);
        Ok(())
    }

    fn pull(
        &self,
        _: usize,
        block: &ArrayView2<'_, C>,
        d_scores: ArrayViewMut2<'_, C>,
        mut d_block: ArrayViewMut2<'_, C>,
        d_parameters: &mut [C],
    ) -> Result<()> {
        let (n, hidden) = (block.nrows(), self.hidden(block)?);
        let [v, u, w] = self.matrices(self.weights);
        let (of_v, rest) = d_parameters.split_at_mut(v.len());
        let (of_u, of_w) = rest.split_at_mut(u.len());
        let product = matrix(&hidden.product, n, self.hidden);
        general_mat_mul(
            C::one(),
            &product.t(),
            &d_scores.t(),
            C::one(),
            &mut matrix_mut(of_w, self.hidden, self.heads),
        );
        let mut into_tanh = zeros(n * self.hidden)?;
        general_mat_mul(C::one(), &d_scores.t(), &w.t(), C::default(), &mut matrix_mut(&mut into_tanh, n, self.hidden));
        let mut into_gate = zeros(n * self.hidden)?;
        for ((t, g), slopes) in into_tanh.iter_mut().zip(&mut into_gate).zip(hidden.slopes()) {
            (*t, *g) = (*t * slopes.0, *t * slopes.1);
        }
        for (into, weight, d_weight) in [(&into_tanh, v, of_v), (&into_gate, u, of_u)] {
            let into = matrix(into, n, self.hidden);
            let mut d_weight = matrix_mut(d_weight, self.token, self.hidden);
            general_mat_mul(C::one(), &block.t(), &into, C::one(), &mut d_weight);
            general_mat_mul(C::one(), &into, &weight.t(), C::one(), &mut d_block);
        }
        Ok(())
    }

    fn push(
        &self,
        _: usize,
        block: &ArrayView2<'_, C>,
        d_block: &ArrayView2<'_, C>,
        mut d_scores: ArrayViewMut2<'_, C>,
    ) -> Result<()> {
        let (n, hidden) = (block.nrows(), self.hidden(block)?);
        let ([v, u, w], [dv, du, dw]) = (self.matrices(self.weights), self.matrices(self.tangents));
        let into = |weight: ArrayView2<'_, C>, d_weight: ArrayView2<'_, C>| -> Result<Vec<C>> {
            let mut into = zeros(n * self.hidden)?;
            general_mat_mul(C::one(), d_block, &weight, C::default(), &mut matrix_mut(&mut into, n, self.hidden));
            general_mat_mul(C::one(), block, &d_weight, C::one(), &mut matrix_mut(&mut into, n, self.hidden));
            Ok(into)
        };
        let (mut tangents, into_gate) = (into(v, dv)?, into(u, du)?);
        for ((tangent, &gate), slopes) in tangents.iter_mut().zip(&into_gate).zip(hidden.slopes()) {
            *tangent = *tangent * slopes.0 + gate * slopes.1;
        }
        let (tangents, product) = (matrix(&tangents, n, self.hidden), matrix(&hidden.product, n, self.hidden));
        general_mat_mul(C::one(), &w.t(), &tangents.t(), C::default(), &mut d_scores);
        general_mat_mul(C::one(), &dw.t(), &product.t(), C::one(), &mut d_scores);
        Ok(())
    }
}

impl<C: Real> GatedAttention<C> {
    fn gates<'a>(&'a self, tangents: &'a [Vec<C>]) -> Gates<'a, C> {
        let tangent = |index: usize| tangents.get(index).map_or(&[][..], |tangent| &tangent[..]);
        Gates {
            token: self.sizes.token,
            hidden: self.sizes.hidden,
            heads: self.sizes.heads(),
            weights: self.weights.each_ref().map(|weight| &weight[..]),
            tangents: [0, 1, 2].map(tangent),
        }
    }

    /// Writes pooled tokens, from those of a sample on.
    fn write(&self, first: usize, rows: &[C], (writer, strides): To<'_, C>) {
        for (row, values) in rows.chunks_exact(self.sizes.token).enumerate() {
            let (sample, head) = (first + row / self.sizes.heads(), row % self.sizes.heads());
            writer.write(sample as isize * strides[0] + head as isize * strides[1], strides[2], values);
        }
    }
}

impl<C: Real> Readout<C> for GatedAttention<C> {
    fn of_sample(&self) -> Vec<usize> {
        self.sizes.of_sample()
    }

    fn strides(&self, y: &[isize]) -> [isize; 3] {
        if self.sizes.heads.is_some() {
            return with_samples(y);
        }
        let [sample, channel] = with_samples(y);
        [sample, 0, channel]
    }

    fn run(&self, tokens: &Tokens<C>, mask: Option<&[bool]>, y: To<'_, C>, parallel: &Parallel<'_>) -> Result<()> {
        let gates = self.gates(&[]);
        let softmax = Softmax::new(tokens, mask, &gates, Groups::whole(self.sizes.token));
        for samples in softmax.chunks() {
            self.write(samples.start, &softmax.pool(samples.clone(), parallel)?.rows, y);
        }
        Ok(())
    }

    fn pull(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dy: &[C],
        dx: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<Vec<Vec<C>>> {
        let gates = self.gates(&[]);
        let softmax = Softmax::new(tokens, mask, &gates, Groups::whole(self.sizes.token));
        let each = self.sizes.heads() * self.sizes.token;
        let mut d_weights = self.weights.iter().map(|weight| zeros(weight.len())).collect::<Result<Vec<_>>>()?;
        for samples in softmax.chunks() {
            let dy = &dy[samples.start * each..samples.end * each];
            let sums = softmax.pull(&softmax.pool(samples, parallel)?, dy, dx, parallel)?;
            for mut sums in sums.chunks_exact(gates.parameters()) {
                for d_weight in &mut d_weights {
                    add(d_weight, sums);
                    sums = &sums[d_weight.len()..];
                }
            }
        }
        Ok(d_weights)
    }

    fn push(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        (d_tokens, d_weights): (&Tokens<C>, Vec<Vec<C>>),
        dy: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let gates = self.gates(&d_weights);
        let softmax = Softmax::new(tokens, mask, &gates, Groups::whole(self.sizes.token));
        for samples in softmax.chunks() {
            let pooled = softmax.pool(samples.clone(), parallel)?;
            self.write(samples.start, &softmax.push(&pooled, d_tokens, parallel)?, dy);
        }
        Ok(())
    }
}
