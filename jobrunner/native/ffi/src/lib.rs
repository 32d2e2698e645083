//! The crates for callers in C's way: all of the project's unsafe code.

use std::ptr;
use std::slice;

use pixels::{Resampler, Size};
use requantiser::{Error, Options};

/// What to do; see `Options`.
#[repr(C)]
pub struct Request {
    pub max_coefficient_bytes: u64,
    pub max_pixels: u64,
    pub rounds_up_from: u16,
    pub quality_tenths: u16,
    pub orientation: u8,
    pub progressive: u8,
}

/// What became of it. `code` is 0 and `data` a file, to be given back to `requantiser_free`; or the code says why not,
/// and `data` is null. `message` points to text that lives as long as the program.
#[repr(C)]
pub struct Answer {
    pub data: *mut u8,
    pub length: usize,
    pub message: *const u8,
    pub message_length: usize,
    pub code: i32,
}

impl Answer {
    const fn new() -> Self {
        let (data, message) = (ptr::null_mut(), ptr::null());
        Self { data, length: 0, message, message_length: 0, code: 0 }
    }

    fn failed(error: Error) -> Self {
        let (code, text) = match error {
            Error::Truncated => (1, "the file ends before the picture does"),
            Error::Damaged(what) => (2, what),
            Error::Unsupported(what) => (3, what),
            Error::TooLarge => (4, "it has too many pixels"),
        };
        Self { code, message: text.as_ptr(), message_length: text.len(), ..Self::new() }
    }

    fn succeeded(file: Vec<u8>) -> Self {
        let file = Box::leak(file.into_boxed_slice());
        let (data, length) = (file.as_mut_ptr(), file.len());
        Self { data, length, ..Self::new() }
    }
}

/// Requantise a file.
///
/// # Safety
/// `file` points to `length` bytes and `request` to a request; both are only read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn requantiser_requantise(file: *const u8, length: usize, request: *const Request) -> Answer {
    // SAFETY: as the caller promises; an empty file's pointer may be anything.
    let (file, request) = unsafe { (if length == 0 { &[] } else { slice::from_raw_parts(file, length) }, &*request) };
    requantiser::requantise(file, &options(request)).map_or_else(Answer::failed, Answer::succeeded)
}

/// Find out whether all of a file's picture is there and undamaged; the answer has no data.
///
/// # Safety
/// As `requantiser_requantise`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn requantiser_check(file: *const u8, length: usize, request: *const Request) -> Answer {
    // SAFETY: as above.
    let (file, request) = unsafe { (if length == 0 { &[] } else { slice::from_raw_parts(file, length) }, &*request) };
    requantiser::check(file, &options(request)).map_or_else(Answer::failed, |()| Answer::new())
}

/// Give the data of an answer back, once.
///
/// # Safety
/// `data` and `length` are an answer's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn requantiser_free(data: *mut u8, length: usize) {
    if !data.is_null() {
        // SAFETY: it was leaked from a boxed slice of this length, by `succeeded`.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, length)) });
    }
}

/// Undo a PNG's filters, as `pixels::undo_filters` says; 1 where that worked, else 0.
///
/// # Safety
/// `filtered` points to `length` bytes that are only read, and `rows` to `room` bytes that nobody else looks at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pixels_undo_filters(
    filtered: *const u8, length: usize, rows: *mut u8, room: usize, row: usize, pixel: usize,
) -> i32 {
    if length == 0 || room == 0 {
        return 0; // a pointer to nothing may be anything
    }
    // SAFETY: as the caller promises.
    let (filtered, rows) = unsafe { (slice::from_raw_parts(filtered, length), slice::from_raw_parts_mut(rows, room)) };
    i32::from(pixels::undo_filters(filtered, rows, row, pixel))
}

/// Begin to resample a picture, as `Resampler::new` says; null where that is none. To be given back to
/// `pixels_resampler_free`.
#[unsafe(no_mangle)]
pub extern "C" fn pixels_resampler_new(
    width: usize, height: usize, to_width: usize, to_height: usize, channels: usize,
) -> *mut Resampler {
    let (from, to) = (Size { width, height }, Size { width: to_width, height: to_height });
    Resampler::new(from, to, channels).map_or(ptr::null_mut(), |made| Box::into_raw(Box::new(made)))
}

/// Take rows and give those that are whole, as `Resampler::push` says; how many these are, or -1.
///
/// # Safety
/// `resampler` is one of `pixels_resampler_new`'s that nobody else uses meanwhile, `rows` points to `length` bytes that are
/// only read, and `out` to `room` bytes that nobody else looks at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pixels_resampler_push(
    resampler: *mut Resampler, rows: *const u8, length: usize, out: *mut u8, room: usize,
) -> i32 {
    if resampler.is_null() || length == 0 || room == 0 {
        return -1; // a pointer to nothing may be anything
    }
    // SAFETY: as the caller promises.
    let (resampler, rows, out) =
        unsafe { (&mut *resampler, slice::from_raw_parts(rows, length), slice::from_raw_parts_mut(out, room)) };
    resampler.push(rows, out).and_then(|count| i32::try_from(count).ok()).unwrap_or(-1)
}

