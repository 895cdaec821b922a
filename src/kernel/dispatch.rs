//! CPU levels: which instructions kernels may use, found once, forced by `NDPOOL_CPU`.
//!
//! A kernel is a struct with the slices it works on and one generic body, inlined into a function that is compiled for a
//! level. No level changes an operation or its order, so every level gives the same bits.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

#[cfg(target_arch = "x86_64")]
use crate::vector::{Avx2, Avx512};
use crate::vector::{Baseline, Vectors};

/// A set of CPU instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What the target guarantees: SSE2 on x86-64.
    Baseline = 1,
    /// 128-bit vectors of aarch64.
    Neon,
    /// 256-bit vectors of x86-64 (AVX2, FMA, BMI).
    Avx2,
    /// 512-bit vectors of x86-64 (F, BW, CD, DQ, VL).
    Avx512,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

static CURRENT: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// The level in use: the highest this CPU has, or the one that `NDPOOL_CPU` names, if this CPU has it.
    #[must_use]
    pub fn current() -> Self {
        match CURRENT.load(Relaxed) {
            1 => Self::Baseline,
            2 => Self::Neon,
            3 => Self::Avx2,
            4 => Self::Avx512,
            _ => {
                let named = std::env::var("NDPOOL_CPU").unwrap_or_default();
                let available = Self::available();
                let forced = available.iter().copied().find(|level| level.to_string() == named);
                let level = forced.unwrap_or(available[available.len() - 1]);
                CURRENT.store(level as u8, Relaxed);
                level
            }
        }
    }

    /// The levels this CPU has, lowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("bmi2") {
                levels.push(Self::Avx2);
                let all = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl");
                if all {
                    levels.push(Self::Avx512);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(Self::Neon);
        levels
    }

    /// Makes this the level in use for the whole process.
    ///
    /// # Errors
    /// [`PoolError::Value`](crate::PoolError::Value) if this CPU lacks the level.
    pub fn force(self) -> crate::Result<()> {
        if !Self::available().contains(&self) {
            return Err(crate::PoolError::value("level", self, "is not a level of this CPU"));
        }
        CURRENT.store(self as u8, Relaxed);
        Ok(())
    }

    /// Runs a kernel compiled for this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: a level comes from `available` by way of `current` or `force`: this CPU has it.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { run_avx512(kernel, Avx512::new()) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { run_avx2(kernel, Avx2::new()) },
            _ => kernel.run(Baseline),
        }
    }
}

/// A piece of work on slices; `run` is inlined into a function compiled for one level.
pub(crate) trait Kernel {
    type Output;
    fn run<V: Vectors>(self, vectors: V) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2")]
fn run_avx512<K: Kernel>(kernel: K, vectors: Avx512) -> K::Output {
    kernel.run(vectors)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2")]
fn run_avx2<K: Kernel>(kernel: K, vectors: Avx2) -> K::Output {
    kernel.run(vectors)
}
