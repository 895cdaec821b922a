//! The sum. Means are sums with a divisor, applied when a result is finished.

use std::marker::PhantomData;

use super::{Monoid, run_in_lanes};
use crate::element::{Element, Kind};
use crate::vector::Vectors;

/// A type that sums are kept in.
pub(crate) trait Addend: Copy + Default + PartialEq + Send + Sync + 'static {
    fn plus(self, other: Self) -> Self;
    /// The value of an element, exact where this type is meant for it.
    fn of<T: Element>(value: T) -> Self;
    /// The sum as an element: rounded to the nearest for floats, modulo 2^64 for integers.
    fn to_sum<T: Element>(self) -> T;
    /// The sum divided, as a float, or as an integer rounded half to even. What is divided by 0 had no cells; anything will do.
    fn to_mean<T: Element>(self, divisor: f64) -> T;
    /// Whether means can be made by shifting: the sums are short, and the elements integers.
    fn shifts<T: Element>() -> bool {
        false
    }
    /// The sum divided by `2^shift`, which is at least 2, where that can be done.
    #[inline(always)]
    fn to_mean_shifted<T: Element>(self, _: u32) -> T {
        T::default()
    }
    /// Whether means by divisors up to 2^15 can be made of quotients in `f32`: the sums are short, and the elements 8-bit integers.
    fn divides_short<T: Element>() -> bool {
        false
    }
    /// The sum divided by such a divisor, where that can be done.
    #[inline(always)]
    fn to_mean_short<T: Element>(self, _: f32) -> T {
        T::default()
    }
    /// The same, where the divisor's reciprocal is known.
    #[inline(always)]
    fn to_mean_by<T: Element, V: Vectors>(self, _: V, divisor: f64, _: f64) -> T {
        self.to_mean(divisor)
    }
}

/// A result as an element. Of two NaNs, instructions keep the one or the other: here all become one, on every CPU.
#[inline(always)]
fn one_nan<T: Element>(result: f64) -> T {
    T::from_f64(if result.is_nan() { f64::NAN } else { result })
}

macro_rules! float_addend {
    ($t:ident) => {
        impl Addend for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn of<T: Element>(value: T) -> Self {
                value.to_f64() as $t
            }

            #[inline(always)]
            fn to_sum<T: Element>(self) -> T {
                // Sums start at 0: a sum of negative zeros is 0, whatever the number of cells and of padding.
                one_nan((self + 0.0) as f64)
            }

            #[inline(always)]
            fn to_mean<T: Element>(self, divisor: f64) -> T {
                one_nan(((self + 0.0) / divisor as $t) as f64)
            }

            #[inline(always)]
            fn to_mean_by<T: Element, V: Vectors>(self, vectors: V, divisor: f64, reciprocal: f64) -> T {
                // What underflows in the quotient is 0 in a narrower type, mended or not.
                if size_of::<Self>() == 8 && size_of::<T>() < 8 {
                    return one_nan(vectors.quotient(self as f64 + 0.0, divisor, reciprocal));
                }
                self.to_mean(divisor)
            }
        }
    };
}
// Single values, of which nothing is added; sums of floats: those of float32 values are exact to their last bit but for
// cancellation beyond 2^29.
float_addend!(f32);
float_addend!(f64);

/// A quotient of integers as an element: rounded half to even, if that is an integer too. Of sums of 32 bits, quotients are
/// rounded to 53 first; that makes none a half that was not one, for it would have to be within 2^-53 of its value of one, and
/// a whole number of divisors away.
#[inline(always)]
fn whole<T: Element>(quotient: f64) -> T {
    /// From this number on, floats are 1 apart.
    const ONES: f64 = 6_755_399_441_055_744.0;
    if matches!(T::KIND, Kind::Float) {
        return T::from_f64(quotient);
    }
    let rounded = if quotient.abs() < ONES / 3.0 { (quotient + ONES) - ONES } else { quotient };
    T::from_f64(rounded)
}

