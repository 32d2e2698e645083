//! The new file. A scan's blocks are kept as symbols until its best Huffman tables are known.

use crate::bits::Writer;
use crate::blocks::{Block, Scale};
use crate::huffman::{Encoder, best_codes};
use crate::markers::{Header, push_codes, push_segment};
use crate::scans;
use crate::symbols::Symbols;
use crate::tables::{self, Codes};
use crate::turn::Turn;
use crate::{Error, Options};

pub struct Output {
    writer: Writer,
    /// The components' new quantisation tables.
    steps: Vec<[u16; 64]>,
    symbols: Symbols,
    scan: Scan,
}

/// The present scan: its SOS segment; its MCU's blocks' kinds, 0 for luminance, 1 for chrominance, and which of them is
/// to be written next; and its tables, once they are known.
#[derive(Default)]
struct Scan {
    head: Vec<u8>,
    pattern: Vec<usize>,
    next: usize,
    encoders: Option<Box<[Encoder; 4]>>,
}

impl Output {
    /// All of it before its first scan's tables.
    pub fn new(header: &Header, turn: Turn, capacity: usize, options: &Options) -> Result<Self, Error> {
        let steps = steps(header, turn, options.quality_tenths)?;
        let writer = Writer::new(head(header, &steps, turn, options.progressive, capacity));
        Ok(Self { writer, steps, symbols: Symbols::new(), scan: Scan::default() })
    }

    /// From a component's old coefficients, turned, to its new ones.
    pub fn scale(&self, header: &Header, index: usize, turn: Turn, options: &Options) -> Result<Scale, Error> {
        let old = old_steps(header, index, turn)?;
        let rounding = (1000 - u64::from(options.rounds_up_from.clamp(1, 1000))) * (1 << 32) / 1000;
        Ok(Scale::new(&old, &self.steps[index], rounding))
    }

    /// All scans of a progressive file.
    pub fn write_scans(&mut self, picture: &scans::Picture) {
        scans::write(&mut self.writer, picture);
    }

    /// Write a scan of blocks of these kinds in turn. `blocks` hands all of them to `block`: once, or twice where their
    /// symbols are too many to be kept until the best Huffman tables are known.
    #[inline(always)]
    pub fn scan<T>(
        &mut self, head: Vec<u8>, pattern: Vec<usize>, mut blocks: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.scan = Scan { head, pattern, ..Scan::default() };
        self.symbols = Symbols::new();
        loop {
            let found = blocks(self)?;
            if self.scan.encoders.is_some() || !self.symbols.is_over() {
                self.end_scan();
                return Ok(found);
            }
            self.symbols.forget();
            self.settle();
        }
    }

    /// `difference` is that of the DC value to the component's previous one, 11 bits at most.
    pub fn block(&mut self, kind: usize, difference: i32, block: &Block) {
        if self.symbols.is_full() {
            self.make_room();
        }
        self.symbols.push(kind, difference, block);
    }

    #[cold]
    fn make_room(&mut self) {
        if self.scan.encoders.is_some() { self.write_symbols() } else { self.symbols.turn_over() }
    }

    fn end_scan(&mut self) {
        if self.scan.encoders.is_none() {
            self.settle();
        }
        self.write_symbols();
        self.writer.finish();
    }

    /// Write the best tables for what was counted.
    fn settle(&mut self) {
        let codes = self.symbols.frequencies().map(|table| best_codes(&table));
        self.write_head(&codes);
        self.scan.encoders = Some(Box::new(codes.map(|codes| Encoder::with_values(&codes))));
    }

    fn write_symbols(&mut self) {
        let Scan { pattern, next, encoders: Some(encoders), .. } = &mut self.scan else { return };
        let mut kinds = std::iter::from_fn(|| {
            let kind = pattern.get(*next).copied();
            *next = if *next + 1 < pattern.len() { *next + 1 } else { 0 };
            kind
        });
        self.symbols.write(&mut self.writer, encoders, &mut kinds);
    }

    fn write_head(&mut self, codes: &[Codes; 4]) {
        for kind in (0..2).filter(|kind| self.scan.pattern.contains(kind)) {
            push_codes(&mut self.writer.out, kind as u8, &codes[kind]);
            push_codes(&mut self.writer.out, 0x10 | kind as u8, &codes[2 + kind]);
        }
        push_segment(&mut self.writer.out, 0xda, &self.scan.head);
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        self.writer.out.extend_from_slice(b"\xff\xd9");
        self.writer.out
    }
}

/// The components' new quantisation tables: nowhere finer than the old ones, for that would cost bytes for nothing.
fn steps(header: &Header, turn: Turn, quality_tenths: u16) -> Result<Vec<[u16; 64]>, Error> {
    let wanted = tables::quantisers(quality_tenths);
    let coarser = |index| {
        let old = old_steps(header, index, turn)?;
        let wanted = &wanted[header.kind(index)];
        Ok(std::array::from_fn(|k| old[k].max(wanted[k]).min(255)))
    };
    (0..header.components.len()).map(coarser).collect()
}

fn old_steps(header: &Header, index: usize, turn: Turn) -> Result<[u16; 64], Error> {
    let old = header.step_sizes(index).ok_or(Error::Unsupported("a quantisation table is missing"))?;
    Ok(turn.places().sources.map(|(from, _)| old[from]))
}

/// All of the new file before its first scan's tables.
fn head(header: &Header, steps: &[[u16; 64]], turn: Turn, is_progressive: bool, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity + 1024);
    out.extend_from_slice(b"\xff\xd8");
    if let Some([unit, a, b, c, d]) = header.density {
        push_segment(&mut out, 0xe0, &[b'J', b'F', b'I', b'F', 0, 1, 1, unit, a, b, c, d, 0, 0]);
    }
    header.kept.iter().for_each(|segment| out.extend_from_slice(segment));
    // A table has the number of the first component with it.
    let number = |index: usize| steps.iter().position(|table| *table == steps[index]).unwrap_or(index);
    for (index, table) in steps.iter().enumerate().filter(|(index, _)| number(*index) == *index) {
        let mut body = vec![index as u8];
        body.extend(table.iter().map(|value| *value as u8));
        push_segment(&mut out, 0xdb, &body);
    }
    let (width, height) = turn.turned((header.width, header.height));
    let [h1, h0] = (height as u16).to_be_bytes();
    let [w1, w0] = (width as u16).to_be_bytes();
    let mut frame = vec![8, h1, h0, w1, w0, header.components.len() as u8];
    for (i, c) in header.components.iter().enumerate() {
        let (across, down) = turn.turned((c.across, c.down));
        frame.extend_from_slice(&[c.id, (across << 4 | down) as u8, number(i) as u8]);
    }
    push_segment(&mut out, if is_progressive { 0xc2 } else { 0xc0 }, &frame);
    out
}

/// An SOS segment's body for these components.
pub fn scan_head(header: &Header, indices: impl ExactSizeIterator<Item = usize>) -> Vec<u8> {
    let mut body = vec![indices.len() as u8];
    indices.for_each(|i| body.extend_from_slice(&[header.components[i].id, header.kind(i) as u8 * 0x11]));
    body.extend_from_slice(&[0, 63, 0]);
    body
}
