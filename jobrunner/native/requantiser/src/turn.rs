//! Turning a picture by its EXIF orientation, in coefficients: exact where the sides that become first hold whole MCUs.

use crate::Error;
use crate::coefficients::Plane;
use crate::markers::Header;
use crate::tables::NATURAL;

/// How to turn a picture by its EXIF orientation: first transpose, then flip.
#[derive(Clone, Copy, Default)]
pub struct Turn {
    pub transposes: bool,
    pub flips_across: bool,
    pub flips_down: bool,
}

impl Turn {
    pub fn new(orientation: u8) -> Self {
        let (transposes, flips_across, flips_down) = match orientation {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transposes, flips_across, flips_down }
    }

    pub fn is_none(self) -> bool {
        !(self.transposes || self.flips_across || self.flips_down)
    }

    /// Width and height after turning.
    pub fn turned(self, (across, down): (usize, usize)) -> (usize, usize) {
        if self.transposes { (down, across) } else { (across, down) }
    }

    /// Turning needs whole MCUs on the sides that become the first ones.
    pub fn check(self, header: &Header) -> Result<(), Error> {
        let has_whole = (header.width % (8 * header.across) == 0, header.height % (8 * header.down) == 0);
        let (across, down) = if self.transposes { (has_whole.1, has_whole.0) } else { has_whole };
        if self.flips_across && !across || self.flips_down && !down {
            return Err(Error::Unsupported("its size is no multiple of its MCU, so it can't be turned"));
        }
        Ok(())
    }

    pub fn places(self) -> Places {
        let sources = std::array::from_fn(|k| {
            let (row, column) = (NATURAL[k] / 8, NATURAL[k] % 8);
            let from = if self.transposes { column * 8 + row } else { row * 8 + column };
            let turns = (self.flips_across && column % 2 == 1) != (self.flips_down && row % 2 == 1);
            (NATURAL.iter().position(|n| *n == from).unwrap_or(0), u32::from(turns) << 7)
        });
        Places { sources, targets: std::array::from_fn(|k| sources.iter().position(|s| s.0 == k).unwrap_or(0)) }
    }

    /// Which block of `plane` comes to (x, y).
    #[inline(always)]
    pub fn source(self, plane: &Plane, x: usize, y: usize) -> usize {
        let (columns, rows) = if self.transposes { (plane.rows, plane.columns) } else { (plane.columns, plane.rows) };
        let x = if self.flips_across { columns - 1 - x } else { x };
        let y = if self.flips_down { rows - 1 - y } else { y };
        if self.transposes { x * plane.columns + y } else { y * plane.columns + x }
    }
}

/// For each place of a turned block, in zigzag order, where its coefficient comes from, and by bit 7 whether its
/// sign turns; and for each place of the block before, where its coefficient goes.
pub struct Places {
    pub sources: [(usize, u32); 64],
    pub targets: [usize; 64],
}
