//! Pooling of regions: boxes, and what is computed of their bins.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::arguments::{flag, integer, number, one_of, sizes};
use super::array::Array;
use super::dtype::{DType, with_dtype, with_float};
use super::error::compute;
use super::execute::{destination, split_out, wrap};
use super::gradient::{Recorded, no_gradient};
use super::visited::floats;
use crate::error::Shape;
use crate::ops::{Boxes, Differentiable, Regions};

/// `roi_pool` and `ps_roi_pool`.
#[pyfunction]
#[pyo3(signature = (x, boxes, output_size, spatial_scale, sensitive, layout, out))]
pub(super) fn region_pool<'py>(
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    sensitive: bool,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let regions = Regions::pool(bins(output_size)?);
    execute(x, boxes, regions, spatial_scale, sensitive, layout, out)
}

/// `roi_align` and `ps_roi_align`.
#[pyfunction]
#[pyo3(signature = (x, boxes, output_size, spatial_scale, sampling_ratio, aligned, mode, sensitive, layout, out))]
#[allow(clippy::too_many_arguments)] // the arguments of the Python function
pub(super) fn region_align<'py>(
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    output_size: &Bound<'py, PyAny>,
    spatial_scale: &Bound<'py, PyAny>,
    sampling_ratio: &Bound<'py, PyAny>,
    aligned: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    sensitive: bool,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // As in PyTorch, a number that is not positive asks for as many points as a bin has cells.
    let points = integer("sampling_ratio", sampling_ratio)?.max(0) as u64;
    let regions = Regions::align(bins(output_size)?)
        .sampling_ratio(points)
        .aligned(flag("aligned", aligned)?)
        .largest(one_of("mode", mode, &[("avg", false), ("max", true)])?);
    execute(x, boxes, regions, spatial_scale, sensitive, layout, out)
}

fn bins(output_size: &Bound<'_, PyAny>) -> PyResult<[usize; 2]> {
    let sizes = sizes("output_size", output_size, 2, 1)?;
    Ok([sizes[0], sizes[1]])
}

fn execute<'py>(
    x: &Bound<'py, PyAny>,
    boxes: &Bound<'py, PyAny>,
    regions: Regions,
    spatial_scale: &Bound<'py, PyAny>,
    sensitive: bool,
    layout: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Array::read("x", x)?;
    let py = x.object().py();
    let last = one_of("layout", layout, &[("channels_first", false), ("channels_last", true)])?;
    let regions = regions.spatial_scale(number("spatial_scale", spatial_scale)?).channels_last(last);
    let regions = if sensitive { regions.position_sensitive() } else { regions };
    let (given, boxes) = read_boxes(boxes, Regions::images(&x.shape)?)?;
    let call = with_dtype!(x.dtype, T => regions.solve::<T>(&x.shape, boxes)?);
    let dtype = if regions.chooses() { x.dtype } else { x.dtype.mean() };
    let (tape, out) = destination(py, out);
    let (out, _) = split_out(out.as_ref(), false)?;
    let inputs: Vec<&Array<'py>> = std::iter::once(&x).chain(&given).collect();
    let y = match &out {
        Some(out) => Array::target(out, dtype, call.solved.output_shape(), &inputs)?,
        None => x.like(dtype, None, call.solved.output_shape(), &[])?,
    };
    // A box may look at any number of cells.
    let work = x.len().saturating_add(y.len().saturating_mul(16));
    if let Some(tape) = tape {
        let mut map = None;
        with_float!(x.dtype, T => {
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            compute(py, work, |parallel| {
                map = Some(call.record(&x, &y, parallel)?);
                Ok(())
            })?;
        }, else return Err(no_gradient(x.dtype)));
        if let Some(map) = map {
            let map = Differentiable::Region(map);
            tape.borrow_mut().record(Recorded::new(&x, x.dtype, map, &[], 1))?;
        }
    } else if dtype == x.dtype {
        with_dtype!(x.dtype, T => {
            let (x, y) = (x.view::<T>(), y.view_mut::<T>());
            compute(py, work, |parallel| call.run(&x, &y, parallel))?;
        });
    } else {
        with_dtype!(x.dtype, T => {
            let (x, y) = (x.view::<T>(), y.view_mut::<f64>());
            compute(py, work, |parallel| call.run(&x, &y, parallel))?;
        });
    }
    wrap(&x, y, out)
}

/// Boxes and the arrays they came from: one array of five columns, or one of four for each image.
fn read_boxes<'py>(boxes: &Bound<'py, PyAny>, images: usize) -> PyResult<(Vec<Array<'py>>, Boxes)> {
    let mut read = Boxes::default();
    let items: Option<Vec<Bound<'py, PyAny>>> = if let Ok(list) = boxes.cast::<PyList>() {
        Some(list.iter().collect())
    } else {
        boxes.cast::<PyTuple>().ok().map(|tuple| tuple.iter().collect())
    };
    let mut arrays = Vec::new();
    for item in items.iter().flatten() {
        let array = Array::read("boxes", item)?;
        if array.shape.len() == 1 && array.shape[0] > 0 {
            // A row of numbers: the list is an array.
            arrays.clear();
            break;
        }
        arrays.push(array);
    }
    match &items {
        Some(items) if arrays.len() == items.len() && !(items.is_empty() && images > 0) => {
            if arrays.len() != images {
                let n = arrays.len();
                let message = format!("boxes: a list of {n} arrays must have one for each of the {images} images of x");
                return Err(PyValueError::new_err(message));
            }
            for (image, array) in arrays.iter().enumerate() {
                // An empty list has no columns.
                if array.shape != [0] {
                    add(&mut read, array, Some(image), images)?;
                }
            }
        }
        _ => {
            let array = Array::read("boxes", boxes)?;
            if array.shape != [0] {
                add(&mut read, &array, None, images)?;
            }
            arrays = vec![array];
        }
    }
    Ok((arrays, read))
}

fn add(read: &mut Boxes, array: &Array<'_>, image: Option<usize>, images: usize) -> PyResult<()> {
    if array.dtype == DType::Bool {
        let message = format!("boxes: an array of bool of shape {} must be of real numbers", Shape(&array.shape));
        return Err(PyTypeError::new_err(message));
    }
    Ok(read.add(&*floats(array), &array.shape, &array.strides, image, images)?)
}
