//! The element types, and the types that kernels compute in.
//!
//! Arrays hold an [`Element`]. Kernels never see most of them: staging *lifts* a value into one of a few work types and
//! finishing *lowers* the result, so that a dozen dtypes share the kernels of six orders and four sums.
//!
//! * Extremes are found in an [`Ordered`] type that keeps the order and every value: half floats widen to `f32`, unsigned
//!   integers become signed by flipping the top bit. Minimum is maximum of the reversed order.
//! * Winners with a position use [`Element::Ranked`], wide enough for 32-bit positions beside it.
//! * Sums use `f64` for every float (so a float32 mean of 2^25 tenths is 0.1) and exact integers otherwise.

mod ordered;

use half::{bf16, f16};

pub use ordered::Ordered;

/// A boolean as NumPy stores it: one byte, zero is false. Any other byte counts as true, so no byte is invalid.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub struct Bool(u8);

impl Bool {
    /// Wraps a `bool`.
    #[must_use]
    pub fn new(value: bool) -> Self {
        Self(value as u8)
    }

    /// The `bool` it stands for.
    #[must_use]
    #[inline(always)]
    pub fn get(self) -> bool {
        self.0 != 0
    }
}

impl PartialEq for Bool {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// What kind of numbers an element type holds; it decides the rules for sums, means and gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floating point: means keep the type, gradients exist.
    Float,
    /// Signed integers and their sums.
    Signed,
    /// Unsigned integers and their sums.
    Unsigned,
    /// Booleans: sums count them.
    Bool,
}

/// A type that arrays may hold.
///
/// Implemented for `f32 f64 i8 i16 i32 i64 u8 u16 u32 u64`, [`half::f16`], [`half::bf16`] and [`Bool`]; sealed by its
/// private methods' types.
pub trait Element: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// What kind of numbers these are.
    const KIND: Kind;
    /// The dtype's name in NumPy.
    const NAME: &'static str;
    /// The type in which max and min are found.
    type Order: Ordered;
    /// The type in which max and min are found together with a 32-bit position, or a 64-bit one for 64-bit types.
    type Ranked: Ordered;
    /// The type of that position.
    type Position: Position;
    /// The type in which max and min are found together with a 64-bit position.
    type Wide: Ordered;
    /// The type of a mean: floats keep theirs, others give `f64`.
    type Mean: Element;
    /// The type of a sum: floats keep theirs, others give 64 bits.
    type Total: Element;
    /// Value to order.
    fn to_order(self) -> Self::Order;
    /// Order back to value.
    fn from_order(order: Self::Order) -> Self;
    /// Value to the wider order.
    fn to_ranked(self) -> Self::Ranked;
    /// The wider order back to value.
    fn from_ranked(order: Self::Ranked) -> Self;
    /// Value to the widest order.
    fn to_wide(self) -> Self::Wide;
    /// The widest order back to value.
    fn from_wide(order: Self::Wide) -> Self;
    /// Value as `f64`, exact but for 64-bit integers.
    fn to_f64(self) -> f64;
    /// The nearest value to an `f64` (ties to even; integers saturate).
    fn from_f64(value: f64) -> Self;
    /// Integer value, modulo 2^64; floats truncate.
    fn to_i64(self) -> i64;
    /// Integer from its value modulo 2^64.
    fn from_i64(value: i64) -> Self;
    /// Integer value, exact; floats truncate.
    fn to_i128(self) -> i128;
    /// The nearest value to an integer: one out of range saturates.
    fn from_i128(value: i128) -> Self;
}

/// A value as one of the other type, if that is the same: the compiler knows which, and cells are copied, not converted twice.
#[inline(always)]
pub(crate) fn same<T: 'static, U: Copy + 'static>(value: &T) -> Option<U> {
    (value as &dyn std::any::Any).downcast_ref().copied()
}

