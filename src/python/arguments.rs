//! Python numbers and sequences as geometry.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PySequence, PyString, PyTuple};

use crate::{Pool, Window};

/// A value as messages show it: some have no readable form.
pub(super) fn shown(value: &Bound<'_, PyAny>) -> String {
    match (value.repr().and_then(|text| Ok(text.to_cow()?.into_owned())), value.get_type().name()) {
        (Ok(text), _) => text,
        (Err(_), Ok(name)) => format!("<{name}>"),
        (Err(_), Err(_)) => "<object>".to_owned(),
    }
}

/// A yes or no: Python's or NumPy's.
pub(super) fn flag(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(flag.is_true());
    }
    value.extract().map_err(|_| {
        let name = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("{argument}: {} ({name}) must be a bool", shown(value)))
    })
}

/// A real number.
pub(super) fn number(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    // Both can be made a float, by parsing it and with a warning.
    let is_complex = || {
        value.getattr("dtype").and_then(|dtype| dtype.getattr("kind")).is_ok_and(|kind| kind.eq("c").unwrap_or(false))
    };
    let refused = value.cast::<PyString>().is_ok() || value.cast::<PyFloat>().is_err() && is_complex();
    let real = if refused { None } else { value.extract::<f64>().ok() };
    if real.is_none() && value.cast::<PyInt>().is_ok() {
        return Err(PyValueError::new_err(format!("{argument}: {} does not fit a float64", shown(value))));
    }
    real.ok_or_else(|| {
        let name = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("{argument}: {} ({name}) must be a number", shown(value)))
    })
}

/// An integer, through `__index__`: never a float, never a string, never cut to fit.
pub(super) fn integer(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let refuse = || {
        let message = format!("{argument}: {} ({}) must be an int", shown(value), value.get_type().name()?);
        Err(PyTypeError::new_err(message))
    };
    if !value.hasattr("__index__")? {
        return refuse();
    }
    let index = match value.py().import("operator")?.getattr("index")?.call1((value,)) {
        // Every array has the method and most refuse it; the error of a caller's own method passes through.
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) && value.hasattr("__array__")? => {
            return refuse();
        }
        index => index?,
    };
    index.extract().map_err(|_| PyValueError::new_err(format!("{argument}: {} does not fit 64 bits", shown(&index))))
}

/// An integer that is at least `least`.
pub(super) fn size(argument: &str, value: &Bound<'_, PyAny>, least: i64) -> PyResult<usize> {
    // The usual case, without a look at attributes.
    let number = match value.cast_exact::<PyInt>().ok().and_then(|int| int.extract::<i64>().ok()) {
        Some(number) => number,
        None => integer(argument, value)?,
    };
    if number < least {
        return Err(PyValueError::new_err(format!("{argument}: {number} must be at least {least}")));
    }
    Ok(number as usize)
}

fn is_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.cast::<PyBytes>().is_ok() || value.cast::<PyByteArray>().is_ok() || value.cast::<PyMemoryView>().is_ok()
}

/// The items of a sequence of numbers, not more than an array has axes; `None` for a number.
pub(super) fn items<'py>(argument: &str, value: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    /// The most axes that a NumPy array has.
    const AXES: usize = 64;
    if value.cast_exact::<PyInt>().is_ok() {
        return Ok(None);
    }
    let text = value.cast::<PyString>().is_ok() || is_bytes(value);
    if !text
        && let Ok(n) = value.len()
        && n > AXES
    {
        return Err(PyValueError::new_err(format!("{argument}: a sequence of {n} values must have at most {AXES}")));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return Ok(Some(tuple.iter().collect()));
    }
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(Some(list.iter().collect()));
    }
    if text {
        return Ok(None);
    }
    // Of arrays, only those with an axis are sequences.
    let is_array = value.hasattr("__array__")?;
    match (is_array || value.cast::<PySequence>().is_ok(), value.len()) {
        (true, Ok(_)) => value.try_iter()?.collect::<PyResult<_>>().map(Some),
        _ => Ok(None),
    }
}

/// A value for each axis: one for all of them, or one each.
pub(super) enum PerAxis<T> {
    All(T),
    Each(Vec<T>),
}

impl<T: Copy> PerAxis<T> {
    pub fn at(&self, axis: usize) -> T {
        match self {
            Self::All(value) => *value,
            Self::Each(values) => values[axis],
        }
    }
}

/// A number for each of `n` axes, from a number or a sequence of `n`.
pub(super) fn per_axis(argument: &str, value: &Bound<'_, PyAny>, n: usize, least: i64) -> PyResult<PerAxis<usize>> {
    match items(argument, value)? {
        None => Ok(PerAxis::All(size(argument, value, least)?)),
        // As in PyTorch, a sequence of one is one for all.
        Some(items) if items.len() == 1 => Ok(PerAxis::All(size(argument, &items[0], least)?)),
        Some(items) if items.len() == n => {
            items.iter().map(|item| size(argument, item, least)).collect::<PyResult<_>>().map(PerAxis::Each)
        }
        Some(items) => {
            let message = format!("{argument}: {} has {} values; give one, or {n}", shown(value), items.len());
            Err(PyValueError::new_err(message))
        }
    }
}

/// A size for each of `n` axes.
pub(super) fn sizes(argument: &str, value: &Bound<'_, PyAny>, n: usize, least: i64) -> PyResult<Vec<usize>> {
    let sizes = per_axis(argument, value, n, least)?;
    Ok((0..n).map(|axis| sizes.at(axis)).collect())
}

/// How many axes a sequence speaks of; `None` for a number.
pub(super) fn count(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    Ok(items(argument, value)?.map(|items| items.len()))
}

