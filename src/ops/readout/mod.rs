//! Readouts: the tokens of a sample pooled into one result, or a few.

mod attention;
mod attention_pool;
mod average;
mod call;
mod choice;
mod deviation;
mod gated;
mod gated_attention_pool;
mod groups;
mod heads;
mod rows;
mod samples;
mod shares;
mod softmax;
mod token_pool;
mod tokens;

pub use attention_pool::{AttentionGradient, AttentionPool};
pub use gated_attention_pool::{GatedAttentionGradient, GatedAttentionPool};
pub use token_pool::{TokenMode, TokenPool};

pub(crate) use tokens::Tokens;
#[cfg(feature = "python")]
pub(crate) use {
    attention::{Attention, AttentionSizes, Parameters},
    gated::{GatedAttention, GatedSizes},
    samples::{Samples, with_samples},
    token_pool::TokenMap,
    tokens::Layout,
};

use crate::element::Real;
use crate::engine::Writer;
use crate::error::Result;
use crate::parallel::Parallel;

/// Where an array of three axes is written, and its strides.
pub(crate) type To<'a, C> = (&'a dyn Writer<C>, [isize; 3]);

/// A call that pools tokens, with all it needs beside them: its result for some tokens, of which a mask says which take
/// part, and its derivative there.
pub(crate) trait Readout<C: Real>: Send + Sync {
    /// The shape of the result of a sample.
    fn of_sample(&self) -> Vec<usize>;

    /// The strides of a result along three axes, of which it may lack some.
    fn strides(&self, y: &[isize]) -> [isize; 3] {
        samples::with_samples(y)
    }

    /// Writes the result.
    fn run(&self, tokens: &Tokens<C>, mask: Option<&[bool]>, y: To<'_, C>, parallel: &Parallel<'_>) -> Result<()>;

    /// Writes the cotangent of the tokens, and returns those of the other arrays, from that of the result.
    fn pull(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        dy: &[C],
        dx: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<Vec<Vec<C>>>;

    /// Writes the tangent of the result, from those of the tokens and of the other arrays.
    fn push(
        &self,
        tokens: &Tokens<C>,
        mask: Option<&[bool]>,
        tangents: (&Tokens<C>, Vec<Vec<C>>),
        dy: To<'_, C>,
        parallel: &Parallel<'_>,
    ) -> Result<()>;
}
