//! Threads: a pool of its own, keyed by process id, and tasks that any of them takes.
//!
//! The calling thread works too, and between two tasks it asks the caller whether to stop. Which thread runs a task never
//! changes a result: tasks share nothing but disjoint parts of the output.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
#[cfg(feature = "rayon")]
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::error::{PoolError, Result};

/// Below this traffic (bytes read and written) a call stays on its thread: waking another costs 5 to 15 us, in which one
/// core moves about this much.
const SERIAL_BYTES: usize = 256 << 10;
/// How often the calling thread asks whether to stop.
const POLL: Duration = Duration::from_millis(20);
/// The most threads that can be asked for.
pub const MAX_THREADS: usize = 1024;

/// How a call runs: on how many threads, and who may stop it.
#[derive(Clone, Copy)]
pub struct Parallel<'a> {
    threads: usize,
    interrupted: Option<&'a dyn Fn() -> bool>,
}

impl Default for Parallel<'_> {
    fn default() -> Self {
        Self { threads: num_threads(), interrupted: None }
    }
}

impl<'a> Parallel<'a> {
    /// Sets the hook that is asked, on the calling thread and every 20 ms or so, whether to stop.
    #[must_use]
    pub fn interrupted_by(mut self, interrupted: &'a dyn Fn() -> bool) -> Self {
        self.interrupted = Some(interrupted);
        self
    }

    /// Asks whether to stop: for the calling thread, between runs of few tasks.
    pub(crate) fn check(&self) -> Result<()> {
        if self.interrupted.is_some_and(|interrupted| interrupted()) { Err(PoolError::Interrupted) } else { Ok(()) }
    }

    /// Runs `task` for every index below `tasks`, each worker with a state of its own, which it hands to `done` in the end.
    /// After an error no task is begun.
    pub(crate) fn run<S>(
        &self,
        tasks: usize,
        traffic: usize,
        state: impl Fn() -> S + Sync,
        task: impl Fn(&mut S, usize) -> Result<()> + Sync,
        done: impl Fn(S) + Sync,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let failure = Mutex::new(None);
        let fail = |error: PoolError| {
            stop.store(true, Relaxed);
            if let Ok(mut first) = failure.lock() {
                first.get_or_insert(error);
            }
        };
        let work = |poll: &dyn Fn() -> bool| {
            let _environment = float_environment::Default::enter();
            let mut state = state();
            while !stop.load(Relaxed) {
                let index = next.fetch_add(1, Relaxed);
                if index >= tasks {
                    break;
                }
                if let Err(error) = task(&mut state, index) {
                    fail(error);
                } else if poll() {
                    fail(PoolError::Interrupted);
                }
            }
            done(state);
        };
        let asked = Cell::new(None::<Instant>);
        let poll = || {
            let Some(interrupted) = self.interrupted else { return false };
            let now = Instant::now();
            // The first answer is due a poll after the first task, so that a short call asks nobody.
            let due = now.duration_since(asked.get().unwrap_or(now)) >= POLL;
            if due || asked.get().is_none() {
                asked.set(Some(now));
            }
            due && interrupted()
        };
        let helpers = if traffic < SERIAL_BYTES { 0 } else { self.threads.min(tasks).saturating_sub(1) };
        match workers(helpers) {
            #[cfg(feature = "rayon")]
            Some(pool) => pool.in_place_scope(|scope| {
                for _ in 0..helpers {
                    scope.spawn(|_| work(&|| false));
                }
                work(&poll);
            }),
            _ => work(&poll),
        }
        match failure.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(PoolError::Interrupted),
        }
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREADS_HERE: Cell<usize> = const { Cell::new(0) };
}

/// The number of threads that a call on this thread uses.
///
/// [`set_num_threads_here`], else [`set_num_threads`], else `NDPOOL_NUM_THREADS` (ignored unless it is a number from 1 to
/// 1024), else the processors this process may use.
#[must_use]
pub fn num_threads() -> usize {
    let here = THREADS_HERE.get();
    if here > 0 {
        return here;
    }
    match THREADS.load(Relaxed) {
        0 => {
            let named = std::env::var("NDPOOL_NUM_THREADS").ok().and_then(|text| text.trim().parse().ok());
            let named = named.filter(|threads| (1..=MAX_THREADS).contains(threads));
            let threads = named.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            THREADS.store(threads.min(MAX_THREADS), Relaxed);
            threads
        }
        threads => threads,
    }
}

