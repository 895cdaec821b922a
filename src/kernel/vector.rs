//! Explicit vectors, where the compiler finds none: every second element of a run.
//!
//! A loop over a block of neighbouring elements becomes vector instructions by itself, at every CPU level. Every second
//! element it loads one by one, three times slower than a whole 2x2 pooling has to be. Hence one small function a level.

/// A CPU level, as a value that only [`super::dispatch`] makes, on a CPU that has the level.
pub(crate) trait Vectors: Copy {
    /// The elements `0, 2, 4, ...` from a pointer on, `N` of them.
    ///
    /// # Safety
    /// `2 N - 1` elements from the pointer on can be read.
    unsafe fn evens<T: Copy, const N: usize>(self, from: *const T) -> [T; N];
}

/// What every CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

impl Vectors for Baseline {
    #[inline(always)]
    unsafe fn evens<T: Copy, const N: usize>(self, from: *const T) -> [T; N] {
        // SAFETY: the caller promises these elements.
        std::array::from_fn(|l| unsafe { from.add(2 * l).read() })
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    // Each reads two vectors: one from the first element on, one up to the last, so that nothing past it is read. Wanted
    // are the even elements of the first and the odd elements of the second.
    #[allow(clippy::wildcard_imports)] // forty names that begin with _mm
    use std::arch::x86_64::*;
    use std::mem::transmute_copy;

    use super::{Baseline, Vectors};

    /// 256-bit vectors.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    /// 512-bit vectors.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx2 {
        /// # Safety
        /// The CPU has this level.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Avx512 {
        /// # Safety
        /// The CPU has this level.
        #[inline(always)]
        pub unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Vectors for Avx2 {
        #[inline(always)]
        unsafe fn evens<T: Copy, const N: usize>(self, from: *const T) -> [T; N] {
            // SAFETY: the CPU has AVX2, or `self` would not exist; the caller promises the elements; and the transmuted vectors
            // are as long as the array and made of integers, of which any value is valid.
            unsafe {
                match const { N * size_of::<T>() } {
                    64 => transmute_copy(&[evens_32(from), evens_32(from.add(N))]),
                    32 => transmute_copy(&evens_32(from)),
                    16 => transmute_copy(&evens_16(from)),
                    _ => Baseline.evens(from),
                }
            }
        }
    }

    impl Vectors for Avx512 {
        #[inline(always)]
        unsafe fn evens<T: Copy, const N: usize>(self, from: *const T) -> [T; N] {
            // SAFETY: as for `Avx2`.
            unsafe {
                match const { N * size_of::<T>() } {
                    64 => transmute_copy(&evens_64(from)),
                    32 => transmute_copy(&evens_32(from)),
                    16 => transmute_copy(&evens_16(from)),
                    _ => Baseline.evens(from),
                }
            }
        }
    }

    /// 16 bytes of every second element.
    ///
    /// # Safety
    /// The CPU has AVX2, and the elements can be read.
    #[inline(always)]
    unsafe fn evens_16<T>(from: *const T) -> __m128i {
        // SAFETY: the caller promises both.
        unsafe {
            let n = 16 / size_of::<T>();
            let (a, b) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(n - 1).cast()));
            match const { size_of::<T>() } {
                1 => _mm_packus_epi16(_mm_and_si128(a, _mm_set1_epi16(0xff)), _mm_srli_epi16::<8>(b)),
                2 => _mm_packus_epi32(_mm_and_si128(a, _mm_set1_epi32(0xffff)), _mm_srli_epi32::<16>(b)),
                4 => _mm_castps_si128(_mm_shuffle_ps::<0b11_01_10_00>(_mm_castsi128_ps(a), _mm_castsi128_ps(b))),
                _ => _mm_castpd_si128(_mm_shuffle_pd::<0b10>(_mm_castsi128_pd(a), _mm_castsi128_pd(b))),
            }
        }
    }

    /// 32 bytes of every second element.
    ///
    /// # Safety
    /// The CPU has AVX2, and the elements can be read.
    #[inline(always)]
    unsafe fn evens_32<T>(from: *const T) -> __m256i {
        // SAFETY: the caller promises both.
        unsafe {
            let n = 32 / size_of::<T>();
            let (a, b) = (_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(n - 1).cast()));
            let in_halves = match const { size_of::<T>() } {
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
    }

    /// 64 bytes of every second element.
    ///
    /// # Safety
    /// The CPU has AVX-512 (F, BW), and the elements can be read.
    #[inline(always)]
    unsafe fn evens_64<T>(from: *const T) -> __m512i {
        // SAFETY: the caller promises both.
        unsafe {
            let n = 64 / size_of::<T>();
            let (a, b) = (_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(n - 1).cast()));
            match const { size_of::<T>() } {
                1 => {
                    let low = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(a));
                    _mm512_inserti64x4::<1>(low, _mm512_cvtepi16_epi8(_mm512_srli_epi16::<8>(b)))
                }
                2 => {
                    const PLACES: [i16; 32] = places();
                    _mm512_permutex2var_epi16(a, _mm512_loadu_si512(PLACES.as_ptr().cast()), b)
                }
                4 => {
                    let places = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
                    _mm512_permutex2var_epi32(a, places, b)
                }
                _ => _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 2, 4, 6, 9, 11, 13, 15), b),
            }
        }
    }

    /// The even elements of a first vector of 32, then the odd elements of a second.
    const fn places() -> [i16; 32] {
        let mut places = [0; 32];
        let mut l = 0;
        while l < 32 {
            places[l] = 2 * l as i16 + (l >= 16) as i16;
            l += 1;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::{Kernel, Level};
    use super::Vectors;

    struct Evens<T, const N: usize>(Vec<T>);

    impl<T: Copy, const N: usize> Kernel for Evens<T, N> {
        type Output = Vec<T>;

        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) -> Vec<T> {
            assert_eq!(self.0.len(), 2 * N - 1);
            // SAFETY: the length was just checked.
            unsafe { vectors.evens::<T, N>(self.0.as_ptr()) }.to_vec()
        }
    }

    fn check<T: Copy + PartialEq + std::fmt::Debug, const N: usize>(of: impl Fn(usize) -> T) {
        for level in Level::available() {
            let evens = level.run(Evens::<T, N>((0..2 * N - 1).map(&of).collect()));
            assert_eq!(evens, (0..N).map(|l| of(2 * l)).collect::<Vec<_>>(), "{level} {N}");
        }
    }

    #[test]
    fn every_second_element_of_every_size_at_every_level() {
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
