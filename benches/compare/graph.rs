//! How the cost of a record grows: broker CPU by partitions, by producers and by what is stored, as SVG.

use std::fmt::Write as _;

use super::report::short;

/// A graph over cases that differ in one number.
pub struct Graph {
    pub file: &'static str,
    title: &'static str,
    /// What is drawn of the cases, of which the unit is s/GiB.
    pub figure: &'static str,
    /// Cases, and the number in which they differ.
    pub points: &'static [(&'static str, f64)],
}

pub const GRAPHS: &[Graph] = &[
    Graph {
        file: "partitions.svg",
        title: "broker CPU, s/GiB, by partitions",
        figure: "broker CPU",
        points: &[("produce-1k", 1.0), ("produce-10p", 10.0), ("produce-100p", 100.0), ("produce-1000p", 1000.0)],
    },
    Graph {
        file: "producers.svg",
        title: "broker CPU, s/GiB, by producers",
        figure: "broker CPU",
        points: &[("produce-1k", 1.0), ("ten-producers", 10.0), ("hundred-producers", 100.0)],
    },
    Graph {
        file: "stored-append.svg",
        title: "broker CPU of appending, s/GiB, by MB stored",
        figure: "broker CPU, appending",
        points: STORED,
    },
    Graph {
        file: "stored-read.svg",
        title: "broker CPU of reading anywhere, s/GiB, by MB stored",
        figure: "broker CPU, reading anywhere",
        points: STORED,
    },
];

const STORED: &[(&str, f64)] =
    &[("stored-1m", 1.0), ("stored-1g", 1_000.0), ("stored-10g", 10_000.0), ("stored-100g", 100_000.0)];

/// A server's name, its colour, and what was measured of it.
pub type Line = (&'static str, &'static str, Vec<(f64, f64)>);

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const MARGIN: f64 = 56.0;

impl Graph {
    /// The graph of these lines: powers of ten to the right and upwards, each point with its value, so that a line that
    /// is flat looks it beside one that is not. None if there is nothing to compare.
    pub fn draw(&self, lines: &[Line]) -> Option<String> {
        let all = || lines.iter().flat_map(|(_, _, points)| points);
        let widest = all().map(|(number, _)| number.log10()).fold(0.0, f64::max);
        let lowest = all().map(|(_, value)| value.log10()).fold(f64::INFINITY, f64::min).floor();
        let highest = all().map(|(_, value)| value.log10()).fold(f64::NEG_INFINITY, f64::max).ceil();
        if widest <= 0.0 || !lowest.is_finite() || lowest >= highest {
            return None;
        }
        let x = |number: f64| MARGIN + number.log10() / widest * (WIDTH - 2.0 * MARGIN);
        let y = |value: f64| HEIGHT - MARGIN - (value.log10() - lowest) / (highest - lowest) * (HEIGHT - 2.0 * MARGIN);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n<text x=\"{MARGIN}\" y=\"24\">{}</text>\n\
             <path d=\"M{MARGIN} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\n",
            self.title,
            bottom = HEIGHT - MARGIN,
            right = WIDTH - MARGIN,
        );
        for (_, number) in self.points.iter().filter(|(_, number)| number.log10() <= widest) {
            text(&mut svg, x(*number), HEIGHT - MARGIN + 20.0, &number.to_string());
        }
        for power in lowest as i32..=highest as i32 {
            let value = 10_f64.powi(power);
            text(&mut svg, MARGIN / 2.0, y(value) + 4.0, &value.to_string());
            let _ = writeln!(svg, "<path d=\"M{MARGIN} {:.1}H{}\" stroke=\"#ddd\"/>", y(value), WIDTH - MARGIN);
        }
        for (row, (name, colour, points)) in (0_u32..).zip(lines) {
            let path: Vec<String> =
                points.iter().map(|(number, value)| format!("{:.1},{:.1}", x(*number), y(*value))).collect();
            let _ = writeln!(
                svg,
                "<g fill=\"{colour}\">\n<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
                 <text x=\"{}\" y=\"{}\">{name}</text>",
                path.join(" "),
                WIDTH - 2.0 * MARGIN,
                24.0 + 16.0 * f64::from(row),
            );
            for (number, value) in points {
                text(&mut svg, x(*number), y(*value) - 8.0, &short(*value));
            }
            svg.push_str("</g>\n");
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

fn text(svg: &mut String, x: f64, y: f64, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>");
}
