//! Attention pooling: queries look at the tokens of a sample, and each takes what it attends to.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::groups::Groups;
use super::heads::Heads;
use super::rows::{Moving, Rows};
use super::samples::{Samples, refused};
use super::softmax::{Pooled, Scores, Softmax, zeros};
use super::tokens::Tokens;
use super::{Readout, To};
use crate::element::Real;
use crate::engine::Writer;
use crate::error::{PoolError, Result};
use crate::parallel::Parallel;

/// The arrays of a call beside the tokens, or what belongs to each: its shape, its cotangent, its tangent.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<A> {
    /// `(Q, E)`, or `(N, Q, E)`.
    pub query: A,
    /// `(D, E)` and `(D, F)`, if they are given.
    pub key_weight: Option<A>,
    pub value_weight: Option<A>,
}

impl<A> Parameters<A> {
    /// Those that are given, in this order.
    pub fn list(&self) -> Vec<&A> {
        [Some(&self.query), self.key_weight.as_ref(), self.value_weight.as_ref()].into_iter().flatten().collect()
    }

    /// Takes what belongs to those that are given from a list in their order.
    pub fn like<B: Default>(&self, list: Vec<B>) -> Parameters<B> {
        let mut list = list.into_iter();
        Parameters {
            query: list.next().unwrap_or_default(),
            key_weight: self.key_weight.as_ref().and_then(|_| list.next()),
            value_weight: self.value_weight.as_ref().and_then(|_| list.next()),
        }
    }
}

/// The sizes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionSizes {
    tokens: usize,
    /// Numbers of a token, of the keys and of the values of all heads.
    token: usize,
    key: usize,
    value: usize,
    queries: usize,
    heads: usize,
    /// Whether each sample has queries of its own.
    batched: bool,
}

impl AttentionSizes {
    /// Checks the shapes of all arrays against each other.
    pub fn new(x: &Samples, shapes: &Parameters<&[usize]>, heads: usize) -> Result<Self> {
        let [samples, tokens, token] = x.shape;
        x.expect_channels()?;
        let query = shapes.query;
        let (batched, queries, key) = match *query {
            [queries, size] => (false, queries, size),
            [n, queries, size] if x.batched && n == samples => (true, queries, size),
            _ if x.batched => {
                let rule = format!("must have shape (Q, E), or ({samples}, Q, E) for the {samples} samples of x");
                return Err(refused("query", query, rule));
            }
            _ => return Err(refused("query", query, "must have shape (Q, E)")),
        };
        match shapes.key_weight {
            None if key != token => {
                let rule = format!("must have the {token} channels of x in its last axis, without a key_weight");
                return Err(refused("query", query, rule));
            }
            Some(weight) if key == 0 => {
                let rule =
                    format!("must have shape ({token}, E), E at least 1: from the channels of x to those of keys");
                return Err(refused("key_weight", weight, rule));
            }
            Some(weight) if weight != [token, key] => {
                let rule = format!("must have shape ({token}, {key}): from the channels of x to those of the query");
                return Err(refused("key_weight", weight, rule));
            }
            _ => {}
        }
        let value = match shapes.value_weight {
            None => token,
            Some(&[rows, size]) if rows == token && size > 0 => size,
            Some(weight) => {
                let rule = format!("must have shape ({token}, F), F at least 1: a row for each channel of x");
                return Err(refused("value_weight", weight, rule));
            }
        };
        if heads == 0 {
            return Err(PoolError::value("num_heads", heads, "must be at least 1"));
        }
        for (what, size) in [("of the query", key), ("of the values", value)] {
            if size % heads != 0 {
                return Err(PoolError::value("num_heads", heads, format!("must divide the {size} channels {what}")));
            }
        }
        Ok(Self { tokens, token, key, value, queries, heads, batched })
    }

    /// What products of query and keys are multiplied with.
    pub fn scale(&self, given: Option<f64>) -> Result<f64> {
        match given {
            Some(scale) if !scale.is_finite() => Err(PoolError::value("scale", scale, "must be finite")),
            Some(scale) => Ok(scale),
            None => Ok(1.0 / ((self.key / self.heads) as f64).sqrt()),
        }
    }

    /// The shape of the result of a sample.
    pub fn of_sample(&self) -> [usize; 2] {
        [self.queries, self.value]
    }

    /// The shape of the weights of a sample.
    pub fn weights_of_sample(&self) -> [usize; 3] {
        [self.heads, self.queries, self.tokens]
    }
}

