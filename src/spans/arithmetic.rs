//! Whole numbers: what spans in closed form need to know.

/// The greatest common divisor.
pub(crate) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The inverse of `a` modulo `m`, where they have no common divisor; 0 modulo 1.
pub(super) fn inverse(a: usize, m: usize) -> usize {
    let (mut r, mut s) = ((m as i128, (a % m) as i128), (0i128, 1i128));
    while r.1 > 0 {
        let quotient = r.0 / r.1;
        r = (r.1, r.0 - quotient * r.1);
        s = (s.1, s.0 - quotient * s.1);
    }
    s.0.rem_euclid(m as i128) as usize
}

/// How many of the numbers `(start + i * step) mod m`, for `i < n`, are at least `least`.
///
/// A number is at least `least` where adding `m - least` carries it past a multiple of `m`, so the count is the difference
/// of two sums of quotients.
pub(super) fn count_residues(n: usize, start: usize, step: usize, m: usize, least: usize) -> usize {
    let (n, start, step, m) = (n as u128, (start % m) as u128, step as u128, m as u128);
    let carried = sum_of_quotients(n, step, start + m - least.min(m as usize) as u128, m);
    carried.wrapping_sub(sum_of_quotients(n, step, start, m)) as usize
}

/// The sum of `floor((a i + b) / m)` for `i < n`, modulo 2^128: as Euclid's algorithm, swapping `a` and `m` (Knuth, The Art
/// of Computer Programming 1, exercise 1.2.4-37; Graham, Knuth and Patashnik, Concrete Mathematics, 3.32).
fn sum_of_quotients(mut n: u128, mut a: u128, mut b: u128, mut m: u128) -> u128 {
    let mut sum = 0u128;
    loop {
        let pairs =
            if n.is_multiple_of(2) { (n / 2).wrapping_mul(n.wrapping_sub(1)) } else { n.wrapping_mul((n - 1) / 2) };
        sum = sum.wrapping_add(pairs.wrapping_mul(a / m)).wrapping_add(n.wrapping_mul(b / m));
        (a, b) = (a % m, b % m);
        let most = a * n + b;
        if most < m {
            return sum;
        }
        (n, b, a, m) = (most / m, most % m, m, a);
    }
}
