//! Lanczos's filter along one side: which places of the source an output's place is made of, and by which weights.

const LOBES: f64 = 3.0;

/// Pillow's weights have 22 bits after the point, which a number of 24 bits holds.
const PILLOW_S_ONE: f64 = (1 << 22) as f64;

/// For each place along an output side: which places of the source have a weight, and that.
pub struct Taps {
    /// The source's side.
    pub from: usize,
    pub spans: Vec<Span>,
    weights: Vec<f32>,
}

pub struct Span {
    pub first: usize,
    count: usize,
    /// Where its weights begin.
    at: usize,
}

impl Span {
    pub fn end(&self) -> usize {
        self.first + self.count
    }
}

impl Taps {
    pub fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let mut taps = Self { from, spans: Vec::with_capacity(to), weights: Vec::new() };
        let mut weights = Vec::new();
        for place in 0..to {
            let centre = (place as f64 + 0.5) * scale;
            let first = (centre - LOBES * stretch + 0.5).max(0.0) as usize;
            let end = ((centre + LOBES * stretch + 0.5) as usize).min(from);
            weights.clear();
            lanczos(&mut weights, first as f64 + 0.5 - centre, stretch, end - first);
            let sum: f64 = weights.iter().sum();
            taps.spans.push(Span { first, count: weights.len(), at: taps.weights.len() });
            taps.weights
                .extend(weights.iter().map(|weight| ((weight / sum * PILLOW_S_ONE).round() / PILLOW_S_ONE) as f32));
        }
        taps
    }

    pub fn weights(&self, span: &Span) -> &[f32] {
        &self.weights[span.at..span.at + span.count]
    }
}

/// sinc(x) sinc(x / 3) at `count` places from `from` on, stretched. With one sine for all of them: sin 3y is
/// 3 sin y - 4 sin³ y, and the next place's sine is a rotation away.
fn lanczos(weights: &mut Vec<f64>, from: f64, stretch: f64, count: usize) {
    let third = std::f64::consts::PI / LOBES / stretch;
    let ((mut sine, mut cosine), (turn_sine, turn_cosine)) = ((third * from).sin_cos(), third.sin_cos());
    for place in 0..count {
        let angle = third * (from + place as f64);
        let weight = sine * (3.0 * sine - 4.0 * sine * sine * sine) / (LOBES * angle * angle);
        weights.push(match angle.abs() {
            ..1e-6 => 1.0, // where the quotient of two next to nothing says nothing
            std::f64::consts::PI.. => 0.0,
            _ => weight,
        });
        (sine, cosine) = (sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one() {
        for (from, to) in [(1200, 800), (2, 1), (65_535, 1), (65_535, 65_534), (4, 4), (2, 9)] {
            let taps = Taps::new(from, to);
            for span in &taps.spans {
                assert!(span.count > 0 && span.end() <= from);
                let sum: f64 = taps.weights(span).iter().map(|weight| f64::from(*weight)).sum();
                assert!((sum - 1.0).abs() <= 0.5 / PILLOW_S_ONE * span.count as f64, "each is rounded");
            }
        }
        assert_eq!(Taps::new(4, 4).weights.iter().filter(|weight| weight.abs() > 1e-9).count(), 4);
    }
}
