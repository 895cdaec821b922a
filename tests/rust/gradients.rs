//! Gradients against the reference, and each map against its adjoint.

use ndarray::ArrayD;
use proptest::prelude::*;

use crate::reference::{Case, case, winner};

fn numbered(shape: &[usize]) -> ArrayD<f64> {
    let mut k = 0u64;
    ArrayD::from_shape_simple_fn(shape, || {
        k = k.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((k >> 33) % 1001) as f64 - 500.0
    })
}

fn check(case: &Case) {
    let x = case.view(&case.array);
    for pool in case.pool() {
        let Ok(solved) = pool.solve(x.shape()) else { continue };
        let shape = solved.output_shape();
        let dy = numbered(shape);
        let tangent = numbered(x.shape());
        let (_, max) = pool.max_vjp(&x).unwrap();
        let (_, avg) = pool.avg_vjp(&x).unwrap();
        let (mut routed, mut spread) = (ArrayD::<f64>::zeros(x.shape()), ArrayD::<f64>::zeros(x.shape()));
        let pushed = max.push(&tangent.view()).unwrap();
        case.windows(x.shape(), |at, window, padded| {
            let win = winner(window.iter().map(|cell| x[&cell[..]]));
            routed[&window[win][..]] += dy[at];
            assert_eq!(pushed[at], tangent[&window[win][..]]);
            let divisor = if case.include_pad { padded } else { window.len() };
            for cell in window {
                spread[&cell[..]] += dy[at] / divisor as f64;
            }
        });
        assert_eq!(max.pull(&dy.view()).unwrap(), routed);
        let pulled = avg.pull(&dy.view()).unwrap();
        assert!(pulled.iter().zip(&spread).all(|(a, b)| (a - b).abs() <= 1e-12 * (500.0 + b.abs())), "{case:?}");
        for map in [&max, &avg] {
            let (forward, back) = (map.push(&tangent.view()).unwrap(), map.pull(&dy.view()).unwrap());
            let (left, right): (f64, f64) = ((&forward * &dy).sum(), (&back * &tangent).sum());
            assert!((left - right).abs() <= 1e-12 * (1e6 * forward.len() as f64), "{left} {right}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn maps_and_their_adjoints(case in case(true)) {
        check(&case);
    }
}
