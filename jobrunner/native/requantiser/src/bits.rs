//! Bits in and bits out. Byte stuffing (FF 00) is taken out and put in by the block, 16 bytes at a time, so that
//! the loops over symbols never look for it. Both sides work in windows of a fixed size: nothing here grows with
//! the file but the output itself.

use crate::Error;

const FILL: usize = 32 * 1024;
/// One MCU is at most 10 blocks of 64 symbols of 31 bits; what is read past the end is thrown away afterwards.
const MCU_BYTES: usize = 10 * 64 * 4;
const WINDOW: usize = FILL + 2 * MCU_BYTES;

/// Entropy-coded bytes without stuffing.
pub type Window = [u8; WINDOW];

/// Where in the window the next bit is. Copied into local variables by the loops that matter.
#[derive(Clone, Copy, Default)]
pub struct Cursor {
    at: usize,
    /// The next bits, from the top; below `held` of them come bits that equal the window's at `at`.
    bits: u64,
    /// Modulo 64; the bits above mean nothing.
    held: u32,
}

impl Cursor {
    fn held(self) -> usize {
        (self.held & 63) as usize
    }

    /// At least 56 bits are held afterwards.
    #[inline(always)]
    pub fn refill(&mut self, window: &Window) {
        let next = window.get(self.at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_be_bytes(*b));
        self.bits |= next >> (self.held & 63);
        self.at += (!self.held >> 3 & 7) as usize;
        self.held |= 56;
    }

    #[inline(always)]
    pub fn peek(self, count: u32) -> usize {
        (self.bits >> (64 - count)) as usize
    }

    /// The next bits, from the top; as many as are held are right.
    #[inline(always)]
    pub fn top(self) -> u64 {
        self.bits
    }

    /// Of `count`, only the lowest 6 bits count.
    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.bits <<= count & 63;
        self.held = self.held.wrapping_sub(count);
    }

    /// `count` of 0..=16 bits; the caller has refilled.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u32 {
        let value = (self.bits >> 1 >> (63 - count)) as u32;
        self.skip(count);
        value
    }
}

/// The entropy-coded bytes of one scan, one restart interval after the other.
pub struct Scan<'a> {
    file: &'a [u8],
    /// The next byte of the file that is not in the window; after the end of an interval, that of its marker.
    at: usize,
    pub window: Box<Window>,
    filled: usize,
    is_ended: bool,
    pub cursor: Cursor,
}

impl<'a> Scan<'a> {
    pub fn new(file: &'a [u8], at: usize) -> Self {
        let window = Box::new([0; WINDOW]);
        Self { file, at, window, filled: 0, is_ended: false, cursor: Cursor::default() }
    }

    /// To be called before each MCU: all of it that there is will be in the window.
    #[inline(always)]
    pub fn prepare(&mut self) {
        if self.cursor.at + MCU_BYTES > self.filled && !self.is_ended {
            self.fill();
        }
    }

    #[cold]
    fn fill(&mut self) {
        let read = self.cursor.at.min(self.filled);
        self.window.copy_within(read..self.filled, 0);
        self.filled -= read;
        self.cursor.at = 0;
        while self.filled < FILL {
            let rest = self.file.get(self.at..).unwrap_or(&[]);
            if let Some(chunk) = rest.first_chunk::<16>() {
                let plain = before_ff(chunk);
                self.window[self.filled..self.filled + 16].copy_from_slice(chunk);
                self.filled += plain;
                self.at += plain;
                if plain > 0 {
                    continue;
                }
            }
            let (byte, length) = match *rest {
                [0xff, 0, ..] => (0xff, 2),
                [0xff, ..] | [] => {
                    self.is_ended = true;
                    return;
                }
                [byte, ..] => (byte, 1),
            };
            self.window[self.filled] = byte;
            self.filled += 1;
            self.at += length;
        }
    }

    /// To be called after each MCU.
    #[inline(always)]
    pub fn check(&self) -> Result<(), Error> {
        if self.cursor.at * 8 > self.filled * 8 + self.cursor.held() {
            return Err(self.overrun());
        }
        Ok(())
    }

    #[cold]
    fn overrun(&self) -> Error {
        Error::Truncated
    }

