//! A PNG's filters (W3C Recommendation, third edition, 9), for pixels of one to four whole bytes.

/// Undo the filters of some rows. Each row of `filtered` is a filter's number and the row's bytes. `rows` has room for
/// them without the numbers, after the row above the first of them: zeroes, for a picture's first. `pixel` is in bytes.
///
/// False where a filter is none of PNG's, or the lengths do not fit; `rows` means nothing then.
pub fn undo_filters(filtered: &[u8], rows: &mut [u8], row: usize, pixel: usize) -> bool {
    if row == 0 || row > rows.len() || rows.len() % row != 0 || pixel == 0 || row % pixel != 0 {
        return false;
    }
    if filtered.len() % (row + 1) != 0 || filtered.len() / (row + 1) != rows.len() / row - 1 {
        return false;
    }
    match pixel {
        1 => undo::<1>(filtered, rows, row),
        2 => undo::<2>(filtered, rows, row),
        3 => undo::<3>(filtered, rows, row),
        4 => undo::<4>(filtered, rows, row),
        _ => false,
    }
}

fn undo<const PIXEL: usize>(filtered: &[u8], rows: &mut [u8], row: usize) -> bool {
    for (number, line) in filtered.chunks_exact(row + 1).enumerate() {
        let (above, rest) = rows[number * row..].split_at_mut(row);
        let (filter, line, out) = (line[0], &line[1..], &mut rest[..row]);
        match filter {
            0 => out.copy_from_slice(line),
            1 => each::<PIXEL>(line, above, out, |left, _, _| left),
            2 => out.iter_mut().zip(line).zip(above).for_each(|((out, byte), up)| *out = byte.wrapping_add(*up)),
            3 => each::<PIXEL>(line, above, out, |left, up, _| (left + up) / 2),
            4 => each::<PIXEL>(line, above, out, nearest),
            _ => return false,
        }
    }
    true
}

/// Each byte is what is stored and what `foretell` makes of its neighbours: left, above, and left of that.
#[inline(always)]
fn each<const PIXEL: usize>(line: &[u8], above: &[u8], out: &mut [u8], foretell: impl Fn(i16, i16, i16) -> i16) {
    let (mut left, mut corner) = ([0_i16; PIXEL], [0_i16; PIXEL]);
    let pixels = out.chunks_exact_mut(PIXEL).zip(line.chunks_exact(PIXEL)).zip(above.chunks_exact(PIXEL));
    for ((out, stored), up) in pixels {
        for channel in 0..PIXEL {
            let up = i16::from(up[channel]);
            let foretold = foretell(left[channel], up, corner[channel]);
            out[channel] = stored[channel].wrapping_add(foretold as u8);
            (left[channel], corner[channel]) = (i16::from(out[channel]), up);
        }
    }
}

/// Paeth's: of the three the one nearest to `left + up - corner`, the first where two are as near. In few steps (Sean
/// Barrett's, stb_image.h), for each pixel waits for the one before it.
#[inline(always)]
fn nearest(left: i16, up: i16, corner: i16) -> i16 {
    let threshold = 3 * corner - (left + up);
    let (low, high) = (left.min(up), left.max(up));
    let found = if high <= threshold { low } else { corner };
    if threshold <= low { high } else { found }
}

#[cfg(test)]
mod tests {
    use super::undo_filters;

    #[test]
    fn each_filter_is_undone() {
        let filtered = [0, 10, 20, 30, 40, 1, 1, 2, 3, 4, 2, 1, 1, 1, 1, 3, 5, 5, 5, 5, 4, 1, 2, 3, 4];
        let mut rows = [0; 6 * 4];
        assert!(undo_filters(&filtered, &mut rows, 4, 1));
        let expected = [[0; 4], [10, 20, 30, 40], [1, 3, 6, 10], [2, 4, 7, 11], [6, 10, 13, 17], [7, 12, 16, 21]];
        assert_eq!(rows, expected.concat()[..]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(!undo_filters(&[5, 0, 0, 0, 0], &mut [0; 8], 4, 1), "no such filter");
        assert!(!undo_filters(&[0, 0, 0, 0], &mut [0; 8], 4, 1), "a row is cut");
        assert!(!undo_filters(&[0; 5], &mut [0; 4], 4, 1), "no room");
        assert!(!undo_filters(&[0; 5], &mut [0; 9], 4, 1), "too much room");
        assert!(!undo_filters(&[0; 5], &mut [0; 8], 4, 3), "no whole pixels");
        assert!(!undo_filters(&[], &mut [], 0, 1), "no rows");
        assert!(!undo_filters(&[0; 5], &mut [0; 8], usize::MAX, 1), "a row is as long as can be");
    }

    #[test]
    #[cfg_attr(miri, ignore)] // it takes Miri minutes, and nothing here is unsafe
    fn the_few_steps_find_what_the_recommendation_says() {
        for (left, up) in (0..256).flat_map(|left| (0..256).map(move |up| (left, up))) {
            for corner in 0..256 {
                let guess = left + up - corner;
                let nearest = [left, up, corner].into_iter().min_by_key(|byte: &i16| (guess - byte).abs());
                assert_eq!(Some(super::nearest(left, up, corner)), nearest);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn no_lengths_panic() {
        for (length, room) in (0..60).flat_map(|length| (0..60).map(move |room| (length, room))) {
            for (row, pixel) in (0..9).flat_map(|row| (0..6).map(move |pixel| (row, pixel))) {
                let fits = row > 0 && (1..5).contains(&pixel) && row % pixel == 0 && length % (row + 1) == 0;
                let fits = fits && room == (length / (row + 1) + 1) * row;
                assert_eq!(undo_filters(&vec![4; length], &mut vec![0; room], row, pixel), fits);
            }
        }
    }
}
