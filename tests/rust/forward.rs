//! Every mode forward, in every element type, against the reference.

use half::{bf16, f16};
use ndarray::ArrayD;
use ndpool::Element;
use ndpool::element::{Bool, Kind};
use proptest::prelude::*;

use crate::reference::{Case, case, winner};

/// Compares bits, but for NaN payloads.
fn same<T: Element>(a: T, b: T) -> bool {
    let (a, b) = (a.to_f64(), b.to_f64());
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn check_extremes<T: Element>(case: &Case) {
    let array: ArrayD<T> = case.array.mapv(T::from_f64);
    let x = case.view(&array);
    for pool in case.pool() {
        let Ok(solved) = pool.solve(x.shape()) else {
            assert!(empty_window(case, x.shape()), "{case:?}");
            continue;
        };
        for sign in [1.0, -1.0] {
            let (values, (indexed, indices)) = if sign > 0.0 {
                (pool.max(&x).unwrap(), pool.max_with_indices(&x).unwrap())
            } else {
                (pool.min(&x).unwrap(), pool.min_with_indices(&x).unwrap())
            };
            let outputs = case.windows(x.shape(), |at, window, _| {
                let win = winner(window.iter().map(|cell| sign * x[&cell[..]].to_f64()));
                let expected = x[&window[win][..]];
                assert!(same(values[at], expected), "{sign} at {at:?}: {:?}, not {expected:?}", values[at]);
                assert!(same(indexed[at], expected), "{sign} at {at:?}: {:?}, not {expected:?}", indexed[at]);
                assert_eq!(indices[at], case.flat(x.shape(), &window[win]), "{sign} at {at:?}");
            });
            assert_eq!(values.shape(), outputs);
            assert_eq!(solved.output_shape(), outputs);
        }
    }
}

fn empty_window(case: &Case, shape: &[usize]) -> bool {
    let mut empty = false;
    case.windows(shape, |_, window, _| empty |= window.is_empty());
    empty
}

/// Sums of small integers and of floats that hold them are exact; means are compared to the last bit of the type.
fn check_sums<T: Element>(case: &Case) {
    let array: ArrayD<T> = case.array.mapv(|x| {
        T::from_f64(if x.is_finite() {
            (x * 8.0).round()
        } else if T::KIND == Kind::Float {
            x
        } else {
            3.0
        })
    });
    let x = case.view(&array);
    for pool in case.pool() {
        if pool.solve(x.shape()).is_err() {
            continue;
        }
        let (sums, means) = (pool.sum(&x).unwrap(), pool.avg(&x).unwrap());
        let counts = pool.count(x.shape()).unwrap();
        case.windows(x.shape(), |at, window, padded| {
            let sum: f64 = window.iter().map(|cell| x[&cell[..]].to_f64()).fold(0.0, |sum, x| sum + x);
            let divisor = if case.include_pad { padded } else { window.len() };
            assert_eq!(counts[at], window.len() as i64);
            assert!(same(sums[at], <T::Total>::from_f64(sum)), "sum at {at:?}: {:?}, not {sum}", sums[at]);
            let mean = <T::Mean>::from_f64(sum / divisor as f64);
            assert!(same(means[at], mean), "mean at {at:?}: {:?}, not {mean:?}", means[at]);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn extremes_of_floats(case in case(true)) {
        check_extremes::<f32>(&case);
        check_extremes::<f64>(&case);
        check_extremes::<f16>(&case);
        check_extremes::<bf16>(&case);
    }

    #[test]
    fn extremes_of_integers(case in case(false)) {
        check_extremes::<u8>(&case);
        check_extremes::<i8>(&case);
        check_extremes::<u16>(&case);
        check_extremes::<i16>(&case);
        check_extremes::<u32>(&case);
        check_extremes::<i32>(&case);
        check_extremes::<u64>(&case);
        check_extremes::<i64>(&case);
        check_extremes::<Bool>(&case);
    }

    #[test]
    fn sums_and_means(case in case(true)) {
        check_sums::<f32>(&case);
        check_sums::<f64>(&case);
        check_sums::<f16>(&case);
        check_sums::<bf16>(&case);
    }

    #[test]
    fn sums_of_integers(case in case(false)) {
        check_sums::<u8>(&case);
        check_sums::<i16>(&case);
        check_sums::<u32>(&case);
        check_sums::<i64>(&case);
        check_sums::<u64>(&case);
        check_sums::<Bool>(&case);
    }
}
