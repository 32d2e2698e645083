//! What is done to rows of pixels once they are there: a PNG's filters are undone, and pictures are made smaller.
#![forbid(unsafe_code)]

mod filters;
mod resample;
mod taps;

pub use filters::undo_filters;
pub use resample::{MAX_SIDE, Resampler, Size};
