//! The public operations, over strided views.

mod extreme;
mod gradient;
mod pool;
mod sum;

pub use gradient::Pullback;
pub use pool::{Pool, Solved};

pub(crate) use extreme::{Second, extreme};
pub(crate) use gradient::{Differentiable, MeanMap, RouteMap};
pub(crate) use sum::{Lowering, count, sum};