/// A call of attention pooling: everything but the tokens.
pub(crate) struct Attention<C> {
    pub sizes: AttentionSizes,
    pub scale: f64,
    pub parameters: Parameters<Vec<C>>,
}

/// Queries as rows that tokens are multiplied with, and the tangents of these.
struct Queries<C> {
    rows: Rows<C>,
    /// Empty where nothing is asked of them.
    moving: Moving<C>,
    groups: Groups,
    /// Rows of a sample.
    count: usize,
    batched: bool,
}

impl<C: Real> Queries<C> {
    fn of<'s>(&self, rows: &'s [C], sample: usize) -> &'s [C] {
        let size = self.count * self.groups.width;
        &rows[if self.batched { sample * size } else { 0 }..][..size]
    }

    fn power_of(&self, powers: &[C], sample: usize, row: usize) -> C {
        powers[if self.batched { sample * self.count } else { 0 } + row]
    }
}

impl<C: Real> Scores<C> for Queries<C> {
    fn rows(&self) -> usize {
        self.count
    }

    fn parameters(&self) -> usize {
        self.count * self.groups.width
    }

    fn cost(&self) -> usize {
        2 * self.parameters()
    }

    fn power(&self, sample: usize, row: usize) -> C {
        self.power_of(&self.rows.powers, sample, row)
    }

    fn power_of_tangents(&self, sample: usize, row: usize) -> C {
        self.power_of(&self.moving.powers, sample, row)
    }

    fn score(&self, sample: usize, block: &ArrayView2<'_, C>, mut scores: ArrayViewMut2<'_, C>) -> Result<()> {
        self.groups.against(self.of(&self.rows.numbers, sample), block, C::default(), &mut scores);
        Ok(())
    }

    fn pull(
        &self,
        sample: usize,
        block: &ArrayView2<'_, C>,
        mut d_scores: ArrayViewMut2<'_, C>,
        mut d_block: ArrayViewMut2<'_, C>,
        d_parameters: &mut [C],
    ) -> Result<()> {
        self.groups.gather(&d_scores.view(), block, d_parameters);
        for (r, mut d_scores) in d_scores.outer_iter_mut().enumerate() {
            let power = self.power(sample, r);
            d_scores.map_inplace(|x| *x = *x * power);
        }
        self.groups.spread(&d_scores.view(), self.of(&self.rows.numbers, sample), &mut d_block);
        Ok(())
    }

    fn push(
        &self,
        sample: usize,
        block: &ArrayView2<'_, C>,
        d_block: &ArrayView2<'_, C>,
        mut d_scores: ArrayViewMut2<'_, C>,
    ) -> Result<()> {
        self.groups.against(self.of(&self.moving.rows, sample), d_block, C::default(), &mut d_scores);
        self.groups.against(self.of(&self.moving.tangents, sample), block, C::one(), &mut d_scores);
        Ok(())
    }
}

impl<C: Real> Attention<C> {
    fn heads(&self, size: usize, weighted: bool) -> Heads {
        let AttentionSizes { heads, queries, token, .. } = self.sizes;
        Heads { count: heads, queries, token, size, weighted }
    }

    fn keys(&self) -> Heads {
        self.heads(self.sizes.key, self.parameters.key_weight.is_some())
    }

    fn values(&self) -> Heads {
        self.heads(self.sizes.value, self.parameters.value_weight.is_some())
    }

    /// What tokens are scored by: the queries, times the transposed key weight, scaled.
    fn rows(&self, tangents: Option<&Parameters<Vec<C>>>, parallel: &Parallel<'_>) -> Result<Queries<C>> {
        let (keys, of) = (self.keys(), &self.parameters);
        let weight = of.key_weight.as_deref();
        let rows = Rows::new(keys, &[(&of.query, weight)], self.scale, parallel)?;
        let mut moving = Moving::default();
        if let Some(d) = tangents {
            let mut terms = vec![(&d.query[..], weight)];
            terms.extend(d.key_weight.as_deref().map(|d_key| (&of.query[..], Some(d_key))));
            moving = Moving::new(&rows, &Rows::new(keys, &terms, self.scale, parallel)?)?;
        }
        let count = self.sizes.heads * self.sizes.queries;
        Ok(Queries { rows, moving, groups: keys.groups(), count, batched: self.sizes.batched })
    }

