//! The public operations, over strided views.

mod extreme;
mod gradient;
mod pool;
mod solved;
mod sum;

pub use gradient::Pullback;
pub use pool::Pool;
pub use solved::Solved;

// The binding calls operations on views whose types it chooses at run time.
#[cfg(feature = "python")]
pub(crate) use {
    extreme::{Second, extreme},
    gradient::{Differentiable, MeanMap, RouteMap},
    sum::{Lowering, count, sum},
};
