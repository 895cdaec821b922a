//! Readouts against their definitions, one sample, one head and one channel at a time; their derivatives against differences
//! of results, and against their adjoints.

use half::f16;
use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView2, ArrayView3, ArrayViewD, Axis, Ix2, Slice, array};
use ndpool::{
    AttentionGradient, AttentionPool, GatedAttentionGradient, GatedAttentionPool, PoolError, TokenMode, TokenPool,
};
use proptest::prelude::*;

const MODES: [TokenMode; 7] = [
    TokenMode::Mean,
    TokenMode::Max,
    TokenMode::Cls,
    TokenMode::Last,
    TokenMode::WeightedMean,
    TokenMode::MeanSqrtLen,
    TokenMode::Std,
];

/// What differences of results are taken over.
const STEP: f64 = 1e-5;

/// A generated call. The sizes of keys and values are those of a head.
#[derive(Clone, Debug)]
struct Case {
    samples: Option<usize>,
    tokens: usize,
    channels: usize,
    queries: usize,
    own_queries: bool,
    heads: usize,
    key: Option<usize>,
    value: Option<usize>,
    hidden: usize,
    scores: Option<usize>,
    scale: Option<f64>,
    mask: Option<Vec<bool>>,
    strided: bool,
    seed: u64,
}

fn case() -> BoxedStrategy<Case> {
    let sizes = (proptest::option::of(1..4usize), 1..10usize, 1..5usize, 1..3usize);
    let attention = (1..4usize, any::<bool>(), proptest::option::of(1..4usize), proptest::option::of(1..4usize));
    let gated = (1..5usize, proptest::option::of(1..4usize), proptest::option::of(-2.0..2.0));
    (sizes, attention, gated, any::<bool>(), any::<u64>())
        .prop_flat_map(|(sizes, attention, gated, strided, seed)| {
            let (samples, tokens, each, heads) = sizes;
            let (queries, own_queries, key, value) = attention;
            let (hidden, scores, scale) = gated;
            let flags = samples.unwrap_or(1) * tokens;
            // A sample may lack any valid token.
            let flag = prop_oneof![2 => Just(true), 1 => Just(false)];
            proptest::option::of(proptest::collection::vec(flag, flags)).prop_map(move |mask| Case {
                samples,
                tokens,
                channels: each * heads,
                queries,
                own_queries: own_queries && samples.is_some(),
                heads,
                key,
                value,
                hidden,
                scores,
                scale,
                mask,
                strided,
                seed,
            })
        })
        .boxed()
}

/// Numbers between -1 and 1.
fn numbers(shape: &[usize], seed: u64) -> ArrayD<f64> {
    let mut k = seed;
    ArrayD::from_shape_simple_fn(shape, || {
        k = k.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (k >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
}

/// The array of which [`Case::view`] is a view that has the given shape.
fn stored(shape: &[usize], strided: bool, seed: u64) -> ArrayD<f64> {
    let apart: Vec<usize> = shape.iter().rev().map(|&len| 2 * len - 1).collect();
    numbers(if strided { &apart } else { shape }, seed)
}

impl Case {
    fn shape(&self, of_sample: &[usize]) -> Vec<usize> {
        self.samples.iter().chain(of_sample).copied().collect()
    }

    fn stored(&self, shape: &[usize], seed: u64) -> ArrayD<f64> {
        stored(shape, self.strided, self.seed ^ seed)
    }

    /// A view of every second cell of all axes, transposed and backwards.
    fn view<'a>(&self, array: &'a ArrayD<f64>) -> ArrayViewD<'a, f64> {
        let mut view = array.view();
        if self.strided {
            view = view.reversed_axes();
            view.slice_each_axis_inplace(|_| Slice::new(0, None, -2));
        }
        view
    }

    fn mask(&self) -> Option<ArrayD<bool>> {
        let shape = self.shape(&[self.tokens]);
        self.mask.clone().map(|mask| ArrayD::from_shape_vec(shape, mask).unwrap())
    }

    /// Which tokens of a sample take part.
    fn valid(&self, sample: usize) -> Vec<usize> {
        let flag = |token: &usize| self.mask.as_ref().is_none_or(|mask| mask[sample * self.tokens + token]);
        (0..self.tokens).filter(flag).collect()
    }

    /// The sizes of keys and of values.
    fn sizes(&self) -> [usize; 2] {
        [self.key, self.value].map(|each| each.map_or(self.channels, |each| each * self.heads))
    }
}

/// An array that may lack the axis of samples, with that axis.
fn batch<'a>(array: &ArrayViewD<'a, f64>) -> ArrayView3<'a, f64> {
    let array = if array.ndim() == 2 { array.clone().insert_axis(Axis(0)) } else { array.clone() };
    array.into_dimensionality().unwrap()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
    scores.iter().map(|score| (score - most).exp() / sum).collect()
}

