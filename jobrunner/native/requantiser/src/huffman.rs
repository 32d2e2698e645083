//! Huffman tables: for decoding (run, size and, for short codes, the value in one look-up), for encoding, and the
//! best ones for given frequencies.

use crate::Error;
use crate::bits::{Cursor, Window};
use crate::tables::Codes;

/// A decoded symbol, packed: bits 0-5 how many bits to skip, bit 6 `SLOW`, bit 7 whether the value is negative (with
/// `SLOW`: `WIDE`), bits 8-15 by how much the place in the block grows, bits 16-31 the value's magnitude (with
/// `SLOW`: its number of bits).
#[derive(Clone, Copy)]
pub struct Symbol(pub u32);

/// Anything that the look-up alone does not settle.
const SLOW: u32 = 0x40;
pub const NEGATIVE: u32 = 0x80;
/// The code is known but the value did not fit into the look-up.
const WIDE: u32 = 0x80;

/// From any place below 64, an end of block leads to 80..=142.
pub const END_OF_BLOCK: u32 = 80;
/// From any place below 64, a code that does not exist leads to 160 or more.
const NO_CODE: Symbol = Symbol(160 << 8);

impl Symbol {
    const fn new(skip: u32, advance: u32, value: i32) -> Self {
        Self(skip | advance << 8 | value.unsigned_abs() << 16 | if value < 0 { NEGATIVE } else { 0 })
    }
    #[inline(always)]
    pub fn advance(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }
    #[inline(always)]
    pub fn magnitude(self) -> u32 {
        self.0 >> 16
    }
    #[inline(always)]
    pub fn value(self) -> i32 {
        let sign = 0_i32.wrapping_sub((self.0 >> 7 & 1) as i32);
        (self.magnitude() as i32 ^ sign) - sign
    }
    /// Progressive files' EOBn, n > 0: how many bits of the run's length follow.
    pub fn end_of_band(self) -> Option<u32> {
        (self.0 & 0xffff == END_OF_BLOCK << 8 | SLOW).then(|| self.magnitude())
    }
}

const LOOKUP: u32 = 11;

/// A table for decoding.
pub struct Decoder {
    lookup: [Symbol; 1 << LOOKUP],
    /// For lengths above `LOOKUP`: the first code beyond, left-aligned in 16 bits, and symbol index minus code.
    beyond: [u32; 17],
    offset: [i32; 17],
    symbols: Vec<u8>,
    is_dc: bool,
}

/// The value of `size` bits, as JPEG writes it.
#[inline(always)]
fn extended(bits: u32, size: u32) -> i32 {
    let is_negative = size > 0 && bits >> (size - 1) == 0;
    bits as i32 - if is_negative { (1 << size) - 1 } else { 0 }
}

