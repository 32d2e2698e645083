//! What is done to rows of pixels once they are there: a PNG's filters are undone.
#![forbid(unsafe_code)]

mod filters;

pub use filters::undo_filters;
