//! Resampling by Lanczos's filter of three lobes, as Pillow does it (libImaging/Resample.c): stretched by as much as the
//! picture shrinks, cut at the edges, first along rows, rounded to whole levels, then along columns. Weights are f32 where
//! Pillow's have 22 bits after the point, so that one level in some thousands differs, by one.
//!
//! Rows come in strips and go as soon as they are whole. What is held beside them is one group of rows, and the sums of
//! those output rows, seven as a rule, to which rows to come will add.

use std::collections::VecDeque;

use crate::taps::Taps;

/// Formats' limits are lower.
pub const MAX_SIDE: usize = 65_535;

/// Numbers that are multiplied by one weight: as many as four registers of SSE2 or NEON hold. That is a group of rows of
/// one pixel each.
const LANES: usize = 16;
type Block = [f32; LANES];

/// Adding this leaves a number of 0 to 255 rounded in the lowest bits, and taking it away again a whole number. `round`
/// is a call of a function without SSE4.1.
const ROUNDING: f32 = (1 << 23) as f32;

/// Sums start from this, so that what lies in the middle is rounded up, as Pillow does.
const UPWARDS: f32 = 1.0 / (1 << 16) as f32;

#[derive(Clone, Copy)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

pub struct Resampler {
    channels: usize,
    columns: Taps,
    lines: Taps,
    /// How many rows came, and went.
    taken: usize,
    finished: usize,
    /// By column: the pixels of a group of rows, row by row.
    group: Vec<Block>,
    /// The same rows, as long as the output's.
    narrowed: Vec<Vec<f32>>,
    /// Of the output rows from `finished` on.
    sums: VecDeque<Vec<f32>>,
}

impl Resampler {
    /// For pixels of one byte or of four. None for others, and for sides of 0 or more than `MAX_SIDE`.
    pub fn new(from: Size, to: Size, channels: usize) -> Option<Self> {
        let sides = [from.width, from.height, to.width, to.height];
        if !matches!(channels, 1 | 4) || sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return None;
        }
        Some(Self {
            channels,
            columns: Taps::new(from.width, to.width),
            lines: Taps::new(from.height, to.height),
            taken: 0,
            finished: 0,
            group: vec![[0.0; LANES]; from.width],
            narrowed: vec![vec![0.0; to.width * channels]; LANES / channels],
            sums: VecDeque::new(),
        })
    }

    /// Take the next rows, all bytes of them, and write those output rows that are whole by them to `out`. Says how many
    /// these are: where a picture is made smaller, at most five more than the rows taken. None where that is no whole
    /// number of rows, or more than are missing, or there is no room; nothing has been taken then.
    ///
    /// Fastest with a multiple of 16 rows at once.
    pub fn push(&mut self, rows: &[u8], out: &mut [u8]) -> Option<usize> {
        let row = self.columns.from * self.channels;
        let row_out = self.columns.spans.len() * self.channels;
        let count = rows.len() / row;
        if rows.len() % row != 0 || count > self.lines.from - self.taken {
            return None;
        }
        let whole =
            self.lines.spans[self.finished..].iter().take_while(|span| span.end() <= self.taken + count).count();
        let mut out = out.get_mut(..whole.checked_mul(row_out)?)?.chunks_exact_mut(row_out);
        for group in rows.chunks(row * (LANES / self.channels)) {
            if self.channels == 4 {
                self.narrow::<4>(group);
            } else {
                self.narrow::<1>(group);
            }
            self.add_up(group.len() / row, &mut out);
        }
        Some(whole)
    }

    /// A group of rows along rows.
    fn narrow<const CHANNELS: usize>(&mut self, rows: &[u8]) {
        self.spread::<CHANNELS>(rows);
        for (column, span) in self.columns.spans.iter().enumerate() {
            let mut sum = [UPWARDS; LANES];
            for (block, weight) in self.group[span.first..].iter().zip(self.columns.weights(span)) {
                for lane in 0..LANES {
                    sum[lane] += block[lane] * weight;
                }
            }
            for (row, pixel) in self.narrowed.iter_mut().zip(sum.chunks_exact(CHANNELS)) {
                let place = &mut row[column * CHANNELS..][..CHANNELS];
                place.iter_mut().zip(pixel).for_each(|(place, sum)| *place = shifted(*sum) - ROUNDING);
            }
        }
    }

    /// Into `group`, four rows at once. Of rows that are missing in the last group others take the place.
    fn spread<const CHANNELS: usize>(&mut self, rows: &[u8]) {
        let row = self.columns.from * CHANNELS;
        for (number, rows) in rows.chunks(4 * row).enumerate() {
            let last = rows.len() / row - 1;
            let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| rows[at.min(last) * row..][..row].chunks_exact(CHANNELS));
            for (block, (((a, b), c), d)) in self.group.iter_mut().zip(a.zip(b).zip(c).zip(d)) {
                let lanes = &mut block[number * 4 * CHANNELS..][..4 * CHANNELS];
                for (pixel, lanes) in [a, b, c, d].into_iter().zip(lanes.chunks_exact_mut(CHANNELS)) {
                    lanes.iter_mut().zip(pixel).for_each(|(lane, level)| *lane = f32::from(*level));
                }
            }
        }
    }

    /// The narrowed rows of a group, of which there are `count`, along columns.
    fn add_up<'a>(&mut self, count: usize, out: &mut impl Iterator<Item = &'a mut [u8]>) {
        let (from, to) = (self.taken, self.taken + count);
        let width = self.columns.spans.len() * self.channels;
        let mut open = 0;
        for span in &self.lines.spans[self.finished..] {
            if span.first >= to {
                break;
            }
            if open == self.sums.len() {
                self.sums.push_back(vec![UPWARDS; width]);
            }
            let (first, end) = (span.first.max(from), span.end().min(to));
            let weights = &self.lines.weights(span)[first - span.first..end - span.first];
            let rows = &self.narrowed[first - from..end - from];
            for (rows, weights) in rows.chunks(4).zip(weights.chunks(4)) {
                add_rows(&mut self.sums[open], rows, weights);
            }
            open += 1;
            if span.end() <= to {
                let Some(out) = out.next() else { break };
                let Some(mut sums) = self.sums.pop_front() else { break };
                out.iter_mut().zip(&sums).for_each(|(level, sum)| *level = shifted(*sum).to_bits() as u8);
                sums.fill(UPWARDS);
                self.sums.push_back(sums);
                self.finished += 1;
                open -= 1;
            }
        }
        self.taken = to;
    }
}

