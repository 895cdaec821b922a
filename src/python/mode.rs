//! Modes by name, with their options: which results they have, and which arguments.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::arguments::{flag, number, shown};
use super::dtype::{DType, with_float};
use crate::element::Element;
use crate::modes::{Choice, Label, QuantileMethod, Rank, Statistic};

/// What is computed of each window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reduction {
    Max,
    Min,
    Sum,
    Avg,
    Count,
    /// Numbers computed from cells.
    Statistic(Statistic),
    /// One of the cells.
    Choice(Choice),
}

/// A mode of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub name: &'static str,
    pub reduction: Reduction,
    /// The parameter that is differentiable: one that was given.
    pub parameter: Option<&'static str>,
}

/// Every mode, with the options it has beyond those of all modes.
const MODES: [(&str, &[&str]); 22] = [
    ("max", &["return_indices"]),
    ("min", &["return_indices"]),
    ("sum", &["weights", "dtype"]),
    ("prod", &["dtype"]),
    ("avg", &["weights", "count_include_pad", "dtype"]),
    ("count", &[]),
    ("var", &["ddof", "dtype"]),
    ("std", &["ddof", "dtype"]),
    ("lp", &["p", "dtype"]),
    ("gem", &["p", "eps", "dtype"]),
    ("lse", &["r", "dtype"]),
    ("soft", &["beta", "dtype"]),
    ("lip", &["g", "dtype"]),
    ("mixed", &["alpha", "dtype"]),
    ("stochastic", &["rng", "training"]),
    ("median", &["method"]),
    ("quantile", &["q", "method"]),
    ("mode", &["ignore"]),
    ("any", &[]),
    ("all", &[]),
    ("first", &[]),
    ("center", &[]),
];

/// The name of a mode, and its options.
fn named(mode: &Bound<'_, PyAny>) -> PyResult<(&'static str, &'static [&'static str])> {
    let Ok(name) = mode.cast::<PyString>() else {
        let message = format!("mode: {} ({}) must be a str", shown(mode), mode.get_type().name()?);
        return Err(PyTypeError::new_err(message));
    };
    let name = name.to_cow()?;
    MODES.iter().copied().find(|(known, _)| *known == name).ok_or_else(|| {
        let names: Vec<&str> = MODES.iter().map(|&(name, _)| name).collect();
        PyValueError::new_err(format!("mode: {} must be one of {}", shown(mode), names.join(", ")))
    })
}

