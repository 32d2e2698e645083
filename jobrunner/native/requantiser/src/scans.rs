//! The new file as a progressive one (G.1): scan by scan, each with Huffman tables of its own.

use crate::bits::Writer;
use crate::coefficients::Plane;
use crate::huffman::{Encoder, best_codes, bit_length, written};
use crate::markers::{push_codes, push_segment};
use crate::units::{Layout, Place};

/// A scan: of one component, or of all for DC; from which to which place; its lowest bit; whether that alone is new.
struct Pass {
    only: Option<usize>,
    first: usize,
    last: usize,
    low: u32,
    refines: bool,
}

/// What the scans are made from.
pub struct Picture<'a> {
    pub planes: &'a [Plane],
    pub ids: Vec<u8>,
    pub layout: Layout,
}

/// No run of blocks without anything new is longer (G.1.2.2).
const MAX_RUN: u32 = 0x7fff;
const ZEROES: u8 = 0xf0;

/// Append all scans, in the order that libjpeg uses: what is seen first comes first.
pub fn write(out: &mut Writer, picture: &Picture) {
    for pass in passes(&picture.layout.kinds) {
        let mut counts = Counts([[0; 256]; 2]);
        write_pass(picture, &pass, &mut counts);
        let encoders = write_head(out, picture, &pass, &counts.0);
        write_pass(picture, &pass, &mut Codes { out, encoders: &encoders });
        out.finish();
    }
}

fn write_pass(picture: &Picture, pass: &Pass, sink: &mut impl Sink) {
    let mut tokens = Tokens { sink, run: 0, pending: Vec::new(), table: 0 };
    match pass.only {
        None => dc(picture, pass, &mut tokens),
        Some(index) => ac(picture, pass, index, &mut tokens),
    }
    tokens.end_run();
}

fn passes(kinds: &[usize]) -> Vec<Pass> {
    let dc = |low, refines| Pass { only: None, first: 0, last: 0, low, refines };
    let ac = |index, first, last, low, refines| Pass { only: Some(index), first, last, low, refines };
    let (luma, chroma): (Vec<usize>, Vec<usize>) = (0..kinds.len()).partition(|index| kinds[*index] == 0);
    let mut found = vec![dc(1, false)];
    found.extend(luma.iter().map(|index| ac(*index, 1, 5, 2, false)));
    found.extend(chroma.iter().rev().map(|index| ac(*index, 1, 63, 1, false)));
    found.extend(luma.iter().map(|index| ac(*index, 6, 63, 2, false)));
    found.extend(luma.iter().map(|index| ac(*index, 1, 63, 1, true)));
    found.push(dc(0, true));
    found.extend(chroma.iter().rev().map(|index| ac(*index, 1, 63, 0, true)));
    found.extend(luma.iter().map(|index| ac(*index, 1, 63, 0, true)));
    found
}

/// What becomes of a scan's symbols, each with bits after it: its table is the first or the second.
trait Sink {
    fn symbol(&mut self, table: usize, symbol: u8, count: u32, bits: u32);
    /// A bit without a symbol.
    fn bit(&mut self, bit: bool);
}

/// Symbols are counted, so that none of them need be kept until the best Huffman tables are known.
struct Counts([[u32; 256]; 2]);

impl Sink for Counts {
    #[inline(always)]
    fn symbol(&mut self, table: usize, symbol: u8, _: u32, _: u32) {
        self.0[table & 1][usize::from(symbol)] += 1;
    }
    fn bit(&mut self, _: bool) {}
}

/// Symbols are written, with the codes of tables that are known by now.
struct Codes<'a> {
    out: &'a mut Writer,
    encoders: &'a [Encoder; 2],
}

impl Sink for Codes<'_> {
    #[inline(always)]
    fn symbol(&mut self, table: usize, symbol: u8, count: u32, bits: u32) {
        let (mut pen, window) = self.out.prepare();
        pen.put(window, self.encoders[table & 1].0[usize::from(symbol)], 0);
        pen.put(window, u64::from(count), bits as i32);
        self.out.pen = pen;
    }
    #[inline(always)]
    fn bit(&mut self, bit: bool) {
        let (mut pen, window) = self.out.prepare();
        pen.put(window, 1, i32::from(bit));
        self.out.pen = pen;
    }
}

struct Tokens<'a, S: Sink> {
    sink: &'a mut S,
    /// Of how many blocks nothing more comes, and the bits that refine what is known in them.
    run: u32,
    pending: Vec<bool>,
    table: usize,
}

impl<S: Sink> Tokens<'_, S> {
    #[inline(always)]
    fn push(&mut self, symbol: u8, count: u32, bits: u32) {
        self.sink.symbol(self.table, symbol, count, bits);
    }

    #[inline(always)]
    fn push_bit(&mut self, bit: bool) {
        self.sink.bit(bit);
    }

    fn end_run(&mut self) {
        if self.run > 0 {
            let count = self.run.ilog2();
            self.push((count << 4) as u8, count, self.run - (1 << count));
            self.run = 0;
        }
        let Self { sink, pending, .. } = self;
        pending.drain(..).for_each(|bit| sink.bit(bit));
    }
}

