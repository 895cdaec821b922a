//! Explicit vectors, where the compiler finds none: every second element of a run, and two runs in turns.
//!
//! A loop over a block of neighbouring elements becomes vector instructions by itself, at every CPU level. Every second
//! element it loads one by one, three times slower than a whole 2x2 pooling has to be. Hence one small function a level.

/// A CPU level, as a value that only [`crate::kernel::dispatch`] makes, on a CPU that has the level.
pub(crate) trait Vectors: Copy {
    /// The elements `0, 2, 4, ...` of a run of `2 N - 1`, given by its first `N` and its last `N` elements: the even ones of
    /// the first and the odd ones of the last.
    fn evens<T: Copy, const N: usize>(self, first: [T; N], last: [T; N]) -> [T; N];

    /// The elements of two runs in turns: `a0 b0 a1 b1 ...`, in two halves.
    fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2];
}

/// What every CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

impl Vectors for Baseline {
    #[inline(always)]
    fn evens<T: Copy, const N: usize>(self, first: [T; N], last: [T; N]) -> [T; N] {
        std::array::from_fn(|l| if 2 * l < N { first[2 * l] } else { last[2 * l + 1 - N] })
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
        /// The CPU has AVX2.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Avx512 {
        /// # Safety
        /// The CPU has AVX-512 (F, BW), and with it AVX2.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(Avx2(()))
        }
    }

    impl Vectors for Avx2 {
        #[inline(always)]
        fn evens<T: Copy, const N: usize>(self, first: [T; N], last: [T; N]) -> [T; N] {
            // SAFETY: the CPU has AVX2, or `self` would not exist; arrays and vectors are of the same size in each arm, and any
            // bits are a vector; the elements of the result are elements of the arguments.
            unsafe {
                match const { N * size_of::<T>() } {
                    32 => transmute_copy(&evens_32(size_of::<T>(), transmute_copy(&first), transmute_copy(&last))),
                    16 => transmute_copy(&evens_16(size_of::<T>(), transmute_copy(&first), transmute_copy(&last))),
                    _ => Baseline.evens(first, last),
                }
            }
        }

        #[inline(always)]
        fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2] {
            if const { N * size_of::<T>() != 32 } {
                return Baseline.zip(a, b);
            }
            // SAFETY: as for `evens`.
            unsafe { transmute_copy(&zip_32(size_of::<T>(), transmute_copy(&a), transmute_copy(&b))) }
        }
    }

    impl Vectors for Avx512 {
        #[inline(always)]
        fn evens<T: Copy, const N: usize>(self, first: [T; N], last: [T; N]) -> [T; N] {
            if const { N * size_of::<T>() != 64 } {
                return self.0.evens(first, last);
            }
            // SAFETY: as for `Avx2`, with AVX-512.
            unsafe { transmute_copy(&evens_64(size_of::<T>(), transmute_copy(&first), transmute_copy(&last))) }
        }

        #[inline(always)]
        fn zip<T: Copy, const N: usize>(self, a: [T; N], b: [T; N]) -> [[T; N]; 2] {
            if const { N * size_of::<T>() != 32 } {
                return Baseline.zip(a, b);
            }
            // SAFETY: as for `evens`; every CPU with AVX-512 has AVX2.
            unsafe { transmute_copy(&zip_32(size_of::<T>(), transmute_copy(&a), transmute_copy(&b))) }
        }
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
                _mm512_permutex2var_epi32(a, places, b)
            }
            _ => _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 2, 4, 6, 9, 11, 13, 15), b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Vectors;
    use crate::kernel::dispatch::{Kernel, Level};

    /// The evens of a run; checks that zipping its two ends takes their elements in turns.
    struct Evens<T, const N: usize>(Vec<T>);

    impl<T: Copy + PartialEq + std::fmt::Debug, const N: usize> Kernel for Evens<T, N> {
        type Output = Vec<T>;

        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) -> Vec<T> {
            let run = &self.0[..2 * N - 1];
            let (first, last) = (*run.first_chunk::<N>().unwrap(), *run.last_chunk::<N>().unwrap());
            let halves = vectors.zip(first, last);
            for (l, element) in halves.iter().flatten().enumerate() {
                assert_eq!(*element, if l % 2 == 0 { first[l / 2] } else { last[l / 2] });
            }
            vectors.evens(first, last).to_vec()
        }
    }

    fn check<T: Copy + PartialEq + std::fmt::Debug, const N: usize>(of: impl Fn(usize) -> T) {
        for level in Level::available() {
            let evens = level.run(Evens::<T, N>((0..2 * N - 1).map(&of).collect()));
            assert_eq!(evens, (0..N).map(|l| of(2 * l)).collect::<Vec<_>>(), "{level} {N}");
        }
    }

    #[test]
    fn evens_and_turns_of_every_size_at_every_level() {
        check::<u8, 64>(|j| (j * 37 % 256) as u8);
        check::<u8, 32>(|j| (j * 37 % 256) as u8);
        check::<u8, 16>(|j| (j * 37 % 256) as u8);
        check::<u16, 32>(|j| (j * 4099 % 65536) as u16);
        check::<u16, 16>(|j| (j * 4099 % 65536) as u16);
        check::<u16, 8>(|j| (j * 4099 % 65536) as u16);
        check::<f32, 16>(|j| j as f32);
        check::<f32, 8>(|j| j as f32);
        check::<f32, 4>(|j| j as f32);
        check::<f64, 8>(|j| j as f64);
        check::<f64, 4>(|j| j as f64);
        check::<f64, 2>(|j| j as f64);
        check::<f32, 3>(|j| j as f32);
    }
}