/// A type that products are computed in: `f64`, or `f32` for elements of at most 32 bits.
pub(crate) trait Real: Element + ndarray::LinalgScalar + std::ops::AddAssign + PartialOrd {
    /// The nearest value to an element's.
    fn lift<T: Element>(value: T) -> Self;
    /// The nearest element.
    fn lower<T: Element>(self) -> T;
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            #[inline(always)]
            fn lift<T: Element>(value: T) -> Self {
                same(&value).unwrap_or(value.to_f64() as Self)
            }
            #[inline(always)]
            fn lower<T: Element>(self) -> T {
                same(&self).unwrap_or(T::from_f64(self as f64))
            }
            #[inline(always)]
            fn exp(self) -> Self {
                <$t>::exp(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                <$t>::tanh(self)
            }
        }
    };
}
real!(f32);
real!(f64);

/// Whether products of elements of this type are computed in `f64`.
pub(crate) fn is_wide<T: Element>() -> bool {
    <T::Mean as Element>::NAME == <f64 as Element>::NAME
}

/// Runs an expression with `$C` as the [`Real`] type that is computed in: the wide one, or the other.
macro_rules! with_real {
    ($wide:expr, $C:ident => $body:expr) => {
        if $wide {
            type $C = f64;
            $body
        } else {
            type $C = f32;
            $body
        }
    };
}
pub(crate) use with_real;

/// The position of a winner: an index within the pooled axes.
pub trait Position: Copy + Default + PartialEq + Send + Sync + 'static {
    /// The largest position that can be held.
    const LIMIT: u64;
    /// From an index.
    fn new(index: u64) -> Self;
    /// Back to an index.
    fn get(self) -> u64;
}

macro_rules! position {
    ($($t:ty),*) => {$(
        impl Position for $t {
            const LIMIT: u64 = <$t>::MAX as u64;
            #[inline(always)]
            fn new(index: u64) -> Self { index as Self }
            #[inline(always)]
            fn get(self) -> u64 { self as u64 }
        }
    )*};
}
position!(u8, u16, u32, u64);

macro_rules! conversions {
    ($t:ty) => {
        #[inline(always)]
        fn to_f64(self) -> f64 {
            self as f64
        }
        #[inline(always)]
        fn from_f64(value: f64) -> Self {
            value as $t
        }
        #[inline(always)]
        fn to_i64(self) -> i64 {
            self as i64
        }
        #[inline(always)]
        fn from_i64(value: i64) -> Self {
            value as $t
        }
        #[inline(always)]
        fn to_i128(self) -> i128 {
            self as i128
        }
        #[inline(always)]
        fn from_i128(value: i128) -> Self {
            value.clamp(<$t>::MIN as i128, <$t>::MAX as i128) as $t
        }
    };
}

macro_rules! element {
    ($t:ty, $kind:ident, $name:literal, $order:ty, $ranked:ty, $position:ty, $wide:ty, $mean:ty, $total:ty, $x:ident => $up:expr, $down:expr) => {
        impl Element for $t {
            const KIND: Kind = Kind::$kind;
            const NAME: &'static str = $name;
            type Order = $order;
            type Ranked = $ranked;
            type Position = $position;
            type Wide = $wide;
            type Mean = $mean;
            type Total = $total;
            #[inline(always)]
            fn to_order(self) -> $order {
                let $x = self;
                $up
            }
            #[inline(always)]
            fn from_order($x: $order) -> Self {
                $down
            }
            #[inline(always)]
            fn to_ranked(self) -> $ranked {
                self.to_order() as $ranked
            }
            #[inline(always)]
            fn from_ranked(order: $ranked) -> Self {
                Self::from_order(order as $order)
            }
            #[inline(always)]
            fn to_wide(self) -> $wide {
                self.to_order() as $wide
            }
            #[inline(always)]
            fn from_wide(order: $wide) -> Self {
                Self::from_order(order as $order)
            }
            conversions!($t);
        }
    };
}
element!(f32, Float, "float32", f32, f32, u32, f64, f32, f32, x => x, x);
element!(f64, Float, "float64", f64, f64, u64, f64, f64, f64, x => x, x);
element!(i8, Signed, "int8", i8, i32, u32, i64, f64, i64, x => x, x);
element!(i16, Signed, "int16", i16, i32, u32, i64, f64, i64, x => x, x);
element!(i32, Signed, "int32", i32, i32, u32, i64, f64, i64, x => x, x);
element!(i64, Signed, "int64", i64, i64, u64, i64, f64, i64, x => x, x);
element!(u8, Unsigned, "uint8", i8, i32, u32, i64, f64, u64, x => (x ^ 0x80) as i8, x as u8 ^ 0x80);
element!(u16, Unsigned, "uint16", i16, i32, u32, i64, f64, u64, x => (x ^ 0x8000) as i16, x as u16 ^ 0x8000);
element!(u32, Unsigned, "uint32", i32, i32, u32, i64, f64, u64, x => (x ^ (1 << 31)) as i32, x as u32 ^ (1 << 31));
element!(u64, Unsigned, "uint64", i64, i64, u64, i64, f64, u64, x => (x ^ (1 << 63)) as i64, x as u64 ^ (1 << 63));

