//! Modes beyond sums and extremes, for Rust: statistics and choices of windows, with their gradients.

use ndarray::{ArrayD, ArrayView, Dimension};

use super::extreme::extreme_number;
use super::folded::{Filling, Folding, outlet};
use super::gradient::{Differentiable, Pullback, RouteMap};
use super::pool::{Pool, filled};
use super::solved::Solved;
use super::statistic::{Placed, Rules, Target, choice, chosen_value, statistic};
use super::statistic_map::{Kept, StatisticMap};
use crate::element::{Element, Kind};
use crate::engine::{Field, Writer};
use crate::error::{PoolError, Result};
use crate::modes::{Choice, Statistic};
use crate::parallel::Parallel;
use crate::strided::View;

impl Pool {
    fn rules(&self) -> Rules<'static> {
        Rules { omit: self.omit_nan, least: 1, ..Rules::default() }
    }

    /// A number computed from the cells of each window: floats keep their type, others give `f64`.
    ///
    /// # Errors
    /// As [`Pool::max`]; [`PoolError::Type`] for [`Statistic::LogitMean`], whose logits this function does not take.
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Pool, Statistic};
    ///
    /// let x = array![3.0, 4.0, 0.0, 2.0];
    /// let y = Pool::blocks(&[2]).statistic(&x.view(), &Statistic::Norm { p: 2.0 })?;
    /// assert_eq!(y, array![5.0, 2.0].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn statistic<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        of: &Statistic,
    ) -> Result<ArrayD<T::Mean>> {
        let solved = self.solve(x.shape())?;
        expect_no_logits(of)?;
        statistic_of(&View::from(x), &solved, of, self.rules())
    }

    /// [`Pool::statistic`] and the map of its gradient.
    ///
    /// # Errors
    /// As [`Pool::statistic`]; [`PoolError::Type`] for integers, and for a statistic without a derivative.
    pub fn statistic_vjp<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        of: &Statistic,
    ) -> Result<(ArrayD<T::Mean>, Pullback<T>)> {
        if !of.is_differentiable() || T::KIND != Kind::Float {
            return Err(PoolError::wrong_type("of", format!("{of:?} of {}", T::NAME), "is not differentiable"));
        }
        let solved = self.solve(x.shape())?;
        expect_no_logits(of)?;
        let x = View::from(x);
        let y = statistic_of(&x, &solved, of, self.rules())?;
        let map = StatisticMap::new(&solved, *of, Kept::copy(&x)?, [None, None], &self.rules());
        Ok((y, Pullback::new(Differentiable::Statistic(map))))
    }

    /// One of the cells of each window.
    ///
    /// # Errors
    /// As [`Pool::max`].
    ///
    /// ```
    /// use ndarray::array;
    /// use ndpool::{Choice, Pool, QuantileMethod, Rank};
    ///
    /// let median = Choice::Quantile(Rank { q: 0.5, method: QuantileMethod::Lower });
    /// let y = Pool::blocks(&[3]).choice(&array![4, 9, 5, 1, 1, 2].view(), &median)?;
    /// assert_eq!(y, array![5, 1].into_dyn());
    /// # Ok::<(), ndpool::PoolError>(())
    /// ```
    pub fn choice<T: Element, D: Dimension>(&self, x: &ArrayView<'_, T, D>, of: &Choice) -> Result<ArrayD<T>> {
        let solved = self.solve(x.shape())?;
        choice_of(&View::from(x), &solved, of, self.rules(), None)
    }

    /// [`Pool::choice`] and the map of its gradient, which leads to the chosen cells.
    ///
    /// # Errors
    /// As [`Pool::choice`]; [`PoolError::Type`] for integers.
    pub fn choice_vjp<T: Element, D: Dimension>(
        &self,
        x: &ArrayView<'_, T, D>,
        of: &Choice,
    ) -> Result<(ArrayD<T>, Pullback<T>)> {
        let solved = self.solve(x.shape())?;
        let x = View::from(x);
        let mut map = RouteMap::new::<T>(&solved, x.strides(), true)?;
        let recorder = map.recorder();
        let y = choice_of(&x, &solved, of, self.rules(), Some(&*recorder))?;
        drop(recorder);
        Ok((y, Pullback::new(Differentiable::Route(map))))
    }
}

fn expect_no_logits(of: &Statistic) -> Result<()> {
    if *of == Statistic::LogitMean {
        return Err(PoolError::wrong_type(
            "of",
            "LogitMean",
            "needs logits, which only the Python package takes so far",
        ));
    }
    Ok(())
}

fn statistic_of<T: Element>(
    x: &View<'_, T>,
    solved: &Solved,
    of: &Statistic,
    rules: Rules<'_>,
) -> Result<ArrayD<T::Mean>> {
    let value = solved.fill_value.unwrap_or(f64::NAN);
    filled(solved, |y| {
        if y.shape().contains(&0) {
            return Ok(());
        }
        let folding =
            Folding { solved, intake: &x.raw(), x_strides: x.strides(), output: &*outlet(y), y_strides: y.strides() };
        let origin = x.raw().row(0, 1)[0].to_f64();
        let omitting = rules.omit.then_some(Filling { least: 1, value });
        if folding.statistic(of, size_of::<T>() > 4, origin, omitting, &Parallel::default())? {
            return Ok(());
        }
        let (reader, writer) = (x.raw(), y.raw());
        let fill = |offset| Writer::<f64>::write(&writer, offset, 1, &[value]);
        let target = Target { y: &writer, strides: y.strides(), fill: &fill };
        statistic(Field { reader: &reader, strides: x.strides() }, solved, of, &rules, &target, &Parallel::default())
    })
}

fn choice_of<T: Element>(
    x: &View<'_, T>,
    solved: &Solved,
    of: &Choice,
    rules: Rules<'_>,
    placed: Option<&Placed<'_>>,
) -> Result<ArrayD<T>> {
    let (reader, strides) = (x.raw(), x.strides());
    let value = solved.fill_value.unwrap_or(f64::NAN);
    filled(solved, |y| {
        if T::KIND == Kind::Float && rules.omit && placed.is_none() && matches!(of, Choice::Max | Choice::Min) {
            let (reversed, fill) = (*of == Choice::Min, T::from_f64(value));
            if extreme_number(x, solved, reversed, y, fill, &Parallel::default())? {
                return Ok(());
            }
        }
        let writer = y.raw();
        let fill = &|offset| Writer::<f64>::write(&writer, offset, 1, &[value]);
        if T::KIND == Kind::Float {
            let target = Target { y: &writer, strides: y.strides(), fill };
            let x: Field<'_, f64> = Field { reader: &reader, strides };
            return match placed {
                Some(placed) => choice(x, solved, of, &rules, &target, placed, &Parallel::default()),
                None => chosen_value(x, solved, of, &rules, &target, &Parallel::default()),
            };
        }
        let target = Target { y: &writer, strides: y.strides(), fill };
        let x: Field<'_, i128> = Field { reader: &reader, strides };
        choice(x, solved, of, &rules, &target, placed.unwrap_or(&|_, _| {}), &Parallel::default())
    })
}
