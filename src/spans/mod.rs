//! What kernels see of a window: for each output position of one axis, the input positions that it covers.
//!
//! ```text
//! kernel 3, stride 2, padding 1:   . 0 1 2 3 4 .   ->   (0 1) (1 2 3) (3 4)
//! transposed:                      0 -> (0)   1 -> (0 1)   2 -> (1)   3 -> (1 2)   4 -> (2)
//! ```
//!
//! Padding, ceil mode and dilation end here: a [`Span`] holds real cells only. Every constructor gives spans in closed
//! form, so an axis of any length costs no memory.

mod arithmetic;
mod bins;
mod pieces;
mod regular;
mod transposed;

pub(crate) use arithmetic::gcd;
pub(crate) use bins::Bins;
pub(crate) use pieces::Pieces;
pub(crate) use regular::Regular;
pub(crate) use transposed::Transposed;

/// The cells `start, start + step, ...`, `len` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
    pub step: usize,
}

impl Span {
    /// One past the last cell.
    pub fn end(&self) -> usize {
        if self.len == 0 { self.start } else { self.start + (self.len - 1) * self.step + 1 }
    }
}

/// Spans that repeat: `outputs` positions later, the same cells `inputs` further on.
///
/// `taps[p]` lists the cells of output `p`, unclipped: cells outside the axis stand for padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub outputs: usize,
    pub inputs: usize,
    pub taps: Vec<Vec<isize>>,
}

impl Pattern {
    /// Whether there is one output for each input.
    pub fn is_single(&self) -> bool {
        (self.outputs, self.inputs) == (1, 1)
    }
}

/// One axis, solved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spans {
    /// A window that slides with a stride.
    Regular(Regular),
    /// Adaptive bins; one bin is global pooling.
    Bins(Bins),
    /// For each input position of a sliding window, the outputs that cover it. (Bins transpose to bins.)
    Transposed(Transposed),
    /// Long spans cut into pieces.
    Pieces(Pieces),
    /// Consecutive groups of equal size: what puts pieces together again.
    Groups { groups: usize, size: usize },
}

impl Spans {
    /// The identity on an axis of `len` cells.
    pub fn identity(len: usize) -> Self {
        Self::Groups { groups: len, size: 1 }
    }

    pub fn len_in(&self) -> usize {
        match self {
            Self::Regular(r) => r.len_in,
            Self::Bins(b) => b.len_in,
            Self::Transposed(t) => t.of.len_out,
            Self::Pieces(p) => p.of.len_in(),
            Self::Groups { groups, size } => groups * size,
        }
    }

    pub fn len_out(&self) -> usize {
        match self {
            Self::Regular(r) => r.len_out,
            Self::Bins(b) => b.len_out,
            Self::Transposed(t) => t.of.len_in,
            Self::Pieces(p) => p.of.len_out() * p.per,
            Self::Groups { groups, .. } => *groups,
        }
    }

    /// The real cells that output `o` covers; none at all is a span of length 0.
    pub fn at(&self, o: usize) -> Span {
        match self {
            Self::Regular(r) => r.at(o),
            Self::Bins(b) => b.at(o),
            Self::Transposed(t) => t.at(o),
            Self::Pieces(p) => p.at(o),
            Self::Groups { size, .. } => Span { start: o * size, len: *size, step: 1 },
        }
    }

    /// The most cells that a span can hold.
    pub fn max_len(&self) -> usize {
        match self {
            Self::Regular(r) => r.kernel.min((r.len_in - 1) / r.dilation + 1),
            Self::Bins(Bins { len_out: 0, .. }) => 0,
            Self::Bins(b) => b.len_in.div_ceil(b.len_out) + usize::from(b.len_in % b.len_out != 0),
            Self::Transposed(t) => t.max_len(),
            Self::Pieces(p) => p.size,
            Self::Groups { size, .. } => *size,
        }
    }

    /// The cells of a span that nothing clips: the numbers that codes of cells take.
    pub fn taps(&self) -> usize {
        if let Self::Regular(r) = self { r.kernel } else { self.max_len() }
    }

    /// The position of cell 0 of output `o` before clipping: in the padding, it is negative.
    pub fn first(&self, o: usize) -> isize {
        if let Self::Regular(r) = self { r.first(o) } else { self.at(o).start as isize }
    }

    /// The distance between neighbouring cells of a span.
    pub fn step(&self) -> usize {
        match self {
            Self::Regular(r) => r.dilation,
            Self::Transposed(t) => t.step(),
            Self::Pieces(p) => p.of.step(),
            Self::Bins(_) | Self::Groups { .. } => 1,
        }
    }

