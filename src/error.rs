//! What can go wrong, said so that the caller can mend it: which argument, what it was, and the rule.

use std::fmt::{self, Display, Formatter};

/// The result of every operation of this crate.
pub type Result<T> = std::result::Result<T, PoolError>;

/// An error of this crate. It knows nothing of Python; `python::error` turns it into an exception.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// An argument's value breaks a rule.
    #[error("{argument}: {value} {rule}")]
    Value {
        /// Name of the argument.
        argument: &'static str,
        /// The value given.
        value: String,
        /// The rule, as the rest of the sentence.
        rule: String,
    },
    /// An argument's type, or an array's element type, cannot be used.
    #[error("{argument}: {value} {rule}")]
    Type {
        /// Name of the argument.
        argument: &'static str,
        /// The type given.
        value: String,
        /// The rule, as the rest of the sentence.
        rule: String,
    },
    /// Memory for a work buffer could not be had.
    #[error("could not allocate {bytes} bytes of working memory")]
    Memory {
        /// Size of the request.
        bytes: usize,
    },
    /// The caller's interrupt hook asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl PoolError {
    /// A [`PoolError::Value`] from its three parts.
    pub fn value(argument: &'static str, value: impl Display, rule: impl Into<String>) -> Self {
        Self::Value { argument, value: value.to_string(), rule: rule.into() }
    }

    /// A [`PoolError::Type`] from its three parts.
    pub fn wrong_type(argument: &'static str, value: impl Display, rule: impl Into<String>) -> Self {
        Self::Type { argument, value: value.to_string(), rule: rule.into() }
    }
}

/// A shape as people write it: `(2, 3)`.
pub(crate) struct Shape<'a>(pub &'a [usize]);

impl Display for Shape<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            [len] => write!(f, "({len},)"),
            lens => {
                let lens: Vec<String> = lens.iter().map(usize::to_string).collect();
                write!(f, "({})", lens.join(", "))
            }
        }
    }
}

/// An empty vector with room for `len` elements, or [`PoolError::Memory`]: a kernel's path never aborts.
pub(crate) fn try_vec<T>(len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).map_err(|_| PoolError::Memory { bytes: len.saturating_mul(size_of::<T>()) })?;
    Ok(vec)
}