/// Sets the number of threads for the whole process.
///
/// # Errors
/// [`PoolError::Value`] unless it is from 1 to 1024.
pub fn set_num_threads(threads: usize) -> Result<()> {
    THREADS.store(checked(threads)?, Relaxed);
    Ok(())
}

/// Sets the number of threads for calls on this thread; `None` undoes it. Returns what was set before.
///
/// # Errors
/// [`PoolError::Value`] unless it is from 1 to 1024.
pub fn set_num_threads_here(threads: Option<usize>) -> Result<Option<usize>> {
    let threads = threads.map_or(Ok(0), checked)?;
    let before = THREADS_HERE.replace(threads);
    Ok((before > 0).then_some(before))
}

fn checked(threads: usize) -> Result<usize> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(threads);
    }
    Err(PoolError::value("n", threads, format!("must be from 1 to {MAX_THREADS}")))
}

#[cfg(feature = "rayon")]
struct Workers {
    process: u32,
    size: usize,
    pool: rayon::ThreadPool,
}

#[cfg(feature = "rayon")]
static WORKERS: AtomicPtr<Workers> = AtomicPtr::new(std::ptr::null_mut());

/// The process in which a thread is making a pool, or 0. Not a lock, which a child could inherit locked.
#[cfg(feature = "rayon")]
static MAKING: AtomicU32 = AtomicU32::new(0);

/// This process's pool with at least so many threads; `None` for none, while another thread makes the pool, and where
/// threads cannot be started.
///
/// A pool is never freed: a call may be inside it, and after a fork the parent's threads do not exist. It is replaced by a
/// larger one at most a few times, as sizes are rounded up to a power of two.
#[cfg(feature = "rayon")]
fn workers(threads: usize) -> Option<&'static rayon::ThreadPool> {
    if threads == 0 {
        return None;
    }
    let process = std::process::id();
    // SAFETY: the pointer is null or came from `Box::leak` below, so that what it points to is never freed.
    let workers = || unsafe { WORKERS.load(SeqCst).as_ref() };
    let enough = |workers: &&Workers| workers.process == process && workers.size >= threads;
    if let Some(workers) = workers().filter(enough) {
        return Some(&workers.pool);
    }
    let making = MAKING.load(SeqCst);
    if making == process || MAKING.compare_exchange(making, process, SeqCst, SeqCst).is_err() {
        return None;
    }
    if !workers().as_ref().is_some_and(enough) {
        let size = threads.next_power_of_two();
        let name = |index| format!("ndpool-{index}");
        if let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(size).thread_name(name).build() {
            WORKERS.store(Box::leak(Box::new(Workers { process, size, pool })), SeqCst);
        }
    }
    MAKING.store(0, SeqCst);
    workers().filter(enough).map(|workers| &workers.pool)
}

#[cfg(not(feature = "rayon"))]
fn workers(_: usize) -> Option<&'static std::convert::Infallible> {
    None
}

/// The floating-point environment: a caller may have set rounding or flush-to-zero, and threads inherit it when they start.
mod float_environment {
    /// Round to nearest, subnormals kept, until this is dropped.
    /// Holds the register as it was found; where there is none to put back, nothing reads it.
    pub struct Default(#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] u32);

    /// The register's value in a new thread of a new process: round to nearest, subnormals kept, no traps.
    #[cfg(target_arch = "x86_64")]
    const DEFAULT: u32 = 0x1f80;

    /// Sets the MXCSR register; returns what it was.
    #[cfg(target_arch = "x86_64")]
    fn exchange(new: u32) -> u32 {
        let mut old = 0u32;
        // SAFETY: stores the register into a local and loads the default, or a value that was read before: either is what
        // compiled code may run under once `Default` has gone.
        unsafe {
            std::arch::asm!(
                "stmxcsr [{old}]",
                "ldmxcsr [{new}]",
                old = in(reg) &raw mut old,
                new = in(reg) &raw const new,
                options(nostack, preserves_flags)
            );
        }
        old
    }

    impl Default {
        pub fn enter() -> Self {
            #[cfg(target_arch = "x86_64")]
            return Self(exchange(DEFAULT));
            #[cfg(not(target_arch = "x86_64"))]
            Self(0)
        }
    }

    impl Drop for Default {
        fn drop(&mut self) {
            #[cfg(target_arch = "x86_64")]
            exchange(self.0);
        }
    }
}