    /// An upper bound on the cells between the first and the last that `outputs` neighbouring spans cover.
    pub fn reach(&self, outputs: usize) -> usize {
        let (outputs, reach) = (outputs as u128, |n: u128| n.min(self.len_in() as u128) as usize);
        match self {
            Self::Regular(r) => reach((outputs - 1) * r.stride as u128 + r.extent() as u128),
            Self::Bins(b) => reach(outputs * (b.len_in as u128).div_ceil(b.len_out as u128) + 2),
            Self::Transposed(t) => reach((outputs + t.of.extent() as u128).div_ceil(t.of.stride as u128) + 1),
            Self::Pieces(p) if outputs == 1 => reach((p.size as u128 - 1) * p.of.step() as u128 + 1),
            Self::Pieces(p) => reach(outputs.div_ceil(p.per as u128) * p.of.reach(1) as u128),
            Self::Groups { size, .. } => reach(outputs * *size as u128),
        }
    }

    /// The divisor of output `o`: its real cells, or with `include_pad` those of the padded axis.
    pub fn count(&self, o: usize, include_pad: bool) -> usize {
        match self {
            Self::Regular(r) if include_pad => r.padded_count(o),
            _ => self.at(o).len,
        }
    }

    /// Whether every output has the same divisor.
    pub fn uniform_count(&self, include_pad: bool) -> bool {
        match self {
            Self::Regular(r) => {
                let last = self.count(r.len_out - 1, include_pad);
                last == r.kernel && self.count(0, include_pad) == r.kernel
            }
            Self::Bins(b) => b.len_in % b.len_out == 0,
            Self::Groups { .. } => true,
            Self::Transposed(_) | Self::Pieces(_) => false,
        }
    }

    /// Whether some output covers no real cell at all.
    pub fn any_empty(&self) -> bool {
        match self {
            Self::Regular(r) => r.any_empty(),
            _ => false,
        }
    }

    /// Whether output equals input.
    pub fn is_identity(&self) -> bool {
        match self {
            Self::Regular(r) => r.len_in == r.len_out && r.kernel == 1 && r.stride == 1 && r.before == 0,
            Self::Bins(b) => b.len_in == b.len_out,
            Self::Groups { size, .. } => *size == 1,
            Self::Transposed(t) => Self::Regular(t.of).is_identity(),
            Self::Pieces(_) => false,
        }
    }

    /// Whether the spans that are not clipped, or every so many of them, are all alike, at equal distances.
    pub fn is_periodic(&self, phases: usize) -> bool {
        match self {
            Self::Regular(_) | Self::Groups { .. } => true,
            Self::Bins(b) => b.len_in % b.len_out == 0,
            Self::Transposed(t) => t.of.stride == 1 || t.of.dilation == 1 && t.of.stride <= phases,
            Self::Pieces(_) => false,
        }
    }

    /// These spans as a window that slides, if they are one: transposed ones of stride 1 are.
    pub fn sliding(&self) -> Option<Regular> {
        match self {
            Self::Regular(r) => Some(*r),
            Self::Transposed(t) => t.sliding(),
            _ => None,
        }
    }

    /// Whether one span covers the whole axis in order.
    pub fn is_global(&self) -> bool {
        self.len_out() == 1 && self.at(0) == Span { start: 0, len: self.len_in(), step: 1 }
    }

    /// For each input position, the outputs that cover it.
    pub fn transposed(&self) -> Self {
        match self {
            Self::Regular(r) => Self::Transposed(Transposed::new(*r)),
            Self::Bins(b) => Self::Bins(Bins { len_in: b.len_out, len_out: b.len_in }),
            Self::Groups { groups, size } => Self::Bins(Bins { len_in: *groups, len_out: groups * size }),
            Self::Transposed(t) => Self::Regular(t.of),
            Self::Pieces(p) => p.of.transposed(),
        }
    }

