//! Whole pictures in coefficients, for what can't be streamed: progressive files, and turning.

use crate::blocks::{Block, Scale};
use crate::coefficients::{Plane, requantised as requantised_block};
use crate::markers::{Header, ScanHeader};
use crate::output::{Output, scan_head};
use crate::scans::Picture;
use crate::turn::{Places, Turn};
use crate::units::{Layout, Place};
use crate::{Error, Options, progressive, sequential};

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

/// Requantise all of the picture, in one scan of all components or in progressive ones.
pub fn requantised(header: &Header, planes: Vec<Plane>, turn: Turn, options: &Options) -> Result<Vec<u8>, Error> {
    let indices = 0..header.components.len();
    let mut output = Output::new(header, turn, header.width * header.height / 8, options)?;
    let scales = indices.clone().map(|i| output.scale(header, i, turn, options)).collect::<Result<Vec<_>, _>>()?;
    let places = turn.places();
    let change = Change { turn, scales, places: (!turn.is_none()).then_some(&places) };
    let layout = Layout::new(header, turn);
    if options.progressive {
        let planes: Vec<_> = indices.zip(planes).map(|(i, plane)| change.plane(plane, i)).collect();
        output.write_scans(&Picture { planes: &planes, ids: header.components.iter().map(|c| c.id).collect(), layout });
    } else {
        let pattern = layout.units.iter().map(|unit| layout.kinds[unit.part]).collect();
        output.scan(scan_head(header, indices), pattern, |output| {
            write(output, &planes, &layout, &change);
            Ok(())
        })?;
    }
    Ok(output.into_bytes())
}

/// What is done to each block: it is turned, and its coefficients are scaled.
struct Change<'a> {
    turn: Turn,
    scales: Vec<Scale>,
    places: Option<&'a Places>,
}

impl Change<'_> {
    /// The block that comes to (x, y) of a component.
    #[inline(always)]
    fn block(&self, block: &mut Block, plane: &Plane, part: usize, x: usize, y: usize) {
        requantised_block(block, plane, self.turn.source(plane, x, y), &self.scales[part], self.places);
    }

    /// All of a component's new coefficients. Where nothing is turned, they take the place of the old ones.
    fn plane(&self, mut plane: Plane, part: usize) -> Plane {
        let (columns, rows) = self.turn.turned((plane.columns, plane.rows));
        let mut turned = (!self.turn.is_none()).then(|| Plane::empty(columns, rows));
        let mut block = Block::new();
        for y in 0..rows {
            for x in 0..columns {
                self.block(&mut block, &plane, part, x, y);
                turned.as_mut().unwrap_or(&mut plane).replace(x, y, &block);
            }
        }
        turned.unwrap_or(plane)
    }
}

fn write(output: &mut Output, planes: &[Plane], layout: &Layout, change: &Change) {
    let mut previous = [0_i32; 4];
    let (mut block, empty) = (Block::new(), Block::new());
    for row in 0..layout.mcus.1 {
        for column in 0..layout.mcus.0 {
            for unit in &layout.units {
                let (part, place) = (unit.part & 3, Place { unit, column, row });
                let (x, y, kind) = (place.x(), place.y(), layout.kinds[part]);
                if x >= layout.edges[part].0 || y >= layout.edges[part].1 {
                    output.block(kind, 0, &empty); // nothing of it is in the picture
                    continue;
                }
                change.block(&mut block, &planes[part], part, x, y);
                output.block(kind, block.dc - previous[part], &block);
                previous[part] = block.dc;
            }
        }
    }
}