    /// The end of an interval: no whole byte may be left. Returns where its marker is.
    pub fn end(&mut self) -> Result<usize, Error> {
        self.prepare();
        if !self.is_ended || self.filled * 8 + self.cursor.held() >= self.cursor.at * 8 + 8 {
            return Err(Error::Damaged("a scan has data left over"));
        }
        Ok(self.at)
    }

    /// Go on after RST`number`.
    pub fn restart(&mut self, number: u8) -> Result<(), Error> {
        let mut at = self.end()?;
        while self.file.get(at + 1) == Some(&0xff) {
            at += 1; // fill bytes
        }
        match self.file.get(at + 1) {
            None | Some(0xd9) => return Err(Error::Truncated),
            Some(code) if *code == 0xd0 + (number & 7) => {}
            Some(_) => return Err(Error::Damaged("a restart marker is missing")),
        }
        self.at = at + 2;
        self.filled = 0;
        self.is_ended = false;
        self.cursor = Cursor::default();
        Ok(())
    }
}

/// How many bytes come before the first FF.
#[inline(always)]
fn before_ff(chunk: &[u8; 16]) -> usize {
    if !chunk.iter().fold(false, |any, byte| any | (*byte == 0xff)) {
        return 16;
    }
    let word = !u128::from_le_bytes(*chunk); // FF is 0 here: the usual way to find a word's first byte of 0
    let low = u128::MAX / 255;
    ((word.wrapping_sub(low) & !word & (low << 7)).trailing_zeros() / 8) as usize
}

const OUT_WINDOW: usize = 16 * 1024;
/// A block is at most 64 symbols of 27 bits.
const BLOCK_BYTES: usize = 64 * 4;

type OutWindow = [u8; OUT_WINDOW + 8];

/// Bits on their way out, without stuffing, and what is done already, with it.
pub struct Writer {
    pub out: Vec<u8>,
    window: Box<OutWindow>,
    pub pen: Pen,
}

/// Like `Cursor`, of the other side: fewer than 8 bits, from the top, are held between symbols.
#[derive(Clone, Copy, Default)]
pub struct Pen {
    at: usize,
    bits: u64,
    held: u32,
}

impl Pen {
    /// `entry` is a table's for a symbol, `value` its value, signed. Without branches: whether a byte is full is hard
    /// to foretell.
    #[inline(always)]
    pub fn put(&mut self, window: &mut OutWindow, entry: u64, value: i32) {
        let value = (value as u64) << (entry.wrapping_neg() & 63);
        self.bits |= ((entry & !0xff).wrapping_add(value)) >> (self.held & 63);
        self.held += entry as u32 & 63;
        let at = self.at & (OUT_WINDOW - 1);
        window[at..at + 8].copy_from_slice(&self.bits.to_be_bytes());
        self.at += (self.held >> 3) as usize;
        self.bits <<= self.held & 56;
        self.held &= 7;
    }
}

impl Writer {
    pub fn new(out: Vec<u8>) -> Self {
        Self { out, window: Box::new([0; OUT_WINDOW + 8]), pen: Pen::default() }
    }

    /// To be called before each block; hands out the parts, for local variables.
    #[inline(always)]
    pub fn prepare(&mut self) -> (Pen, &mut OutWindow) {
        if self.pen.at + BLOCK_BYTES > OUT_WINDOW {
            self.flush();
        }
        (self.pen, &mut self.window)
    }

    #[cold]
    fn flush(&mut self) {
        let mut rest = self.window.get(..self.pen.at).unwrap_or(&[]);
        while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
            if chunk.iter().fold(false, |any, byte| any | (*byte == 0xff)) {
                chunk.iter().for_each(|byte| stuff(&mut self.out, *byte));
            } else {
                self.out.extend_from_slice(chunk);
            }
            rest = after;
        }
        rest.iter().for_each(|byte| stuff(&mut self.out, *byte));
        self.pen.at = 0;
    }

    /// The end of a scan: pad with ones.
    pub fn finish(&mut self) {
        self.flush();
        if self.pen.held > 0 {
            let byte = (self.pen.bits >> 56) as u8 | 0xff >> self.pen.held;
            stuff(&mut self.out, byte);
        }
        self.pen = Pen::default();
    }
}

fn stuff(out: &mut Vec<u8>, byte: u8) {
    out.push(byte);
    if byte == 0xff {
        out.push(0);
    }
}