/// The sum of the products of a token and a column of a weight.
fn projected(token: &[f64], weight: Option<&ArrayView2<'_, f64>>, column: usize) -> f64 {
    weight.map_or_else(|| token[column], |weight| (0..token.len()).map(|c| token[c] * weight[[c, column]]).sum())
}

/// The values and the weights of attention pooling, as the definition has them.
fn attention(
    case: &Case,
    x: &ArrayView3<'_, f64>,
    query: &ArrayView3<'_, f64>,
    [key, value]: [Option<&ArrayView2<'_, f64>>; 2],
) -> (Array3<f64>, Array4<f64>) {
    let [e, f] = case.sizes().map(|size| size / case.heads);
    let scale = case.scale.unwrap_or(1.0 / (e as f64).sqrt());
    let mut values = Array3::zeros((x.shape()[0], case.queries, f * case.heads));
    let mut weights = Array4::zeros((x.shape()[0], case.heads, case.queries, case.tokens));
    for (sample, head, q) in ndarray::indices((x.shape()[0], case.heads, case.queries)) {
        let valid = case.valid(sample);
        let token = |token: usize| x.slice(ndarray::s![sample, token, ..]).to_vec();
        let query = |column: usize| query[[sample.min(query.shape()[0] - 1), q, column]];
        let columns = head * e..(head + 1) * e;
        let score = |t: &usize| columns.clone().map(|c| scale * query(c) * projected(&token(*t), key, c)).sum();
        let shares = softmax(&valid.iter().map(score).collect::<Vec<f64>>());
        for (&t, share) in valid.iter().zip(shares) {
            weights[[sample, head, q, t]] = share;
            for c in head * f..(head + 1) * f {
                values[[sample, q, c]] += share * projected(&token(t), value, c);
            }
        }
    }
    (values, weights)
}

/// The result of gated attention pooling, as the definition has it.
fn gated(case: &Case, x: &ArrayView3<'_, f64>, [v, u, w]: [&ArrayView2<'_, f64>; 3]) -> Array3<f64> {
    let mut pooled = Array3::zeros((x.shape()[0], w.ncols(), case.channels));
    for (sample, k) in ndarray::indices((x.shape()[0], w.ncols())) {
        let valid = case.valid(sample);
        let token = |token: usize| x.slice(ndarray::s![sample, token, ..]).to_vec();
        let unit = |t: usize, m: usize| {
            let gate = 1.0 / (1.0 + (-projected(&token(t), Some(u), m)).exp());
            projected(&token(t), Some(v), m).tanh() * gate * w[[m, k]]
        };
        let score = |&t: &usize| (0..case.hidden).map(|m| unit(t, m)).sum();
        let shares = softmax(&valid.iter().map(score).collect::<Vec<f64>>());
        for (&t, share) in valid.iter().zip(shares) {
            for c in 0..case.channels {
                pooled[[sample, k, c]] += share * token(t)[c];
            }
        }
    }
    pooled
}

