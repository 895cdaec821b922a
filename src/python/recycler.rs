//! Memory of large results, kept for the next ones.
//!
//! New memory comes in pages that the system has to clear: writing 64 MiB to fresh pages takes about three times as long as
//! writing to old ones. What is freed is kept by `malloc`, but not in blocks above 32 MiB. NumPy therefore gets results of
//! that size from an allocator of our own (by NEP 49, so that the arrays own their memory as all arrays do), which keeps a
//! few blocks. Kept blocks are lent to the system: it takes their pages when it is short of memory (`MADV_FREE`).

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;

/// Results of fewer bytes are left to NumPy: the largest blocks that `malloc` of glibc keeps.
const LEAST: usize = 32 << 20;
/// Bytes that are kept at most, in so many blocks.
const MOST: usize = 256 << 20;
const BLOCKS: usize = 4;
/// The size of a huge page, which blocks are multiples of.
const HUGE: usize = 2 << 20;

/// What a block begins with; a cache line, so that data are aligned to one.
#[repr(C, align(64))]
struct Block {
    /// Bytes from here on.
    len: usize,
    /// The mapping.
    start: *mut c_void,
    mapped: usize,
}

const HEADER: usize = size_of::<Block>();

static KEPT: [AtomicPtr<Block>; BLOCKS] = [const { AtomicPtr::new(null_mut()) }; BLOCKS];
static KEPT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Takes a kept block that `fits`, given its length.
fn take(fits: impl Fn(usize) -> bool) -> Option<*mut Block> {
    for slot in &KEPT {
        let block = slot.swap(null_mut(), AcqRel);
        if block.is_null() {
            continue;
        }
        // SAFETY: whoever takes a block out of its slot owns it, and its header was written when it was mapped.
        let len = unsafe { (*block).len };
        KEPT_BYTES.fetch_sub(len, AcqRel);
        if fits(len) {
            return Some(block);
        }
        keep(block, len);
    }
    None
}

/// Puts a block that nobody else holds into an empty slot, or gives it back to the system.
fn keep(block: *mut Block, len: usize) {
    if KEPT_BYTES.fetch_add(len, AcqRel) + len <= MOST {
        for slot in &KEPT {
            if slot.compare_exchange(null_mut(), block, AcqRel, Relaxed).is_ok() {
                return;
            }
        }
    }
    KEPT_BYTES.fetch_sub(len, AcqRel);
    // SAFETY: the block is ours, and its header holds the mapping that it is in.
    unsafe { libc::munmap((*block).start, (*block).mapped) };
}

/// A new block of so many bytes, on a multiple of a huge page; null if there is no memory.
fn map(len: usize) -> *mut Block {
    let Some(mapped) = len.checked_add(HUGE) else { return null_mut() };
    // SAFETY: a new private mapping, of which the part from the first multiple of a huge page on has `len` bytes; its header
    // is written before anyone else knows it.
    unsafe {
        let start = libc::mmap(
            null_mut(),
            mapped,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return null_mut();
        }
        let block = start.byte_add(start.align_offset(HUGE)).cast::<Block>();
        // Advice: without it the pages are small.
        libc::madvise(block.cast(), len, libc::MADV_HUGEPAGE);
        block.write(Block { len, start, mapped });
        block
    }
}

unsafe extern "C" fn allocate(_: *mut c_void, bytes: usize) -> *mut c_void {
    let Some(len) = bytes.checked_add(HEADER).and_then(|len| len.checked_next_multiple_of(HUGE)) else {
        return null_mut();
    };
    // A block may be a quarter too large.
    let block = take(|kept| (len..=len + len / 4).contains(&kept)).unwrap_or_else(|| map(len));
    // Data begin after the header.
    if block.is_null() { null_mut() } else { block.wrapping_add(1).cast() }
}

unsafe extern "C" fn allocate_zeroed(context: *mut c_void, n: usize, size: usize) -> *mut c_void {
    let Some(bytes) = n.checked_mul(size) else { return null_mut() };
    // SAFETY: as many bytes as were just allocated are cleared.
    unsafe {
        let data = allocate(context, bytes);
        if !data.is_null() {
            data.write_bytes(0, bytes);
        }
        data
    }
}

