//! Whole planes of coefficients, for what cannot be streamed: progressive files, and turning.

use crate::Error;
use crate::blocks::{Block, MAX_AC, MAX_DC, Scale};
use crate::markers::{Component, Header};
use crate::turn::Places;

/// A component's coefficients, block by block, each in zigzag order; `masks` show which of a block aren't 0, but for
/// the first. Whole MCUs.
pub struct Plane {
    pub columns: usize,
    pub rows: usize,
    values: Vec<i16>,
    masks: Vec<u64>,
}

impl Plane {
    /// All of a picture's, if they take no more than `limit` bytes.
    pub fn all(header: &Header, limit: usize) -> Result<Vec<Self>, Error> {
        let size = |c: &Component| (header.mcu_columns * c.across, header.mcu_rows * c.down);
        let bytes: usize = header.components.iter().map(|c| size(c).0 * size(c).1 * (128 + 8)).sum();
        if bytes > limit {
            return Err(Error::TooLarge);
        }
        Ok(header.components.iter().map(size).map(|(columns, rows)| Self::empty(columns, rows)).collect())
    }

    #[inline(always)]
    pub fn block(&self, at: usize) -> Option<(&[i16; 64], &u64)> {
        Some((self.values.get(at * 64..)?.first_chunk()?, self.masks.get(at)?))
    }

    #[inline(always)]
    pub fn block_mut(&mut self, at: usize) -> Option<(&mut [i16; 64], &mut u64)> {
        Some((self.values.get_mut(at * 64..)?.first_chunk_mut()?, self.masks.get_mut(at)?))
    }

    /// Whether all coefficients are such as 8-bit samples have.
    pub fn is_in_range(&self) -> bool {
        self.values.chunks_exact(64).all(|block| {
            let seen = block[1..].iter().fold(0, |seen, value| seen.max(value.unsigned_abs()));
            u32::from(seen) <= MAX_AC && u32::from(block[0].unsigned_abs()) <= MAX_DC
        })
    }

    /// Without coefficients, of so many blocks.
    pub fn empty(columns: usize, rows: usize) -> Self {
        Self { columns, rows, values: vec![0; columns * rows * 64], masks: vec![0; columns * rows] }
    }

    /// A block's DC value.
    pub fn value(&self, x: usize, y: usize) -> i32 {
        self.values.get((y * self.columns + x) * 64).map_or(0, |value| i32::from(*value))
    }

    /// Put a block into its place, where there is none yet.
    pub fn set(&mut self, x: usize, y: usize, block: &Block) {
        let at = y * self.columns + x;
        let Some((values, mask)) = self.block_mut(at) else { return };
        values[0] = block.dc as i16;
        for item in block.items() {
            values[usize::from(item.place & 63)] = item.value() as i16;
            *mask |= 1 << (item.place & 63);
        }
    }

    /// Put a block into the place of another.
    pub fn replace(&mut self, x: usize, y: usize, block: &Block) {
        if let Some((values, mask)) = self.block_mut(y * self.columns + x) {
            (*values, *mask) = ([0; 64], 0);
        }
        self.set(x, y, block);
    }
}

/// Requantise a block of a plane. `places` are a turn's, with `targets` the other way round.
#[inline(always)]
pub fn requantised(block: &mut Block, plane: &Plane, at: usize, scale: &Scale, places: Option<&Places>) {
    let Some((values, mask)) = plane.block(at) else { return };
    block.clear();
    block.dc = scale.dc(i32::from(values[0]));
    let mut mask = mask & !1;
    if let Some(places) = places {
        mask = each_bit(mask).fold(0, |turned, k| turned | 1 << places.targets[k]);
    }
    for k in each_bit(mask) {
        let (from, turns) = places.map_or((k, 0), |p| p.sources[k]);
        let value = values[from & 63];
        block.push(k, scale.ac(k, u32::from(value.unsigned_abs())), (value as u16 >> 8) as u32 ^ turns);
    }
}

#[inline(always)]
fn each_bit(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let k = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (k < 64).then_some(k as usize & 63)
    })
}
