//! The one gate for arrays.
//!
//! Every array enters through [`Array::read`]: native byte order, aligned, every stride a multiple of the item size, a
//! known dtype; anything else is copied by NumPy first or refused. Results are allocated by NumPy in the memory order of
//! the array they were made from.

use std::borrow::Cow;

use numpy::PY_ARRAY_API;
use numpy::npyffi::{self, NpyTypes, PyArray_CheckExact, PyArrayObject, PyArrayObject_fields};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::dtype::{DType, SUPPORTED, descr_of};
use crate::error::Shape;
use crate::strided::{View, ViewMut};

const ALIGNED: i32 = 0x0100;
const WRITEABLE: i32 = 0x0400;

/// A NumPy array that passed the gate.
pub(super) struct Array<'py> {
    object: Bound<'py, PyAny>,
    pub dtype: DType,
    data: *mut u8,
    pub shape: Vec<usize>,
    /// In elements.
    pub strides: Vec<isize>,
    /// What turns a result into an array of the caller's library, if that is not NumPy.
    pub restore: Option<Py<PyAny>>,
}

// SAFETY: the pointer is only followed by kernels, through views; the array it points into is held by `object`, which is
// not touched while the interpreter is detached.
unsafe impl Sync for Array<'_> {}

/// A read-only description of a NumPy array object.
fn fields<'a>(array: &'a Bound<'_, PyAny>) -> &'a PyArrayObject_fields {
    // SAFETY: callers have checked that this is a NumPy array; its head has the same layout in every NumPy.
    unsafe { &(*array.as_ptr().cast::<PyArrayObject>()).fields }
}

fn is_exact(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a type check of a live object.
    unsafe { PyArray_CheckExact(object.py(), object.as_ptr()) != 0 }
}

/// Shape and byte strides of a NumPy array.
fn shape_and_strides(array: &Bound<'_, PyAny>) -> (Vec<usize>, Vec<isize>) {
    let fields = fields(array);
    let rank = fields.nd as usize;
    if rank == 0 {
        return (Vec::new(), Vec::new());
    }
    // SAFETY: a NumPy array of rank `nd` has as many dimensions and strides.
    let (dims, strides) = unsafe {
        (std::slice::from_raw_parts(fields.dimensions, rank), std::slice::from_raw_parts(fields.strides, rank))
    };
    (dims.iter().map(|&len| len as usize).collect(), strides.to_vec())
}