impl Element for Bool {
    const KIND: Kind = Kind::Bool;
    const NAME: &'static str = "bool";
    type Order = i8;
    type Ranked = i32;
    type Position = u32;
    type Wide = i64;
    type Mean = f64;
    type Total = i64;
    #[inline(always)]
    fn to_order(self) -> i8 {
        (self.0 != 0) as i8
    }
    #[inline(always)]
    fn from_order(order: i8) -> Self {
        // Reversed padding never reaches a result, so `order` is 0 or 1.
        Self((order != 0) as u8)
    }
    #[inline(always)]
    fn to_ranked(self) -> i32 {
        (self.0 != 0) as i32
    }
    #[inline(always)]
    fn from_ranked(order: i32) -> Self {
        Self((order != 0) as u8)
    }
    #[inline(always)]
    fn to_wide(self) -> i64 {
        (self.0 != 0) as i64
    }
    #[inline(always)]
    fn from_wide(order: i64) -> Self {
        Self((order != 0) as u8)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.to_order() as f64
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Self((value != 0.0) as u8)
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        self.to_order() as i64
    }
    #[inline(always)]
    fn from_i64(value: i64) -> Self {
        Self((value != 0) as u8)
    }
    #[inline(always)]
    fn to_i128(self) -> i128 {
        self.to_order() as i128
    }
    #[inline(always)]
    fn from_i128(value: i128) -> Self {
        Self((value != 0) as u8)
    }
}

macro_rules! half_element {
    ($t:ty, $name:literal, $widen:ident, $narrow:ident) => {
        impl Element for $t {
            const KIND: Kind = Kind::Float;
            const NAME: &'static str = $name;
            type Order = f32;
            type Ranked = f32;
            type Position = u32;
            type Wide = f64;
            type Mean = $t;
            type Total = $t;
            #[inline(always)]
            fn to_order(self) -> f32 {
                $widen(self.to_bits())
            }
            #[inline(always)]
            fn from_order(order: f32) -> Self {
                Self::from_bits($narrow(order))
            }
            #[inline(always)]
            fn to_ranked(self) -> f32 {
                self.to_order()
            }
            #[inline(always)]
            fn from_ranked(order: f32) -> Self {
                Self::from_order(order)
            }
            #[inline(always)]
            fn to_wide(self) -> f64 {
                self.to_order() as f64
            }
            #[inline(always)]
            fn from_wide(order: f64) -> Self {
                Self::from_order(order as f32)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.to_order() as f64
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                Self::from_bits($narrow(round_to_odd(value)))
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self.to_f64() as i64
            }
            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                Self::from_f64(value as f64)
            }
            #[inline(always)]
            fn to_i128(self) -> i128 {
                self.to_f64() as i128
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                Self::from_f64(value as f64)
            }
        }
    };
}
half_element!(f16, "float16", widen_f16, narrow_f16);
half_element!(bf16, "bfloat16", widen_bf16, narrow_bf16);

// The conversions of half floats are written without branches and without subnormal operands, so that they vectorise at
// every CPU level and give the same bits on all of them (hardware instructions differ in what they do to NaN payloads).

