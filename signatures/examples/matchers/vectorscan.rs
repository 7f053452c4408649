//! Vectorscan's literals, by the C functions of its library (`hs.h`, `hs_compile.h`, `hs_runtime.h`; BSD). Debian has it as
//! `libvectorscan-dev`.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void},
    ptr,
};

const SUCCESS: c_int = 0;
const CASELESS: c_uint = 1;
const MODE_BLOCK: c_uint = 1;

type OnMatch = extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;

#[link(name = "hs")]
unsafe extern "C" {
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *const c_void,
        database: *mut *mut c_void,
        error: *mut *mut c_void,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut c_void) -> c_int;
    fn hs_alloc_scratch(database: *const c_void, scratch: *mut *mut c_void) -> c_int;
    fn hs_database_size(database: *const c_void, size: *mut usize) -> c_int;
    fn hs_scan(
        database: *const c_void,
        data: *const c_char,
        length: c_uint,
        flags: c_uint,
        scratch: *mut c_void,
        on_match: OnMatch,
        context: *mut c_void,
    ) -> c_int;
    fn hs_free_scratch(scratch: *mut c_void) -> c_int;
    fn hs_free_database(database: *mut c_void) -> c_int;
}

/// A database of literals, and room to scan with it.
pub struct Literals {
    database: *mut c_void,
    scratch: *mut c_void,
}

impl Literals {
    /// Of patterns, letters of either case alike; the number of one is its place.
    ///
    /// # Errors
    /// What the library says.
    pub fn new(patterns: &[Vec<u8>]) -> Result<Self, String> {
        // its interface for literals takes none that begins with a zero
        let written = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>() + "\0";
        let written: Vec<String> = patterns.iter().map(written).collect();
        let expressions: Vec<*const c_char> = written.iter().map(|text| text.as_ptr().cast()).collect();
        let (flags, ids) = (vec![CASELESS; patterns.len()], (0..).take(patterns.len()).collect::<Vec<c_uint>>());
        let mut literals = Self { database: ptr::null_mut(), scratch: ptr::null_mut() };
        let mut error = ptr::null_mut();
        // SAFETY: three lists of as many elements as are said, which outlive the call, one of them of texts that end with a zero; two places for pointers.
        let status = unsafe {
            hs_compile_multi(
                expressions.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                c_uint::try_from(patterns.len()).map_err(|error| error.to_string())?,
                MODE_BLOCK,
                ptr::null(),
                &raw mut literals.database,
                &raw mut error,
            )
        };
        if status != SUCCESS {
            // SAFETY: the library has made it: its first member is a text that ends with a zero.
            let said = unsafe { CStr::from_ptr(*error.cast::<*const c_char>()).to_string_lossy().into_owned() };
            // SAFETY: as above.
            unsafe { hs_free_compile_error(error) };
            return Err(said);
        }
        // SAFETY: a database, and a place for a pointer that is null.
        let status = unsafe { hs_alloc_scratch(literals.database, &raw mut literals.scratch) };
        if status == SUCCESS { Ok(literals) } else { Err(format!("no room to scan: {status}")) }
    }

    /// Bytes of the database.
    pub fn footprint(&self) -> usize {
        let mut size = 0;
        // SAFETY: a database, and a place for a number.
        unsafe { hs_database_size(self.database, &raw mut size) };
        size
    }

    /// Tells each pattern that stands in the bytes, and where it ends.
    pub fn scan(&self, bytes: &[u8], mut hits: &mut dyn FnMut(usize, usize)) {
        extern "C" fn hit(id: c_uint, _: c_ulonglong, end: c_ulonglong, _: c_uint, context: *mut c_void) -> c_int {
            // SAFETY: what `scan` has handed in, while it runs.
            let hits = unsafe { &mut *context.cast::<&mut dyn FnMut(usize, usize)>() };
            hits(id as usize, end as usize);
            0
        }
        // SAFETY: a database, its scratch, which is this thread's (a pointer is not `Sync`), bytes of this length, and `hits`.
        unsafe {
            hs_scan(
                self.database,
                bytes.as_ptr().cast(),
                bytes.len() as c_uint,
                0,
                self.scratch,
                hit,
                (&raw mut hits).cast(),
            )
        };
    }
}

impl Drop for Literals {
    fn drop(&mut self) {
        // SAFETY: made by the library, or null.
        unsafe {
            hs_free_scratch(self.scratch);
            hs_free_database(self.database);
        }
    }
}
