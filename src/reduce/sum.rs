//! The sum. Means are sums with a divisor, applied when a result is finished.

use std::marker::PhantomData;

use super::{Monoid, run_in_lanes};
use crate::element::Element;
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
                if matches!(T::KIND, crate::element::Kind::Float) {
                    return T::from_f64(self as f64 / divisor);
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
        (run_in_lanes::<V, 32>(values, V::plus), ())
    }
}