#[inline(always)]
fn widen_f16(half: u16) -> f32 {
    const REBIAS: u32 = (127 - 15) << 23;
    let sign = (half as u32 & 0x8000) << 16;
    let magnitude = (half as u32 & 0x7fff) << 13;
    let exponent = half & 0x7c00;
    let normal = magnitude + REBIAS + if exponent == 0x7c00 { REBIAS } else { 0 };
    // 2^-14 (1 + m) - 2^-14 = 2^-14 m, exactly, and every operand is a normal number.
    let subnormal = f32::from_bits(REBIAS + (1 << 23) + magnitude) - f32::from_bits(REBIAS + (1 << 23));
    f32::from_bits(sign | if exponent == 0 { subnormal.to_bits() } else { normal })
}

#[inline(always)]
fn narrow_f16(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) & 0x8000;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    let normal = (magnitude.wrapping_add(0xfff + ((magnitude >> 13) & 1)).wrapping_sub((127 - 15) << 23)) >> 13;
    // Adding one half aligns the last bit with 2^-24, the spacing of subnormal half floats: the addition rounds.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    let overflow = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    (sign | if magnitude >= 0x477f_f000 { overflow } else { finite }) as u16
}

#[inline(always)]
fn widen_bf16(half: u16) -> f32 {
    f32::from_bits((half as u32) << 16)
}

#[inline(always)]
fn narrow_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) & 0x8000 | 0x7fc0 } else { rounded }) as u16
}

/// Narrows to `f32` so that a further rounding to a half float is the only one: an inexact result gets an odd last bit
/// (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
#[inline(always)]
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let bits = nearest.to_bits();
    let above = (nearest as f64).abs() > value.abs();
    let odd = (bits - above as u32) | 1;
    let exact = nearest as f64 == value || nearest.is_nan();
    f32::from_bits(if exact { bits } else { odd })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_float_widens_and_narrows_to_itself() {
        for bits in 0..=u16::MAX {
            let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert!(h.is_nan() && h.to_order().is_nan() || h.to_order().to_bits() == h.to_f32().to_bits(), "{bits:#x}");
            assert!(h.is_nan() || f16::from_order(h.to_order()).to_bits() == bits, "{bits:#x}");
            assert!(b.is_nan() || bf16::from_order(b.to_order()).to_bits() == bits, "{bits:#x}");
            assert_eq!(h.is_nan(), f16::from_order(h.to_order()).is_nan());
            assert_eq!(b.is_nan(), bf16::from_order(b.to_order()).is_nan());
        }
    }

    #[test]
    fn narrowing_rounds_once_to_even() {
        // Not the inherent methods of the same name, which round twice.
        fn narrow<T: Element>(value: f64) -> T {
            T::from_f64(value)
        }
        for bits in 0..0x7bffu16 {
            let (low, high) = (f16::from_bits(bits).to_f64(), f16::from_bits(bits + 1).to_f64());
            let middle = f64::midpoint(low, high);
            let even = if bits & 1 == 0 { bits } else { bits + 1 };
            assert_eq!(narrow::<f16>(middle).to_bits(), even);
            assert_eq!(narrow::<f16>(middle.next_up()).to_bits(), bits + 1);
            assert_eq!(narrow::<f16>(middle.next_down()).to_bits(), bits);
            assert_eq!(narrow::<f16>(-middle.next_up()).to_bits(), (bits + 1) | 0x8000);
        }
        assert_eq!(narrow::<f16>(65520.0).to_bits(), 0x7c00);
        assert_eq!(narrow::<bf16>(1.0 + f64::EPSILON).to_bits(), 0x3f80);
        assert_eq!(narrow::<bf16>(1.003_906_25 + 1e-15).to_bits(), 0x3f81);
        assert_eq!(narrow::<bf16>(1.003_906_25).to_bits(), 0x3f80);
    }

    #[test]
    fn orders_keep_order_and_value() {
        let values = [0u16, 1, 0x7fff, 0x8000, u16::MAX];
        assert!(values.windows(2).all(|w| w[0].to_order() < w[1].to_order()));
        assert!(values.iter().all(|&v| u16::from_order(v.to_order()) == v));
        assert!(u64::MAX.to_ranked() > 0u64.to_ranked() && u64::from_ranked(u64::MAX.to_ranked()) == u64::MAX);
    }
}
