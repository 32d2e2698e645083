//! Baseline and extended sequential scans (F.2), read block by block; and requantised on the way. No block is
//! kept, and no more than a bounded number of symbols: a large picture is read twice.

use crate::bits::Scan;
use crate::blocks::{Block, Scale};
use crate::markers::{Header, ScanHeader};
use crate::output::{Output, scan_head};
use crate::turn::Turn;
use crate::units::Place;
use crate::{Error, Options};

/// All of the picture at another quality.
pub fn requantised(file: &[u8], header: &mut Header, first: ScanHeader, options: &Options) -> Result<Vec<u8>, Error> {
    let mut output: Option<Output> = None;
    each_scan(header, first, |header, scan| {
        // A component's table is known from its scan on, and all of them are written before the first. The new file is
        // hardly ever longer than the old one, and room that is not used is no memory yet.
        let output = match &mut output {
            Some(output) => output,
            None => output.insert(Output::new(header, Turn::default(), file.len(), options)?),
        };
        stream(file, header, scan, options, output)
    })?;
    Ok(output.ok_or(Error::Unsupported("it has no picture"))?.into_bytes())
}

/// Read all of the picture, only to find out whether it is whole and undamaged.
pub fn check(file: &[u8], header: &mut Header, first: ScanHeader) -> Result<(), Error> {
    let scales = std::array::from_fn(|_| Scale::none());
    each_scan(header, first, |header, scan| read(file, header, scan, &scales, |_, _, _| {}))
}

/// Call `work` with each scan; it returns where the scan ends.
pub fn each_scan(
    header: &mut Header, first: ScanHeader, mut work: impl FnMut(&Header, &ScanHeader) -> Result<usize, Error>,
) -> Result<(), Error> {
    let (mut scan, mut seen) = (first, [false; 4]);
    loop {
        for (index, ..) in &scan.parts {
            if std::mem::replace(&mut seen[*index], true) {
                return Err(Error::Unsupported("a component has two scans"));
            }
        }
        let end = work(header, &scan)?;
        match header.next_scan(Some(end))? {
            Some(next) => scan = next,
            None if seen[..header.components.len()].contains(&false) => return Err(Error::Truncated),
            None => return Ok(()),
        }
    }
}

/// Read a scan; `take` gets each block, with its component's index in the scan and its place.
#[inline(always)]
pub fn read(
    file: &[u8], header: &Header, scan: &ScanHeader, scales: &[Scale; 4],
    mut take: impl FnMut(usize, Place<'_>, &Block),
) -> Result<usize, Error> {
    let mut decoders = Vec::new();
    for (_, dc, ac) in &scan.parts {
        let (Some(dc), Some(ac)) = (&header.dc[*dc], &header.ac[*ac]) else {
            return Err(Error::Unsupported("a Huffman table is missing"));
        };
        decoders.push((dc, ac));
    }
    let units = header.units(scan);
    let (columns, rows) = header.mcus(scan);
    let mut data = Scan::new(file, scan.at);
    let mut previous = [0_i32; 4];
    let mut block = Block::new();
    let (mut left, mut restarts) = (header.restart_interval, 0_u8);
    for row in 0..rows {
        for column in 0..columns {
            if header.restart_interval > 0 {
                if left == 0 {
                    data.restart(restarts)?;
                    (restarts, left, previous) = (restarts.wrapping_add(1), header.restart_interval, [0; 4]);
                }
                left -= 1;
            }
            data.prepare();
            for unit in &units {
                let (dc, ac) = decoders[unit.part];
                let part = unit.part & 3;
                if !block.read(&mut data.cursor, &data.window, dc, ac, &scales[part], &mut previous[part]) {
                    data.check()?;
                    return Err(Error::Damaged("a scan's data is damaged"));
                }
                take(part, Place { unit, column, row }, &block);
            }
            data.check()?;
        }
    }
    data.end()
}

fn stream(
    file: &[u8], header: &Header, scan: &ScanHeader, options: &Options, output: &mut Output,
) -> Result<usize, Error> {
    let mut scales = std::array::from_fn(|_| Scale::none());
    let mut edges = [(0, 0, 0); 4];
    for (part, (index, ..)) in scan.parts.iter().enumerate() {
        let c = &header.components[*index];
        scales[part] = output.scale(header, *index, Turn::default(), options)?;
        edges[part] = (header.kind(*index), c.columns, c.rows);
    }
    let pattern = header.units(scan).iter().map(|unit| edges[unit.part].0).collect();
    let head = scan_head(header, scan.parts.iter().map(|part| part.0));
    let empty = Block::new();
    let last = (header.mcus(scan).0 - 1, header.mcus(scan).1 - 1);
    output.scan(head, pattern, |output| {
        let mut previous = [0_i32; 4];
        read(file, header, scan, &scales, |part, place, block| {
            let (kind, columns, rows) = edges[part];
            let is_last = place.column == last.0 || place.row == last.1;
            if is_last && (place.x() >= columns || place.y() >= rows) {
                return output.block(kind, 0, &empty); // nothing of it is in the picture
            }
            output.block(kind, block.dc - previous[part], block);
            previous[part] = block.dc;
        })
    })
}
