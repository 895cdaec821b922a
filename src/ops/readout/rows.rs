//! The rows that tokens are multiplied with: queries, times the transposed key weight, scaled.
//!
//! A row may be larger than any number of its type, though its products with small tokens are not, and so may be the
//! products of moderate rows with large tokens. Rows are therefore divided by a power of two, so that no score of finite
//! tokens overflows. Only differences of scores count, and these are multiplied with the power at last: one that is too
//! large then is minus infinity, whose exponential is 0. As a power of two changes no digit, scores of an ordinary size
//! are what they would be without.

use super::attention::add;
use super::heads::Heads;
use super::softmax::zeros;
use crate::element::{Element, Real, is_wide};
use crate::error::{Result, try_vec};
use crate::parallel::Parallel;

/// The largest exponent of which the negative one is that of a normal number too.
const LARGEST: i32 = 1022;

/// Queries, and the key weight that they are multiplied with, if there is one.
pub(super) type Term<'a, C> = (&'a [C], Option<&'a [C]>);

/// Rows, of which each is divided by a power of two.
pub(super) struct Rows<C> {
    pub numbers: Vec<C>,
    /// That of each row.
    pub powers: Vec<C>,
}

impl<C: Real> Rows<C> {
    /// The sum of the terms.
    pub fn new(keys: Heads, terms: &[Term<'_, C>], scale: f64, parallel: &Parallel<'_>) -> Result<Self> {
        let width = keys.groups().width;
        let mut numbers = product(keys, terms, parallel)?;
        for x in &mut numbers {
            *x = C::from_f64(x.to_f64() * scale);
        }
        let wide = if numbers.iter().all(finite) { None } else { Some(Wide::new(keys, terms, scale, parallel)?) };
        let mut powers = zeros(numbers.len() / width)?;
        let largest = if is_wide::<C>() { LARGEST } else { 126 };
        for (r, (row, power)) in numbers.chunks_exact_mut(width).zip(&mut powers).enumerate() {
            *power = C::one();
            if let Some(exponent) = exponent_above(row) {
                *power = C::from_f64(power_of_two(exponent.clamp(0, largest)));
                for x in row {
                    *x = *x / *power;
                }
                continue;
            }
            let Some(Wide { numbers, exponent: more }) = &wide else { continue };
            let wide = &numbers[r * width..][..width];
            // Infinity and NaN that were given stay what they are.
            if let Some(exponent) = exponent_above(wide) {
                let whole = exponent + more;
                let own = whole.clamp(-largest, largest);
                // What the largest power leaves beyond the type is cut off: whatever tokens differ by, one takes all.
                let less = own.max(whole - largest);
                *power = C::from_f64(power_of_two(own));
                row.iter_mut().zip(wide).for_each(|(x, wide)| *x = C::from_f64(wide * power_of_two(more - less)));
            }
        }
        Ok(Self { numbers, powers })
    }

    /// The rows divided by other powers, which are no less than their own.
    fn divided_by(&self, powers: &[C]) -> Result<Vec<C>> {
        let mut numbers = try_vec(self.numbers.len())?;
        let width = self.numbers.len().checked_div(powers.len()).unwrap_or(0).max(1);
        for (row, (&own, &power)) in self.numbers.chunks_exact(width).zip(self.powers.iter().zip(powers)) {
            numbers.extend(row.iter().map(|&x| x * (own / power)));
        }
        Ok(numbers)
    }
}

/// Rows, and their tangents, divided by the same powers.
#[derive(Default)]
pub(super) struct Moving<C> {
    pub rows: Vec<C>,
    pub tangents: Vec<C>,
    pub powers: Vec<C>,
}

impl<C: Real> Moving<C> {
    pub fn new(rows: &Rows<C>, tangents: &Rows<C>) -> Result<Self> {
        let mut powers = try_vec(rows.powers.len())?;
        let larger = |(&a, &b): (&C, &C)| if a > b { a } else { b };
        powers.extend(rows.powers.iter().zip(&tangents.powers).map(larger));
        Ok(Self { rows: rows.divided_by(&powers)?, tangents: tangents.divided_by(&powers)?, powers })
    }
}

/// Rows in a wider range: the numbers times `2^exponent`.
struct Wide {
    numbers: Vec<f64>,
    exponent: i32,
}

impl Wide {
    fn new<C: Real>(keys: Heads, terms: &[Term<'_, C>], scale: f64, parallel: &Parallel<'_>) -> Result<Self> {
        /// What large factors are divided by, so that products of two do not overflow.
        const LESS: i32 = 520;
        let large = |side: &[C]| side.iter().any(|x| x.to_f64().abs() > power_of_two(500));
        let queries = if terms.iter().any(|term| large(term.0)) { LESS } else { 0 };
        let weights = if terms.iter().any(|term| term.1.is_some_and(large)) { LESS } else { 0 };
        let lifted = |side: &[C], less: i32| {
            let mut numbers = try_vec(side.len())?;
            numbers.extend(side.iter().map(|x| x.to_f64() * power_of_two(-less)));
            Ok(numbers)
        };
        let lifted = |&(query, weight): &Term<'_, C>| -> Result<(Vec<f64>, Option<Vec<f64>>)> {
            Ok((lifted(query, queries)?, weight.map(|weight| lifted(weight, weights)).transpose()?))
        };
        let lifted = terms.iter().map(lifted).collect::<Result<Vec<_>>>()?;
        let terms: Vec<Term<'_, f64>> = lifted.iter().map(|(query, weight)| (&query[..], weight.as_deref())).collect();
        let mut numbers = product(keys, &terms, parallel)?;
        for x in &mut numbers {
            *x *= scale;
        }
        Ok(Self { numbers, exponent: queries + weights })
    }
}

fn product<C: Real>(keys: Heads, terms: &[Term<'_, C>], parallel: &Parallel<'_>) -> Result<Vec<C>> {
    let mut sum = Vec::new();
    for &(query, weight) in terms {
        let rows = keys.split(query, weight, parallel)?;
        if sum.is_empty() { sum = rows } else { add(&mut sum, &rows) }
    }
    Ok(sum)
}

fn finite<C: Element>(x: &C) -> bool {
    x.to_f64().is_finite()
}

/// The exponent of a power of two that is more than the sum of the numbers of a row, whatever their signs, if they are
/// finite.
fn exponent_above<C: Element>(row: &[C]) -> Option<i32> {
    let most = row.iter().fold(0.0, |most: f64, x| most.max(x.to_f64().abs()));
    let bits = (most * row.len() as f64).to_bits() >> 52;
    row.iter().all(finite).then_some((bits as i32 - 1022).clamp(-LARGEST, LARGEST))
}

/// `2^exponent`, for that of a normal number.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_more_than_sums() {
        for (row, exponent) in [([0.0, 0.0], -1022), ([0.4, -0.1], 0), ([0.5, 0.0], 1), ([-3.0, 0.0], 3)] {
            assert_eq!(exponent_above(&row), Some(exponent));
        }
        assert_eq!([exponent_above(&[f64::MAX, 0.0]), exponent_above(&[f64::NAN, 0.0])], [Some(1022), None]);
        assert_eq!([power_of_two(-1022), power_of_two(-1), power_of_two(10)], [f64::MIN_POSITIVE, 0.5, 1024.0]);
    }

