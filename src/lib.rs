//! Pooling of n-dimensional arrays and its gradients: fast, exact, over any axes, of any dtype, in any memory layout.
//!
//! **The idea.** Pooling is a window geometry times a reducer. The geometry is solved one axis at a time into *spans*: the
//! cells that each output covers. The reducer is a monoid. A few row primitives do all the work, and the gradient of a mean
//! is the same engine run on transposed spans.
//!
//! **The map.** `window` is what the caller asks of one axis, `spans` what kernels see of it, `reduce` the monoids,
//! `kernel` the row primitives, `modes` what no monoid can say, `engine` the traversal in tiles or window by window,
//! `parallel` the threads, `ops` the public operations.
//!
//! ```
//! use ndarray::Array4;
//! use ndpool::{Pool, Window};
//!
//! let x = Array4::<f32>::from_shape_fn((1, 3, 8, 8), |(_, c, h, w)| (c * 64 + h * 8 + w) as f32);
//! let window = Window::new(3).stride(2).padding(1, 1);
//! let (y, pullback) = Pool::windows(&[window; 2]).max_vjp(&x.view())?;
//! assert_eq!(y.shape(), [1, 3, 4, 4]);
//! let dx = pullback.pull(&y.view())?;
//! assert_eq!(dx.shape(), x.shape());
//! # Ok::<(), ndpool::PoolError>(())
//! ```
//!
//! Any axes, and other modes of the same geometry:
//!
//! ```
//! use ndarray::array;
//! use ndpool::Pool;
//!
//! let x = array![[1u8, 2], [3, 5]];
//! let columns = Pool::global(1).axes(&[0]);
//! assert_eq!(columns.sum(&x.view())?, array![[4u64, 7]].into_dyn());
//! assert_eq!(columns.avg(&x.view())?, array![[2.0, 3.5]].into_dyn());
//! # Ok::<(), ndpool::PoolError>(())
//! ```

pub mod element;
mod engine;
mod error;
mod kernel;
mod modes;
mod ops;
pub mod parallel;
mod reduce;
mod spans;
mod strided;
mod vector;
mod window;

#[cfg(feature = "python")]
mod python;

pub use element::Element;
pub use error::{PoolError, Result};
pub use kernel::dispatch::Level;
pub use modes::{Choice, Label, QuantileMethod, Rank, Statistic};
pub use ops::{
    AttentionGradient, AttentionPool, BlurPool, Border, Conv, ConvGradient, Duplicates, FractionalPool,
    GatedAttentionGradient, GatedAttentionPool, Polyphase, Pool, Pullback, Regions, SegmentMode, SegmentPool, Solved,
    TokenMode, TokenPool, Unpool,
};
pub use window::{Blocks, Boundary, Padding, Side, Window};

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
