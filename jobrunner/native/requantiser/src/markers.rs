//! The file around the pictures' data: reading its segments, and writing ours.

use crate::Error;
use crate::huffman::Decoder;
use crate::tables::Codes;

/// One of the picture's components. Blocks are 8 x 8 samples.
#[derive(Clone, Copy)]
pub struct Component {
    pub id: u8,
    pub across: usize,
    pub down: usize,
    quantiser: usize,
    /// The old quantisation table, in zigzag order, once a scan has used it.
    pub quantisers: Option<[u16; 64]>,
    /// How many blocks have something of the picture in them.
    pub columns: usize,
    pub rows: usize,
}

/// What a scan's header says.
pub struct ScanHeader {
    /// For each component: its index, its DC table, its AC table.
    pub parts: Vec<(usize, usize, usize)>,
    pub first: u8,
    pub last: u8,
    pub high: u8,
    pub low: u8,
    /// Where its data begins.
    pub at: usize,
}

/// All that has been read so far.
pub struct Header<'a> {
    file: &'a [u8],
    at: usize,
    pub width: usize,
    pub height: usize,
    pub components: Vec<Component>,
    pub is_progressive: bool,
    pub mcu_columns: usize,
    pub mcu_rows: usize,
    pub across: usize,
    pub down: usize,
    pub restart_interval: usize,
    pub dc: [Option<Box<Decoder>>; 4],
    pub ac: [Option<Box<Decoder>>; 4],
    quantisers: [Option<[u16; 64]>; 4],
    /// The segments to keep, whole: colour profiles, and how to read the colours.
    pub kept: Vec<&'a [u8]>,
    /// JFIF's unit and densities.
    pub density: Option<[u8; 5]>,
    pub adobe_transform: Option<u8>,
}

const CORRUPT: Error = Error::Unsupported("a segment is damaged");

impl<'a> Header<'a> {
    pub fn new(file: &'a [u8]) -> Result<Self, Error> {
        if !file.starts_with(b"\xff\xd8") {
            return Err(Error::Unsupported("it is no JPEG"));
        }
        let none = || [const { None }; 4];
        Ok(Self {
            file,
            at: 2,
            width: 0,
            height: 0,
            components: Vec::new(),
            is_progressive: false,
            mcu_columns: 0,
            mcu_rows: 0,
            across: 1,
            down: 1,
            restart_interval: 0,
            dc: none(),
            ac: none(),
            quantisers: [None; 4],
            kept: Vec::new(),
            density: None,
            adobe_transform: None,
        })
    }

    /// Read on, to the next scan or the end of the image. `at` is where to go on, after a scan.
    pub fn next_scan(&mut self, at: Option<usize>) -> Result<Option<ScanHeader>, Error> {
        self.at = at.unwrap_or(self.at);
        loop {
            let start = self.at;
            let (code, body) = self.segment()?;
            match code {
                0xd9 => return Ok(None),
                0xda => return self.scan(body).map(Some),
                0xc4 => self.huffman_tables(body)?,
                0xdb => self.quantisation_tables(body)?,
                0xdd => self.restart_interval = usize::from(u16::from_be_bytes(body.try_into().map_err(|_| CORRUPT)?)),
                0xc0..=0xc2 => self.frame(code, body)?,
                0xc3 | 0xc5..=0xcf => return Err(Error::Unsupported("its kind of coding")),
                0xe0 if body.starts_with(b"JFIF\0") => self.density = body.get(7..12).and_then(|d| d.try_into().ok()),
                0xe0..=0xef | 0xfe => {
                    let is_adobe = code == 0xee && body.starts_with(b"Adobe") && body.len() >= 12;
                    if is_adobe {
                        self.adobe_transform = Some(body[11]);
                    }
                    if is_adobe || code == 0xe2 && body.starts_with(b"ICC_PROFILE\0") {
                        self.kept.push(&self.file[start..self.at]);
                    }
                }
                _ => return Err(Error::Unsupported("one of its segments")),
            }
        }
    }

