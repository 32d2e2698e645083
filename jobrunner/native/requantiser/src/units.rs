//! The order of blocks in a scan (A.2): MCU by MCU, and in each of them component by component.

use crate::markers::{Header, ScanHeader};
use crate::turn::Turn;

/// A block of an MCU: of which of the scan's components, where in the MCU, and how far apart MCUs are.
pub struct Unit {
    pub part: usize,
    pub x: usize,
    pub y: usize,
    pub step_x: usize,
    pub step_y: usize,
}

/// Where a block is: in which MCU, and which of that.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub unit: &'a Unit,
    pub column: usize,
    pub row: usize,
}

impl Place<'_> {
    pub fn x(self) -> usize {
        self.column * self.unit.step_x + self.unit.x
    }
    pub fn y(self) -> usize {
        self.row * self.unit.step_y + self.unit.y
    }
}

impl Header<'_> {
    /// A scan's MCUs, across and down.
    pub fn mcus(&self, scan: &ScanHeader) -> (usize, usize) {
        match *scan.parts {
            [(only, ..)] => (self.components[only].columns, self.components[only].rows),
            _ => (self.mcu_columns, self.mcu_rows),
        }
    }

    /// The blocks of each of a scan's MCUs.
    pub fn units(&self, scan: &ScanHeader) -> Vec<Unit> {
        let is_single = scan.parts.len() == 1;
        let steps = scan.parts.iter().map(|(index, ..)| &self.components[*index]).map(|c| (c.across, c.down));
        units(steps.map(|step| if is_single { (1, 1) } else { step }))
    }
}

/// The blocks of an MCU, of components that have so many across and down.
fn units(steps: impl Iterator<Item = (usize, usize)>) -> Vec<Unit> {
    let unit = |part, (step_x, step_y), i| Unit { part, x: i % step_x, y: i / step_x, step_x, step_y };
    steps.enumerate().flat_map(|(part, step)| (0..step.0 * step.1).map(move |i| unit(part, step, i))).collect()
}

/// Where the blocks of a picture are, in one scan of all its components, after turning. `edges` are the components'
/// blocks with something of the picture, across and down, as `mcus` are the MCUs.
pub struct Layout {
    pub kinds: Vec<usize>,
    pub edges: Vec<(usize, usize)>,
    pub units: Vec<Unit>,
    pub mcus: (usize, usize),
}

impl Layout {
    pub fn new(header: &Header, turn: Turn) -> Self {
        let kinds: Vec<_> = (0..header.components.len()).map(|i| header.kind(i)).collect();
        let edges: Vec<_> = header.components.iter().map(|c| turn.turned((c.columns, c.rows))).collect();
        let is_single = edges.len() == 1;
        let mcus = if is_single { edges[0] } else { turn.turned((header.mcu_columns, header.mcu_rows)) };
        let steps = header.components.iter().map(|c| if is_single { (1, 1) } else { turn.turned((c.across, c.down)) });
        Self { kinds, edges, units: units(steps), mcus }
    }
}
