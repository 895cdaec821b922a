//! Functions that are compositions of others: each link is called with a tape of its own, and the links' derivatives are
//! recorded as one.

use pyo3::prelude::*;

use super::gradient::{Derivative, Tangents, Tape};

/// A function of an array, with a place for its result.
pub(super) type Link<'a, 'py> =
    &'a dyn Fn(&Bound<'py, PyAny>, Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>>;

/// Calls the links one after the other, each with the result of the one before; the last writes to `out`.
///
/// `tape` and `out` are what [`destination`](super::execute::destination) found. The last link knows that `out` must not
/// overlap what it reads. That it must not overlap `x` is for the caller to check.
pub(super) fn chain<'py>(
    x: &Bound<'py, PyAny>,
    links: &[Link<'_, 'py>],
    tape: Option<&Bound<'py, Tape>>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let (mut value, mut derivatives) = (x.clone(), Vec::new());
    for (place, link) in links.iter().enumerate() {
        let out = out.filter(|_| place + 1 == links.len());
        if tape.is_some() {
            let inner = Bound::new(py, Tape::new(out.map(|out| out.clone().unbind())))?;
            value = link(&value, Some(inner.as_any()))?;
            derivatives.append(&mut inner.borrow_mut().take());
        } else {
            value = link(&value, out)?;
        }
    }
    let mut derivatives = derivatives.into_iter();
    if let (Some(tape), Some(first)) = (tape, derivatives.next()) {
        tape.borrow_mut().record(Chain { first, then: derivatives.collect() })?;
    }
    Ok(value)
}

/// The derivative of a composition: the links' derivatives, forwards in their order and backwards in the other.
struct Chain {
    first: Box<dyn Derivative>,
    /// The first argument of each of these is the result of the one before.
    then: Vec<Box<dyn Derivative>>,
}

impl Derivative for Chain {
    fn arguments(&self) -> Vec<&'static str> {
        let further = self.then.iter().flat_map(|link| link.arguments().split_off(1));
        self.first.arguments().into_iter().chain(further).collect()
    }

    fn shapes(&self) -> (&[usize], &[usize]) {
        let last = self.then.last().unwrap_or(&self.first);
        (self.first.shapes().0, last.shapes().1)
    }

    fn pull<'py>(&self, dy: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (mut cotangent, mut further) = (dy.clone(), Vec::new());
        for link in self.then.iter().rev() {
            let mut cotangents = link.pull(&cotangent)?;
            cotangent = cotangents.remove(0);
            further.splice(..0, cotangents);
        }
        let mut cotangents = self.first.pull(&cotangent)?;
        cotangents.append(&mut further);
        Ok(cotangents)
    }

    fn push<'py>(&self, py: Python<'py>, tangents: &Tangents<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut tangents = tangents.clone();
        let mut result = self.first.push(py, &tangents)?;
        for link in &self.then {
            tangents.set(link.arguments()[0], result);
            result = link.push(py, &tangents)?;
        }
        Ok(result)
    }
}