unsafe extern "C" fn reallocate(context: *mut c_void, data: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: NumPy passes what `allocate` returned: its header lies before it, and `room` bytes follow.
    unsafe {
        if data.is_null() {
            return allocate(context, bytes);
        }
        let room = (*data.cast::<Block>().sub(1)).len - HEADER;
        if bytes <= room {
            return data;
        }
        let larger = allocate(context, bytes);
        if !larger.is_null() {
            ptr::copy_nonoverlapping(data.cast::<u8>(), larger.cast(), room);
            release(context, data, room);
        }
        larger
    }
}

unsafe extern "C" fn release(_: *mut c_void, data: *mut c_void, _: usize) {
    if data.is_null() {
        return;
    }
    // SAFETY: NumPy passes what `allocate` returned, once: the block is ours again. All but the first page, which holds the
    // header, is the system's if it wants it.
    unsafe {
        let block = data.cast::<Block>().sub(1);
        let len = (*block).len;
        libc::madvise(block.byte_add(HUGE).cast(), len - HUGE, libc::MADV_FREE);
        // The latest blocks are kept.
        while KEPT_BYTES.load(Acquire) + len > MOST {
            let Some(oldest) = take(|_| true) else { break };
            libc::munmap((*oldest).start, (*oldest).mapped);
        }
        keep(block, len);
    }
}

/// `PyDataMem_Handler` of NumPy's C API.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    context: usize,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

const CAPSULE: &CStr = c"mem_handler";
const DEFAULT: &CStr = c"default_allocator";

static HANDLER: Handler = Handler {
    name: {
        let (text, mut name, mut i) = (b"ndpool", [0; 127], 0);
        while i < text.len() {
            name[i] = text[i] as c_char;
            i += 1;
        }
        name
    },
    version: 1,
    context: 0,
    malloc: allocate,
    calloc: allocate_zeroed,
    realloc: reallocate,
    free: release,
};

/// `PyDataMem_SetHandler`: takes a handler's capsule, returns a new reference to the one before.
type SetHandler = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

/// That function, which the crate `numpy` does not list, and the capsule of the handler.
fn api(py: Python<'_>) -> PyResult<&(SetHandler, Py<PyAny>)> {
    const SET_HANDLER: usize = 304;
    static API: PyOnceLock<(SetHandler, Py<PyAny>)> = PyOnceLock::new();
    API.get_or_try_init(py, || {
        let core = py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
        let table = core.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?;
        // SAFETY: NumPy's table of functions, which has had this one at this place since 1.22; and a capsule of a static.
        unsafe {
            let table = ffi::PyCapsule_GetPointer(table.as_ptr(), ptr::null()).cast::<*const c_void>();
            if table.is_null() {
                return Err(PyErr::fetch(py));
            }
            let set = std::mem::transmute::<*const c_void, SetHandler>(*table.add(SET_HANDLER));
            let capsule = ffi::PyCapsule_New(ptr::from_ref(&HANDLER).cast_mut().cast(), CAPSULE.as_ptr(), None);
            Ok((set, Bound::from_owned_ptr_or_err(py, capsule)?.unbind()))
        }
    })
}

/// While this lives, this thread's new arrays have their memory from here.
pub(super) struct Recycling<'py> {
    set: SetHandler,
    before: Bound<'py, PyAny>,
}

impl<'py> Recycling<'py> {
    /// For an array of so many bytes; none if it is small, or the caller has an allocator of their own.
    pub fn enter(py: Python<'py>, bytes: usize) -> PyResult<Option<Self>> {
        if bytes < LEAST {
            return Ok(None);
        }
        let &(set, ref handler) = api(py)?;
        // SAFETY: a call of NumPy's C API with a valid capsule; the capsule that it returns holds a handler.
        unsafe {
            let before = Bound::from_owned_ptr_or_err(py, set(handler.as_ptr()))?;
            let recycling = Self { set, before };
            let held = ffi::PyCapsule_GetPointer(recycling.before.as_ptr(), CAPSULE.as_ptr()).cast::<Handler>();
            if held.is_null() {
                return Err(PyErr::fetch(py));
            }
            let is_default = CStr::from_ptr((*held).name.as_ptr()) == DEFAULT;
            Ok(is_default.then_some(recycling))
        }
    }
}

impl Drop for Recycling<'_> {
    fn drop(&mut self) {
        // SAFETY: as above, with the capsule that was in use before. An error is of no use to anyone here.
        unsafe {
            let ours = (self.set)(self.before.as_ptr());
            if ours.is_null() {
                ffi::PyErr_Clear();
            } else {
                ffi::Py_DECREF(ours);
            }
        }
    }
}