    fn rows<C: Real>(query: &[C], weight: Option<&[C]>, scale: f64) -> Rows<C> {
        let token = weight.map_or(query.len(), |weight| weight.len() / query.len());
        let keys = Heads { count: 1, queries: 1, token, size: query.len(), weighted: weight.is_some() };
        Rows::new(keys, &[(query, weight)], scale, &Parallel::default()).unwrap()
    }

    #[test]
    fn rows_of_any_size_are_kept() {
        let ordinary = rows(&[3.0f32, -0.1], None, 0.5);
        assert_eq!((&ordinary.numbers[..], ordinary.powers[0]), (&[0.375, -0.0125][..], 4.0));
        let small = rows(&[0.3f32, -0.1], None, 0.5);
        assert_eq!((&small.numbers[..], small.powers[0]), (&[0.15, -0.05][..], 1.0));
        // 1e20 * 1e20 and -1e20 * 3e20, of which neither is a float32.
        let large = rows(&[1e20f32], Some(&[1e20, -3e20]), 1.0);
        let whole: Vec<f64> = large.numbers.iter().map(|&x| f64::from(x) * f64::from(large.powers[0])).collect();
        assert!((whole[0] / 1e40 - 1.0).abs() < 1e-6 && (whole[1] / -3e40 - 1.0).abs() < 1e-6);
        let large = rows(&[1e200f64, 1.0], Some(&[1e200, 1.0, 1.0, 1e-100]), 1e5);
        assert!((large.numbers[0] / 1e200 * large.powers[0] / 1e205 - 1.0).abs() < 1e-12);
        assert!((large.numbers[1] * large.powers[0] / 1e205 - 1.0).abs() < 1e-12);
        // What overflows only on the way.
        let large = rows(&[3e38f32, 3e38], Some(&[2.0, -2.0]), 1.0);
        assert_eq!(large.numbers, [0.0]);
        let given = rows(&[f32::INFINITY, 1.0], None, 1.0);
        assert_eq!((&given.numbers[..], given.powers[0]), (&[f32::INFINITY, 1.0][..], 1.0));
    }
}
