//! Two kinds of pictures: lines and bars. Knows no case.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What stands above a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Title<'a> {
    pub(crate) what: &'a str,
    /// Smaller.
    pub(crate) how: &'a str,
}

/// One line of a picture, or one bar of each panel.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) color: RGBColor,
    /// One for each point of the axis, or for each panel.
    pub(crate) values: Vec<Option<f64>>,
}

/// What the axes of lines say.
#[derive(Debug, Clone)]
pub(crate) struct Axes<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// The points along x, at equal distances.
    pub(crate) points: Vec<String>,
}

/// Draws a line for each series, over a logarithmic axis.
pub(crate) fn lines(path: &Path, title: Title<'_>, axes: &Axes<'_>, series: &[Series]) -> Result<()> {
    let root = SVGBackend::new(path, (WIDTH, 460)).into_drawing_area();
    let (plot, legend) = titled(&root, title)?.split_horizontally(WIDTH - LEGEND_WIDTH);
    let all = || series.iter().flat_map(|series| series.values.iter().copied().flatten());
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN_POSITIVE, f64::max));
    let last = axes.points.len().saturating_sub(1);
    let mut chart = ChartBuilder::on(&plot)
        .margin(10)
        .margin_right(20)
        .x_label_area_size(45)
        .y_label_area_size(65)
        .build_cartesian_2d(0..last, (low / 1.3..high * 1.3).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(axes.points.len())
        .x_label_formatter(&|index| axes.points.get(*index).cloned().unwrap_or_default())
        .y_label_formatter(&|value| short(*value))
        .x_desc(axes.x)
        .y_desc(axes.y)
        .label_style(font(14))
        .axis_desc_style(font(15))
        .bold_line_style(RGBColor(215, 215, 215))
        .light_line_style(RGBColor(240, 240, 240))
        .draw()
        .map_err(failed)?;
    for (index, Series { name, color, values }) in series.iter().enumerate() {
        let style = color.stroke_width(3);
        let points: Vec<_> = values.iter().enumerate().filter_map(|(x, y)| Some((x, (*y)?))).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), style)).map_err(failed)?;
        let dots = points.iter().map(|point| Circle::new(*point, 4, color.filled()));
        chart.draw_series(dots).map_err(failed)?;
        let y = 20 + 22 * pixels(index);
        legend.draw(&PathElement::new([(5, y), (30, y)], style)).map_err(failed)?;
        write(&legend, name, (38, y), 15, HPos::Left)?;
    }
    root.present().map_err(failed)
}

/// What the bars of a panel are as long as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Its own values, so that panels may differ by orders of magnitude.
    Own,
    /// The values of all panels, so that these can be compared.
    Shared,
}

/// Draws panels, each with a name, in each of which there is a bar for each series that has a value there.
pub(crate) fn bars(path: &Path, title: Title<'_>, scale: Scale, panels: &[String], series: &[Series]) -> Result<()> {
    let longest = |panel| series.iter().filter_map(|one| value(one, panel)).fold(f64::MIN_POSITIVE, f64::max);
    let rows_of = |panel: usize| series.iter().filter(|one| value(one, panel).is_some()).count();
    let panel_lines = (0..panels.len()).map(rows_of).max().unwrap_or(0) + 1;
    let panel_height = BAR_PITCH * pixels(panel_lines) + 24;
    let height = TITLE_HEIGHT + panel_height * pixels(panels.len().div_ceil(PANELS_ACROSS));
    let root = SVGBackend::new(path, (WIDTH, height.unsigned_abs())).into_drawing_area();
    let body = titled(&root, title)?;
    for (index, name) in panels.iter().enumerate() {
        let (left, top) = (pixels(index % PANELS_ACROSS) * PANEL_WIDTH, pixels(index / PANELS_ACROSS) * panel_height);
        write(&body, name, (left + NAME_WIDTH, top + BAR_PITCH / 2), 16, HPos::Left)?;
        let longest = match scale {
            Scale::Own => longest(index),
            Scale::Shared => (0..panels.len()).map(longest).fold(f64::MIN_POSITIVE, f64::max),
        };
        let shown = series.iter().filter_map(|one| Some((one, value(one, index)?)));
        for (line, (one, value)) in shown.enumerate() {
            let (top, left) = (top + BAR_PITCH * pixels(line + 1), left + NAME_WIDTH);
            let right = left + scaled(value / longest);
            let bar = Rectangle::new([(left, top + 3), (right, top + BAR_PITCH - 3)], one.color.filled());
            body.draw(&bar).map_err(failed)?;
            let middle = top + BAR_PITCH / 2;
            write(&body, &one.name, (left - 8, middle), 14, HPos::Right)?;
            write(&body, &short(value), (right + 6, middle), 14, HPos::Left)?;
        }
    }
    root.present().map_err(failed)
}

fn value(series: &Series, panel: usize) -> Option<f64> {
    series.values.get(panel).copied().flatten()
}

/// Fills the ground and writes the title; gives what is below it.
fn titled<'a>(root: &Area<'a>, title: Title<'_>) -> Result<Area<'a>> {
    root.fill(&WHITE).map_err(failed)?;
    write(root, title.what, (20, 24), 20, HPos::Left)?;
    write(root, title.how, (20, 48), 13, HPos::Left)?;
    Ok(root.split_vertically(TITLE_HEIGHT).1)
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, side: HPos) -> Result<()> {
    let style = font(size).into_text_style(area).pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text, at, style)).map_err(failed)
}

/// Of whoever shows the picture: none is read here.
fn font(size: i32) -> (FontFamily<'static>, i32) {
    (FontFamily::SansSerif, size)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Its errors borrow from the picture.
fn failed(error: impl std::error::Error) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// Two digits at least, in groups of three.
fn short(value: f64) -> String {
    match value {
        10.0.. => {
            let digits = format!("{value:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn pixels(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a part of the longest bar")]
fn scaled(part: f64) -> i32 {
    (part * f64::from(BAR_LENGTH)) as i32
}

const WIDTH: u32 = 960;
const TITLE_HEIGHT: i32 = 70;
const LEGEND_WIDTH: u32 = 150;
const PANELS_ACROSS: usize = 2;
const PANEL_WIDTH: i32 = 470;
const NAME_WIDTH: i32 = 105;
const BAR_LENGTH: i32 = 290;
/// From one bar to the next.
const BAR_PITCH: i32 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_two_digits() {
        let shown = [0.123, 1.26, 42.4, 678.9, 1234.0, 45_678.0].map(short);
        assert_eq!(shown, ["0.12", "1.3", "42", "679", "1,234", "45,678"]);
    }
}
