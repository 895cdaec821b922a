//! The public operations, over strided views.

mod extreme;
mod gradient;
mod pool;
mod sum;

pub use gradient::{Differentiable, Pullback};
pub use pool::{Pool, Solved};

pub(crate) use extreme::{Second, extreme};
pub(crate) use gradient::{MeanMap, RouteMap};
pub(crate) use sum::{Lowering, count, mean_gradient, sum};