/// Give a resampler back, once.
///
/// # Safety
/// It is null or one of `pixels_resampler_new`'s.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pixels_resampler_free(resampler: *mut Resampler) {
    if !resampler.is_null() {
        // SAFETY: it came out of a box, in `pixels_resampler_new`.
        drop(unsafe { Box::from_raw(resampler) });
    }
}

fn options(request: &Request) -> Options {
    Options {
        quality_tenths: request.quality_tenths,
        progressive: request.progressive != 0,
        rounds_up_from: request.rounds_up_from,
        orientation: request.orientation,
        max_coefficient_bytes: usize::try_from(request.max_coefficient_bytes).unwrap_or(usize::MAX),
        max_pixels: usize::try_from(request.max_pixels).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 x 8 grey pixels of one shade.
    const GREY: &[u8] = include_bytes!("../tests/grey.jpg");

    fn request(quality_tenths: u16) -> Request {
        Request {
            max_coefficient_bytes: 1 << 20,
            max_pixels: 1 << 20,
            rounds_up_from: 500,
            quality_tenths,
            orientation: 1,
            progressive: 0,
        }
    }

    #[test]
    fn an_answer_is_given_and_given_back() {
        // SAFETY: slices and requests that live; the answer's own data.
        unsafe {
            let answer = requantiser_requantise(GREY.as_ptr(), GREY.len(), &request(200));
            assert_eq!(answer.code, 0);
            assert!(slice::from_raw_parts(answer.data, answer.length).starts_with(b"\xff\xd8"));
            requantiser_free(answer.data, answer.length);
            assert_eq!(requantiser_check(GREY.as_ptr(), GREY.len(), &request(200)).code, 0);
        }
    }

    #[test]
    fn filters_are_undone_where_the_rows_are() {
        let (filtered, mut rows) = ([1, 1, 2, 3, 2, 1, 1, 1], [0; 9]);
        // SAFETY: arrays of these lengths; of empty ones the pointers are not read.
        unsafe {
            let (from, to) = (filtered.as_ptr(), rows.as_mut_ptr());
            assert_eq!(pixels_undo_filters(from, 8, to, 9, 3, 1), 1);
            assert_eq!(pixels_undo_filters(from, 8, to, 6, 3, 1), 0);
            assert_eq!(pixels_undo_filters(ptr::null(), 0, ptr::null_mut(), 0, 3, 1), 0);
        }
        assert_eq!(rows, [0, 0, 0, 1, 3, 6, 2, 4, 7]);
    }

    #[test]
    fn a_picture_is_resampled_row_by_row() {
        let (row, mut out) = ([7; 16], [0; 8]);
        // SAFETY: arrays of these lengths; of empty ones the pointers are not read; a resampler that lives.
        unsafe {
            let resampler = pixels_resampler_new(4, 2, 2, 1, 4);
            assert_eq!(pixels_resampler_push(resampler, row.as_ptr(), 15, out.as_mut_ptr(), 8), -1);
            assert_eq!(pixels_resampler_push(resampler, ptr::null(), 0, ptr::null_mut(), 0), -1);
            assert_eq!(pixels_resampler_push(resampler, row.as_ptr(), 16, out.as_mut_ptr(), 8), 0);
            assert_eq!(pixels_resampler_push(resampler, row.as_ptr(), 16, out.as_mut_ptr(), 7), -1);
            assert_eq!(pixels_resampler_push(resampler, row.as_ptr(), 16, out.as_mut_ptr(), 8), 1);
            pixels_resampler_free(resampler);
            assert!(pixels_resampler_new(4, 2, 0, 1, 4).is_null());
            assert_eq!(pixels_resampler_push(ptr::null_mut(), row.as_ptr(), 16, out.as_mut_ptr(), 8), -1);
            pixels_resampler_free(ptr::null_mut());
        }
        assert_eq!(out, [7; 8]);
    }

    #[test]
    fn a_failure_has_words_and_no_data() {
        // SAFETY: as above; of an empty file the pointer is not read.
        unsafe {
            let answer = requantiser_requantise(ptr::null(), 0, &request(200));
            assert_eq!(answer.code, 3);
            assert!(answer.data.is_null());
            assert!(!slice::from_raw_parts(answer.message, answer.message_length).is_empty());
            requantiser_free(answer.data, answer.length);
            let cut = requantiser_check(GREY.as_ptr(), GREY.len() - 4, &request(200));
            assert_eq!(cut.code, 1);
        }
    }
}
