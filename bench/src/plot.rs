//! Which pictures are drawn of samples.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use plotters::style::RGBColor;

use crate::case::{Group, case_name};
use crate::chart::{Axes, Scale, Series, Title, bars, lines};
use crate::figure::Figure;
use crate::results::Samples;

/// A picture of one figure of a group. It is drawn if there is something to show.
struct Picture {
    file: &'static str,
    group: &'static str,
    title: &'static str,
    figure: Figure,
    form: Form,
}

enum Form {
    /// Along the callers of the rows whose names are this and their number.
    Lines { before: &'static str, y: &'static str },
    /// A panel for each of these rows, in this order; for all, if there are none.
    Bars { rows: &'static [&'static str], scale: Scale },
}

const PICTURES: &[Picture] = &[
    Picture {
        file: "unary-rate.svg",
        group: "unary",
        title: "Single calls of 512 bytes over one connection: thousands a second (more is better)",
        figure: Figure::RATE,
        form: Form::Lines { before: "512B-", y: "k calls/s" },
    },
    Picture {
        file: "unary-p50.svg",
        group: "unary",
        title: "Single calls of 512 bytes over one connection: median latency in µs (less is better)",
        figure: Figure::P50,
        form: Form::Lines { before: "512B-", y: "µs" },
    },
    Picture {
        file: "streams.svg",
        group: "streams",
        title: "Items of 512 bytes in 1 or 64 streams: thousands a second (more is better)",
        figure: Figure::RATE,
        form: Form::Bars { rows: &[], scale: Scale::Own },
    },
    Picture {
        file: "mixed-p99.svg",
        group: "mixed",
        title: "Small calls beside bulk, on the same connection or another: p99 in µs (less is better)",
        figure: Figure::P99,
        form: Form::Bars {
            rows: &["64KiB-same", "64KiB-other", "1MiB-same", "1MiB-other", "small-alone"],
            scale: Scale::Shared,
        },
    },
    Picture {
        file: "memory.svg",
        group: "memory",
        title: "Resident memory of an idle connection or stream, both ends together: KiB (less is better)",
        figure: crate::memory::KIB,
        form: Form::Bars { rows: &[], scale: Scale::Own },
    },
];

/// Draws all pictures that there are samples for, and gives where.
pub(crate) fn draw(directory: &Path, groups: &[Group], samples: &Samples) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut drawn = Vec::new();
    for picture in PICTURES {
        let Some(group) = groups.iter().find(|group| group.name == picture.group) else { continue };
        let path = directory.join(picture.file);
        if picture.draw(&path, group, samples)? {
            drawn.push(path);
        }
    }
    Ok(drawn)
}

impl Picture {
    /// Whether there was something to draw.
    fn draw(&self, path: &Path, group: &Group, samples: &Samples) -> Result<bool> {
        let rows = self.rows(group);
        let series: Vec<_> =
            group.columns().into_iter().map(|column| self.series(group, &rows, column, samples)).collect();
        let series: Vec<_> = series.into_iter().filter(|one| one.values.iter().any(Option::is_some)).collect();
        if series.is_empty() {
            return Ok(false);
        }
        let title = Title { what: self.title, how: &samples.machine };
        match self.form {
            Form::Lines { before, y } => {
                let points = rows.iter().map(|row| row.trim_start_matches(before).to_owned()).collect();
                lines(path, title, &Axes { x: "callers at once", y, points }, &series)?;
            }
            Form::Bars { scale, .. } => {
                let panels: Vec<_> = rows.into_iter().map(str::to_owned).collect();
                bars(path, title, scale, &panels, &series)?;
            }
        }
        Ok(true)
    }

    fn rows<'a>(&self, group: &'a Group) -> Vec<&'a str> {
        match self.form {
            Form::Lines { before, .. } => group.rows().into_iter().filter(|row| row.starts_with(before)).collect(),
            Form::Bars { rows: [], .. } => group.rows(),
            Form::Bars { rows, .. } => rows.to_vec(),
        }
    }

    fn series(&self, group: &Group, rows: &[&str], column: &str, samples: &Samples) -> Series {
        let values = rows.iter().map(|row| samples.median(&case_name(group.name, row, column), &self.figure));
        Series { name: column.into(), color: color(column), values: values.collect() }
    }
}

/// The same for a column in all pictures.
fn color(column: &str) -> RGBColor {
    let (red, green, blue) = match column {
        "grid" | "grid-w1024" => (200, 30, 45),
        "grid-raw" | "grid-w64" => (232, 100, 95),
        "grid-w16" => (242, 150, 140),
        "grid-w1" => (248, 195, 188),
        "raw-ws" => (20, 20, 20),
        "bare-mux" => (105, 105, 105),
        "bare-mux-tcp" => (165, 165, 165),
        "tarpc" => (31, 119, 180),
        "tonic" => (44, 150, 60),
        "jsonrpsee" => (140, 90, 185),
        "capnp" => (240, 150, 30),
        _ => (140, 90, 60),
    };
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Sample;
    use crate::groups;

    #[test]
    fn pictures_are_of_groups_and_rows_that_there_are() {
        let groups = groups();
        for picture in PICTURES {
            let group = groups.iter().find(|group| group.name == picture.group).expect(picture.file);
            let (rows, all) = (picture.rows(group), group.rows());
            assert!(!rows.is_empty() && rows.iter().all(|row| all.contains(row)), "{}", picture.file);
        }
    }

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let mut samples = Samples::default();
        let sample = Sample { units: 1000, seconds: 0.5, cpu_seconds: 0.5, ..Sample::default() };
        for case in ["unary/512B-1/grid", "unary/512B-64/grid", "unary/512B-64/tonic"] {
            samples.add(case, sample);
        }
        let directory = std::env::temp_dir().join(format!("grid-bench-plots-{}", std::process::id()));
        let drawn = draw(&directory, &groups(), &samples).unwrap();
        let picture = fs::read_to_string(directory.join("unary-rate.svg")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(drawn, [directory.join("unary-rate.svg")]);
        assert!(picture.starts_with("<svg") && picture.contains("tonic") && !picture.contains("tarpc"));
    }
}