/// Refuses options that none of the modes has.
pub(super) fn expect_options(modes: &[Bound<'_, PyAny>], options: &[String]) -> PyResult<()> {
    let have = modes.iter().map(named).collect::<PyResult<Vec<_>>>()?;
    let Some(option) = options.iter().find(|option| !have.iter().any(|(_, has)| has.contains(&option.as_str()))) else {
        return Ok(());
    };
    let owners: Vec<String> =
        MODES.iter().filter(|(_, has)| has.contains(&option.as_str())).map(|(name, _)| format!("'{name}'")).collect();
    let rule = match &owners[..] {
        [] => "is an option of no mode".to_owned(),
        [owner] => format!("only mode {owner} has this option"),
        [owners @ .., last] => format!("only modes {} and {last} have this option", owners.join(", ")),
    };
    Err(PyTypeError::new_err(format!("{option}: {rule}")))
}

impl Mode {
    /// A mode without options, but for those that the functions named as in PyTorch give it.
    pub fn plain(reduction: Reduction) -> Self {
        Self { name: "", reduction, parameter: None }
    }

    /// The mode of a name, with those of the options that it has.
    pub fn parse(mode: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>, dtype: DType) -> PyResult<Self> {
        use {Reduction as R, Statistic as S};
        let (name, has) = named(mode)?;
        let given = |option: &'static str| -> PyResult<Option<Bound<'_, PyAny>>> {
            if has.contains(&option) { options.get_item(option) } else { Ok(None) }
        };
        let real = |option, default: f64| given(option)?.map_or(Ok(default), |value| number(option, &value));
        let checked = |option: &str, value: f64, holds: bool, rule: &str| {
            if holds { Ok(value) } else { Err(PyValueError::new_err(format!("{option}: {value} must be {rule}"))) }
        };
        let finite = |option, default: f64| {
            let value = real(option, default)?;
            checked(option, value, value.is_finite(), "finite")
        };
        let nonzero = |option, default: f64| {
            let value = real(option, default)?;
            checked(option, value, value.is_finite() && value != 0.0, "finite and not 0")
        };
        let method = |default: QuantileMethod| match given("method")? {
            None => Ok(default),
            Some(method) => quantile_method(&method),
        };
        let mut parameter = None;
        let mut learned = |option: &'static str| -> PyResult<()> {
            parameter = given(option)?.map(|_| option);
            Ok(())
        };
        let reduction = match name {
            "max" => R::Max,
            "min" => R::Min,
            "sum" => R::Sum,
            "avg" => R::Avg,
            "count" => R::Count,
            "prod" => R::Statistic(S::Product),
            "var" | "std" => R::Statistic(S::Variance { ddof: finite("ddof", 0.0)?, root: name == "std" }),
            "lp" => {
                let p = real("p", 2.0)?;
                R::Statistic(S::Norm { p: checked("p", p, p > 0.0, "above 0, or inf")? })
            }
            "gem" => {
                learned("p")?;
                let eps = finite("eps", 1e-6)?;
                R::Statistic(S::PowerMean {
                    p: nonzero("p", 3.0)?,
                    eps: checked("eps", eps, eps >= 0.0, "at least 0")?,
                })
            }
            "lse" => {
                learned("r")?;
                R::Statistic(S::LogMeanExp { r: nonzero("r", 1.0)? })
            }
            "soft" => {
                learned("beta")?;
                R::Statistic(S::SoftMean { beta: finite("beta", 1.0)? })
            }
            "lip" => R::Statistic(S::LogitMean),
            "mixed" => {
                learned("alpha")?;
                R::Statistic(S::Mixed { alpha: finite("alpha", 0.5)? })
            }
            "stochastic" => {
                let training = given("training")?.map_or(Ok(true), |training| flag("training", &training))?;
                let seed = mode.py().import("ndpool._random")?.getattr("seed")?.call1((given("rng")?,))?.extract()?;
                if training { R::Choice(Choice::Draw { seed }) } else { R::Statistic(S::Expected) }
            }
            "median" | "quantile" => {
                let default =
                    if dtype.is_float() || name == "quantile" { QuantileMethod::Linear } else { QuantileMethod::Lower };
                let q = match given("q")? {
                    Some(q) => number("q", &q)?,
                    None if name == "median" => 0.5,
                    None => return Err(PyTypeError::new_err("q: mode 'quantile' needs this option")),
                };
                let rank =
                    Rank { q: checked("q", q, (0.0..=1.0).contains(&q), "from 0 to 1")?, method: method(default)? };
                // A cell of floats is a number as well; of integers, it keeps its dtype where that is the rule.
                if rank.method.chooses() && (dtype.is_float() || name == "median") {
                    R::Choice(Choice::Quantile(rank))
                } else {
                    R::Statistic(S::Quantile(rank))
                }
            }
            "mode" => {
                let ignore = match given("ignore")? {
                    Some(ignore) if !ignore.is_none() => Some(label(&ignore, dtype)?),
                    _ => None,
                };
                R::Choice(Choice::Majority { ignore })
            }
            "any" => R::Statistic(S::Any),
            "all" => R::Statistic(S::All),
            "first" => R::Choice(Choice::First),
            _ => R::Choice(Choice::Center),
        };
        Ok(Self { name, reduction, parameter })
    }

    /// The dtype of the result for an `x` of a dtype.
    pub fn result(self, x: DType, weighted: bool) -> DType {
        use Reduction as R;
        match self.reduction {
            R::Max | R::Min | R::Choice(_) => x,
            R::Sum if weighted => x.mean(),
            R::Sum | R::Statistic(Statistic::Product) => x.total(),
            R::Count | R::Statistic(Statistic::Count) => DType::I64,
            R::Statistic(Statistic::Any | Statistic::All) => DType::Bool,
            R::Avg | R::Statistic(_) => x.mean(),
        }
    }

    /// Whether the result is a total of integers, which is kept exact.
    pub fn is_total(self) -> bool {
        matches!(self.reduction, Reduction::Sum | Reduction::Statistic(Statistic::Product))
    }

    /// Whether this mode has an option.
    pub fn has(self, option: &str) -> bool {
        MODES.iter().any(|(name, has)| *name == self.name && has.contains(&option))
    }
}

/// A value that cells of a dtype may have.
fn label(value: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Label> {
    if let Ok(whole) = value.extract::<i128>() {
        return Ok(Label::Whole(whole));
    }
    let real = number("ignore", value)?;
    // As the cells have it: 0.1 is another number in float32.
    Ok(Label::Real(with_float!(dtype, T => T::from_f64(real).to_f64(), else real)))
}

fn quantile_method(method: &Bound<'_, PyAny>) -> PyResult<QuantileMethod> {
    let Ok(name) = method.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("method: {} must be a str", shown(method))));
    };
    let name = name.to_cow()?;
    QuantileMethod::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, method)| method).ok_or_else(|| {
        let names = QuantileMethod::ALL.map(|(name, _)| name).join(", ");
        PyValueError::new_err(format!("method: {} must be one of {names}", shown(method)))
    })
}
