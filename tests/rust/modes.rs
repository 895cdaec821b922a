//! Statistics and choices against plain formulas over the reference's windows, and their maps against their adjoints.

use ndarray::{ArrayD, Dimension};
use ndpool::{Choice, QuantileMethod, Rank, Statistic};
use proptest::prelude::*;

use crate::reference::{Case, case};

const MEDIAN: Rank = Rank { q: 0.5, method: QuantileMethod::Linear };

/// A statistic of a few cells, as its definition has it.
fn plain(of: &Statistic, x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    match *of {
        Statistic::Product => x.iter().product(),
        Statistic::Variance { ddof, .. } => {
            x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - ddof).max(0.0)
        }
        Statistic::Norm { p } => x.iter().map(|x| x.abs().powf(p)).sum::<f64>().powf(1.0 / p),
        Statistic::PowerMean { p, eps } => (x.iter().map(|x| x.max(eps).powf(p)).sum::<f64>() / n).powf(1.0 / p),
        Statistic::LogMeanExp { r } => (x.iter().map(|x| (r * x).exp()).sum::<f64>() / n).ln() / r,
        Statistic::SoftMean { beta } => {
            let weights: f64 = x.iter().map(|x| (beta * x).exp()).sum();
            x.iter().map(|x| x * (beta * x).exp() / weights).sum()
        }
        Statistic::Mixed { alpha } => alpha * sorted[x.len() - 1] + (1.0 - alpha) * mean,
        Statistic::Quantile(_) => f64::midpoint(sorted[(x.len() - 1) / 2], sorted[x.len() / 2]),
        _ => unreachable!("not asked for below"),
    }
}

fn check(case: &Case) {
    // Finite numbers of moderate size.
    let array = case.array.mapv(|x| if x.is_finite() { x % 7.0 } else { 1.5 });
    let x = case.view(&array);
    for pool in case.pool() {
        let Ok(solved) = pool.solve(x.shape()) else { continue };
        let dy = ArrayD::from_shape_fn(solved.output_shape(), |at| at.slice().iter().sum::<usize>() as f64 - 2.5);
        for of in [
            Statistic::Product,
            Statistic::Variance { ddof: 0.0, root: false },
            Statistic::Norm { p: 3.0 },
            Statistic::Norm { p: 1.7 },
            Statistic::PowerMean { p: 2.0, eps: 0.5 },
            Statistic::LogMeanExp { r: 2.0 },
            Statistic::SoftMean { beta: -1.0 },
            Statistic::Mixed { alpha: 0.25 },
            Statistic::Quantile(MEDIAN),
        ] {
            let (y, map) = pool.statistic_vjp(&x, &of).unwrap();
            case.windows(x.shape(), |at, window, _| {
                let cells: Vec<f64> = window.iter().map(|cell| x[&cell[..]]).collect();
                let (got, want) = (y[at], plain(&of, &cells));
                let scale = cells.iter().fold(1.0, |most: f64, x| most.max(x.abs())).powi(2);
                assert!((got - want).abs() <= 1e-12 * (want.abs() + scale), "{of:?} {got} {want} {cells:?}");
            });
            let (forward, back) = (map.push(&x).unwrap(), map.pull(&dy.view()).unwrap());
            let (left, right): (f64, f64) = ((&forward * &dy).sum(), (&back * &x).sum());
            let size = 1.0 + forward.iter().zip(&dy).map(|(a, b)| (a * b).abs()).sum::<f64>();
            assert!((left - right).abs() <= 1e-12 * size, "{of:?} {left} {right}");
        }
        let lower = Choice::Quantile(Rank { method: QuantileMethod::Lower, ..MEDIAN });
        for of in [Choice::Max, Choice::First, lower, Choice::Majority { ignore: None }] {
            let (y, map) = pool.choice_vjp(&x, &of).unwrap();
            assert_eq!(y, map.push(&x).unwrap(), "{of:?}");
            assert!(y.iter().zip(&pool.choice(&x, &of).unwrap()).all(|(a, b)| a == b), "{of:?}");
            let back = map.pull(&dy.view()).unwrap();
            assert!((back.sum() - dy.sum()).abs() <= 1e-9 * (1.0 + dy.sum().abs()), "{of:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn modes_are_their_formulas(case in case(false)) {
        check(&case);
    }
}
