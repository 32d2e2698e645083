//! JPEG to smaller JPEG without decoding its pixels: its DCT coefficients are read, divided anew and written.
//!
//! Baseline and extended sequential files are streamed block by block; progressive ones, and those to be turned, take
//! memory for their coefficients. Broken input gives an error, never a panic. Sections are those of ITU-T T.81 (1992).
#![forbid(unsafe_code)]

mod bits;
mod blocks;
mod coefficients;
mod huffman;
mod markers;
mod output;
mod progressive;
mod scans;
mod sequential;
mod symbols;
mod tables;
mod turn;
mod units;
mod whole;

use markers::{Header, ScanHeader};
use turn::Turn;

/// What to make of a file.
#[derive(Clone, Debug)]
pub struct Options {
    /// 10 to 1000: tenths of what libjpeg counts.
    pub quality_tenths: u16,
    /// As a progressive file, for which all coefficients are kept in memory.
    pub progressive: bool,
    /// From which fraction on AC coefficients are rounded up, in 1/1000; 500 is the usual.
    pub rounds_up_from: u16,
    /// EXIF's, 1 to 8: turn the picture accordingly.
    pub orientation: u8,
    /// How many bytes coefficients may take where they must be kept.
    pub max_coefficient_bytes: usize,
    pub max_pixels: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quality_tenths: 750,
            progressive: false,
            rounds_up_from: 500,
            orientation: 1,
            max_coefficient_bytes: 256 << 20,
            max_pixels: 100_000_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file ends, or a scan does, before the picture does.
    Truncated,
    /// A scan's data can't be what was written.
    Damaged(&'static str),
    /// It may be a picture for others.
    Unsupported(&'static str),
    /// It has more pixels, or would take more memory, than it may.
    TooLarge,
}

/// The same picture at another quality, with Huffman tables of its own, without metadata but for its colour profile. No
/// step becomes finer than it was.
pub fn requantise(file: &[u8], options: &Options) -> Result<Vec<u8>, Error> {
    let (mut header, scan) = first_scan(file, options)?;
    let turn = Turn::new(options.orientation);
    let streams = !(header.is_progressive || options.progressive) && turn.is_none();
    turn.check(&header)?;
    if streams {
        return sequential::requantised(file, &mut header, scan, options);
    }
    let planes = whole::read(file, &mut header, scan, options)?;
    whole::requantised(&header, planes, turn, options)
}

/// Whether all of the picture is there, undamaged.
pub fn check(file: &[u8], options: &Options) -> Result<(), Error> {
    let (mut header, scan) = first_scan(file, options)?;
    if header.is_progressive {
        return whole::read(file, &mut header, scan, options).map(|_| ());
    }
    sequential::check(file, &mut header, scan)
}

fn first_scan<'a>(file: &'a [u8], options: &Options) -> Result<(Header<'a>, ScanHeader), Error> {
    let mut header = Header::new(file)?;
    let scan = header.next_scan(None)?.ok_or(Error::Unsupported("it has no picture"))?;
    if header.width * header.height > options.max_pixels {
        return Err(Error::TooLarge);
    }
    Ok((header, scan))
}