/// The values of a channel at the valid tokens, reduced as the definition has it.
fn reduced(mode: TokenMode, valid: &[usize], x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    match mode {
        _ if x.is_empty() => 0.0,
        TokenMode::Mean => mean,
        TokenMode::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        TokenMode::Cls => x[0],
        TokenMode::Last => x[x.len() - 1],
        TokenMode::WeightedMean => {
            let weights = valid.iter().map(|&token| (token + 1) as f64);
            weights.clone().zip(x).map(|(weight, x)| weight * x).sum::<f64>() / weights.sum::<f64>()
        }
        TokenMode::MeanSqrtLen => x.iter().sum::<f64>() / n.sqrt(),
        TokenMode::Std => (x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt(),
        _ => unreachable!("there are no other modes"),
    }
}

#[track_caller]
fn assert_close<'a>(got: &ArrayD<f64>, want: impl IntoIterator<Item = &'a f64>, tolerance: f64) {
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance * (1.0 + want.abs()), "{got} {want}");
    }
}

/// The sum of products of arrays and others of the same shapes.
fn dot(pairs: &[(&ArrayD<f64>, &ArrayD<f64>)]) -> f64 {
    pairs.iter().map(|(a, b)| (*a * *b).sum()).sum()
}

fn check_attention(case: &Case) {
    let [key, value] = case.sizes();
    let query_shape = if case.own_queries { case.shape(&[case.queries, key]) } else { vec![case.queries, key] };
    let x_array = case.stored(&case.shape(&[case.tokens, case.channels]), 1);
    let query_array = case.stored(&query_shape, 2);
    let weight =
        |given: Option<usize>, size: usize, seed: u64| given.map(|_| case.stored(&[case.channels, size], seed));
    let (key_array, value_array) = (weight(case.key, key, 3), weight(case.value, value, 4));
    let (x, query) = (case.view(&x_array), case.view(&query_array));
    let matrix = |array| case.view(array).into_dimensionality::<Ix2>().unwrap();
    let (key_weight, value_weight) = (key_array.as_ref().map(matrix), value_array.as_ref().map(matrix));
    let mask = case.mask();
    let mask = mask.as_ref().map(|mask| mask.view());

    let of = |arguments: &AttentionGradient<f64>| {
        let weights = [&arguments.key_weight, &arguments.value_weight];
        let [key_weight, value_weight] =
            weights.map(|weight| weight.as_ref().map(|weight| weight.view().into_dimensionality::<Ix2>().unwrap()));
        let query = arguments.query.view();
        let pool = configured(case, &query, [key_weight, value_weight], mask.as_ref());
        pool.pool(&arguments.x.view()).unwrap()
    };
    let pool = configured(case, &query, [key_weight, value_weight], mask.as_ref());
    let (y, weights) = pool.pool_with_weights(&x).unwrap();
    let (values, shares) = attention(case, &batch(&x), &batch(&query), [key_weight.as_ref(), value_weight.as_ref()]);
    assert_eq!(y.shape(), pool.output_shape(x.shape()).unwrap());
    assert_eq!(y, pool.pool(&x).unwrap());
    assert_eq!(weights.shape(), case.shape(&[case.heads, case.queries, case.tokens]));
    assert_close(&y, &values, 1e-13);
    assert_close(&weights, &shares, 1e-13);

    let dy = numbers(y.shape(), 5);
    let gradient = pool.gradient(&x, &dy.view()).unwrap();
    let like = |array: &Option<ArrayD<f64>>, seed| array.as_ref().map(|array| numbers(array.shape(), seed));
    let d = AttentionGradient {
        x: numbers(x.shape(), 6),
        query: numbers(query.shape(), 7),
        key_weight: like(&gradient.key_weight, 8),
        value_weight: like(&gradient.value_weight, 9),
    };
    let at = |step: f64| {
        let moved = |array: ArrayViewD<'_, f64>, d: &ArrayD<f64>| &array + &(d * step);
        let weight = |weight: Option<ArrayView2<'_, f64>>, d: &Option<ArrayD<f64>>| {
            weight.zip(d.as_ref()).map(|(weight, d)| moved(weight.into_dyn(), d))
        };
        of(&AttentionGradient {
            x: moved(x.view(), &d.x),
            query: moved(query.view(), &d.query),
            key_weight: weight(key_weight, &d.key_weight),
            value_weight: weight(value_weight, &d.value_weight),
        })
    };
    let tangent = pool.tangent(&x, &d).unwrap();
    assert_close(&tangent, &((at(STEP) - at(-STEP)) / (2.0 * STEP)), 1e-7);
    let mut pairs = vec![(&gradient.x, &d.x), (&gradient.query, &d.query)];
    pairs.extend(gradient.key_weight.iter().zip(&d.key_weight));
    pairs.extend(gradient.value_weight.iter().zip(&d.value_weight));
    let (left, right) = (dot(&[(&tangent, &dy)]), dot(&pairs));
    assert!((left - right).abs() <= 1e-11 * (1.0 + left.abs()), "{left} {right}");
}

