//! A scan's blocks as Huffman symbols, until its tables are known.

use crate::bits::Writer;
use crate::blocks::Block;
use crate::huffman::{Encoder, bit_length, written};

const END_OF_BLOCK: usize = 0;
const ZEROES: usize = 0xf0;
/// Stands for the end of a block that is full; it has no code.
const FULL: u16 = 0x1000;
/// More than a block's symbols take: 64, and their values.
const BLOCK_WORDS: usize = 256;
/// Few in builds with checks, so that tests have pictures with too many.
const PIECE_WORDS: usize = if cfg!(debug_assertions) { 1 << 9 } else { 1 << 16 };
/// How many pieces of 128 KiB are kept at once: 8 MiB, the symbols of 25 megapixels or more, as a rule.
const MAX_PIECES: usize = if cfg!(debug_assertions) { 2 } else { 64 };

/// How often each symbol occurs, by table: DC luminance, DC chrominance, AC luminance, AC chrominance.
pub type Frequencies = [[u32; 256]; 4];

/// Symbols, to be written later: in each word the symbol and its value's bits, where more than 8 in a word of their
/// own. In pieces, none of which grows, so that they take no more memory than they need; a block's are in one piece.
pub struct Symbols {
    pieces: Vec<Vec<u16>>,
    words: Vec<u16>,
    used: usize,
    frequencies: Frequencies,
    /// There were too many to keep: they are only counted.
    is_over: bool,
}

impl Symbols {
    pub fn new() -> Self {
        Self { pieces: Vec::new(), words: Vec::new(), used: 0, frequencies: [[0; 256]; 4], is_over: false }
    }

    pub fn frequencies(&self) -> &Frequencies {
        &self.frequencies
    }

    /// Whether there were too many, so that what is kept is not all.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the present piece has no room for another block.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.words.len() < self.used + BLOCK_WORDS
    }

    /// Begin another piece; where there are too many, keep none.
    pub fn turn_over(&mut self) {
        self.is_over |= self.pieces.len() >= MAX_PIECES;
        if self.is_over {
            return self.forget();
        }
        let mut words = std::mem::replace(&mut self.words, vec![0; PIECE_WORDS]);
        words.truncate(std::mem::take(&mut self.used));
        self.pieces.push(words);
    }

    pub fn forget(&mut self) {
        self.pieces = Vec::new();
        self.used = 0;
    }

    /// A block of this kind: 0 for luminance, 1 for chrominance. `difference` is that of the DC value to the
    /// component's previous one, 11 bits at most. Only where there is room.
    #[inline(always)]
    pub fn push(&mut self, kind: usize, difference: i32, block: &Block) {
        let Self { words, used, frequencies, .. } = self;
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

    /// Write all that is kept, blocks of these kinds in turn, and forget it.
    pub fn write(&mut self, writer: &mut Writer, encoders: &[Encoder; 4], kinds: &mut impl Iterator<Item = usize>) {
        for piece in std::mem::take(&mut self.pieces) {
            write_words(&piece, writer, encoders, kinds);
        }
        write_words(&self.words[..self.used], writer, encoders, kinds);
        self.forget();
    }
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

fn write_words(words: &[u16], writer: &mut Writer, encoders: &[Encoder; 4], kinds: &mut impl Iterator<Item = usize>) {
    let mut words = words.iter().copied();
    while let Some(mut word) = words.next() {
        let kind = kinds.next().unwrap_or(0) & 1;
        let (mut pen, window) = writer.prepare();
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
        writer.pen = pen;
    }
}
