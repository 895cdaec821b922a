//! The dtypes that kernels know, and the one match over them.

use numpy::PY_ARRAY_API;
use numpy::npyffi;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::array::interop;

/// A dtype that kernels know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    BF16,
    F32,
    F64,
}

/// Runs an expression with `$T` as the element type of a dtype.
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {{
        use $crate::python::dtype::DType;
        match $dtype {
            DType::Bool => {
                type $T = $crate::element::Bool;
                $body
            }
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::F16 => {
                type $T = ::half::f16;
                $body
            }
            DType::BF16 => {
                type $T = ::half::bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
        }
    }};
}
pub(super) use with_dtype;

/// Runs an expression with `$T` as the element type of a floating-point dtype, and another for all other dtypes.
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr, else $other:expr) => {{
        use $crate::python::dtype::DType;
        match $dtype {
            DType::F16 => {
                type $T = ::half::f16;
                $body
            }
            DType::BF16 => {
                type $T = ::half::bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            _ => $other,
        }
    }};
}
pub(super) use with_float;

impl DType {
    /// Whether gradients exist.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    pub fn size(self) -> usize {
        with_dtype!(self, T => size_of::<T>())
    }

    pub fn name(self) -> &'static str {
        with_dtype!(self, T => <T as crate::Element>::NAME)
    }

    /// The dtype of a mean of these.
    pub fn mean(self) -> Self {
        if self.is_float() { self } else { Self::F64 }
    }

    /// The dtype of what is computed from these and others, as NumPy promotes floats; integers count as `float64`.
    pub fn promoted(self, other: Self) -> Self {
        match (self.mean(), other.mean()) {
            (a, b) if a == b => a,
            (Self::F64, _) | (_, Self::F64) => Self::F64,
            _ => Self::F32,
        }
    }

    /// The dtype of a sum of these.
    pub fn total(self) -> Self {
        match self {
            Self::Bool | Self::I8 | Self::I16 | Self::I32 | Self::I64 => Self::I64,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Self::U64,
            float => float,
        }
    }

    /// The dtype of a NumPy descriptor: by type number, or for a type of another package by its name.
    pub fn of_descr(descr: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        // SAFETY: `descr` is a NumPy descriptor, whose head has the same layout in every NumPy.
        let number = unsafe { (*descr.as_ptr().cast::<npyffi::PyArray_Descr>()).fields.type_num };
        let long = |signed: bool| match (size_of::<std::ffi::c_long>(), signed) {
            (4, true) => Self::I32,
            (4, false) => Self::U32,
            (_, true) => Self::I64,
            (_, false) => Self::U64,
        };
        Ok(Some(match number {
            0 => Self::Bool,
            1 => Self::I8,
            2 => Self::U8,
            3 => Self::I16,
            4 => Self::U16,
            5 => Self::I32,
            6 => Self::U32,
            7 => long(true),
            8 => long(false),
            9 => Self::I64,
            10 => Self::U64,
            11 => Self::F32,
            12 => Self::F64,
            23 => Self::F16,
            256.. if descr.getattr("name")?.extract::<String>()? == "bfloat16" => Self::BF16,
            _ => return Ok(None),
        }))
    }

    /// A caller's `dtype`, and the NumPy descriptor that it names.
    pub fn parse<'py>(dtype: &Bound<'py, PyAny>) -> PyResult<(Self, Bound<'py, PyAny>)> {
        let descr = interop(dtype.py(), "as_dtype")?.call1((dtype,))?;
        match Self::of_descr(&descr)? {
            Some(dtype) => Ok((dtype, descr.call_method1("newbyteorder", ("=",))?)),
            None => Err(PyTypeError::new_err(format!("dtype: {descr} is not supported: {SUPPORTED}"))),
        }
    }
}

pub(super) const SUPPORTED: &str = "use float16, bfloat16, float32, float64, int8 to int64, uint8 to uint64 or bool";

/// The descriptor of a dtype.
pub(super) fn descr_of(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyAny>> {
    if dtype == DType::BF16 {
        return py.import("numpy")?.getattr("dtype")?.call1((py.import("ml_dtypes")?.getattr("bfloat16")?,));
    }
    let number = match dtype {
        DType::Bool => 0,
        DType::I8 => 1,
        DType::U8 => 2,
        DType::I16 => 3,
        DType::U16 => 4,
        DType::I32 => 5,
        DType::U32 => 6,
        DType::I64 => 9,
        DType::U64 => 10,
        DType::F32 => 11,
        DType::F64 | DType::BF16 => 12,
        DType::F16 => 23,
    };
    // `int64` has two type numbers; NumPy's own is that of `long` where that has 64 bits.
    let number = if size_of::<std::ffi::c_long>() == 8 && (number == 9 || number == 10) { number - 2 } else { number };
    // SAFETY: a call of NumPy's C API with one of its own type numbers; it returns a new reference.
    unsafe { Bound::from_owned_ptr_or_err(py, PY_ARRAY_API.PyArray_DescrFromType(py, number).cast()) }
}
