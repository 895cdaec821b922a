//! The public operations, over strided views.

mod extreme;
mod folded;
mod fractional;
mod gradient;
mod indexed;
mod indices;
mod modes;
mod planes;
mod pool;
mod solved;
mod statistic;
mod statistic_map;
mod sum;
mod unpool;

pub use fractional::FractionalPool;
pub use gradient::Pullback;
pub use pool::Pool;
pub use solved::Solved;
pub use unpool::{Duplicates, Unpool};

// The binding calls operations on views whose types it chooses at run time.
#[cfg(feature = "python")]
pub(crate) use {
    extreme::{Second, extreme},
    folded::{Filling, Folding, intake, outlet},
    gradient::{Differentiable, MeanMap, RouteMap},
    indices::Indices,
    statistic::{Rules, Target, all_have_enough, choice, chosen_value, exact, statistic},
    statistic_map::{Kept, StatisticMap},
    sum::{Lowering, count, sum},
};
