//! Numbers computed from the cells of a window.

use super::{Cells, Rank, exponential, moments, power, total};

/// A number computed from the cells of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// `sum w x`; cells without weights weigh 1.
    Sum,
    /// `sum w x / sum w`.
    Mean,
    /// `prod x`.
    Product,
    /// The number of cells.
    Count,
    /// `sum (x - mean)^2 / (n - ddof)`, or its square root.
    Variance {
        /// What is taken off the number of cells.
        ddof: f64,
        /// Whether the root is taken: the standard deviation.
        root: bool,
    },
    /// `(sum |x|^p)^(1/p)`; the largest `|x|` for an infinite `p`.
    Norm {
        /// Above 0.
        p: f64,
    },
    /// `(mean max(x, eps)^p)^(1/p)`.
    PowerMean {
        /// Not 0.
        p: f64,
        /// At least 0.
        eps: f64,
    },
    /// `log(mean exp(r x)) / r`.
    LogMeanExp {
        /// Not 0.
        r: f64,
    },
    /// `sum w x` with `w = softmax(beta x)`.
    SoftMean {
        /// How much larger cells are preferred.
        beta: f64,
    },
    /// `sum w x` with `w = softmax(g)`, for logits `g` given beside the cells.
    LogitMean,
    /// `alpha max + (1 - alpha) mean`.
    Mixed {
        /// The share of the largest cell.
        alpha: f64,
    },
    /// `sum x^2 / sum x`: stochastic pooling on average.
    Expected,
    /// A quantile that may lie between two cells.
    Quantile(Rank),
    /// Whether some cell is not 0.
    Any,
    /// Whether no cell is 0.
    All,
}

/// The derivatives of a statistic.
#[derive(Default)]
pub(crate) struct Slopes {
    /// By each cell.
    pub x: Vec<f64>,
    /// By each weight or logit, if there are any.
    pub beside: Vec<f64>,
    /// By the parameter, if it has one: p, r, beta or alpha.
    pub parameter: f64,
    /// Scratch of order statistics.
    pub order: Vec<usize>,
}

impl Slopes {
    /// Sets the slopes by cell and by what is beside it.
    #[inline(always)]
    pub fn set(&mut self, cells: &Cells<'_, f64>, x: impl Fn(usize) -> f64, beside: impl Fn(usize) -> f64) {
        self.x.clear();
        self.x.extend((0..cells.len()).map(x));
        self.beside.clear();
        self.beside.extend((0..cells.beside.len()).map(beside));
    }
}

impl Statistic {
    /// The value for at least one cell. `order` is scratch.
    pub(crate) fn value(&self, cells: &Cells<'_, f64>, order: &mut Vec<usize>) -> f64 {
        match *self {
            Self::Sum => total::total(cells),
            Self::Mean => total::mean(cells),
            Self::Product => total::product(cells),
            Self::Count => cells.len() as f64,
            Self::Variance { ddof, root: false } => moments::variance(cells, ddof),
            Self::Variance { ddof, root: true } => moments::variance(cells, ddof).sqrt(),
            Self::Norm { p } => power::norm(cells, p),
            Self::PowerMean { p, eps } => power::generalised_mean(cells, p, eps),
            Self::LogMeanExp { r } => exponential::log_mean_exp(cells, r),
            Self::SoftMean { beta } => exponential::soft_mean(cells, beta),
            Self::LogitMean => exponential::logit_mean(cells),
            Self::Mixed { alpha } => total::mixed(cells, alpha),
            Self::Expected => total::expected(cells),
            Self::Quantile(rank) => rank.value(cells, order),
            Self::Any => f64::from(cells.values.iter().any(|&x| x != 0.0)),
            Self::All => f64::from(cells.values.iter().all(|&x| x != 0.0)),
        }
    }

    /// Whether the value can be computed from sums of exponentials as they are, without a loss of digits.
    pub(crate) fn is_well_scaled(&self) -> bool {
        !matches!(*self, Self::LogMeanExp { r } if r.abs() < 0.01)
    }

    /// Whether the value has derivatives.
    pub(crate) fn is_differentiable(&self) -> bool {
        !matches!(self, Self::Count | Self::Any | Self::All)
    }

    /// The derivatives of the value.
    pub(crate) fn slopes(&self, cells: &Cells<'_, f64>, slopes: &mut Slopes) {
        match *self {
            Self::Sum => total::total_slopes(cells, slopes),
            Self::Mean => total::mean_slopes(cells, slopes),
            Self::Product => total::product_slopes(cells, slopes),
            Self::Variance { ddof, root: false } => moments::variance_slopes(cells, ddof, slopes),
            Self::Variance { ddof, root: true } => moments::deviation_slopes(cells, ddof, slopes),
            Self::Norm { p } => power::norm_slopes(cells, p, slopes),
            Self::PowerMean { p, eps } => power::generalised_mean_slopes(cells, p, eps, slopes),
            Self::LogMeanExp { r } => exponential::log_mean_exp_slopes(cells, r, slopes),
            Self::SoftMean { beta } => exponential::soft_mean_slopes(cells, beta, slopes),
            Self::LogitMean => exponential::logit_mean_slopes(cells, slopes),
            Self::Mixed { alpha } => total::mixed_slopes(cells, alpha, slopes),
            Self::Expected => total::expected_slopes(cells, slopes),
            Self::Quantile(rank) => rank.slopes(cells, slopes),
            // Steps, which are flat wherever they have a slope.
            Self::Count | Self::Any | Self::All => slopes.set(cells, |_| 0.0, |_| 0.0),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn cells<'a>(values: &'a [f64], beside: &'a [f64]) -> Cells<'a, f64> {
        Cells { values, beside, positions: &[], center: 0, window: 0 }
    }

    /// Compares slopes with central differences.
    pub fn check_slopes(statistic: &Statistic, x: &[f64], beside: &[f64]) {
        const STEP: f64 = 1e-6;
        let value =
            |statistic: &Statistic, x: &[f64], beside: &[f64]| statistic.value(&cells(x, beside), &mut Vec::new());
        let close = |slope: f64, difference: f64| {
            assert!((slope - difference).abs() < 1e-7 * (1.0 + slope.abs()), "{statistic:?} {slope} {difference}");
        };
        let moved = |values: &[f64], i: usize, by: f64| {
            let mut values = values.to_vec();
            values[i] += by;
            values
        };
        let mut slopes = Slopes::default();
        statistic.slopes(&cells(x, beside), &mut slopes);
        for i in 0..x.len() {
            let at = |by: f64| value(statistic, &moved(x, i, by), beside);
            close(slopes.x[i], (at(STEP) - at(-STEP)) / (2.0 * STEP));
        }
        for i in 0..beside.len() {
            let at = |by: f64| value(statistic, x, &moved(beside, i, by));
            close(slopes.beside[i], (at(STEP) - at(-STEP)) / (2.0 * STEP));
        }
        let with = |by: f64| match *statistic {
            Statistic::PowerMean { p, eps } => Some(Statistic::PowerMean { p: p + by, eps }),
            Statistic::LogMeanExp { r } => Some(Statistic::LogMeanExp { r: r + by }),
            Statistic::SoftMean { beta } => Some(Statistic::SoftMean { beta: beta + by }),
            Statistic::Mixed { alpha } => Some(Statistic::Mixed { alpha: alpha + by }),
            _ => None,
        };
        if let (Some(more), Some(less)) = (with(STEP), with(-STEP)) {
            close(slopes.parameter, (value(&more, x, beside) - value(&less, x, beside)) / (2.0 * STEP));
        }
    }
}
