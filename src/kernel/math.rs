//! Exponential and logarithm, written so that loops over them become vector instructions, the same bits at every CPU level.

/// `exp(x)` for `|x| <= 700`, to about one unit in the last place; NaN for NaN.
///
/// `x = k log 2 + r` with `|r| <= log 2 / 2`: a Taylor polynomial of `r`, times `2^k`.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    /// Adding it rounds to an integer, in the last bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    /// `1 / n!`.
    const TERMS: [f64; 14] = [
        1.0,
        1.0,
        0.5,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    // Four polynomials of `r^4`, which do not wait for each other. The sum begins with its smallest terms.
    let (square, fourth) = (r * r, (r * r) * (r * r));
    let every_fourth = |from: usize| {
        let third = if from < 2 { TERMS[8 + from] + fourth * TERMS[12 + from] } else { TERMS[8 + from] };
        (TERMS[4 + from] + fourth * third) * fourth
    };
    let high = (every_fourth(0) + r * every_fourth(1)) + square * (every_fourth(2) + r * every_fourth(3));
    let sum = ((high + square * (TERMS[2] + r * TERMS[3])) + r) + 1.0;
    let power = f64::from_bits((rounded.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    sum * power
}

/// `log(x)` for normal positive `x`, to about one unit in the last place; NaN for NaN.
///
/// `x = 2^k m` with `m` from `sqrt(1/2)` to `sqrt(2)`: a series of odd powers of `(m - 1) / (m + 1)`, plus `k log 2`.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const HALF_ROOT: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    /// The integer that this float's last bits hold is added to it.
    const INTEGER: f64 = 4_503_599_627_370_496.0;
    let above = x.to_bits().wrapping_sub(HALF_ROOT);
    let exponent = (above as i64 >> 52) as u64;
    let m = f64::from_bits(x.to_bits().wrapping_sub(exponent << 52));
    // An integer of a few bits as a float: as the last bits of a large one.
    let k = f64::from_bits(INTEGER.to_bits() | (exponent.wrapping_add(2048) & 0xfff)) - (INTEGER + 2048.0);
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // Two polynomials of `s^4`, which do not wait for each other.
    let fourth = square * square;
    let (mut even, mut odd) = (1.0 / 23.0, 0.0);
    for (a, b) in [(19.0, 21.0), (15.0, 17.0), (11.0, 13.0), (7.0, 9.0), (3.0, 5.0f64)] {
        (even, odd) = (even * fourth + 1.0 / a, odd * fourth + 1.0 / b);
    }
    let sum = even + square * odd;
    let result = k * LN_2_HIGH + (2.0 * s + (2.0 * s * square * sum + k * LN_2_LOW));
    if x.is_nan() { x } else { result }
}

/// The cube root of 0, of normal positive numbers and of infinity, to about one unit in the last place; NaN for NaN.
///
/// A third of the exponent makes a first guess of `x^(-1/3)`; the series of `(1 - e)^(-1/3)` mends it twice, where `e` is what
/// `x` times its cube is less than 1. No step divides.
#[inline(always)]
pub(crate) fn cbrt(x: f64) -> f64 {
    /// What a third of the upper half of the bits is taken from: off by 3.5 % at most.
    const GUESS: u64 = 0x553e_f0ff;
    /// `ceil(2^33 / 3)`.
    const THIRD: u64 = 0xaaaa_aaab;
    let guess = f64::from_bits((GUESS - (((x.to_bits() >> 32) * THIRD) >> 33)) << 32);
    let missing = |root: f64| 1.0 - (x * root) * (root * root);
    let e = missing(guess);
    let series =
        (1.0 / 3.0 + e * (2.0 / 9.0)) + (e * e) * ((14.0 / 81.0 + e * (35.0 / 243.0)) + (e * e) * (91.0 / 729.0));
    let root = guess + guess * e * series;
    let e = missing(root);
    let root = root + root * e * (1.0 / 3.0 + e * (2.0 / 9.0));
    let square = root * root;
    let result = x * square;
    // A step of Newton's method takes off what was rounded.
    let result = result - (result * result * result - x) * (square * (1.0 / 3.0));
    if x < f64::INFINITY { result } else { x }
}

#[cfg(test)]
mod tests {
    use super::{cbrt, exp, ln};

    /// The distance of two numbers, in units in the last place of the second.
    fn ulps(a: f64, b: f64) -> f64 {
        (a - b).abs() / (b.abs() * f64::EPSILON)
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for i in -70_000..=70_000 {
            let x = f64::from(i) * 0.01 + 0.000_37;
            assert!(ulps(exp(x), x.exp()) < 2.0, "{x} {} {}", exp(x), x.exp());
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn cube_roots_are_those_of_the_standard_library() {
        for i in 1..2000 {
            let x = f64::from(i) * 0.013;
            assert!(ulps(cbrt(x), x.cbrt()) <= 2.0, "{x}");
        }
        for exponent in -300..300 {
            for m in [1.0, 1.0 + f64::EPSILON, 1.26, 1.99, 2.0, 2.6, 3.99, 4.0, 7.99] {
                let x = f64::from(exponent).exp2() * m;
                assert!(ulps(cbrt(x), x.cbrt()) <= 2.0, "{x}");
            }
        }
        for x in [0.0, f64::INFINITY] {
            assert_eq!(cbrt(x), x);
        }
        assert!(cbrt(f64::NAN).is_nan());
    }

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        for i in -1000..=1000 {
            for m in [1.0, 1.1, 1.37, 1.414, 1.415, 1.7, 1.99] {
                let x = f64::from(i).exp2() * m;
                assert!(ulps(ln(x), x.ln()) < 2.0 || x == 1.0 && ln(x) == 0.0, "{x} {} {}", ln(x), x.ln());
            }
        }
        assert!(ulps(ln(1.0 + 1e-9), (1.0f64 + 1e-9).ln()) < 2.0);
        assert!(ln(f64::NAN).is_nan());
    }
}
