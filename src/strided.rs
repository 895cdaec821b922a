//! Arrays as kernels read and write them: a pointer, a shape, strides in elements. All memory access goes through here.
//!
//! [`View`] and [`ViewMut`] are made from `ndarray` views, or from raw parts by the gate for NumPy arrays. They know the
//! lowest and highest offset of their elements, and every access is checked against these, once a row.

use std::marker::PhantomData;

use ndarray::{ArrayBase, Data, DataMut, Dimension};

use crate::vector::Vectors;

/// A read-only strided array of any rank, stride and direction.
#[derive(Clone)]
pub(crate) struct View<'a, T> {
    raw: Raw<T>,
    shape: &'a [usize],
    strides: &'a [isize],
    lifetime: PhantomData<&'a [T]>,
}

/// A writable strided array of any rank, stride and direction; no two indices share an element.
pub(crate) struct ViewMut<'a, T> {
    raw: Raw<T>,
    shape: &'a [usize],
    strides: &'a [isize],
    lifetime: PhantomData<&'a mut [T]>,
}

/// A pointer with the range of element offsets that may be accessed through it.
#[derive(Debug)]
pub(crate) struct Raw<T> {
    pointer: *mut T,
    least: isize,
    most: isize,
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Raw<T> {}

// SAFETY: a `Raw` is a bounded pointer to plain elements. Sharing it is sharing the view it came from; writers are kept
// apart by the engine, which gives every output element to one task (promise 9 of the reliability page).
unsafe impl<T: Send + Sync> Send for Raw<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Raw<T> {}

/// How far ahead of what is read and written memory is asked for, in bytes: what a core moves while memory answers. On one core of
/// a Zen 5, 2x2 pooling of 100 MB takes 8.1 ms with 2 KiB, 5.6 with 4, 4.0 with 8; on two cores, 134 MB of 16-bit numbers in rows of
/// 2 KiB take 6.9 ms with 4 or 8 KiB, which begin at the same places of pages, and 5.8 with 6.
pub(crate) const AHEAD: usize = 6144;

/// The way from elements of a row to what follows [`AHEAD`] bytes later: further along the row, or in a later row, where rows
/// are shorter than that.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// So many rows later, if there are as many, or else so many elements further on.
    rows: usize,
    elements: usize,
}

impl Ahead {
    /// In rows of `len` elements.
    #[inline(always)]
    pub fn new<T>(len: usize) -> Self {
        let elements = const { AHEAD / if size_of::<T>() == 0 { 1 } else { size_of::<T>() } };
        Self { rows: if len < elements { elements.div_ceil(len.max(1)) } else { usize::MAX / 2 }, elements }
    }

    /// From one of these rows.
    #[inline(always)]
    pub fn from(self, rows: &[isize], row: usize) -> isize {
        match rows.get(row + self.rows) {
            Some(later) => later - rows[row],
            None => self.elements as isize,
        }
    }
}

impl<T: Copy> Raw<T> {
    fn new(pointer: *mut T, shape: &[usize], strides: &[isize]) -> Self {
        let (mut least, mut most) = (0, if shape.contains(&0) { -1 } else { 0 });
        for (&len, &stride) in shape.iter().zip(strides) {
            let reach = (len as isize - 1) * stride;
            if most >= 0 {
                if reach < 0 { least += reach } else { most += reach }
            }
        }
        Self { pointer, least, most }
    }