    /// The next segment: its marker's code and what is in it.
    fn segment(&mut self) -> Result<(u8, &'a [u8]), Error> {
        let rest = self.file.get(self.at..).unwrap_or(&[]);
        let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
        match (fill, rest.get(fill)) {
            (_, None) => return Err(Error::Truncated),
            (0, Some(_)) | (_, Some(0)) => return Err(Error::Unsupported("there is no marker where one belongs")),
            (_, Some(0xd9)) => return Ok((0xd9, &[])),
            _ => {}
        }
        let [code, high, low, ..] = *rest.get(fill..).unwrap_or(&[]) else { return Err(Error::Truncated) };
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2).ok_or(CORRUPT)?;
        let body = rest[fill + 3..].get(..length).ok_or(Error::Truncated)?;
        self.at += fill + 3 + length;
        Ok((code, body))
    }

    fn huffman_tables(&mut self, mut body: &[u8]) -> Result<(), Error> {
        while let Some((head, rest)) = body.split_first_chunk::<17>() {
            let counts: [u8; 16] = std::array::from_fn(|i| head[i + 1]);
            let total = counts.iter().map(|n| usize::from(*n)).sum();
            let symbols = rest.get(..total).ok_or(CORRUPT)?.to_vec();
            body = &rest[total..];
            let (is_dc, number) = (head[0] < 16, usize::from(head[0] & 15));
            let tables = if is_dc { &mut self.dc } else { &mut self.ac };
            let place = tables.get_mut(number).filter(|_| head[0] < 32).ok_or(CORRUPT)?;
            *place = Some(Decoder::new(&Codes { counts, symbols }, is_dc)?);
        }
        if body.is_empty() { Ok(()) } else { Err(CORRUPT) }
    }

    fn quantisation_tables(&mut self, mut body: &[u8]) -> Result<(), Error> {
        while let Some((head, rest)) = body.split_first() {
            let (is_wide, number) = (head >> 4, usize::from(head & 15));
            let (values, after) = rest.split_at_checked(if is_wide == 0 { 64 } else { 128 }).ok_or(CORRUPT)?;
            let table: [u16; 64] = std::array::from_fn(|k| match is_wide {
                0 => u16::from(values[k]),
                _ => u16::from_be_bytes([values[2 * k], values[2 * k + 1]]),
            });
            if is_wide > 1 || number > 3 || table.contains(&0) {
                return Err(CORRUPT);
            }
            self.quantisers[number] = Some(table);
            body = after;
        }
        Ok(())
    }

    fn frame(&mut self, code: u8, body: &[u8]) -> Result<(), Error> {
        let Some(([bits, h1, h0, w1, w0, count], parts)) = body.split_first_chunk::<6>() else { return Err(CORRUPT) };
        self.height = usize::from(u16::from_be_bytes([*h1, *h0]));
        self.width = usize::from(u16::from_be_bytes([*w1, *w0]));
        if *bits != 8 || self.height == 0 {
            return Err(Error::Unsupported("its depth or its way to tell the height"));
        }
        if !self.components.is_empty() || self.width == 0 || parts.len() != 3 * usize::from(*count) {
            return Err(CORRUPT);
        }
        if ![1, 3, 4].contains(count) {
            return Err(Error::Unsupported("its number of components"));
        }
        self.is_progressive = code == 0xc2;
        for part in parts.chunks_exact(3) {
            let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || part[2] > 3 {
                return Err(CORRUPT);
            }
            if self.components.iter().any(|c| c.id == part[0]) {
                return Err(CORRUPT);
            }
            self.components.push(Component {
                id: part[0],
                across,
                down,
                quantiser: usize::from(part[2]),
                quantisers: None,
                columns: 0,
                rows: 0,
            });
        }
        self.across = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        self.down = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        self.mcu_columns = self.width.div_ceil(8 * self.across);
        self.mcu_rows = self.height.div_ceil(8 * self.down);
        for c in &mut self.components {
            c.columns = (self.width * c.across).div_ceil(8 * self.across);
            c.rows = (self.height * c.down).div_ceil(8 * self.down);
        }
        Ok(())
    }

    fn scan(&mut self, body: &[u8]) -> Result<ScanHeader, Error> {
        let count = usize::from(*body.first().ok_or(CORRUPT)?);
        let [first, last, steps] = *body.get(1 + 2 * count..).unwrap_or(&[]) else { return Err(CORRUPT) };
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for pair in body[1..1 + 2 * count].chunks_exact(2) {
            let index = self.components.iter().position(|c| c.id == pair[0]).ok_or(CORRUPT)?;
            let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
            if dc > 3 || ac > 3 || parts.iter().any(|(other, ..)| *other >= index) {
                return Err(CORRUPT);
            }
            let component = &mut self.components[index];
            if component.quantisers.is_none() {
                component.quantisers = Some(self.quantisers[component.quantiser].ok_or(CORRUPT)?);
            }
            parts.push((index, dc, ac));
        }
        let blocks: usize = parts.iter().map(|p| self.components[p.0].across * self.components[p.0].down).sum();
        let is_whole = first == 0 && last == 63 && steps == 0;
        if parts.is_empty() || parts.len() > 1 && blocks > 10 || !self.is_progressive && !is_whole {
            return Err(CORRUPT);
        }
        Ok(ScanHeader { parts, first, last, high: steps >> 4, low: steps & 15, at: self.at })
    }

    /// The quantisation table that a component has, or will have as far as is known by now.
    pub fn step_sizes(&self, index: usize) -> Option<[u16; 64]> {
        let component = &self.components[index];
        component.quantisers.or(self.quantisers[component.quantiser])
    }

    /// Which of our two kinds of tables a component gets: 0 for luminance and all that is no chrominance.
    pub fn kind(&self, index: usize) -> usize {
        let is_rgb = self.density.is_none()
            && (self.adobe_transform == Some(0)
                || self.adobe_transform.is_none() && self.components.iter().map(|c| c.id).eq(*b"RGB"));
        let has_chroma = match self.components.len() {
            3 => !is_rgb,
            4 => self.adobe_transform == Some(2),
            _ => false,
        };
        usize::from(has_chroma && (index == 1 || index == 2))
    }
}

/// Append a segment.
pub fn push_segment(out: &mut Vec<u8>, code: u8, body: &[u8]) {
    out.extend_from_slice(&[0xff, code]);
    out.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(body);
}

/// Append a DHT segment's table.
pub fn push_codes(out: &mut Vec<u8>, class_and_number: u8, codes: &Codes) {
    let mut body = vec![class_and_number];
    body.extend_from_slice(&codes.counts);
    body.extend_from_slice(&codes.symbols);
    push_segment(out, 0xc4, &body);
}
