//! The new file. A scan's blocks are kept as symbols until its best Huffman tables are known.

use crate::bits::Writer;
use crate::blocks::{Block, Scale};
use crate::huffman::{Encoder, best_codes, bit_length, written};
use crate::markers::{Header, push_codes, push_segment};
use crate::scans;
use crate::tables::{self, Codes};
use crate::turn::Turn;
use crate::{Error, Options};

const END_OF_BLOCK: usize = 0;
const ZEROES: usize = 0xf0;
/// Stands for the end of a block that is full; it has no code.
const FULL: u16 = 0x1000;
/// More than a block's symbols take: 64, and their values.
const BLOCK_WORDS: usize = 256;
const PIECE_WORDS: usize = 1 << 16;

/// Symbols, to be written later: in each word the symbol and its value's bits, where more than 8 in a word of their
/// own. In pieces, none of which grows, so that they take no more memory than they need; a block's are in one piece.
struct Symbols {
    full: Vec<Vec<u16>>,
    words: Vec<u16>,
    used: usize,
    /// By table: DC luminance, DC chrominance, AC luminance, AC chrominance.
    frequencies: [[u32; 256]; 4],
}

impl Symbols {
    fn new() -> Self {
        Self { full: Vec::new(), words: Vec::new(), used: 0, frequencies: [[0; 256]; 4] }
    }

    /// Begin another piece.
    #[cold]
    fn turn_over(&mut self) {
        let mut words = std::mem::replace(&mut self.words, vec![0; PIECE_WORDS]);
        words.truncate(std::mem::take(&mut self.used));
        self.full.push(words);
    }
}

pub struct Output {
    writer: Writer,
    /// The components' new quantisation tables.
    steps: Vec<[u16; 64]>,
    symbols: Symbols,
    /// The present scan's SOS segment, and its MCU's blocks' kinds: 0 for luminance, 1 for chrominance.
    scan: Vec<u8>,
    pattern: Vec<usize>,
}

/// A block's AC symbols, each with its value.
#[inline(always)]
fn each_symbol(block: &Block, mut take: impl FnMut(usize, i32)) {
    let mut last = 0;
    for item in block.items() {
        let k = usize::from(item.place);
        let mut run = k.wrapping_sub(last + 1);
        last = k;
        while run > 15 {
            take(ZEROES, 0);
            run -= 16;
        }
        let value = item.value();
        take((run << 4 | bit_length(value) as usize) & 255, value);
    }
    if last < 63 {
        take(END_OF_BLOCK, 0);
    }
}

impl Output {
    /// All of it before its first scan's tables.
    pub fn new(header: &Header, turn: Turn, capacity: usize, options: &Options) -> Result<Self, Error> {
        let steps = steps(header, turn, options.quality)?;
        let writer = Writer::new(head(header, &steps, turn, options.progressive, capacity));
        Ok(Self { writer, steps, symbols: Symbols::new(), scan: Vec::new(), pattern: Vec::new() })
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

    pub fn begin_scan(&mut self, scan: Vec<u8>, pattern: Vec<usize>) {
        (self.scan, self.pattern) = (scan, pattern);
    }

    /// `difference` is that of the DC value to the component's previous one, 11 bits at most.
    pub fn block(&mut self, kind: usize, difference: i32, block: &Block) {
        let symbols = &mut self.symbols;
        if symbols.words.len() < symbols.used + BLOCK_WORDS {
            symbols.turn_over();
        }
        let Symbols { words, used, frequencies, .. } = symbols;
        let Some(room) = words.get_mut(*used..).and_then(<[u16]>::first_chunk_mut::<BLOCK_WORDS>) else { return };
        let mut count = 0;
        let mut push = |symbol: usize, value: i32| {
            let size = symbol as u32 & 15;
            let bits = written(value, size);
            room[count & 255] = (symbol << 8) as u16 | if size <= 8 { bits as u16 } else { 0 };
            count += 1;
            if size > 8 {
                room[count & 255] = bits as u16;
                count += 1;
            }
        };
        let symbol = bit_length(difference) as usize & 255;
        frequencies[kind & 1][symbol] += 1;
        push(symbol, difference);
        let ac = &mut frequencies[2 + (kind & 1)];
        let mut is_full = true;
        each_symbol(block, |symbol, value| {
            ac[symbol] += 1;
            is_full = symbol != END_OF_BLOCK;
            push(symbol, value);
        });
        room[count & 255] = FULL;
        *used += count + usize::from(is_full);
    }

    pub fn end_scan(&mut self) {
        self.symbols.turn_over();
        let Symbols { full, frequencies, .. } = std::mem::replace(&mut self.symbols, Symbols::new());
        let codes = frequencies.map(|table| best_codes(&table));
        self.write_head(&codes);
        let encoders = codes.map(|codes| Encoder::with_values(&codes));
        let pattern = std::mem::take(&mut self.pattern);
        let mut kinds = pattern.iter().cycle();
        for piece in full {
            self.write_words(&piece, &encoders, &mut kinds);
        }
        self.writer.finish();
    }

    fn write_head(&mut self, codes: &[Codes; 4]) {
        for kind in (0..2).filter(|kind| self.pattern.contains(kind)) {
            push_codes(&mut self.writer.out, kind as u8, &codes[kind]);
            push_codes(&mut self.writer.out, 0x10 | kind as u8, &codes[2 + kind]);
        }
        push_segment(&mut self.writer.out, 0xda, &self.scan);
    }

    /// Write whole blocks, of these kinds in turn.
    fn write_words<'a>(&mut self, words: &[u16], encoders: &[Encoder; 4], kinds: &mut impl Iterator<Item = &'a usize>) {
        let mut words = words.iter().copied();
        while let Some(mut word) = words.next() {
            let kind = kinds.next().map_or(0, |kind| kind & 1);
            let (mut pen, window) = self.writer.prepare();
            let mut table = &encoders[kind].0;
            let mut is_dc = true;
            loop {
                let symbol = usize::from(word >> 8);
                let bits = if symbol & 15 <= 8 { word & 255 } else { words.next().unwrap_or(0) };
                pen.put(window, table[symbol], i32::from(bits)); // its bits are JPEG's already
                if !is_dc && (symbol == END_OF_BLOCK || word == FULL) {
                    break;
                }
                if is_dc {
                    table = &encoders[2 + kind].0;
                    is_dc = false;
                }
                let Some(next) = words.next() else { break };
                word = next;
            }
            self.writer.pen = pen;
        }
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        self.writer.out.extend_from_slice(b"\xff\xd9");
        self.writer.out
    }
}

/// The components' new quantisation tables: libjpeg's, nowhere finer than the old ones, for that would cost bytes for
/// nothing.
fn steps(header: &Header, turn: Turn, quality: u8) -> Result<Vec<[u16; 64]>, Error> {
    let wanted = tables::quantisers(quality);
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