impl Decoder {
    pub fn new(codes: &Codes, is_dc: bool) -> Result<Box<Self>, Error> {
        let mut table = Box::new(Self {
            lookup: [Symbol(SLOW); 1 << LOOKUP],
            beyond: [0; 17],
            offset: [0; 17],
            symbols: codes.symbols.clone(),
            is_dc,
        });
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(codes.counts[length as usize - 1]);
            table.offset[length as usize] = index as i32 - code as i32;
            if code + count > 1 << length {
                return Err(Error::Unsupported("a Huffman table has too many codes"));
            }
            for _ in 0..count {
                let symbol = *codes.symbols.get(index).ok_or(Error::Unsupported("a Huffman table is short"))?;
                if is_dc && symbol > 15 {
                    return Err(Error::Unsupported("a DC table has a symbol above 15"));
                }
                if length <= LOOKUP {
                    table.enter(code, length, symbol);
                }
                code += 1;
                index += 1;
            }
            table.beyond[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Run and size of a symbol as (advance, size); an AC size of 0 ends the block but for F0.
    fn parts(&self, symbol: u8) -> (u32, u32) {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (self.is_dc, run, size) {
            (true, ..) => (0, size),
            (false, 15, 0) => (16, 0),
            (false, _, 0) => (END_OF_BLOCK, run),
            (false, ..) => (run + 1, size),
        }
    }

    fn enter(&mut self, code: u32, length: u32, symbol: u8) {
        let (advance, size) = self.parts(symbol);
        let first = (code << (LOOKUP - length)) as usize;
        let entries = &mut self.lookup[first..first + (1 << (LOOKUP - length))];
        if advance == END_OF_BLOCK && size > 0 || length + size > LOOKUP {
            entries.fill(Symbol(length | advance << 8 | size << 16 | SLOW | WIDE));
            return;
        }
        let free = LOOKUP - length - size;
        for (bits, entry) in entries.iter_mut().enumerate() {
            *entry = Symbol::new(length + size, advance, extended(bits as u32 >> free, size));
        }
    }

    /// The next symbol, with its value. Needs `LOOKUP` bits in the cursor.
    #[inline(always)]
    pub fn next(&self, cursor: &mut Cursor, window: &Window) -> Symbol {
        let mut symbol = self.lookup[cursor.peek(LOOKUP)];
        if symbol.0 & SLOW != 0 {
            (symbol, *cursor) = self.slow(*cursor, window);
        } else {
            cursor.skip(symbol.0);
        }
        symbol
    }

    #[inline(never)]
    fn slow(&self, mut cursor: Cursor, window: &Window) -> (Symbol, Cursor) {
        cursor.refill(window);
        let entry = self.lookup[cursor.peek(LOOKUP)];
        let (advance, size) = if entry.0 & WIDE != 0 {
            cursor.skip(entry.0);
            (entry.advance() as u32, entry.magnitude())
        } else {
            let code = cursor.peek(16) as u32;
            let Some(length) = (LOOKUP + 1..=16).find(|length| code < self.beyond[*length as usize]) else {
                return (NO_CODE, cursor);
            };
            cursor.skip(length);
            let index = (code >> (16 - length)) as i32 + self.offset[length as usize];
            self.parts(self.symbols.get(index as usize).copied().unwrap_or(0))
        };
        if advance == END_OF_BLOCK {
            return (Symbol(advance << 8 | size << 16 | if size > 0 { SLOW } else { 0 }), cursor);
        }
        let value = extended(cursor.take(size), size);
        cursor.refill(window); // as the callers count on the bits that they had
        (Symbol::new(0, advance, value), cursor)
    }
}

/// A table for encoding: by symbol, the code from the top bit on, and in the lowest byte the length of the code and of
/// the bits that are put with it. Those are added to an entry, shifted left so that they end where its length says.
pub struct Encoder(pub [u64; 256]);

impl Encoder {
    /// For symbols each put together with its value, whose size is in their low 4 bits.
    pub fn with_values(codes: &Codes) -> Self {
        Self::new(codes, |symbol| u32::from(symbol & 15))
    }

    /// For symbols put alone.
    pub fn of_symbols(codes: &Codes) -> Self {
        Self::new(codes, |_| 0)
    }

    fn new(codes: &Codes, bits: impl Fn(u8) -> u32) -> Self {
        let mut table = Self([0; 256]);
        let (mut code, mut symbols) = (0_u64, codes.symbols.iter());
        for (length, count) in (1_u32..).zip(codes.counts) {
            for symbol in symbols.by_ref().take(usize::from(count)) {
                table.0[usize::from(*symbol)] = code << (64 - length) | u64::from(length + bits(*symbol));
                code += 1;
            }
            code <<= 1;
        }
        table
    }
}

/// How many bits JPEG writes a value with (F.1.2.1.1).
#[inline(always)]
pub fn bit_length(value: i32) -> u32 {
    (value.unsigned_abs() << 1 | 1).ilog2()
}

/// A value's `size` bits as JPEG writes them.
#[inline(always)]
pub fn written(value: i32, size: u32) -> u32 {
    (value + (value >> 31)) as u32 & ((1 << size) - 1)
}

/// The best table for these frequencies: Huffman's, with T.81's K.3 to keep codes at 16 bits.
pub fn best_codes(frequencies: &[u32; 256]) -> Codes {
    // A symbol of its own of frequency 0 takes the code of all ones, which JPEG forbids.
    let mut leaves: Vec<(u64, usize)> = vec![(0, 256)];
    leaves.extend((0..256).filter(|s| frequencies[*s] > 0).map(|s| (u64::from(frequencies[s]), s)));
    leaves.sort_unstable_by_key(|(weight, symbol)| (*weight, usize::MAX - symbol));
    let count = leaves.len();
    // Two queues: leaves by weight, and inner nodes, which come in order of weight by themselves.
    let mut weights: Vec<u64> = leaves.iter().map(|(weight, _)| *weight).collect();
    let mut parents = vec![0_usize; 2 * count];
    let (mut leaf, mut inner) = (0, count);
    for node in count..2 * count - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            let takes_leaf = leaf < count && (inner >= node || weights[leaf] <= weights[inner]);
            let child = if takes_leaf { &mut leaf } else { &mut inner };
            sum += weights[*child];
            parents[*child] = node;
            *child += 1;
        }
        weights.push(sum);
    }
    let mut depths = vec![0_usize; 2 * count];
    let mut lengths = vec![0_usize; count + 2];
    for node in (0..(2 * count - 2)).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < count {
            lengths[depths[node]] += 1;
        }
    }
    if count == 1 {
        lengths[1] = 1;
    }
    for long in (17..lengths.len()).rev() {
        while lengths[long] > 0 {
            let short = (1..long - 1).rev().find(|l| lengths[*l] > 0).unwrap_or(1);
            lengths[long] -= 2;
            lengths[long - 1] += 1;
            lengths[short + 1] += 2;
            lengths[short] -= 1;
        }
    }
    if let Some(longest) = lengths.iter().rposition(|n| *n > 0) {
        lengths[longest] -= 1; // the symbol of our own
    }
    let counts = std::array::from_fn(|i| lengths.get(i + 1).map_or(0, |n| *n as u8));
    Codes { counts, symbols: leaves.iter().rev().map(|(_, s)| *s as u8).take(count - 1).collect() }
}