/// The level nearest to the sum, above `ROUNDING`.
#[inline(always)]
fn shifted(sum: f32) -> f32 {
    sum.clamp(0.0, 255.0) + ROUNDING
}

/// At most four rows.
fn add_rows(sums: &mut [f32], rows: &[Vec<f32>], weights: &[f32]) {
    match (rows, weights) {
        ([a], [p]) => add(sums, [a], [*p]),
        ([a, b], [p, q]) => add(sums, [a, b], [*p, *q]),
        ([a, b, c], [p, q, r]) => add(sums, [a, b, c], [*p, *q, *r]),
        ([a, b, c, d], [p, q, r, s]) => add(sums, [a, b, c, d], [*p, *q, *r, *s]),
        _ => {}
    }
}

#[inline(always)]
fn add<const ROWS: usize>(sums: &mut [f32], rows: [&Vec<f32>; ROWS], weights: [f32; ROWS]) {
    let rows = rows.map(|row| &row[..sums.len()]);
    for (column, sum) in sums.iter_mut().enumerate() {
        let mut found = *sum;
        for row in 0..ROWS {
            found += rows[row][column] * weights[row];
        }
        *sum = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resampled(picture: &[u8], from: Size, to: Size, channels: usize, strip: usize) -> Vec<u8> {
        let mut resampler = Resampler::new(from, to, channels).unwrap();
        let mut found = Vec::new();
        for rows in picture.chunks(strip * from.width * channels) {
            let taken = rows.len() / (from.width * channels);
            let mut out = vec![0; (taken + 5) * to.width * channels];
            let count = resampler.push(rows, &mut out).unwrap();
            found.extend(&out[..count * to.width * channels]);
        }
        found
    }

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        for (width, height) in [(1_usize, 1_usize), (1, 9), (70, 1), (41, 67), (5, 300)] {
            for (to_width, to_height) in [(1, 1), (width, 1), (width, height), (width.div_ceil(2), height.div_ceil(3))]
            {
                let (from, to) = (Size { width, height }, Size { width: to_width, height: to_height });
                for (channels, level) in [(1, 255), (4, 0), (4, 77), (1, 128)] {
                    let flat = vec![level; width * height * channels];
                    let found = resampled(&flat, from, to, channels, 7);
                    assert_eq!(found, vec![level; to_width * to_height * channels]);
                }
            }
        }
    }

    #[test]
    fn strips_of_any_height_make_the_same() {
        let (from, to) = (Size { width: 13, height: 61 }, Size { width: 7, height: 40 });
        for channels in [1, 4] {
            let picture: Vec<u8> = (0..13 * 61 * channels).map(|at| (at * at % 251) as u8).collect();
            let whole = resampled(&picture, from, to, channels, 61);
            assert_eq!(whole.len(), 7 * 40 * channels);
            for strip in [1, 2, 3, 16, 60] {
                assert_eq!(resampled(&picture, from, to, channels, strip), whole);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let (from, to) = (Size { width: 4, height: 2 }, Size { width: 2, height: 1 });
        assert!(Resampler::new(from, to, 3).is_none(), "channels");
        assert!(Resampler::new(from, Size { width: 0, height: 1 }, 4).is_none(), "no width");
        assert!(Resampler::new(Size { width: 4, height: 65_536 }, to, 4).is_none(), "too high");
        let mut resampler = Resampler::new(from, to, 4).unwrap();
        let mut out = [0; 8];
        assert_eq!(resampler.push(&[9; 15], &mut out), None, "a row is cut");
        assert_eq!(resampler.push(&[9; 48], &mut out), None, "too many rows");
        assert_eq!(resampler.push(&[9; 32], &mut out[1..]), None, "no room");
        assert_eq!(resampler.push(&[], &mut out), Some(0));
        assert_eq!(resampler.push(&[9; 32], &mut out), Some(1));
        assert_eq!(out, [9; 8]);
        assert_eq!(resampler.push(&[9; 16], &mut out), None, "it has all rows");
    }

    #[test]
    fn at_most_five_rows_more_than_came_are_whole_at_once() {
        for (height, to_height) in [(1, 1), (7, 7), (100, 99), (100, 67), (3000, 2999), (3000, 10)] {
            let (from, to) = (Size { width: 1, height }, Size { width: 1, height: to_height });
            assert_eq!(resampled(&vec![0; height], from, to, 1, 1).len(), to_height);
        }
    }
}
