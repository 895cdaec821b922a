//! The public operations, over strided views.

mod blur;
mod conv;
mod extreme;
mod folded;
mod fractional;
mod gradient;
mod indexed;
mod indices;
mod modes;
mod planes;
mod polyphase;
mod pool;
mod readout;
mod regions;
mod segment;
mod solved;
mod statistic;
mod statistic_map;
mod sum;
mod unpool;

pub use blur::{BlurPool, Border};
pub use conv::{Conv, ConvGradient};
pub use fractional::FractionalPool;
pub use gradient::Pullback;
pub use polyphase::Polyphase;
pub use pool::Pool;
pub use readout::{AttentionGradient, AttentionPool, GatedAttentionGradient, GatedAttentionPool, TokenMode, TokenPool};
pub use regions::Regions;
pub use segment::{SegmentMode, SegmentPool};
pub use solved::Solved;
pub use unpool::{Duplicates, Unpool};

// The binding calls operations on views whose types it chooses at run time.
#[cfg(feature = "python")]
pub(crate) use {
    blur::Blurring,
    conv::Convolution,
    extreme::{Second, extreme, extreme_number},
    folded::{Filling, Folding, Intake, outlet},
    gradient::{Differentiable, MeanMap, RouteMap},
    indices::Indices,
    polyphase::{Phase, Sampling, Wrap},
    readout::{
        Attention, AttentionSizes, GatedAttention, GatedSizes, Layout, Parameters, Readout, Samples, TokenMap, Tokens,
        with_samples,
    },
    regions::Boxes,
    segment::{Groups, Rows, RowsMut, SegmentMap, Segmenting, table, table_mut},
    statistic::{Rules, Target, all_have_enough, choice, chosen_value, exact, statistic},
    statistic_map::{Kept, StatisticMap},
    sum::{Lowering, count, sum},
};