macro_rules! integer_addend {
    ($t:ty) => {
        impl Addend for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn of<T: Element>(value: T) -> Self {
                if size_of::<Self>() > 8 { value.to_i128() as $t } else { value.to_i64() as $t }
            }

            #[inline(always)]
            fn to_sum<T: Element>(self) -> T {
                if size_of::<Self>() > 8 { T::from_i128(self as i128) } else { T::from_i64(self as i64) }
            }

            #[inline(always)]
            fn to_mean<T: Element>(self, divisor: f64) -> T {
                if size_of::<Self>() == 4 || matches!(T::KIND, Kind::Float) {
                    return whole::<T>(self as f64 / divisor);
                }
                // No cells, no mean.
                if divisor == 0.0 {
                    return T::default();
                }
                let (sum, divisor) =
                    if divisor < 0.0 { (self.wrapping_neg(), -divisor as $t) } else { (self, divisor as $t) };
                let (quotient, remainder) = (sum.div_euclid(divisor), sum.rem_euclid(divisor));
                // Twice the remainder against the divisor, without doubling it past the type's limit.
                let up = match remainder.cmp(&(divisor - remainder)) {
                    std::cmp::Ordering::Less => false,
                    std::cmp::Ordering::Equal => quotient & 1 == 1,
                    std::cmp::Ordering::Greater => true,
                };
                T::from_i128((quotient + up as $t) as i128)
            }

            fn shifts<T: Element>() -> bool {
                size_of::<Self>() == 4 && matches!(T::KIND, Kind::Signed | Kind::Unsigned)
            }

            #[inline(always)]
            fn to_mean_shifted<T: Element>(self, shift: u32) -> T {
                // Half of the divisor carries into the quotient where the remainder is more, or as much and the quotient odd.
                let carry = (1 << (shift - 1)) - 1 + ((self >> shift) & 1);
                let rounded = (self + carry) >> shift;
                let [least, most] = [<$t>::MIN, <$t>::MAX].map(|bound| T::from_f64(bound as f64).to_i64());
                T::from_i64((rounded as i64).clamp(least, most))
            }

            fn divides_short<T: Element>() -> bool {
                size_of::<T>() == 1 && Self::shifts::<T>()
            }

            #[inline(always)]
            fn to_mean_short<T: Element>(self, divisor: f32) -> T {
                /// To which whole numbers are added to be rounded, half to even: the last bit then stands for 1.
                const ONES: f32 = 12_582_912.0;
                // A sum of a mean in range has 23 bits. Its quotient, if it is no half, is further from one than it is rounded:
                // at least half a divisor's part, against 2^-24 of a value below 2^23 divisors' parts.
                let quotient = (self as f32 / divisor).clamp(-1024.0, 1024.0);
                let rounded = (quotient + ONES).to_bits() as i32 - ONES.to_bits() as i32;
                let [least, most] = [-1024.0, 1024.0].map(|bound| T::from_f64(bound).to_i64() as i32);
                T::from_i64(rounded.clamp(least, most) as i64)
            }

            #[inline(always)]
            fn to_mean_by<T: Element, V: Vectors>(self, vectors: V, divisor: f64, reciprocal: f64) -> T {
                if size_of::<Self>() == 4 {
                    return whole::<T>(vectors.quotient(self as f64, divisor, reciprocal));
                }
                self.to_mean(divisor)
            }
        }
    };
}
// Bytes and 16-bit integers in windows of fewer than 2^15 cells; any other integer; what 64 bits may not hold.
integer_addend!(i32);
integer_addend!(i64);
integer_addend!(i128);

/// The sum of an [`Addend`].
#[derive(Clone, Copy)]
pub(crate) struct Sum<V>(PhantomData<V>);

impl<V: Addend> Monoid for Sum<V> {
    type Value = V;
    type Tag = ();
    type Watch = ();
    const IDEMPOTENT: bool = false;
    const IN_LANES: bool = true;