fn dc(picture: &Picture, pass: &Pass, tokens: &mut Tokens<impl Sink>) {
    let mut previous = vec![0_i32; picture.layout.kinds.len()];
    for row in 0..picture.layout.mcus.1 {
        for column in 0..picture.layout.mcus.0 {
            for unit in &picture.layout.units {
                let (part, place) = (unit.part, Place { unit, column, row });
                tokens.table = picture.layout.kinds[part];
                let is_inside = place.x() < picture.layout.edges[part].0 && place.y() < picture.layout.edges[part].1;
                let value = picture.planes[part].value(place.x(), place.y());
                if pass.refines {
                    tokens.push_bit(is_inside && value >> pass.low & 1 == 1);
                    continue;
                }
                let value = if is_inside { value >> pass.low } else { previous[part] };
                let difference = value - previous[part];
                previous[part] = value;
                let size = bit_length(difference);
                tokens.push(size as u8, size, written(difference, size));
            }
        }
    }
}

fn ac(picture: &Picture, pass: &Pass, index: usize, tokens: &mut Tokens<impl Sink>) {
    let (columns, rows) = picture.layout.edges[index];
    let plane = &picture.planes[index];
    for row in 0..rows {
        for column in 0..columns {
            let Some((values, mask)) = plane.block(row * plane.columns + column) else { continue };
            // What is 0 in all of the band needs no look.
            let band = *mask & (u64::MAX << pass.first) & (u64::MAX >> (63 - pass.last));
            if pass.refines {
                refined(values, band, pass, tokens)
            } else {
                begun(values, band, pass, tokens)
            }
            if tokens.run == MAX_RUN || tokens.pending.len() > 900 {
                tokens.end_run();
            }
        }
    }
}

/// A block's coefficients down to the lowest bit of the pass (G.1.2.2).
fn begun(values: &[i16; 64], mut band: u64, pass: &Pass, tokens: &mut Tokens<impl Sink>) {
    let mut next = pass.first;
    while band != 0 {
        let k = band.trailing_zeros() as usize & 63;
        band &= band - 1;
        let value = i32::from(values[k]);
        let magnitude = value.unsigned_abs() >> pass.low;
        if magnitude == 0 {
            continue;
        }
        tokens.end_run();
        let mut zeroes = k - next;
        while zeroes > 15 {
            tokens.push(ZEROES, 0, 0);
            zeroes -= 16;
        }
        let signed = if value < 0 { -(magnitude as i32) } else { magnitude as i32 };
        let size = bit_length(signed);
        tokens.push((zeroes << 4) as u8 | size as u8, size, written(signed, size));
        next = k + 1;
    }
    tokens.run += u32::from(next <= pass.last);
}

/// One more bit of a block's coefficients (G.1.2.3).
fn refined(values: &[i16; 64], mut band: u64, pass: &Pass, tokens: &mut Tokens<impl Sink>) {
    let magnitude = |k: usize| u32::from(values[k].unsigned_abs()) >> pass.low;
    let last_new = (pass.first..=pass.last).rev().find(|k| magnitude(*k) == 1);
    let (mut zeroes, mut next, mut known) = (0, pass.first, Vec::new());
    while band != 0 {
        let k = band.trailing_zeros() as usize & 63;
        band &= band - 1;
        let value = magnitude(k);
        if value == 0 {
            continue;
        }
        zeroes += k - next;
        next = k + 1;
        while zeroes > 15 && last_new.is_some_and(|last| k <= last) {
            tokens.end_run();
            tokens.push(ZEROES, 0, 0);
            zeroes -= 16;
            known.drain(..).for_each(|bit| tokens.push_bit(bit));
        }
        if value > 1 {
            known.push(value & 1 == 1);
            continue;
        }
        tokens.end_run();
        tokens.push((zeroes << 4) as u8 | 1, 1, u32::from(values[k] > 0));
        known.drain(..).for_each(|bit| tokens.push_bit(bit));
        zeroes = 0;
    }
    if zeroes > 0 || next <= pass.last || !known.is_empty() {
        tokens.run += 1;
        tokens.pending.append(&mut known);
    }
}

/// Write a scan's best tables and its header.
fn write_head(out: &mut Writer, picture: &Picture, pass: &Pass, frequencies: &[[u32; 256]; 2]) -> [Encoder; 2] {
    let class = if pass.only.is_some() { 0x10 } else { 0 };
    let codes = frequencies.map(|table| best_codes(&table));
    for (number, codes) in (0_u8..).zip(&codes) {
        if !codes.symbols.is_empty() {
            push_codes(&mut out.out, class | number, codes);
        }
    }
    push_segment(&mut out.out, 0xda, &scan_head(picture, pass));
    codes.map(|codes| Encoder::of_symbols(&codes))
}

fn scan_head(picture: &Picture, pass: &Pass) -> Vec<u8> {
    let indices = pass.only.map_or_else(|| (0..picture.ids.len()).collect(), |index| vec![index]);
    let mut body = vec![indices.len() as u8];
    for index in indices {
        let table = if pass.only.is_some() { 0 } else { (picture.layout.kinds[index] << 4) as u8 };
        body.extend_from_slice(&[picture.ids[index], table]);
    }
    let high = if pass.refines { pass.low as u8 + 1 } else { 0 };
    body.extend_from_slice(&[pass.first as u8, pass.last as u8, high << 4 | pass.low as u8]);
    body
}