fn configured<'a>(
    case: &Case,
    query: &ArrayViewD<'a, f64>,
    [key_weight, value_weight]: [Option<ArrayView2<'a, f64>>; 2],
    mask: Option<&ArrayViewD<'a, bool>>,
) -> AttentionPool<'a, f64> {
    let mut pool = AttentionPool::new(query).num_heads(case.heads);
    if let Some(weight) = key_weight {
        pool = pool.key_weight(&weight);
    }
    if let Some(weight) = value_weight {
        pool = pool.value_weight(&weight);
    }
    if let Some(scale) = case.scale {
        pool = pool.scale(scale);
    }
    if let Some(mask) = mask {
        pool = pool.mask(mask);
    }
    pool
}

fn check_gated(case: &Case) {
    let w_shape: Vec<usize> = [case.hidden].into_iter().chain(case.scores).collect();
    let x_array = case.stored(&case.shape(&[case.tokens, case.channels]), 1);
    let arrays = [&[case.channels, case.hidden][..], &[case.channels, case.hidden], &w_shape];
    let [v, u, w] = [0, 1, 2].map(|index| case.stored(arrays[index], 2 + index as u64));
    let (x, v, u, w) = (case.view(&x_array), case.view(&v), case.view(&u), case.view(&w));
    let mask = case.mask();
    let mask = mask.as_ref().map(|mask| mask.view());
    let configured =
        |v: &ArrayViewD<'_, f64>, u: &ArrayViewD<'_, f64>, w: &ArrayViewD<'_, f64>, x: &ArrayViewD<'_, f64>| {
            let [v, u] = [v, u].map(|weight| weight.view().into_dimensionality::<Ix2>().unwrap());
            let pool = GatedAttentionPool::new(&v, &u, w);
            mask.iter().fold(pool, GatedAttentionPool::mask).pool(x).unwrap()
        };
    let [hidden, gates] = [&v, &u].map(|weight| weight.clone().into_dimensionality::<Ix2>().unwrap());
    let scores = if w.ndim() == 1 { w.clone().insert_axis(Axis(1)) } else { w.clone() };
    let want = gated(case, &batch(&x), [&hidden, &gates, &scores.into_dimensionality().unwrap()]);
    let pool = GatedAttentionPool::new(&hidden, &gates, &w);
    let pool = mask.iter().fold(pool, GatedAttentionPool::mask);
    let y = pool.pool(&x).unwrap();
    let of_sample: Vec<usize> = case.scores.into_iter().chain([case.channels]).collect();
    assert_eq!(y.shape(), case.shape(&of_sample));
    assert_eq!(y.shape(), pool.output_shape(x.shape()).unwrap());
    assert_close(&y, &want, 1e-13);

    let dy = numbers(y.shape(), 5);
    let gradient = pool.gradient(&x, &dy.view()).unwrap();
    let d = GatedAttentionGradient {
        x: numbers(x.shape(), 6),
        v: numbers(v.shape(), 7),
        u: numbers(u.shape(), 8),
        w: numbers(w.shape(), 9),
    };
    let at = |step: f64| {
        let moved = |array: &ArrayViewD<'_, f64>, d: &ArrayD<f64>| array + &(d * step);
        let (v, u, w, x) = (moved(&v, &d.v), moved(&u, &d.u), moved(&w, &d.w), moved(&x, &d.x));
        configured(&v.view(), &u.view(), &w.view(), &x.view())
    };
    let tangent = pool.tangent(&x, &d).unwrap();
    assert_close(&tangent, &((at(STEP) - at(-STEP)) / (2.0 * STEP)), 1e-7);
    let pairs = [(&gradient.x, &d.x), (&gradient.v, &d.v), (&gradient.u, &d.u), (&gradient.w, &d.w)];
    let (left, right) = (dot(&[(&tangent, &dy)]), dot(&pairs));
    assert!((left - right).abs() <= 1e-11 * (1.0 + left.abs()), "{left} {right}");
}

