//! Progressive scans (G.1), read into planes of coefficients.

use crate::Error;
use crate::bits::{Cursor, Scan, Window};
use crate::coefficients::Plane;
use crate::huffman::{Decoder, END_OF_BLOCK, Symbol};
use crate::markers::{Header, ScanHeader};

const BROKEN: Error = Error::Damaged("a scan's data is damaged");

/// How far each coefficient of a component is known: its lowest bit so far.
pub type Known = [Option<u8>; 64];

/// Read one of a progressive file's scans. Returns where it ends.
pub fn read(
    file: &[u8], header: &Header, scan: &ScanHeader, planes: &mut [Plane], known: &mut [Known; 4],
) -> Result<usize, Error> {
    let is_dc = scan.first == 0;
    let is_right = if is_dc { scan.last == 0 } else { scan.parts.len() == 1 && (scan.first..64).contains(&scan.last) };
    if !is_right || scan.low > 13 || scan.high > 0 && scan.high != scan.low + 1 {
        return Err(Error::Unsupported("a progressive scan has wrong parameters"));
    }
    for (index, ..) in &scan.parts {
        let before = (scan.high > 0).then_some(scan.high);
        let known = &mut known[index & 3];
        for place in &mut known[usize::from(scan.first)..=usize::from(scan.last)] {
            if place.replace(scan.low) != before {
                return Err(Error::Unsupported("a progressive scan comes at the wrong time"));
            }
        }
        if known[0].is_none() {
            return Err(Error::Unsupported("a progressive scan comes before its DC scan"));
        }
    }
    let mut data = Scan::new(file, scan.at);
    if is_dc {
        read_dc(&mut data, header, scan, planes)?;
    } else {
        let (index, _, table) = scan.parts[0];
        let table = header.ac[table].as_ref().ok_or(Error::Unsupported("a Huffman table is missing"))?;
        let pass = if scan.high == 0 { first_pass } else { refinement };
        read_ac(&mut data, header, scan, &mut planes[index], table, pass)?;
    }
    data.end()
}

fn read_dc(data: &mut Scan, header: &Header, scan: &ScanHeader, planes: &mut [Plane]) -> Result<(), Error> {
    let mut previous = [0_i32; 4];
    let (columns, rows) = header.mcus(scan);
    let units = header.units(scan);
    for mcu in 0..columns * rows {
        if header.restart_interval > 0 && mcu > 0 && mcu % header.restart_interval == 0 {
            data.restart((mcu / header.restart_interval - 1) as u8)?;
            previous = [0; 4];
        }
        data.prepare();
        for unit in &units {
            let (index, table, _) = scan.parts[unit.part];
            let plane = &mut planes[index];
            let at = (mcu / columns * unit.step_y + unit.y) * plane.columns + mcu % columns * unit.step_x + unit.x;
            let value = &mut plane.block_mut(at).ok_or(BROKEN)?.0[0];
            data.cursor.refill(&data.window);
            if scan.high > 0 {
                *value |= (data.cursor.take(1) << scan.low) as i16;
                continue;
            }
            let table = header.dc[table].as_ref().ok_or(Error::Unsupported("a Huffman table is missing"))?;
            let symbol = table.next(&mut data.cursor, &data.window);
            let previous = &mut previous[unit.part];
            *previous += symbol.value();
            if symbol.advance() > 0 || previous.unsigned_abs() >= 1 << 15 {
                data.check()?;
                return Err(BROKEN);
            }
            *value = (*previous << scan.low) as i16;
        }
        data.check()?;
    }
    Ok(())
}

/// What a scan of AC coefficients knows while it reads a block. `run`: of blocks that have nothing more.
struct Band<'a> {
    window: &'a Window,
    table: &'a Decoder,
    first: usize,
    end: usize,
    low: u8,
}

