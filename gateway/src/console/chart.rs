//! Charts as the server draws them: what a browser without scripts shows, and one with scripts until it draws its own.

use std::fmt::Write as _;

use maud::{Markup, html};

/// The drawing's own units: it is as wide as its place.
const WIDTH: u64 = 600;
const HEIGHT: u64 = 120;

/// One line of a chart: values from the oldest to the newest; none where there is nothing to tell.
pub(super) struct Line<'a> {
    /// How it is called, for people and for the style.
    pub(super) name: &'a str,
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<u64>>,
}

/// Draws lines over the last seconds. `told` writes a value with its unit.
pub(super) fn lines(
    id: &str,
    title: &str,
    about: &str,
    seconds_max: usize,
    lines: &[Line<'_>],
    told: impl Fn(u64) -> String,
) -> Markup {
    let top = nice(lines.iter().flat_map(|line| &line.values).flatten().copied().max().unwrap_or(0));
    let span = seconds_max.max(2) as u64 - 1;
    html! {
        figure.chart id=(id) {
            figcaption {
                span.title { (title) }
                @if lines.len() > 1 {
                    span.legend { @for line in lines { span class=(format!("key {}", line.class)) { (line.name) } } }
                }
            }
            div.plot data-plot=(id) role="img" aria-label=(about) {
                span.top { (told(top)) }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" {
                    @for part in 0..=2 {
                        line.grid x1="0" x2=(WIDTH) y1=(HEIGHT * part / 2) y2=(HEIGHT * part / 2) {}
                    }
                    @for line in lines {
                        path class=(line.class) d=(path(&line.values, span, top)) {}
                    }
                }
                span.zero { "0" }
            }
            div.ends aria-hidden="true" {
                span.axis { (seconds_max / 60) " min ago" }
                span data-readout {}
                span.axis { "now" }
            }
        }
    }
}

/// Writes the way of a line, which ends at the right edge; where there is nothing to tell it is broken off.
fn path(values: &[Option<u64>], span: u64, top: u64) -> String {
    let mut path = String::new();
    let (first, mut is_on) = ((span + 1).saturating_sub(values.len() as u64), false);
    for (at, value) in (first..).zip(values) {
        let Some(value) = value else {
            is_on = false;
            continue;
        };
        let (x, y) = (at * WIDTH / span, HEIGHT - (*value).min(top) * HEIGHT / top);
        let step = if is_on { 'L' } else { 'M' };
        // Writing to a text can't fail. A value that stands alone is a dot.
        let _ = write!(path, "{step}{x} {y}");
        if !is_on {
            let _ = write!(path, "h0");
        }
        is_on = true;
    }
    path
}

/// Gives the least of 1, 2 and 5 times a power of ten that is not below a value.
fn nice(value: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            if let Some(top) = power.checked_mul(step)
                && top >= value
            {
                return top;
            }
        }
        match power.checked_mul(10) {
            Some(next) => power = next,
            None => return u64::MAX,
        }
    }
}

/// Draws one bar of parts, each with its class, as long as they are of `whole`.
pub(super) fn bar(parts: &[(String, u64)], whole: u64) -> Markup {
    let whole = u128::from(whole.max(1));
    let mut left = 0u64;
    let parts = parts.iter().filter(|(_, size)| *size > 0).map(|(class, size)| {
        let width = u64::try_from(u128::from(*size) * u128::from(WIDTH) / whole).unwrap_or(WIDTH).max(2);
        let x = left;
        left += width;
        (class, x, width)
    });
    html! {
        svg.bar viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" aria-hidden="true" {
            rect.track x="0" y="0" width=(WIDTH) height="10" {}
            @for (class, x, width) in parts { rect class=(class) x=(x) y="0" width=(width) height="10" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_value() {
        for (value, top) in [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (1_234, 2_000)] {
            assert_eq!(nice(value), top);
        }
        assert_eq!(nice(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_line_ends_now_and_is_broken_where_nothing_is_known() {
        assert_eq!(path(&[Some(0), Some(5), None, Some(10)], 3, 10), "M0 120h0L200 60M600 0h0");
        assert_eq!(path(&[Some(10)], 3, 10), "M600 0h0", "what is short ends at the right edge too");
        assert_eq!(path(&[], 3, 10), "");
    }
}
