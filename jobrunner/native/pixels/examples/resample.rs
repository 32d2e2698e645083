//! Resample a picture of noise by 1.5 once or many times, for profilers: resample WIDTH HEIGHT CHANNELS [TIMES].

use pixels::{Resampler, Size};

fn main() {
    let words: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (from, channels) = (Size { width: words[0], height: words[1] }, words[2]);
    let to = Size { width: from.width * 2 / 3, height: from.height * 2 / 3 };
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let picture: Vec<u8> = (0..from.width * from.height * channels).map(|_| noise()).collect();
    let mut out = vec![0; picture.len()];
    for _ in 0..words.get(3).copied().unwrap_or(1) {
        let mut resampler = Resampler::new(from, to, channels).expect("a size");
        for strip in picture.chunks(from.width * channels * 48) {
            resampler.push(strip, &mut out).expect("rows");
        }
    }
    std::hint::black_box(&out);
}