/// Window, stride, padding, dilation and rounding of a call, for `n` axes.
pub(super) struct Geometry<'a, 'py> {
    pub argument: &'static str,
    pub kernel: &'a Bound<'py, PyAny>,
    pub stride: Option<&'a Bound<'py, PyAny>>,
    pub padding: &'a Bound<'py, PyAny>,
    pub dilation: &'a Bound<'py, PyAny>,
    pub ceil_mode: &'a Bound<'py, PyAny>,
}

impl Geometry<'_, '_> {
    pub fn pool(&self, n: usize) -> PyResult<Pool> {
        let kernel = per_axis(self.argument, self.kernel, n, 1)?;
        let ceil_mode = flag("ceil_mode", self.ceil_mode)?;
        let windows = windows(&kernel, self.stride, self.padding, self.dilation, n)?;
        Ok(Pool::windows(&windows.into_iter().map(|window| window.ceil_mode(ceil_mode)).collect::<Vec<_>>()))
    }
}

/// Windows of the given sizes, for `n` axes; their stride is the kernel if none is given.
pub(super) fn windows(
    kernel: &PerAxis<usize>,
    stride: Option<&Bound<'_, PyAny>>,
    pad: &Bound<'_, PyAny>,
    dilation: &Bound<'_, PyAny>,
    n: usize,
) -> PyResult<Vec<Window>> {
    let stride = stride.map(|stride| per_axis("stride", stride, n, 1)).transpose()?;
    let dilation = per_axis("dilation", dilation, n, 1)?;
    let pad = padding(pad, n)?;
    let window = |j| {
        let stride = stride.as_ref().unwrap_or(kernel).at(j);
        let window = Window::new(kernel.at(j)).stride(stride).dilation(dilation.at(j));
        match &pad {
            Pad::Cells(cells) => window.padding(cells.at(j).0, cells.at(j).1),
            Pad::Same => window.same(),
            Pad::SameLower => window.same_lower(),
        }
    };
    Ok((0..n).map(window).collect())
}

enum Pad {
    Cells(PerAxis<(usize, usize)>),
    Same,
    SameLower,
}

fn padding(value: &Bound<'_, PyAny>, n: usize) -> PyResult<Pad> {
    if let Ok(name) = value.cast::<PyString>() {
        return match &*name.to_cow()? {
            "valid" => Ok(Pad::Cells(PerAxis::All((0, 0)))),
            "same" => Ok(Pad::Same),
            "same_lower" => Ok(Pad::SameLower),
            _ => {
                let message = format!("padding: {} must be 'valid', 'same' or 'same_lower'", shown(value));
                Err(PyValueError::new_err(message))
            }
        };
    }
    let Some(sides) = items("padding", value)? else {
        let cells = size("padding", value, 0)?;
        return Ok(Pad::Cells(PerAxis::All((cells, cells))));
    };
    let rule = || format!("give one int, {n} ints, or {n} pairs (before, after)");
    if let [side] = &sides[..]
        && items("padding", side)?.is_none()
    {
        let cells = size("padding", side, 0)?;
        return Ok(Pad::Cells(PerAxis::All((cells, cells))));
    }
    if sides.len() != n {
        let message = format!("padding: {} has {} values; {}", shown(value), sides.len(), rule());
        return Err(PyValueError::new_err(message));
    }
    let side = |item: &Bound<'_, PyAny>| match items("padding", item)? {
        None => size("padding", item, 0).map(|cells| (cells, cells)),
        Some(pair) if pair.len() == 2 => Ok((size("padding", &pair[0], 0)?, size("padding", &pair[1], 0)?)),
        Some(_) => Err(PyValueError::new_err(format!("padding: {} is no pair; {}", shown(item), rule()))),
    };
    let pads = sides.iter().map(side).collect::<PyResult<Vec<_>>>()?;
    let pairs = sides.iter().map(|item| Ok(items("padding", item)?.is_some())).collect::<PyResult<Vec<_>>>()?;
    if pairs.iter().any(|&pair| pair != pairs[0]) {
        return Err(PyValueError::new_err(format!("padding: {} mixes ints and pairs; {}", shown(value), rule())));
    }
    Ok(Pad::Cells(PerAxis::Each(pads)))
}

/// The axes of a call on an array of rank `rank`, in ascending order with the places they were given in.
pub(super) fn axes(value: &Bound<'_, PyAny>, rank: usize) -> PyResult<Vec<usize>> {
    let given = match items("axis", value)? {
        Some(items) => items.iter().map(|item| integer("axis", item)).collect::<PyResult<Vec<_>>>()?,
        None => vec![integer("axis", value)?],
    };
    let mut axes = Vec::with_capacity(given.len());
    for axis in given {
        let place = if axis < 0 { axis + rank as i64 } else { axis };
        if place < 0 || place >= rank as i64 {
            let message = format!("axis: {axis} is not an axis of an array of rank {rank}");
            return Err(PyValueError::new_err(message));
        }
        if axes.contains(&(place as usize)) {
            return Err(PyValueError::new_err(format!("axis: {axis} is given twice")));
        }
        axes.push(place as usize);
    }
    Ok(axes)
}

/// A value by its name.
pub(super) fn one_of<T: Copy>(argument: &str, name: &Bound<'_, PyAny>, values: &[(&str, T)]) -> PyResult<T> {
    let Ok(given) = name.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("{argument}: {} must be a str", shown(name))));
    };
    let given = given.to_cow()?;
    values.iter().find(|(known, _)| *known == given).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<String> = values.iter().map(|(name, _)| format!("'{name}'")).collect();
        let rule = names.split_last().map_or(String::new(), |(last, names)| format!("{} or {last}", names.join(", ")));
        PyValueError::new_err(format!("{argument}: {} must be {rule}", shown(name)))
    })
}