fn check_tokens(case: &Case) {
    let mut x_array = case.stored(&case.shape(&[case.tokens, case.channels]), 1);
    // No two tokens are close to each other, so that nothing changes its place over a step.
    let tokens = Axis(if case.strided { 1 } else { x_array.ndim() - 2 });
    for (token, mut of_token) in x_array.axis_iter_mut(tokens).enumerate() {
        of_token += 3.0 * (token * 7 % 23) as f64;
    }
    let x = case.view(&x_array);
    let (mask, rows) = (case.mask(), batch(&x));
    let mask = mask.as_ref().map(|mask| mask.view());
    let pool = mask.iter().fold(TokenPool::new(), TokenPool::mask);
    for mode in MODES {
        let y = pool.pool(&x, mode).unwrap();
        assert_eq!(y.shape(), pool.output_shape(x.shape()).unwrap());
        let want = Array2::from_shape_fn((rows.shape()[0], case.channels), |(sample, channel)| {
            let valid = case.valid(sample);
            let cells: Vec<f64> = valid.iter().map(|&token| rows[[sample, token, channel]]).collect();
            reduced(mode, &valid, &cells)
        });
        assert_eq!(y.len(), want.len());
        assert_close(&y, &want, 1e-13);
        let (dy, d) = (numbers(y.shape(), 5), numbers(x.shape(), 6));
        let at = |step: f64| pool.pool(&(&x + &(&d * step)).view(), mode).unwrap();
        let (tangent, dx) = (pool.tangent(&x, mode, &d.view()).unwrap(), pool.gradient(&x, mode, &dy.view()).unwrap());
        assert_close(&tangent, &((at(STEP) - at(-STEP)) / (2.0 * STEP)), 1e-7);
        let (left, right) = (dot(&[(&tangent, &dy)]), dot(&[(&dx, &d)]));
        assert!((left - right).abs() <= 1e-12 * (1.0 + left.abs()), "{mode:?} {left} {right}");
    }
    assert_eq!(pool.max(&x).unwrap(), pool.pool(&x, TokenMode::Max).unwrap());
    assert_eq!(pool.cls(&x).unwrap(), pool.pool(&x, TokenMode::Cls).unwrap());
    assert_eq!(pool.last(&x).unwrap(), pool.pool(&x, TokenMode::Last).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn attention_readouts_are_their_definition(case in case()) {
        check_attention(&case);
    }

    #[test]
    fn gated_readouts_are_their_definition(case in case()) {
        check_gated(&case);
    }

    #[test]
    fn token_readouts_are_their_definition(case in case()) {
        check_tokens(&case);
    }
}

#[test]
fn readouts_of_many_tokens_are_put_together() {
    let n = 140_000;
    let x = Array2::from_shape_fn((n, 2), |(token, channel)| ((token * 7 + channel * 3) % 101) as u8);
    let pool = TokenPool::new();
    let sums = x.mapv(f64::from).sum_axis(Axis(0)).into_dyn();
    assert_close(&pool.pool(&x.view(), TokenMode::Mean).unwrap(), &(&sums / n as f64), 1e-14);
    // Queries of zeros attend to all tokens alike.
    let query = Array2::<f64>::zeros((1, 2));
    let y = AttentionPool::new(&query.view()).pool(&x.view()).unwrap();
    assert_close(&y, &(sums / n as f64), 1e-12);
}

#[test]
fn readouts_of_other_types_are_close_to_those_of_f64() {
    let (x, query) = (numbers(&[2, 5, 3], 1), numbers(&[2, 3], 2).into_dimensionality::<Ix2>().unwrap());
    let mask = array![[true, false, true, true, true], [false, false, false, false, false]];
    let want = AttentionPool::new(&query.view()).mask(&mask.view()).pool(&x.view()).unwrap();
    assert!(want.index_axis(Axis(0), 1).iter().all(|&zero| zero == 0.0));
    let single = query.mapv(|x| x as f32);
    let got = AttentionPool::new(&single.view()).mask(&mask.view()).pool(&x.mapv(|x| x as f32).view()).unwrap();
    assert_close(&got.mapv(f64::from), &want, 1e-5);
    let half = query.mapv(f16::from_f64);
    let got = AttentionPool::new(&half.view()).mask(&mask.view()).pool(&x.mapv(f16::from_f64).view()).unwrap();
    assert_close(&got.mapv(f64::from), &want, 1e-2);

    let whole = x.mapv(|x| (x * 100.0) as i8);
    let pool = AttentionPool::new(&query.view()).mask(&mask.view());
    assert_eq!(pool.pool(&whole.view()).unwrap(), pool.pool(&whole.mapv(f64::from).view()).unwrap());
    let pool = TokenPool::new().mask(&mask.view());
    assert_eq!(pool.pool(&whole.view(), TokenMode::Max).unwrap(), pool.max(&whole.view()).unwrap().mapv(f64::from));
    let large = array![[i64::MAX - 1], [i64::MAX], [0]];
    assert_eq!(TokenPool::new().max(&large.view()).unwrap(), array![i64::MAX].into_dyn());
    assert_eq!(TokenPool::new().cls(&large.view()).unwrap(), array![i64::MAX - 1].into_dyn());
}

#[test]
fn what_is_masked_out_is_never_looked_at() {
    let (mut x, mask) = (numbers(&[3, 2], 1).into_dimensionality::<Ix2>().unwrap(), array![true, false, true]);
    x.row_mut(1).fill(f64::NAN);
    let (query, w) = (array![[1.0, -1.0]], array![0.5]);
    let y = AttentionPool::new(&query.view()).mask(&mask.view()).gradient(&x.view(), &query.view()).unwrap();
    assert!(y.x.iter().chain(&y.query).all(|x| x.is_finite()));
    let v = array![[1.0], [2.0]];
    let pool = GatedAttentionPool::new(&v.view(), &v.view(), &w.view()).mask(&mask.view());
    assert!(pool.pool(&x.view()).unwrap().iter().all(|x| x.is_finite()));
    for mode in MODES {
        let pool = TokenPool::new().mask(&mask.view());
        assert!(pool.pool(&x.view(), mode).unwrap().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn readouts_of_nothing_are_empty() {
    let x = Array3::<f64>::zeros((0, 3, 4));
    let query = Array2::<f64>::zeros((2, 4));
    let pool = AttentionPool::new(&query.view());
    assert_eq!(pool.pool(&x.view()).unwrap().shape(), [0, 2, 4]);
    let gradient = pool.gradient(&x.view(), &Array3::zeros((0, 2, 4)).view()).unwrap();
    assert_eq!(gradient.query, query.clone().into_dyn());
    let none = Array2::<f64>::zeros((0, 4));
    let x = Array3::<f64>::zeros((2, 3, 4));
    let (y, weights) = AttentionPool::new(&none.view()).pool_with_weights(&x.view()).unwrap();
    assert_eq!((y.shape(), weights.shape()), (&[2, 0, 4][..], &[2, 1, 0, 3][..]));
    for mode in MODES {
        for shape in [[0, 3, 4], [2, 3, 0]] {
            let x = Array3::<f32>::zeros(shape);
            let y = TokenPool::new().pool(&x.view(), mode).unwrap();
            assert_eq!(y.shape(), [shape[0], shape[2]]);
            assert_eq!(TokenPool::new().gradient(&x.view(), mode, &y.view()).unwrap().shape(), shape);
            assert_eq!(TokenPool::new().tangent(&x.view(), mode, &x.view()).unwrap().shape(), [shape[0], shape[2]]);
        }
    }
    assert_eq!(TokenPool::new().max(&Array3::<f32>::zeros((2, 3, 0)).view()).unwrap().shape(), [2, 0]);
}

#[test]
fn errors_of_readouts_name_the_argument_the_value_and_the_rule() {
    fn message<T>(result: Result<T, PoolError>) -> String {
        result.err().unwrap().to_string()
    }
    let x = Array3::<f64>::zeros((2, 3, 4));
    let (query, mask) = (Array2::zeros((5, 4)), Array2::from_elem((3, 3), true));
    let pool = AttentionPool::new(&query.view());
    assert_eq!(message(pool.output_shape(&[3])), "x: an array of shape (3,) must have 3 axes, (N, L, D), or 2, (L, D)");
    assert_eq!(message(pool.clone().num_heads(0).pool(&x.view())), "num_heads: 0 must be at least 1");
    assert_eq!(
        message(pool.clone().num_heads(3).pool(&x.view())),
        "num_heads: 3 must divide the 4 channels of the query"
    );
    assert_eq!(message(pool.clone().scale(f64::NAN).pool(&x.view())), "scale: NaN must be finite");
    assert_eq!(
        message(pool.clone().mask(&mask.view()).pool(&x.view())),
        "mask: an array of shape (3, 3) must have the shape of x without its last axis, (2, 3), or broadcast to it"
    );
    assert_eq!(
        message(pool.gradient(&x.view(), &query.view())),
        "dy: an array of shape (5, 4) must have the shape (2, 5, 4)"
    );
    let weight = Array2::zeros((4, 4));
    let d = AttentionGradient {
        x: x.clone().into_dyn(),
        query: query.clone().into_dyn(),
        key_weight: Some(weight.clone().into_dyn()),
        value_weight: None,
    };
    assert_eq!(
        message(pool.tangent(&x.view(), &d)),
        "dkey_weight: an array of shape (4, 4) is of an array that is not given"
    );
    let still = AttentionGradient { key_weight: None, ..d };
    let pool = pool.key_weight(&weight.view());
    assert_eq!(pool.tangent(&x.view(), &still).unwrap(), ArrayD::<f64>::zeros(vec![2, 5, 4]));

    let (tall, short) = (Array2::<f64>::zeros((4, 6)), Array2::zeros((4, 5)));
    let w = ndarray::Array1::zeros(6);
    let gated = GatedAttentionPool::new(&tall.view(), &short.view(), &w.view());
    assert_eq!(message(gated.pool(&x.view())), "u: an array of shape (4, 5) must have the shape of v, (4, 6)");
    assert_eq!(
        message(TokenPool::new().max(&Array2::<u8>::zeros((0, 4)).view())),
        "x: an array of shape (0, 4) must have a token: its second to last axis is empty"
    );
    assert!(TokenPool::new().mask(&array![true].view()).max(&x.view()).is_ok());
}