    #[inline(always)]
    fn identity() -> (V, ()) {
        (V::default(), ())
    }

    #[inline(always)]
    fn merge(earlier: (V, ()), later: (V, ())) -> (V, ()) {
        (earlier.0.plus(later.0), ())
    }

    #[inline(always)]
    fn run(values: &[V], _: &[()]) -> (V, ()) {
        (run_in_lanes(values, V::plus), ())
    }
}

/// Two sums.
#[derive(Clone, Copy)]
pub(crate) struct Pair;

impl Monoid for Pair {
    type Value = f64;
    type Tag = f64;
    type Watch = ();
    const IDEMPOTENT: bool = false;
    const IN_LANES: bool = true;

    #[inline(always)]
    fn identity() -> (f64, f64) {
        (0.0, 0.0)
    }

    #[inline(always)]
    fn merge(earlier: (f64, f64), later: (f64, f64)) -> (f64, f64) {
        (earlier.0 + later.0, earlier.1 + later.1)
    }

    #[inline(always)]
    fn run(values: &[f64], tags: &[f64]) -> (f64, f64) {
        (run_in_lanes(values, f64::plus), run_in_lanes(tags, f64::plus))
    }
}

/// Two sums, of what each cell adds to them: for cells that are merged into a result one by one.
#[derive(Clone, Copy)]
pub(crate) struct OneByOne<A>(PhantomData<A>);

/// What a cell adds to two sums.
pub(crate) trait Adding: Copy + Send + Sync + 'static {
    fn add(sums: (f64, f64), cell: f64) -> (f64, f64);
}

/// The sum of the cells that are not NaN, and their number. A sum that is NaN because infinities cancelled stays so.
#[derive(Clone, Copy)]
pub(crate) struct Valid;

impl Adding for Valid {
    #[inline(always)]
    fn add((sum, count): (f64, f64), cell: f64) -> (f64, f64) {
        let valid = !cell.is_nan();
        (sum + if valid { cell } else { 0.0 }, count + if valid { 1.0 } else { 0.0 })
    }
}

/// The sum of cells and that of their squares.
#[derive(Clone, Copy)]
pub(crate) struct Moments;

impl Adding for Moments {
    #[inline(always)]
    fn add((sum, squares): (f64, f64), cell: f64) -> (f64, f64) {
        (sum + cell, squares + cell * cell)
    }
}

impl<A: Adding> Monoid for OneByOne<A> {
    type Value = f64;
    type Tag = f64;
    type Watch = ();
    const IDEMPOTENT: bool = false;
    const IN_LANES: bool = false;

    #[inline(always)]
    fn identity() -> (f64, f64) {
        (0.0, 0.0)
    }

    #[inline(always)]
    fn start(_: f64) -> (f64, f64) {
        Self::identity()
    }

    #[inline(always)]
    fn merge(earlier: (f64, f64), later: (f64, f64)) -> (f64, f64) {
        A::add(earlier, later.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Addend;

    #[test]
    fn short_means_are_means() {
        let agree = |sum: i32, divisor: i32| {
            let (means, short) = (f64::from(divisor), divisor as f32);
            assert_eq!(sum.to_mean_short::<u8>(short), sum.to_mean::<u8>(means), "{sum} / {divisor}");
            assert_eq!(sum.to_mean_short::<i8>(short), sum.to_mean::<i8>(means), "{sum} / {divisor}");
        };
        for divisor in (1i32..=50).chain([81, 99, 100, 121, 225, 1000, 1023, 4097, 32767, 32768]) {
            // Each half, and its neighbours.
            for half in -270..=540 {
                (-1..=1).for_each(|next| agree((half * divisor).div_euclid(2) + next, divisor));
            }
        }
        (-2000..=20_000).for_each(|sum| agree(sum, 9));
        for sum in [i32::MIN, -(1 << 24), 1 << 24, i32::MAX] {
            agree(sum, 7);
        }
    }
}
