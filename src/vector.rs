//! What vector instructions do that loops do not: every second element of a run, two runs in turns, a quotient without a
//! division.
//!
//! A loop over a block of neighbouring elements becomes vector instructions by itself, at every CPU level. Every second
//! element it loads one by one, three times slower than a whole 2x2 pooling has to be. Hence one small function a level.

/// A CPU level, as a value that only [`crate::kernel::dispatch`] makes, on a CPU that has the level.
pub(crate) trait Vectors: Copy {
    /// The elements `0, 2, 4, ...` of a run of `2 N - 1`.
    fn evens<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N];

    /// The elements `0, 4, 8, ...` of a run of `4 N - 3`.
    #[inline(always)]
    fn fourths<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N] {
        std::array::from_fn(|l| run[4 * l])
    }

    /// The elements of two runs in turns: `a0 b0 a1 b1 ...`, in two halves.
    fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2];

    /// The quotient of a sum and a whole number below 2^49, whose reciprocal is known: rounded to the nearest, as by a
    /// division. Sums are 0 or at least 2^-500.
    #[inline(always)]
    fn quotient(self, sum: f64, divisor: f64, _: f64) -> f64 {
        sum / divisor
    }
}

/// What every CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

impl Vectors for Baseline {
    #[inline(always)]
    fn evens<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N] {
        std::array::from_fn(|l| run[2 * l])
    }

    #[inline(always)]
    fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2] {
        let element = |at: usize| if at.is_multiple_of(2) { a[at / 2] } else { b[at / 2] };
        [std::array::from_fn(element), std::array::from_fn(|l| element(N + l))]
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)] // thirty names that begin with _mm
    use std::arch::x86_64::*;
    use std::mem::transmute_copy;

    use super::{Baseline, Vectors};

    /// 256-bit vectors.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    /// 512-bit vectors.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(Avx2);

    impl Avx2 {
        /// # Safety
        /// The CPU has AVX2 and FMA.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Avx512 {
        /// # Safety
        /// The CPU has AVX-512 (F, BW), and with it AVX2 and FMA.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(Avx2(()))
        }
    }

    impl Vectors for Avx2 {
        #[inline(always)]
        fn evens<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N] {
            let size = size_of::<T>();
            match const { N * size_of::<T>() } {
                // Values of no size.
                0 => [T::default(); N],
                _ if const { size_of::<T>() > 8 } => Baseline.evens(run),
                // SAFETY: the CPU has AVX2, or `self` would not exist.
                bytes if bytes % 32 == 0 => vector_by_vector(run, |a, b| unsafe { evens_32(size, a, b) }),
                // SAFETY: as above.
                bytes if bytes % 16 == 0 => vector_by_vector(run, |a, b| unsafe { evens_16(size, a, b) }),
                _ => Baseline.evens(run),
            }
        }

        /// A product with the reciprocal, mended by its remainder (Markstein, "Computation of elementary functions on the IBM
        /// RISC System/6000 processor", 1990): a fifth of the time of a division.
        ///
        /// The reciprocal is off by 2^-53 at most, the product by 2^-52, so what is rounded last by 2^-105. A quotient by a
        /// whole number below 2^49 that is not half way between two floats is more than 2^-103 away from that, and none is half
        /// way: the number would have a bit too many.
        #[inline(always)]
        fn quotient(self, sum: f64, divisor: f64, reciprocal: f64) -> f64 {
            let product = sum * reciprocal;
            let quotient = (-product).mul_add(divisor, sum).mul_add(reciprocal, product);
            // Remainders of infinities are not numbers.
            if quotient.is_nan() { product } else { quotient }
        }

        #[inline(always)]
        fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2] {
            let size = size_of::<T>();
            // SAFETY: the CPU has AVX2, or `self` would not exist; arrays and vectors are of the same size, and the elements of
            // the result are elements of the arguments.
            unsafe {
                match const { if size_of::<T>() <= 8 { N * size_of::<T>() } else { 0 } } {
                    32 => transmute_copy(&zip_32(size, transmute_copy(&a), transmute_copy(&b))),
                    64 => {
                        let (a, b): ([__m256i; 2], [__m256i; 2]) = (transmute_copy(&a), transmute_copy(&b));
                        transmute_copy(&[zip_32(size, a[0], b[0]), zip_32(size, a[1], b[1])])
                    }
                    _ => Baseline.zip(a, b),
                }
            }
        }
    }

    impl Vectors for Avx512 {
        #[inline(always)]
        fn evens<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N] {
            if const { !(N * size_of::<T>()).is_multiple_of(64) || !matches!(size_of::<T>(), 1 | 2 | 4 | 8) } {
                return self.0.evens(run);
            }
            // SAFETY: the CPU has AVX-512, or `self` would not exist.
            vector_by_vector(run, |a, b| unsafe { evens_64(size_of::<T>(), a, b) })
        }

        #[inline(always)]
        fn fourths<T: Copy + Default, const N: usize>(self, run: &[T]) -> [T; N] {
            if const { N != 16 || size_of::<T>() != 4 } {
                return self.0.fourths(run);
            }
            let vector = |at: usize| <[T; N]>::try_from(&run[at..at + N]).unwrap_or([T::default(); N]);
            let run = [vector(0), vector(16), vector(32), vector(45)];
            // SAFETY: the CPU has AVX-512, or `self` would not exist; arrays and vectors are of the same size, and the elements of
            // the result are elements of the run.
            unsafe { transmute_copy(&fourths_64(transmute_copy(&run))) }
        }

        #[inline(always)]
        fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2] {
            if const { N != 16 || size_of::<T>() != 4 } {
                return self.0.zip(a, b);
            }
            // SAFETY: the CPU has AVX-512, or `self` would not exist; arrays and vectors are of the same size, and the elements of
            // the result are elements of the arguments.
            unsafe { transmute_copy(&zip_64(transmute_copy(&a), transmute_copy(&b))) }
        }

        #[inline(always)]
        fn quotient(self, sum: f64, divisor: f64, reciprocal: f64) -> f64 {
            self.0.quotient(sum, divisor, reciprocal)
        }
    }

    /// Every second element of a run. `evens` makes a vector of them from the first and the last vector of a part of the run:
    /// the even elements of the first, then the odd ones of the last.
    #[inline(always)]
    fn vector_by_vector<T: Copy + Default, W: Copy, const N: usize>(run: &[T], evens: impl Fn(W, W) -> W) -> [T; N] {
        let width = const { if size_of::<T>() == 0 { N } else { size_of::<W>() / size_of::<T>() } };
        let (run, mut found) = (&run[..2 * N - 1], [T::default(); N]);
        for at in (0..N).step_by(width) {
            let (first, last) = (&run[2 * at], &run[2 * at + width - 1]);
            let place = &mut found[at..at + width];
            // SAFETY: the run has `width` elements from each of the two on, the last of them `2 at + 2 width - 2 < 2 N - 1`, and
            // so has the place; any bits are a vector, and the elements of the result are elements of the run.
            unsafe {
                let vector = |from: &T| std::ptr::from_ref(from).cast::<W>().read_unaligned();
                place.as_mut_ptr().cast::<W>().write_unaligned(evens(vector(first), vector(last)));
            }
        }
        found
    }

    /// The elements of `a` and `b` in turns, each of `size` bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zip_32(size: usize, a: __m256i, b: __m256i) -> [__m256i; 2] {
        let (low, high) = match size {
            1 => (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)),
            2 => (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)),
            4 => (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)),
            _ => (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)),
        };
        [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
    }

    /// The elements of `a` and `b` in turns, of 4 bytes each.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zip_64(a: __m512i, b: __m512i) -> [__m512i; 2] {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        [_mm512_permutex2var_epi32(a, low, b), _mm512_permutex2var_epi32(a, high, b)]
    }

    /// The even elements of `a`, then the odd elements of `b`, each of `size` bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn evens_16(size: usize, a: __m128i, b: __m128i) -> __m128i {
        match size {
            1 => _mm_packus_epi16(_mm_and_si128(a, _mm_set1_epi16(0xff)), _mm_srli_epi16::<8>(b)),
            2 => _mm_packus_epi32(_mm_and_si128(a, _mm_set1_epi32(0xffff)), _mm_srli_epi32::<16>(b)),
            4 => _mm_castps_si128(_mm_shuffle_ps::<0b11_01_10_00>(_mm_castsi128_ps(a), _mm_castsi128_ps(b))),
            _ => _mm_castpd_si128(_mm_shuffle_pd::<0b10>(_mm_castsi128_pd(a), _mm_castsi128_pd(b))),
        }
    }

    /// The same with vectors of 32 bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn evens_32(size: usize, a: __m256i, b: __m256i) -> __m256i {
        let in_halves = match size {
            1 => _mm256_packus_epi16(_mm256_and_si256(a, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(b)),
            2 => _mm256_packus_epi32(_mm256_and_si256(a, _mm256_set1_epi32(0xffff)), _mm256_srli_epi32::<16>(b)),
            4 => {
                let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
                _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_10_00>(a, b))
            }
            _ => {
                let (a, b) = (_mm256_castsi256_pd(a), _mm256_castsi256_pd(b));
                _mm256_castpd_si256(_mm256_shuffle_pd::<0b1010>(a, b))
            }
        };
        _mm256_permute4x64_epi64::<0b11_01_10_00>(in_halves)
    }

    /// The same with vectors of 64 bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn evens_64(size: usize, a: __m512i, b: __m512i) -> __m512i {
        match size {
            1 => {
                let low = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(a));
                _mm512_inserti64x4::<1>(low, _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(b)))
            }
            2 => {
                let low = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(a));
                _mm512_inserti64x4::<1>(low, _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(b)))
            }
            4 => {
                let places = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
                _mm512_permutex2var_epi32(a, opaque(places), b)
            }
            _ => _mm512_permutex2var_epi64(a, opaque(_mm512_setr_epi64(0, 2, 4, 6, 9, 11, 13, 15)), b),
        }
    }

    /// The elements `0, 4, 8, ...`, of 4 bytes each, of a run in four vectors, the last of which begins 3 elements early.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn fourths_64([a, b, c, d]: [__m512i; 4]) -> __m512i {
        let places = opaque(_mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 19, 23, 27, 31));
        let (low, high) = (_mm512_permutex2var_epi32(a, places, b), _mm512_permutex2var_epi32(c, places, d));
        _mm512_mask_blend_epi64(0xf0, low, high)
    }

    /// The same vector, which the compiler does not know any more: of two loads that are permuted in a way that it knows it makes
    /// sixteen loads of an element each, or two gathers (3x3 maxima of rows of 55 took 16 ms instead of 4).
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn opaque(mut vector: __m512i) -> __m512i {
        // SAFETY: a comment, which reads and writes nothing but the register.
        unsafe { std::arch::asm!("/* {} */", inout(zmm_reg) vector, options(pure, nomem, nostack, preserves_flags)) };
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::Vectors;
    use crate::kernel::dispatch::{Kernel, Level};

    /// The evens of a run; checks that zipping its two ends takes their elements in turns.
    struct Evens<T, const N: usize>(Vec<T>);

    impl<T: Copy + Default + PartialEq + std::fmt::Debug, const N: usize> Kernel for Evens<T, N> {
        type Output = Vec<T>;

        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) -> Vec<T> {
            let run = &self.0[..2 * N - 1];
            let (first, last) = (*run.first_chunk::<N>().unwrap(), *run.last_chunk::<N>().unwrap());
            let halves = vectors.zip(first, last);
            for (l, element) in halves.iter().flatten().enumerate() {
                assert_eq!(*element, if l % 2 == 0 { first[l / 2] } else { last[l / 2] });
            }
            vectors.evens::<T, N>(run).to_vec()
        }
    }

    fn check<T: Copy + Default + PartialEq + std::fmt::Debug, const N: usize>(of: impl Fn(usize) -> T) {
        for level in Level::available() {
            let evens = level.run(Evens::<T, N>((0..2 * N - 1).map(&of).collect()));
            assert_eq!(evens, (0..N).map(|l| of(2 * l)).collect::<Vec<_>>(), "{level} {N}");
        }
    }

    struct Quotients;

    impl Kernel for Quotients {
        type Output = ();

        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) {
            let mut bits = 1u64;
            for divisor in (1..=1000).chain([4097, 65535, 1 << 20, (1 << 49) - 1, 1 << 49]).map(|d: u64| d as f64) {
                let special = [0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 2f64.powi(-149), 1e300];
                let sums: [f64; 200] = std::array::from_fn(|_| {
                    bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    f64::from_bits(bits & !(0x7ff << 52) | (0x300 + (bits >> 52) % 0x1ff) << 52)
                });
                // Neighbours of whole multiples round most narrowly.
                let near = sums.map(|sum| (sum * divisor).next_up());
                for sum in sums.into_iter().chain(near).chain(special) {
                    for divisor in [divisor, -divisor] {
                        let (quotient, exact) = (vectors.quotient(sum, divisor, 1.0 / divisor), sum / divisor);
                        assert!(quotient == exact || quotient.is_nan() && exact.is_nan(), "{sum:e} / {divisor}");
                    }
                }
            }
        }
    }

    struct Fourths;

    impl Kernel for Fourths {
        type Output = [f32; 16];

        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) -> [f32; 16] {
            let run: [f32; 61] = std::array::from_fn(|j| j as f32);
            assert_eq!(vectors.fourths::<f32, 4>(&run), [0.0, 4.0, 8.0, 12.0]);
            vectors.fourths(&run)
        }
    }

    #[test]
    fn fourths_at_every_level() {
        for level in Level::available() {
            assert_eq!(level.run(Fourths), std::array::from_fn(|l| 4.0 * l as f32), "{level}");
        }
    }

    #[test]
    fn quotients_are_rounded_to_the_nearest() {
        for level in Level::available() {
            level.run(Quotients);
        }
    }

    #[test]
    fn evens_and_turns_of_every_size_at_every_level() {
        check::<u8, 64>(|j| (j * 37 % 256) as u8);
        check::<u8, 32>(|j| (j * 37 % 256) as u8);
        check::<u8, 16>(|j| (j * 37 % 256) as u8);
        check::<u16, 64>(|j| (j * 4099 % 65536) as u16);
        check::<u16, 32>(|j| (j * 4099 % 65536) as u16);
        check::<u16, 16>(|j| (j * 4099 % 65536) as u16);
        check::<u16, 8>(|j| (j * 4099 % 65536) as u16);
        check::<f32, 32>(|j| j as f32);
        check::<f32, 16>(|j| j as f32);
        check::<f32, 8>(|j| j as f32);
        check::<f32, 4>(|j| j as f32);
        check::<f64, 16>(|j| j as f64);
        check::<f64, 8>(|j| j as f64);
        check::<f64, 4>(|j| j as f64);
        check::<f64, 2>(|j| j as f64);
        check::<f32, 3>(|j| j as f32);
        check::<i128, 8>(|j| j as i128);
        check::<i128, 4>(|j| j as i128);
    }
}