    /// The elements of a slice, for tasks that each write a part of it.
    pub fn of(slice: &mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), least: 0, most: slice.len() as isize - 1 }
    }

    /// The elements of a slice, to read.
    pub fn from_ref(slice: &[T]) -> Self {
        Self { pointer: slice.as_ptr().cast_mut(), least: 0, most: slice.len() as isize - 1 }
    }

    #[inline(always)]
    fn check(&self, offset: isize, stride: isize, len: usize) {
        let end = offset + (len as isize - 1) * stride;
        let (first, last) = if stride < 0 { (end, offset) } else { (offset, end) };
        assert!(first >= self.least && last <= self.most, "a row leaves its array: this is a bug in ndpool");
    }

    /// The `len` elements from `offset` on, one after the other.
    #[inline(always)]
    pub fn row<'a>(self, offset: isize, len: usize) -> &'a [T] {
        if len == 0 {
            return &[];
        }
        self.check(offset, 1, len);
        // SAFETY: the range was just checked to lie within the array, which the view borrows for as long as kernels run.
        unsafe { std::slice::from_raw_parts(self.pointer.offset(offset), len) }
    }

    /// Asks for the cache lines of `len` elements from an offset on, that are soon read, or written. Any offset will do.
    #[inline(always)]
    pub fn prefetch<const WRITE: bool>(self, offset: isize, len: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..(len * size_of::<T>()).div_ceil(64) {
            use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
            let pointer = self.pointer.wrapping_offset(offset).cast::<i8>().wrapping_add(line * 64);
            // SAFETY: a prefetch is a hint; it reads nothing that the program sees, and no address makes it fault.
            unsafe { if WRITE { _mm_prefetch::<_MM_HINT_ET0>(pointer) } else { _mm_prefetch::<_MM_HINT_T0>(pointer) } };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (offset, len);
    }

    /// The `N` elements from `offset` on.
    #[inline(always)]
    pub fn block<const N: usize>(self, offset: isize) -> [T; N]
    where
        T: Default,
    {
        let mut elements = [T::default(); N];
        elements.copy_from_slice(self.row(offset, N));
        elements
    }

    /// Every second element from `offset` on, `N` of them.
    #[inline(always)]
    pub fn evens<V: Vectors, const N: usize>(self, vectors: V, offset: isize) -> [T; N]
    where
        T: Default,
    {
        vectors.evens(self.row(offset, 2 * N - 1))
    }

    /// Every fourth element from `offset` on, `N` of them.
    #[inline(always)]
    pub fn fourths<V: Vectors, const N: usize>(self, vectors: V, offset: isize) -> [T; N]
    where
        T: Default,
    {
        vectors.fourths(self.row(offset, 4 * N - 3))
    }

    /// `N` elements, `stride` apart.
    #[inline(always)]
    pub fn spread<const N: usize>(self, offset: isize, stride: isize) -> [T; N]
    where
        T: Default,
    {
        let mut elements = [T::default(); N];
        self.gather(offset, stride, &mut elements, |x| x);
        elements
    }

    /// Reads `into.len()` elements, `stride` apart.
    #[inline(always)]
    pub fn gather<U>(self, offset: isize, stride: isize, into: &mut [U], map: impl Fn(T) -> U) {
        let n = into.len();
        if n == 0 {
            return;
        }
        self.check(offset, stride, n);
        if stride == 1 {
            // A loop of its own, so that it vectorises.
            for (value, &x) in into.iter_mut().zip(self.row(offset, n)) {
                *value = map(x);
            }
            return;
        }
        for (j, value) in into.iter_mut().enumerate() {
            // SAFETY: the first and the last of these elements were just checked to lie within the array.
            *value = map(unsafe { *self.pointer.offset(offset + j as isize * stride) });
        }
    }

    /// Writes neighbouring elements.
    #[inline(always)]
    pub fn store<const N: usize>(self, offset: isize, elements: [T; N]) {
        self.check(offset, 1, N);
        // SAFETY: the first and the last of these elements were just checked to lie within the array, and no other task writes
        // them (see `Send`).
        unsafe { self.pointer.offset(offset).cast::<[T; N]>().write(elements) };
    }

    /// Writes `len` elements, `stride` apart.
    #[inline(always)]
    pub fn scatter(self, offset: isize, stride: isize, len: usize, value: impl Fn(usize) -> T) {
        if len == 0 {
            return;
        }
        self.check(offset, stride, len);
        let write = |j: usize, stride: isize| {
            // SAFETY: the first and the last of these elements were just checked to lie within the array, and no other task
            // writes them (see `Send`).
            unsafe { self.pointer.offset(offset + j as isize * stride).write(value(j)) };
        };
        if stride == 1 {
            // A loop of its own, so that it vectorises.
            (0..len).for_each(|j| write(j, 1));
        } else {
            (0..len).for_each(|j| write(j, stride));
        }
    }
}

