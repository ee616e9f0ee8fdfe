//! Keeps what was measured, and tells it as a table and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::graph::{GRAPHS, Graph, Line};
use super::support::servers::{Who, load_average};

/// All that was measured.
pub struct Figures {
    repetitions: usize,
    scale: f64,
    loads: Vec<String>,
    limits: Vec<Row>,
    /// In the order in which they came first.
    rows: Vec<Row>,
}

/// A figure, each time that it was measured.
#[derive(Default)]
struct Row {
    case: String,
    client: String,
    figure: String,
    unit: String,
    ours: Vec<f64>,
    kafka: Vec<f64>,
}

/// Where a figure comes from.
#[derive(Clone, Copy)]
pub struct From<'a> {
    pub who: &'a Who,
    pub case: &'static str,
    pub client: &'static str,
}

impl Figures {
    pub fn new(repetitions: usize, scale: f64) -> Self {
        Self { repetitions, scale, loads: Vec::new(), limits: Vec::new(), rows: Vec::new() }
    }

    /// What [`Figures::write`] has written there.
    pub fn read(dir: &Path) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(dir.join("figures.json")).unwrap()).unwrap();
        let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
        let numbers = |of: &Value, name: &str| -> Vec<f64> {
            of[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        let rows = |list: &str, ours: &str| -> Vec<Row> {
            let row = |row: &Value| Row {
                case: text(row, "case"),
                client: text(row, "client"),
                figure: text(row, "figure"),
                unit: text(row, "unit"),
                ours: numbers(row, ours),
                kafka: numbers(row, "apache-kafka"),
            };
            json[list].as_array().unwrap().iter().map(row).collect()
        };
        Self {
            repetitions: json["repetitions"].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap(),
            scale: json["scale"].as_f64().unwrap(),
            loads: json["loadAverages"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            limits: rows("limits", "values"),
            rows: rows("figures", "kafka-rs"),
        }
    }

    /// Notes what the machine can do.
    pub fn limit(&mut self, figure: &str, unit: &str, value: f64) {
        row(&mut self.limits, ["", "", figure, unit]).ours.push(value);
    }

    /// Notes a figure.
    pub fn add(&mut self, from: From<'_>, figure: &str, unit: &str, value: f64) {
        println!("  {} {} {figure}: {} {unit}", from.case, from.client, short(value));
        let row = row(&mut self.rows, [from.case, from.client, figure, unit]);
        match from.who {
            Who::Ours => row.ours.push(value),
            Who::Kafka(_) => row.kafka.push(value),
        }
    }

    /// Notes how busy the machine was.
    pub fn note_load(&mut self) {
        self.loads.push(load_average());
    }

    /// Writes the table, the JSON and the graphs.
    pub fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("figures.md"), self.markdown()).unwrap();
        fs::write(dir.join("figures.json"), serde_json::to_string_pretty(&self.json()).unwrap()).unwrap();
        for graph in GRAPHS {
            if let Some(svg) = graph.draw(&self.lines(graph)) {
                fs::write(dir.join(graph.file), svg).unwrap();
            }
        }
    }

    /// What was measured of each server with our client, point for point.
    fn lines(&self, graph: &Graph) -> Vec<Line> {
        let values = |of: fn(&Row) -> &Vec<f64>| -> Vec<(f64, f64)> {
            let find = |case: &str| {
                self.rows
                    .iter()
                    .find(|row| row.is([case, "ours", graph.figure, "s/GiB"]))
                    .and_then(|row| median(of(row)))
            };
            graph.points.iter().filter_map(|(case, number)| Some((*number, find(case)?))).collect()
        };
        vec![("kafka-rs", "#0a6", values(|row| &row.ours)), ("Apache Kafka", "#c40", values(|row| &row.kafka))]
    }

    /// Medians with the smallest and the largest.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{} repetitions, {} of the work, load averages {}\n\n| limit of the machine | median (spread) |\n|---|---|\n",
            self.repetitions,
            self.scale,
            self.loads.join(", ")
        );
        for row in &self.limits {
            let _ = writeln!(text, "| {}, {} | {} |", row.figure, row.unit, spread(&row.ours));
        }
        text.push_str("\n| case | client | figure | kafka-rs | Apache Kafka | ratio |\n|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let ratio = match (median(&row.ours), median(&row.kafka)) {
                (Some(ours), Some(kafka)) if kafka > 0.0 => short(ours / kafka),
                _ => String::new(),
            };
            let Row { case, client, figure, unit, ours, kafka } = row;
            let _ = writeln!(
                text,
                "| {case} | {client} | {figure}, {unit} | {} | {} | {ratio} |",
                spread(ours),
                spread(kafka)
            );
        }
        text
    }

    fn json(&self) -> Value {
        let object = |row: &Row| {
            json!({
                "case": row.case, "client": row.client, "figure": row.figure, "unit": row.unit,
                "kafka-rs": row.ours, "apache-kafka": row.kafka,
            })
        };
        json!({
            "version": 1,
            "repetitions": self.repetitions,
            "scale": self.scale,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "loadAverages": self.loads,
            "limits": self.limits.iter().map(|row| json!({"figure": row.figure, "unit": row.unit, "values": row.ours})).collect::<Vec<_>>(),
            "figures": self.rows.iter().map(object).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    /// Whether it is that of this case, client, figure and unit.
    fn is(&self, names: [&str; 4]) -> bool {
        [&self.case, &self.client, &self.figure, &self.unit].map(String::as_str) == names
    }
}

fn row<'a>(rows: &'a mut Vec<Row>, names: [&str; 4]) -> &'a mut Row {
    let at = rows.iter().position(|row| row.is(names)).unwrap_or_else(|| {
        let [case, client, figure, unit] = names.map(str::to_owned);
        rows.push(Row { case, client, figure, unit, ..Row::default() });
        rows.len() - 1
    });
    &mut rows[at]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> Option<f64> {
    sorted(values).get(values.len() / 2).copied()
}

fn spread(values: &[f64]) -> String {
    match sorted(values)[..] {
        [] => String::new(),
        [only] => short(only),
        [first, .., last] => {
            format!("{} ({} to {})", short(median(values).unwrap_or_default()), short(first), short(last))
        }
    }
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