impl<'py> Array<'py> {
    /// Reads an argument: an array in place if it can be, anything else as NumPy would make an array of it.
    pub fn read(argument: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if is_exact(object) {
            return Self::of_ndarray(argument, object.clone(), None);
        }
        let (array, restore) = interop(object.py(), "as_ndarray")?
            .call1((argument, object))?
            .extract::<(Bound<'py, PyAny>, Option<Py<PyAny>>)>()?;
        Self::of_ndarray(argument, array, restore)
    }

    fn of_ndarray(argument: &'static str, object: Bound<'py, PyAny>, restore: Option<Py<PyAny>>) -> PyResult<Self> {
        let descr = object_descr(&object);
        let Some(dtype) = DType::of_descr(&descr)? else {
            let message = format!("{argument}: an array of dtype {descr} cannot be pooled: {SUPPORTED}");
            return Err(PyTypeError::new_err(message));
        };
        let (shape, strides) = shape_and_strides(&object);
        let size = dtype.size() as isize;
        let odd = strides.iter().zip(&shape).any(|(stride, &len)| len > 1 && stride % size != 0);
        if odd
            || fields(&object).flags & ALIGNED == 0
            || !native(&descr)
            || !(fields(&object).data as usize).is_multiple_of(size as usize)
        {
            let copy = interop(object.py(), "native_copy")?.call1((&object,))?;
            return Self::of_ndarray(argument, copy, restore);
        }
        // A stride along an axis of one cell, or of an empty array, says nothing.
        let empty = shape.contains(&0);
        let element = |(stride, &len): (isize, &usize)| if len > 1 && !empty { stride / size } else { 0 };
        let mut strides: Vec<isize> = strides.into_iter().zip(&shape).map(element).collect();
        tidy(&shape, &mut strides);
        let data = fields(&object).data.cast();
        Ok(Self { object, dtype, data, shape, strides, restore })
    }

    /// Takes a result array: writable, native, of the shape and dtype wanted, overlapping neither itself nor an input.
    pub fn target(object: &Bound<'py, PyAny>, dtype: DType, shape: &[usize], inputs: &[&Self]) -> PyResult<Self> {
        let given =
            if is_exact(object) { object.clone() } else { interop(object.py(), "as_target")?.call1((object,))? };
        let refuse = |what: String| Err(PyValueError::new_err(format!("out: {what}")));
        let descr = object_descr(&given);
        if DType::of_descr(&descr)? != Some(dtype) || !native(&descr) {
            return refuse(format!("an array of dtype {descr} must have the dtype of the result, {}", dtype.name()));
        }
        let (given_shape, byte_strides) = shape_and_strides(&given);
        if given_shape != shape {
            return refuse(format!(
                "an array of shape {} must have the shape of the result, {}",
                Shape(&given_shape),
                Shape(shape)
            ));
        }
        if fields(&given).flags & WRITEABLE == 0 {
            return refuse("a read-only array cannot be written".to_owned());
        }
        let size = dtype.size() as isize;
        let odd = byte_strides.iter().zip(shape).any(|(stride, &len)| len > 1 && stride % size != 0);
        if odd || fields(&given).flags & ALIGNED == 0 {
            return refuse("an array must be aligned, with strides that are multiples of its item size".to_owned());
        }
        let target = Self::of_ndarray("out", given, None)?;
        if target.overlaps_itself() {
            return refuse(format!("an array of strides {byte_strides:?} bytes must not overlap itself"));
        }
        if inputs.iter().any(|input| input.overlaps(&target)) {
            return refuse("an array must not share memory with an input".to_owned());
        }
        Ok(target)
    }

    /// A new array, not initialised, in the memory order of this one, without the dropped axes.
    pub fn like(
        &self,
        dtype: DType,
        descr: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        dropped: &[usize],
    ) -> PyResult<Self> {
        let own = || (dtype == self.dtype).then(|| object_descr(&self.object));
        let strides = kept(&self.strides, dropped);
        Self::new(self.object.py(), dtype, descr.cloned().or_else(own), shape, &strides)
    }

    /// A new array, not initialised, whose axes lie in memory in the order of the strides `like`.
    pub fn new(
        py: Python<'py>,
        dtype: DType,
        descr: Option<Bound<'py, PyAny>>,
        shape: &[usize],
        like: &[isize],
    ) -> PyResult<Self> {
        let descr = descr.map_or_else(|| descr_of(py, dtype), Ok)?;
        let mut strides = memory_order(shape, like);
        let size = dtype.size() as isize;
        for stride in &mut strides {
            *stride *= size;
        }
        #[cfg(target_os = "linux")]
        let bytes = shape.iter().fold(dtype.size(), |bytes, &len| bytes.saturating_mul(len));
        #[cfg(target_os = "linux")]
        let _recycling = super::recycler::Recycling::enter(py, bytes)?;
        // SAFETY: a call of NumPy's C API with arrays of `nd` dimensions and strides, which it only reads; it takes over one reference to the
        // descriptor, which `into_ptr` gives away, and returns a new array or null with an error set.
        let object = unsafe {
            let array = PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                npyffi::get_type_object(py, NpyTypes::PyArray_Type),
                descr.into_ptr().cast(),
                shape.len() as i32,
                shape.as_ptr().cast_mut().cast(),
                strides.as_mut_ptr(),
                std::ptr::null_mut(),
                0,
                std::ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(py, array)?
        };
        for stride in &mut strides {
            *stride /= size;
        }
        let data = fields(&object).data.cast();
        Ok(Self { object, dtype, data, shape: shape.to_vec(), strides, restore: None })
    }

    /// Inserts axes of length 1 at the given places, in ascending order.
    pub fn expand(&mut self, axes: &[usize]) {
        for &axis in axes {
            self.shape.insert(axis, 1);
            self.strides.insert(axis, 0);
        }
    }

    /// Repeats the array along axes of one cell, and along axes that it lacks, as NumPy does.
    pub fn broadcast(&mut self, argument: &str, shape: &[usize]) -> PyResult<()> {
        let fits = |(&own, &len): (&usize, &usize)| own == len || own == 1;
        let missing = shape.len().checked_sub(self.shape.len());
        let Some(missing) = missing.filter(|&missing| self.shape.iter().zip(&shape[missing..]).all(fits)) else {
            let message = format!(
                "{argument}: an array of shape {} cannot be broadcast to the shape of x, {}",
                Shape(&self.shape),
                Shape(shape)
            );
            return Err(PyValueError::new_err(message));
        };
        let stride = |axis: usize| match axis.checked_sub(missing) {
            Some(own) if self.shape[own] == shape[axis] => self.strides[own],
            _ => 0,
        };
        self.strides = (0..shape.len()).map(stride).collect();
        self.shape = shape.to_vec();
        Ok(())
    }

    /// To read. `T` is the element type of `self.dtype`.
    pub fn view<T: crate::Element>(&self) -> View<'_, T> {
        debug_assert_eq!(T::NAME, self.dtype.name());
        // SAFETY: the gate has checked the layout, `object` keeps the memory, and every value of these types is valid.
        // Other threads may write the array meanwhile: the results are then anybody's, the accesses stay inside.
        unsafe { View::from_raw_parts(self.data.cast(), &self.shape, &self.strides) }
    }