fn read_ac(
    data: &mut Scan, header: &Header, scan: &ScanHeader, plane: &mut Plane, table: &Decoder,
    pass: impl Fn(&Band, &mut Cursor, &mut [i16; 64], &mut u64, u32) -> Option<u32>,
) -> Result<(), Error> {
    let (columns, rows) = header.mcus(scan);
    let (mut left, mut restarts, mut run) = (header.restart_interval, 0_u8, 0_u32);
    for row in 0..rows {
        for at in row * plane.columns..row * plane.columns + columns {
            if header.restart_interval > 0 {
                if left == 0 {
                    data.restart(restarts)?;
                    (restarts, left, run) = (restarts.wrapping_add(1), header.restart_interval, 0);
                }
                left -= 1;
            }
            data.prepare();
            let (first, end, low) = (usize::from(scan.first), usize::from(scan.last) + 1, scan.low);
            let band = Band { window: &data.window, table, first, end, low };
            let (values, mask) = plane.block_mut(at).ok_or(BROKEN)?;
            let mut cursor = data.cursor; // a copy, for registers
            let rest = pass(&band, &mut cursor, values, mask, run);
            data.cursor = cursor;
            data.check()?; // what comes after the end of the data may be anything
            run = rest.ok_or(BROKEN)?;
        }
    }
    Ok(())
}

impl Band<'_> {
    /// How many blocks an end of band stands for; `symbol` led to `place`, beyond the band. None for broken data.
    #[inline(always)]
    fn run(&self, cursor: &mut Cursor, symbol: Symbol, place: usize) -> Option<u32> {
        if symbol.advance() != END_OF_BLOCK as usize || place < END_OF_BLOCK as usize {
            return None;
        }
        let Some(bits) = symbol.end_of_band() else { return Some(1) };
        cursor.refill(self.window);
        Some((1 << bits) + cursor.take(bits))
    }
}

#[inline(always)]
fn first_pass(band: &Band, cursor: &mut Cursor, values: &mut [i16; 64], mask: &mut u64, run: u32) -> Option<u32> {
    if run > 0 {
        return Some(run - 1);
    }
    let mut k = band.first - 1;
    loop {
        cursor.refill(band.window);
        for _ in 0..5 {
            let symbol = band.table.next(cursor, band.window);
            k += symbol.advance();
            if k >= band.end {
                let run = band.run(cursor, symbol, k)?;
                return Some(run - 1);
            }
            values[k & 63] = (symbol.value() << band.low) as i16;
            *mask |= u64::from(symbol.magnitude() > 0) << k;
            if k + 1 == band.end {
                return Some(0);
            }
        }
    }
}

#[inline(always)]
fn refinement(band: &Band, cursor: &mut Cursor, values: &mut [i16; 64], mask: &mut u64, run: u32) -> Option<u32> {
    let (mut run, mut k, mut new) = (run, band.first, 0);
    let whole = u64::MAX >> (64 - band.end);
    while run == 0 && k < band.end {
        cursor.refill(band.window);
        let symbol = band.table.next(cursor, band.window);
        if symbol.advance() > 16 {
            run = band.run(cursor, symbol, symbol.advance())?;
            break;
        }
        if symbol.magnitude() > 1 {
            return None; // what is new has one bit yet (G.1.2.3)
        }
        // As many zeroes are skipped as the symbol says, and the other coefficients on the way get a bit each.
        let mut zeroes = !*mask & whole & u64::MAX << k;
        (1..symbol.advance()).for_each(|_| zeroes &= zeroes.wrapping_sub(1));
        let to = (zeroes.trailing_zeros() as usize).min(band.end);
        refine(band, cursor, values, *mask & u64::MAX << k & (whole >> (band.end - to)));
        if symbol.magnitude() > 0 {
            *values.get_mut(to).filter(|_| to < band.end)? = (symbol.value() << band.low) as i16;
            new |= 1 << to;
        }
        k = to + 1;
    }
    if run > 0 {
        if k < band.end {
            refine(band, cursor, values, *mask & whole & u64::MAX << k);
        }
        run -= 1;
    }
    *mask |= new;
    Some(run)
}

/// Read one more bit for each of these coefficients.
#[inline(always)]
fn refine(band: &Band, cursor: &mut Cursor, values: &mut [i16; 64], mut mask: u64) {
    while mask != 0 {
        cursor.refill(band.window);
        let mut bits = cursor.top();
        let mut count = 0;
        while mask != 0 && count < 56 {
            let k = mask.trailing_zeros() as usize & 63;
            mask &= mask - 1;
            let sign = values[k] >> 15;
            let step = ((bits >> 63) << band.low) as i16;
            values[k] = values[k].wrapping_add((step ^ sign).wrapping_sub(sign));
            bits <<= 1;
            count += 1;
        }
        cursor.skip(count);
    }
}