    fn softmax<'a>(
        &self,
        tokens: &'a Tokens<C>,
        mask: Option<&'a [bool]>,
        rows: &'a Queries<C>,
    ) -> Softmax<'a, C, Queries<C>> {
        Softmax::new(tokens, mask, rows, self.values().groups())
    }

    /// Writes the result, `(N, Q, F)`, and if there is a place for them the weights, `(N, heads, Q, L)`.
    pub fn run_with_weights(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        y: To<'_, C>,
        weights: Option<(&dyn Writer<C>, [isize; 4])>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let rows = self.rows(None, parallel)?;
        let softmax = self.softmax(tokens, mask, &rows);
        for samples in softmax.chunks() {
            let pooled = softmax.pool(samples.clone(), parallel)?;
            let values = self.values().join(&pooled.rows, self.parameters.value_weight.as_deref(), parallel)?;
            self.write(samples.start, &values, y);
            if let Some(to) = weights {
                softmax.weights(&pooled, self.sizes.queries, to, parallel)?;
            }
        }
        Ok(())
    }

    /// Writes results, from that of a sample on.
    fn write(&self, first: usize, values: &[C], (writer, strides): To<'_, C>) {
        for (query, value) in values.chunks_exact(self.sizes.value).enumerate() {
            let (sample, query) = (first + query / self.sizes.queries, query % self.sizes.queries);
            writer.write(sample as isize * strides[0] + query as isize * strides[1], strides[2], value);
        }
    }
}

impl<C: Real> Readout<C> for Attention<C> {
    fn of_sample(&self) -> Vec<usize> {
        self.sizes.of_sample().to_vec()
    }

    fn run(&self, tokens: &Tokens<C>, mask: Option<&[bool]>, y: To<'_, C>, parallel: &Parallel<'_>) -> Result<()> {
        self.run_with_weights(tokens, mask, y, None, parallel)
    }

    fn pull(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dy: &[C],
        dx: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<Vec<Vec<C>>> {
        let (keys, values, of) = (self.keys(), self.values(), &self.parameters);
        let same = |of: &Vec<C>| zeros(of.len());
        let mut d_key = of.key_weight.as_ref().map(same).transpose()?;
        let mut d_value = of.value_weight.as_ref().map(same).transpose()?;
        let rows = self.rows(None, parallel)?;
        let softmax = self.softmax(tokens, mask, &rows);
        let mut d_rows = zeros(rows.rows.numbers.len())?;
        let (of_result, of_rows) = (self.sizes.queries * self.sizes.value, rows.parameters());
        for samples in softmax.chunks() {
            let pooled = softmax.pool(samples.clone(), parallel)?;
            let dy = &dy[samples.start * of_result..samples.end * of_result];
            let d_pooled = values.split(dy, of.value_weight.as_deref(), parallel)?;
            if let Some(d_value) = &mut d_value {
                values.outer(&pooled.rows, dy, d_value, parallel)?;
            }
            let sums = softmax.pull(&pooled, &d_pooled, dx, parallel)?;
            for (sample, sums) in samples.zip(sums.chunks_exact(of_rows.max(1))) {
                add(&mut d_rows[if self.sizes.batched { sample * of_rows } else { 0 }..], sums);
            }
        }
        for x in &mut d_rows {
            *x = C::from_f64(x.to_f64() * self.scale);
        }
        if let Some(d_key) = &mut d_key {
            keys.outer(&d_rows, &of.query, d_key, parallel)?;
        }
        let query = keys.join(&d_rows, of.key_weight.as_deref(), parallel)?;
        Ok([Some(query), d_key, d_value].into_iter().flatten().collect())
    }

    fn push(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        (d_tokens, d_parameters): (&Tokens<C>, Vec<Vec<C>>),
        dy: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<()> {
        let d = self.parameters.like(d_parameters);
        let (heads, value) = (self.values(), self.parameters.value_weight.as_deref());
        let rows = self.rows(Some(&d), parallel)?;
        let softmax = self.softmax(tokens, mask, &rows);
        for samples in softmax.chunks() {
            let pooled: Pooled<C> = softmax.pool(samples.clone(), parallel)?;
            let d_pooled = softmax.push(&pooled, d_tokens, parallel)?;
            let mut values = heads.join(&d_pooled, value, parallel)?;
            if let Some(d_value) = &d.value_weight {
                add(&mut values, &heads.join(&pooled.rows, Some(d_value), parallel)?);
            }
            self.write(samples.start, &values, dy);
        }
        Ok(())
    }
}

/// Adds to each number the one at its place.
pub(super) fn add<C: Real>(to: &mut [C], numbers: &[C]) {
    to.iter_mut().zip(numbers).for_each(|(to, &number)| *to += number);
}