    /// To write; only for arrays from [`Array::target`] and [`Array::like`].
    pub fn view_mut<T: crate::Element>(&self) -> ViewMut<'_, T> {
        debug_assert_eq!(T::NAME, self.dtype.name());
        // SAFETY: as above; `target` has refused what overlaps, and nobody else knows an array from `like`.
        unsafe { ViewMut::from_raw_parts(self.data.cast(), &self.shape, &self.strides) }
    }

    /// The NumPy array.
    pub fn into_object(self) -> Bound<'py, PyAny> {
        self.object
    }

    /// The NumPy array, still held.
    pub fn object(&self) -> &Bound<'py, PyAny> {
        &self.object
    }

    /// Cells of the array.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The addresses from the first byte to one past the last; none for an empty array.
    fn bytes(&self) -> Option<(isize, isize)> {
        if self.shape.contains(&0) {
            return None;
        }
        let (mut first, mut last) = (self.data as isize, self.data as isize);
        for (&len, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = (len as isize - 1) * stride * self.dtype.size() as isize;
            if reach < 0 { first += reach } else { last += reach }
        }
        Some((first, last + self.dtype.size() as isize))
    }

    /// Refuses the second array of a pair that shares memory with the first: both are written.
    pub fn expect_apart(&self, first: &Self) -> PyResult<()> {
        if self.overlaps(first) {
            return Err(PyValueError::new_err("out: two arrays of a tuple must not share memory with each other"));
        }
        Ok(())
    }

    fn overlaps(&self, other: &Self) -> bool {
        matches!((self.bytes(), other.bytes()), (Some(a), Some(b)) if a.0 < b.1 && b.0 < a.1)
    }

    fn overlaps_itself(&self) -> bool {
        let mut axes: Vec<(usize, usize)> =
            self.shape.iter().zip(&self.strides).map(|(&len, stride)| (stride.unsigned_abs(), len)).collect();
        axes.retain(|&(_, len)| len > 1);
        axes.sort_unstable();
        let mut extent = 1;
        !self.shape.contains(&0)
            && axes.into_iter().any(|(stride, len)| {
                let overlaps = stride < extent;
                extent += (len - 1) * stride;
                overlaps
            })
    }
}

/// Gives axes of one cell the stride they would have in an array without gaps, so that no order is read into them.
fn tidy(shape: &[usize], strides: &mut [isize]) {
    for axis in (0..shape.len()).rev() {
        if shape[axis] == 1 {
            strides[axis] = strides.get(axis + 1).map_or(1, |inner| inner * shape[axis + 1] as isize);
        }
    }
}

/// The strides of a new array whose axes lie in memory in the order of the given strides.
fn memory_order(shape: &[usize], like: &[isize]) -> Vec<isize> {
    // A broadcast axis has no order of its own; it stays outside. Of equal strides, the later axis is the inner one.
    let reach = |axis: usize| if like[axis] == 0 { usize::MAX } else { like[axis].unsigned_abs() };
    let inside = |axis: usize, other: usize| (reach(other), axis) < (reach(axis), other);
    let rank = shape.len();
    let step =
        |axis| (0..rank).filter(|&other| inside(axis, other)).map(|other| shape[other].max(1) as isize).product();
    (0..rank).map(step).collect()
}

/// A shape, or strides, without the dropped axes.
pub(super) fn kept<'a, T: Copy>(of: &'a [T], dropped: &[usize]) -> Cow<'a, [T]> {
    if dropped.is_empty() {
        return Cow::Borrowed(of);
    }
    of.iter().enumerate().filter(|(axis, _)| !dropped.contains(axis)).map(|(_, &len)| len).collect()
}

fn native(descr: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a NumPy descriptor, see `of_descr`.
    let order = unsafe { (*descr.as_ptr().cast::<npyffi::PyArray_Descr>()).fields.byteorder } as u8;
    let foreign = if cfg!(target_endian = "little") { b'>' } else { b'<' };
    order != foreign
}

fn object_descr<'py>(array: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    // SAFETY: every NumPy array has a descriptor; this takes a reference of its own.
    unsafe { Bound::from_borrowed_ptr(array.py(), fields(array).descr.cast()) }
}

/// A function of `ndpool._interop`, imported when it is first needed.
pub(super) fn interop<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("ndpool._interop")?.getattr(name)
}