#[cfg(feature = "python")]
impl<'a, T: Copy> View<'a, T> {
    /// A view from its parts.
    ///
    /// # Safety
    /// Every element that the shape and the strides (in elements) reach from `pointer` must be readable for `'a`, aligned
    /// and initialised. Other threads may write the elements meanwhile only if any value is acceptable.
    pub unsafe fn from_raw_parts(pointer: *const T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { raw: Raw::new(pointer.cast_mut(), shape, strides), shape, strides, lifetime: PhantomData::<&'a [T]> }
    }
}

impl<T: Copy> View<'_, T> {
    /// The elements in C order of the axes taken in the given order, those of broadcast axes once.
    pub fn without_repeats(&self, order: &[usize]) -> crate::Result<Vec<T>>
    where
        T: Default,
    {
        let once = |axis: usize| if self.strides[axis] == 0 { self.shape[axis].min(1) } else { self.shape[axis] };
        let shape: Vec<usize> = (0..self.shape.len()).map(once).collect();
        let once = View { raw: self.raw, shape: &shape, strides: self.strides, lifetime: PhantomData };
        once.in_order(order)
    }

    /// The elements in C order of the axes taken in the given order.
    pub fn in_order(&self, order: &[usize]) -> crate::Result<Vec<T>>
    where
        T: Default,
    {
        let lens: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let len = lens.iter().product();
        let mut elements = crate::error::try_vec(len)?;
        elements.resize(len, T::default());
        let Some((&row_axis, outer)) = order.split_last() else {
            self.raw.gather(0, 1, &mut elements, |x| x);
            return Ok(elements);
        };
        let n = self.shape[row_axis];
        for (index, row) in elements.chunks_exact_mut(n.max(1)).enumerate() {
            let (mut offset, mut rest) = (0, index);
            for &axis in outer.iter().rev() {
                offset += (rest % self.shape[axis]) as isize * self.strides[axis];
                rest /= self.shape[axis];
            }
            self.raw.gather(offset, self.strides[row_axis], row, |x| x);
        }
        Ok(elements)
    }
}

#[cfg(feature = "python")]
impl<'a, T: Copy> ViewMut<'a, T> {
    /// A writable view from its parts.
    ///
    /// # Safety
    /// Every element that the shape and the strides (in elements) reach from `pointer` must be writable for `'a` and
    /// aligned, and no two indices may reach the same element. Elements need not be initialised: they are only written.
    pub unsafe fn from_raw_parts(pointer: *mut T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { raw: Raw::new(pointer, shape, strides), shape, strides, lifetime: PhantomData::<&'a mut [T]> }
    }
}

impl<T: Copy> ViewMut<'_, T> {
    /// Writes one value to every element.
    pub fn fill(&self, value: T) {
        let Some((&n, lens)) = self.shape.split_last() else { return self.raw.scatter(0, 1, 1, |_| value) };
        let rows: usize = lens.iter().product();
        for index in 0..rows {
            let (mut offset, mut rest) = (0, index);
            for (len, stride) in lens.iter().zip(self.strides).rev() {
                offset += (rest % len) as isize * stride;
                rest /= len;
            }
            self.raw.scatter(offset, self.strides[lens.len()], n, |_| value);
        }
    }
}

impl<'a, T: Copy, S: Data<Elem = T>, D: Dimension> From<&'a ArrayBase<S, D>> for View<'a, T> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        let (shape, strides) = (array.shape(), array.strides());
        Self { raw: Raw::new(array.as_ptr().cast_mut(), shape, strides), shape, strides, lifetime: PhantomData }
    }
}

impl<'a, T: Copy, S: DataMut<Elem = T>, D: Dimension> From<&'a mut ArrayBase<S, D>> for ViewMut<'a, T> {
    fn from(array: &'a mut ArrayBase<S, D>) -> Self {
        let pointer = array.as_mut_ptr();
        let (shape, strides) = (array.shape(), array.strides());
        Self { raw: Raw::new(pointer, shape, strides), shape, strides, lifetime: PhantomData }
    }
}

macro_rules! accessors {
    ($t:ident) => {
        impl<T> $t<'_, T> {
            /// The length of each axis.
            pub fn shape(&self) -> &[usize] {
                self.shape
            }

            /// The distance in elements between neighbours along each axis.
            pub fn strides(&self) -> &[isize] {
                self.strides
            }

            pub fn raw(&self) -> Raw<T> {
                self.raw
            }
        }
    };
}
accessors!(View);
accessors!(ViewMut);