    /// The repeating pattern of the spans, if they have one of at most `taps` taps an output and `phases` phases.
    pub fn pattern(&self, taps: usize, phases: usize) -> Option<Pattern> {
        let small = |kernel: usize, stride: usize| kernel <= taps && stride <= phases;
        match self {
            Self::Regular(r) if small(r.kernel, r.stride) => Some(r.pattern()),
            Self::Bins(b) if small(self.max_len(), b.period().0.max(b.period().1)) => Some(b.pattern()),
            Self::Transposed(t) if small(t.of.kernel, t.of.stride) => Some(t.pattern()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;
    use crate::window::{Blocks, Boundary, Side};

    /// Draws spans as `(0 1) (1 2 3) ()`.
    fn draw(spans: &Spans) -> String {
        let span = |o| {
            let Span { start, len, step } = spans.at(o);
            let cells: Vec<String> = (0..len).map(|t| (start + t * step).to_string()).collect();
            format!("({})", cells.join(" "))
        };
        (0..spans.len_out()).map(span).collect::<Vec<_>>().join(" ")
    }

    fn regular(window: Window, len: usize) -> Spans {
        window.solve(len).unwrap()
    }

    #[test]
    fn transposed_spans_of_stride_1_slide() {
        let k = Window::new;
        for (window, len) in [
            (k(3).padding(1, 1), 5),
            (k(3), 7),
            (k(2).padding(3, 0).dilation(2), 4),
            (k(4).padding(1, 5), 3),
            (k(3).dilation(3), 9),
        ] {
            let transposed = regular(window.stride(1), len).transposed();
            let sliding = transposed.sliding().unwrap();
            assert_eq!(draw(&Spans::Regular(sliding)), draw(&transposed), "{window:?}");
        }
        assert_eq!(regular(k(2).stride(2), 6).transposed().sliding(), None);
    }

    #[test]
    fn windows_as_drawn() {
        let k = Window::new;
        for (window, len, drawing) in [
            (k(2), 5, "(0 1) (2 3)"),
            (k(2).ceil_mode(true), 5, "(0 1) (2 3) (4)"),
            (k(3).stride(2).padding(1, 1), 5, "(0 1) (1 2 3) (3 4)"),
            (k(3).padding(1, 1).ceil_mode(true), 5, "(0 1) (2 3 4)"),
            (k(3).stride(1).dilation(2), 6, "(0 2 4) (1 3 5)"),
            (k(2).stride(1).dilation(2).padding(3, 0), 4, "() (0) (1) (0 2) (1 3)"),
            (k(3).stride(1).same(), 4, "(0 1) (0 1 2) (1 2 3) (2 3)"),
            (k(2).stride(1).same(), 3, "(0 1) (1 2) (2)"),
            (k(2).stride(1).same_lower(), 3, "(0) (0 1) (1 2)"),
            (k(1).stride(3), 7, "(0) (3) (6)"),
            (k(2).stride(3).padding(2, 2), 3, "() (1 2)"),
            (k(7).stride(1).padding(3, 3), 2, "(0 1) (0 1)"),
            (k(3).stride(2).ceil_mode(true), 2, "(0 1)"),
        ] {
            assert_eq!(draw(&regular(window, len)), drawing, "{window:?} on {len}");
        }
    }

    #[test]
    fn bins_as_drawn() {
        for (len_in, len_out, drawing) in
            [(6, 3, "(0 1) (2 3) (4 5)"), (5, 3, "(0 1) (1 2 3) (3 4)"), (2, 3, "(0) (0 1) (1)"), (4, 1, "(0 1 2 3)")]
        {
            assert_eq!(draw(&Spans::Bins(Bins { len_in, len_out })), drawing);
        }
    }

    #[test]
    fn transposed_spans_hold_the_same_pairs() {
        let mut solved: Vec<Spans> =
            (1..8).flat_map(|i| (1..8).map(move |o| Spans::Bins(Bins { len_in: i, len_out: o }))).collect();
        for (factor, boundary, side, len) in blocks() {
            solved.extend(Blocks { factor, boundary, side }.solve(len));
        }
        for (k, s, d, pad, len) in grid(5, 4, 4, 3, 9) {
            if let Ok(spans) =
                Window::new(k).stride(s).dilation(d).padding(pad, pad / 2).ceil_mode(len % 2 == 0).solve(len)
            {
                solved.push(spans);
            }
        }
        for spans in solved {
            let transposed = spans.transposed();
            assert_eq!((transposed.len_in(), transposed.len_out()), (spans.len_out(), spans.len_in()));
            let pairs = |s: &Spans| -> Vec<(usize, usize)> {
                (0..s.len_out())
                    .flat_map(|o| {
                        let Span { start, len, step } = s.at(o);
                        (0..len).map(move |t| (o, start + t * step))
                    })
                    .collect()
            };
            let forward = pairs(&spans);
            let mut back: Vec<_> = pairs(&transposed).into_iter().map(|(i, o)| (o, i)).collect();
            back.sort_unstable();
            assert_eq!(forward, back, "{spans:?}");
            for s in [&spans, &transposed] {
                check_pattern(s);
                let longest = (0..s.len_out()).map(|o| s.at(o).len).max().unwrap();
                assert!(s.max_len() >= longest, "{s:?}");
                assert_eq!(
                    s.any_empty(),
                    matches!(s, Spans::Regular(_)) && (0..s.len_out()).any(|o| s.at(o).len == 0),
                    "{s:?}"
                );
                for outputs in 1..=s.len_out() {
                    for o in 0..=s.len_out() - outputs {
                        let spans: Vec<_> = (o..o + outputs).map(|o| s.at(o)).filter(|s| s.len > 0).collect();
                        let start = spans.iter().map(|s| s.start).min().unwrap_or(0);
                        let end = spans.iter().map(Span::end).max().unwrap_or(0);
                        assert!(end - start <= s.reach(outputs), "{s:?} {o} {outputs}");
                    }
                }
            }
        }
    }

    /// A pattern clipped to the axis is the spans.
    fn check_pattern(spans: &Spans) {
        let pattern = spans.pattern(99, 99).unwrap();
        for o in 0..spans.len_out() {
            let (cycle, phase) = (o / pattern.outputs, o % pattern.outputs);
            let cells: Vec<usize> = pattern.taps[phase]
                .iter()
                .map(|&tap| tap + (cycle * pattern.inputs) as isize)
                .filter(|&cell| cell >= 0 && cell < spans.len_in() as isize)
                .map(|cell| cell as usize)
                .collect();
            let Span { start, len, step } = spans.at(o);
            assert_eq!(cells, (0..len).map(|t| start + t * step).collect::<Vec<_>>(), "{spans:?} {o}");
        }
    }

    fn blocks() -> impl Iterator<Item = (usize, Boundary, Side, usize)> {
        let boundaries = [Boundary::Exact, Boundary::Trim, Boundary::Pad, Boundary::Partial];
        let sides = boundaries.into_iter().flat_map(|boundary| [(boundary, Side::Left), (boundary, Side::Right)]);
        let factors = sides.flat_map(|(boundary, side)| (1..6).map(move |factor| (factor, boundary, side)));
        factors.flat_map(|(factor, boundary, side)| (1..10).map(move |len| (factor, boundary, side, len)))
    }

    #[test]
    fn whole_windows_are_those_that_nothing_clips() {
        for (k, s, d, pad, len) in grid(5, 4, 4, 9, 9) {
            let Ok(Spans::Regular(r)) = Window::new(k).stride(s).dilation(d).padding(pad, pad / 2).solve(len) else {
                continue;
            };
            for o in 0..r.len_out {
                let whole = r.first(o) >= 0 && r.first(o) as usize + r.extent() <= len;
                assert_eq!(r.whole().contains(&o), whole, "{r:?} {o}");
            }
        }
    }

    #[test]
    fn blocks_as_drawn() {
        use {Boundary as B, Side as S};
        for (boundary, side, drawing) in [
            (B::Trim, S::Left, "(0 1) (2 3)"),
            (B::Trim, S::Right, "(1 2) (3 4)"),
            (B::Partial, S::Left, "(0 1) (2 3) (4)"),
            (B::Partial, S::Right, "(0) (1 2) (3 4)"),
            (B::Pad, S::Left, "(0 1) (2 3) (4)"),
        ] {
            assert_eq!(draw(&Blocks { factor: 2, boundary, side }.solve(5).unwrap()), drawing, "{boundary:?} {side:?}");
        }
        assert!(Blocks { factor: 2, boundary: B::Exact, side: S::Left }.solve(5).is_err());
        let padded = Blocks { factor: 3, boundary: B::Pad, side: S::Left }.solve(4).unwrap();
        assert_eq!((padded.count(1, true), padded.count(1, false)), (3, 1));
    }

    fn grid(
        k: usize,
        s: usize,
        d: usize,
        p: usize,
        n: usize,
    ) -> impl Iterator<Item = (usize, usize, usize, usize, usize)> {
        (0..k * s * d * (p + 1) * n).map(move |i| {
            let (k0, i) = (i % k + 1, i / k);
            let (s0, i) = (i % s + 1, i / s);
            let (d0, i) = (i % d + 1, i / d);
            (k0, s0, d0, i % (p + 1), i / (p + 1) + 1)
        })
    }
}
