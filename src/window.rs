//! What the caller asks of one axis: kernel size, stride, padding, dilation, rounding; solved with checked arithmetic.

use crate::error::{PoolError, Result};
use crate::spans::{Regular, Spans};

/// Padding of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many cells before and after.
    Explicit(usize, usize),
    /// `out = ceil(len / stride)`, the odd cell at the end.
    Same,
    /// `out = ceil(len / stride)`, the odd cell at the start.
    SameLower,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Explicit(0, 0)
    }
}

/// The window of one axis, as the caller asks for it.
///
/// ```
/// use ndpool::Window;
/// let window = Window::new(3).stride(2).padding(1, 1);
/// assert_eq!(window.output_len(112)?, 56);
/// # Ok::<(), ndpool::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    kernel: usize,
    stride: usize,
    padding: Padding,
    dilation: usize,
    ceil_mode: bool,
}

impl Window {
    /// A window of `kernel` cells, with a stride of as many, no padding, no dilation, rounding down.
    #[must_use]
    pub fn new(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: Padding::default(), dilation: 1, ceil_mode: false }
    }

    /// Sets the step between windows.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the number of padding cells before and after; any size is allowed.
    #[must_use]
    pub fn padding(mut self, before: usize, after: usize) -> Self {
        self.padding = Padding::Explicit(before, after);
        self
    }

    /// Pads so that `out = ceil(len / stride)`, the odd cell at the end.
    #[must_use]
    pub fn same(mut self) -> Self {
        self.padding = Padding::Same;
        self
    }

    /// Pads so that `out = ceil(len / stride)`, the odd cell at the start.
    #[must_use]
    pub fn same_lower(mut self) -> Self {
        self.padding = Padding::SameLower;
        self
    }

    /// Sets the distance between the cells of a window.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Rounds the number of windows up; a last window that would start at or past the end of the data is dropped.
    #[must_use]
    pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.ceil_mode = ceil_mode;
        self
    }

    /// The number of windows along an axis of `len` cells: `floor((len + lo + hi - d (k - 1) - 1) / s) + 1`.
    ///
    /// # Errors
    /// [`PoolError::Value`] if a size is zero, a number does not fit, or no window fits.
    pub fn output_len(&self, len: usize) -> Result<usize> {
        self.solve(len).map(|spans| spans.len_out())
    }

    /// Solves the window on an axis of `len` cells.
    pub(crate) fn solve(&self, len: usize) -> Result<Spans> {
        for (argument, value) in [("kernel_size", self.kernel), ("stride", self.stride), ("dilation", self.dilation)] {
            if value == 0 {
                return Err(PoolError::value(argument, value, "must be at least 1"));
            }
        }
        if len == 0 {
            return Err(PoolError::value("x", "an axis of length 0", "cannot be pooled: a pooled axis needs a cell"));
        }
        // No number here is above 2^64, so nothing below can leave 128 bits.
        let (n, k, s, d) = (len as i128, self.kernel as i128, self.stride as i128, self.dilation as i128);
        let extent = d * (k - 1) + 1;
        let (lo, hi, out) = match self.padding {
            Padding::Explicit(lo, hi) => {
                let (lo, hi) = (lo as i128, hi as i128);
                let free = n + lo + hi - extent;
                let round_up = if self.ceil_mode { s - 1 } else { 0 };
                let mut out = (free + round_up).div_euclid(s) + 1;
                if self.ceil_mode && (out - 1) * s >= n + lo {
                    out -= 1;
                }
                if out < 1 {
                    let rule = format!("with dilation {d} spans {extent} cells, more than {n} padded by ({lo}, {hi})");
                    return Err(PoolError::value("kernel_size", self.kernel, rule));
                }
                (lo, hi, out)
            }
            Padding::Same | Padding::SameLower => {
                let out = (n + s - 1) / s;
                let total = ((out - 1) * s + extent - n).max(0);
                let (less, more) = (total / 2, total - total / 2);
                if self.padding == Padding::Same { (less, more, out) } else { (more, less, out) }
            }
        };
        let limit = isize::MAX as i128;
        if out > limit || extent + lo + hi + n > limit || (out - 1) * s + extent > limit {
            return Err(PoolError::value(
                "kernel_size, stride, padding and dilation",
                format!("({k}, {s}, ({lo}, {hi}), {d})"),
                format!("reach past {limit} cells"),
            ));
        }
        Ok(Spans::Regular(Regular {
            len_in: len,
            len_out: out as usize,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            before: lo as isize,
            after: hi as usize,
        }))
    }
}

/// What becomes of cells at the end of an axis that fill no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// They are an error.
    Exact,
    /// They are left out.
    Trim,
    /// Padding, which holds no data, completes their block.
    Pad,
    /// They are a smaller block.
    Partial,
}

/// Where the blocks of an axis are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first cell: what fills no block is at the end.
    Left,
    /// The last cell: what fills no block is at the beginning.
    Right,
}

/// The blocks of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Cells of a block.
    pub factor: usize,
    /// What becomes of cells that fill no block.
    pub boundary: Boundary,
    /// Where they are.
    pub side: Side,
}

impl Blocks {
    /// Solves the blocks on an axis of `len` cells.
    pub(crate) fn solve(&self, len: usize) -> Result<Spans> {
        let Self { factor, boundary, side } = *self;
        if factor == 0 || len == 0 {
            return Window::new(factor).solve(len);
        }
        let (whole, rest) = (len / factor, len % factor);
        let refuse = |rule: &str| Err(PoolError::value("factor", factor, format!("{rule} the axis of {len} cells")));
        match boundary {
            Boundary::Exact if rest > 0 => return refuse("must divide"),
            Boundary::Trim if whole == 0 => return refuse("leaves no block of"),
            _ => {}
        }
        let missing = (factor - rest) % factor;
        if len.checked_add(missing).is_none_or(|cells| cells > isize::MAX as usize / 2) {
            return refuse("is too large for");
        }
        let (before, after) = match (boundary, side) {
            (Boundary::Trim, Side::Right) => (-(rest as isize), 0),
            (Boundary::Pad, Side::Left) => (0, missing),
            (Boundary::Pad | Boundary::Partial, Side::Right) => (missing as isize, 0),
            _ => (0, 0),
        };
        let len_out = if boundary == Boundary::Trim { whole } else { len.div_ceil(factor) };
        let window = Regular { len_in: len, len_out, kernel: factor, stride: factor, dilation: 1, before, after };
        Ok(Spans::Regular(window))
    }
}
