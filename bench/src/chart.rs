//! Charts as SVG, readable on light and dark ground: bars with their spread, and curves of latency.

use std::fmt::{self, Write as _};

/// Sizes in pixels.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 250.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 40.0;
const FOOT: f64 = 36.0;
const CURVES: f64 = 320.0;
/// Told apart by most eyes, on light and on dark ground (Okabe and Ito 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

/// A bar: its group and name, and least, median and most.
pub struct Bar {
    pub group: String,
    pub name: &'static str,
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// A curve: its name, and points: a part of the probes below one, and microseconds.
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Bars, grouped, with a line from least to most.
pub fn bars(title: &str, unit: &str, bars: &[Bar]) -> Result<String, fmt::Error> {
    let groups = bars.iter().enumerate().filter(|(at, bar)| *at == 0 || bars[at - 1].group != bar.group).count();
    let height = HEAD + FOOT + ROW * (bars.len() + groups) as f64;
    let most = bars.iter().map(|bar| bar.max).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let scale = |value: f64| LABELS + value / most * (WIDTH - LABELS - 70.0);
    let mut names: Vec<&str> = Vec::new();
    let mut text = head(title, height)?;
    let mut y = HEAD;
    for (at, bar) in bars.iter().enumerate() {
        if at == 0 || bars[at - 1].group != bar.group {
            writeln!(text, "<text x=\"8\" y=\"{:.0}\" font-weight=\"bold\">{}</text>", y + 16.0, escaped(&bar.group))?;
            y += ROW;
        }
        let colour = colour(&mut names, bar.name);
        let (left, middle) = (scale(0.0), y + ROW / 2.0);
        writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <path d=\"M{:.1} {middle:.1}H{:.1}\" class=\"ink\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\">{:.3}</text>",
            LABELS - 8.0,
            middle + 4.0,
            escaped(bar.name),
            y + 3.0,
            (scale(bar.median) - left).max(0.0),
            ROW - 6.0,
            scale(bar.min),
            scale(bar.max),
            scale(bar.max) + 6.0,
            middle + 4.0,
            bar.median
        )?;
        y += ROW;
    }
    writeln!(text, "<text x=\"{LABELS}\" y=\"{:.0}\">{}</text>\n</svg>", y + 22.0, escaped(unit))?;
    Ok(text)
}

/// Curves of latency. Across: the part of the probes, more of it the closer to all; up: microseconds. Both by powers of ten.
pub fn curves(title: &str, curves: &[Curve]) -> Result<String, fmt::Error> {
    let all = || curves.iter().flat_map(|curve| &curve.points).filter(|(_, us)| *us > 0.0);
    let low = all().map(|(_, us)| us.log10()).fold(f64::MAX, f64::min).min(9.0).floor();
    let high = all().map(|(_, us)| us.log10()).fold(low + 1.0, f64::max).ceil();
    let nines = |part: f64| -(1.0 - part).max(0.0005).log10();
    let (left, right, top) = (60.0, WIDTH - 20.0, HEAD);
    let across = |part: f64| left + nines(part) / nines(1.0) * (right - left);
    let up = |us: f64| top + CURVES - (us.log10() - low) / (high - low) * CURVES;
    let mut text = head(title, HEAD + CURVES + FOOT + ROW * (curves.len() as f64 + 1.0))?;
    for power in low as i32..=high as i32 {
        let (us, y) = (10f64.powi(power), up(10f64.powi(power)));
        writeln!(
            text,
            "<path d=\"M{left} {y:.1}H{right}\" class=\"grid\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{us}</text>",
            left - 6.0,
            y + 4.0
        )?;
    }
    for (part, name) in [(0.0, "0"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "all")] {
        let x = across(part);
        writeln!(
            text,
            "<path d=\"M{x:.1} {top}V{:.1}\" class=\"grid\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            top + CURVES,
            top + CURVES + 18.0
        )?;
    }
    let mut names = Vec::new();
    for (at, curve) in curves.iter().enumerate() {
        let colour = colour(&mut names, curve.name);
        let points: Vec<String> = curve
            .points
            .iter()
            .filter(|(_, us)| *us > 0.0)
            .map(|(part, us)| format!("{:.1},{:.1}", across(*part), up(*us)))
            .collect();
        let y = top + CURVES + FOOT + ROW * (at as f64 + 0.5);
        writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <rect x=\"{left}\" y=\"{:.1}\" width=\"14\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\">{}</text>",
            points.join(" "),
            y - 9.0,
            left + 20.0,
            y,
            escaped(curve.name)
        )?;
    }
    writeln!(text, "<text x=\"8\" y=\"{:.0}\">us</text>\n</svg>", top - 8.0)?;
    Ok(text)
}

/// The beginning: what is written and drawn takes the colour of the reader's own ground.
fn head(title: &str, height: f64) -> Result<String, fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#1f2328}}.ink{{stroke:#1f2328;stroke-width:1.5}}.grid{{stroke:#8888;stroke-width:.5}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.ink{{stroke:#e6edf3}}}}</style>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        escaped(title)
    )?;
    Ok(text)
}

/// The same colour for the same name.
fn colour<'a>(names: &mut Vec<&'a str>, name: &'a str) -> &'static str {
    let at = names.iter().position(|other| *other == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    COLOURS[at % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many shapes as values, all inside, and nothing that XML does not take.
    #[test]
    fn bars_and_curves() {
        let bar = |group: &str, median: f64| Bar { group: group.to_owned(), name: "a<b", min: 0.0, median, max: 2.0 };
        let text = bars("t & u", "per s", &[bar("one", 1.0), bar("one", 0.0), bar("two", 2.0)]).unwrap();
        assert_eq!(text.matches("<rect").count(), 3);
        assert_eq!(text.matches("font-weight=\"bold\"").count(), 1 + 2);
        assert!(text.contains("t &amp; u") && text.contains("a&lt;b") && !text.contains("a<b"));
        let points = vec![(0.5, 10.0), (0.99, 0.0), (1.0, 2000.0)];
        let text =
            curves("latency", &[Curve { name: "kernel", points }, Curve { name: "none", points: vec![] }]).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(text.contains("points=\"") && text.trim_end().ends_with("</svg>"));
        assert!(!bars("nothing", "", &[]).unwrap().contains("NaN"));
    }
}
