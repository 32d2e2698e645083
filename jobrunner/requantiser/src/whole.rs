//! Whole pictures in coefficients, for what can't be streamed: progressive files, and turning.

use crate::blocks::{Block, Scale};
use crate::coefficients::{Plane, requantised as requantised_block};
use crate::markers::{Header, ScanHeader};
use crate::output::{Output, scan_head};
use crate::turn::{Places, Turn};
use crate::units::{Place, units};
use crate::{Error, Options, progressive, scans, sequential};

/// A progressive file's scans each go over the whole picture; usual ones have 10.
const MAX_SCANS: usize = 100;

/// Read all of the picture.
pub fn read(file: &[u8], header: &mut Header, first: ScanHeader, options: &Options) -> Result<Vec<Plane>, Error> {
    let mut planes = Plane::all(header, options.max_coefficient_bytes)?;
    if header.is_progressive {
        read_progressive(file, header, first, &mut planes)?;
        return Ok(planes);
    }
    let scales = std::array::from_fn(|_| Scale::none());
    sequential::each_scan(header, first, |header, scan| {
        sequential::read(file, header, scan, &scales, |part, place, block| {
            planes[scan.parts[part].0].set(place.x(), place.y(), block);
        })
    })?;
    Ok(planes)
}

fn read_progressive(file: &[u8], header: &mut Header, first: ScanHeader, planes: &mut [Plane]) -> Result<(), Error> {
    let mut known = [[None; 64]; 4];
    let mut scan = first;
    for _ in 0..MAX_SCANS {
        let end = progressive::read(file, header, &scan, planes, &mut known)?;
        match header.next_scan(Some(end))? {
            Some(next) => scan = next,
            None if !planes.iter().all(Plane::is_in_range) => return Err(Error::Damaged("a coefficient is too large")),
            None if has_all(&known[..header.components.len()]) => return Ok(()),
            None => return Err(Error::Truncated),
        }
    }
    Err(Error::Unsupported("it has so many scans"))
}

/// Whether each coefficient is known down to its last bit (G.1.1).
fn has_all(known: &[progressive::Known]) -> bool {
    known.iter().flatten().all(|lowest| *lowest == Some(0))
}

/// Requantise all of the picture, in one scan of all components.
pub fn requantised(header: &Header, planes: &[Plane], turn: Turn, options: &Options) -> Result<Vec<u8>, Error> {
    let indices = 0..header.components.len();
    let mut output = Output::new(header, turn, header.width * header.height / 8, options)?;
    let scales = indices.clone().map(|i| output.scale(header, i, turn, options)).collect::<Result<Vec<_>, _>>()?;
    let kinds: Vec<_> = indices.clone().map(|i| header.kind(i)).collect();
    let places = turn.places();
    let places = (!turn.is_none()).then_some(&places);
    let edges: Vec<_> = header.components.iter().map(|c| turn.turned((c.columns, c.rows))).collect();
    let is_single = edges.len() == 1;
    let (columns, rows) = if is_single { edges[0] } else { turn.turned((header.mcu_columns, header.mcu_rows)) };
    let steps = header.components.iter().map(|c| if is_single { (1, 1) } else { turn.turned((c.across, c.down)) });
    let units = units(steps);
    if options.progressive {
        let turned = |i: usize| turned(&planes[i], turn, &scales[i], places);
        let planes: Vec<_> = indices.map(turned).collect();
        let ids = header.components.iter().map(|c| c.id).collect();
        let picture = scans::Picture { planes: &planes, ids, kinds, edges, units, mcus: (columns, rows) };
        output.write_scans(&picture);
        return Ok(output.into_bytes());
    }
    output.begin_scan(scan_head(header, indices), units.iter().map(|unit| kinds[unit.part]).collect());
    let mut previous = [0_i32; 4];
    let (mut block, empty) = (Block::new(), Block::new());
    for row in 0..rows {
        for column in 0..columns {
            for unit in &units {
                let (part, place) = (unit.part & 3, Place { unit, column, row });
                let kind = kinds[part];
                if place.x() >= edges[part].0 || place.y() >= edges[part].1 {
                    output.block(kind, 0, &empty); // nothing of it is in the picture
                    continue;
                }
                let plane = &planes[part];
                let source = turn.source(plane, place.x(), place.y());
                requantised_block(&mut block, plane, source, &scales[part], places);
                output.block(kind, block.dc - previous[part], &block);
                previous[part] = block.dc;
            }
        }
    }
    output.end_scan();
    Ok(output.into_bytes())
}

/// A plane's new coefficients, turned.
fn turned(plane: &Plane, turn: Turn, scale: &Scale, places: Option<&Places>) -> Plane {
    let (columns, rows) = turn.turned((plane.columns, plane.rows));
    let mut made = Plane::empty(columns, rows);
    let mut block = Block::new();
    for y in 0..rows {
        for x in 0..columns {
            requantised_block(&mut block, plane, turn.source(plane, x, y), scale, places);
            made.set(x, y, &block);
        }
    }
    made
}
