//! The types that extremes are found in.

/// A work type whose order decides max and min.
pub trait Ordered: Copy + Default + PartialOrd + Send + Sync + 'static {
    /// A value that no other is below: what padding is filled with.
    const LOWEST: Self;
    /// Whether values may be NaN, and zeros signed.
    const IS_FLOAT: bool;
    /// The value in the reversed order; reversing twice gives the value back.
    #[must_use]
    fn reversed(self) -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this equals zero, of either sign.
    fn is_zero(self) -> bool;
    /// What is kept of values seen, to tell whether a NaN is among them: a maximum of bits, which vectorises where a
    /// disjunction of comparisons does not.
    type Watch: Copy + Default + Ord;
    /// Takes note of this value.
    #[must_use]
    fn watch(self, seen: Self::Watch) -> Self::Watch;
    /// Whether a NaN was seen.
    fn saw_nan(seen: Self::Watch) -> bool;
    /// Takes note of this value for [`Ordered::saw_both_zeros`].
    #[must_use]
    fn watch_zeros(self, seen: [Self::Watch; 2]) -> [Self::Watch; 2];
    /// Whether zeros of both signs were seen.
    fn saw_both_zeros(seen: [Self::Watch; 2]) -> bool;
}

macro_rules! ordered_int {
    ($($t:ty),*) => {$(
        impl Ordered for $t {
            const LOWEST: Self = <$t>::MIN;
            const IS_FLOAT: bool = false;
            #[inline(always)]
            fn reversed(self) -> Self { !self }
            #[inline(always)]
            fn is_nan(self) -> bool { false }
            #[inline(always)]
            fn is_zero(self) -> bool { self == 0 }
            type Watch = ();
            #[inline(always)]
            fn watch(self, (): ()) {}
            #[inline(always)]
            fn saw_nan((): ()) -> bool { false }
            #[inline(always)]
            fn watch_zeros(self, _: [(); 2]) -> [(); 2] { [(); 2] }
            #[inline(always)]
            fn saw_both_zeros(_: [(); 2]) -> bool { false }
        }
    )*};
}
ordered_int!(i8, i16, i32, i64);

macro_rules! ordered_float {
    ($($t:ty: $bits:ty),*) => {$(
        impl Ordered for $t {
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const IS_FLOAT: bool = true;
            #[inline(always)]
            fn reversed(self) -> Self { -self }
            #[inline(always)]
            #[allow(clippy::eq_op)] // one comparison in every float type, half floats too
            fn is_nan(self) -> bool { self != self }
            #[inline(always)]
            fn is_zero(self) -> bool { self == 0.0 }
            type Watch = $bits;
            #[inline(always)]
            fn watch(self, seen: $bits) -> $bits { seen.max(self.abs().to_bits()) }
            #[inline(always)]
            fn saw_nan(seen: $bits) -> bool { seen > <$t>::INFINITY.to_bits() }
            #[inline(always)]
            fn watch_zeros(self, [positive, negative]: [$bits; 2]) -> [$bits; 2] {
                let bits = self.to_bits();
                [positive.max(!bits), negative.max(bits ^ ((-0.0 as $t).to_bits() - 1))]
            }
            #[inline(always)]
            fn saw_both_zeros(seen: [$bits; 2]) -> bool { seen == [<$bits>::MAX; 2] }
        }
    )*};
}
ordered_float!(f32: u32, f64: u64);
