//! The ratios as a picture: one bar a row, the goals as ticks.

use std::fmt::Write as _;

use crate::report::Report;

const NAMES: f64 = 330.0;
const SCALE: f64 = 400.0;
const STEP: f64 = 22.0;
const TOP: f64 = 40.0;
/// Of ours, and of the others.
const COLOURS: &[&str] = &["#2f6f9f", "#b0723a", "#5a8f5a"];

/// An SVG picture.
pub(crate) fn svg(report: &Report) -> String {
    let others = report.variants.len().saturating_sub(1).max(1);
    let height = TOP + STEP * report.lines.len() as f64 + 20.0;
    let width = NAMES + SCALE + 60.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text += &legend(report);
    for (at, line) in report.lines.iter().enumerate() {
        let y = TOP + STEP * at as f64;
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            NAMES - 8.0,
            y + 13.0,
            line.row.name
        );
        for variant in 0..others {
            text += &bar(y, variant, others, line.ratio(variant + 1));
        }
        text += &tick(y, line.row.goal);
    }
    let x = NAMES + SCALE;
    let _ = writeln!(
        text,
        "<line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#999\"/>",
        height - 16.0
    );
    text + "</svg>\n"
}

fn legend(report: &Report) -> String {
    let mut text = String::new();
    let mut x = NAMES;
    for (variant, colour) in report.variants.iter().skip(1).zip(COLOURS) {
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"22\">{}</text>",
            x + 16.0,
            variant.name
        );
        x += 80.0;
    }
    text + &format!(
        "<text x=\"{}\" y=\"32\" text-anchor=\"middle\">theirs = 1</text>\n",
        NAMES + SCALE
    )
}

fn bar(y: f64, variant: usize, others: usize, ratio: f64) -> String {
    let thick = 14.0 / others as f64;
    let colour = COLOURS.get(variant).copied().unwrap_or("#777");
    format!(
        "<rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{thick:.1}\" fill=\"{colour}\">\
         <title>{ratio:.2}</title></rect>\n",
        y + 2.0 + thick * variant as f64,
        SCALE * ratio.clamp(0.0, 1.1)
    )
}

fn tick(y: f64, goal: f64) -> String {
    let x = NAMES + SCALE * goal;
    format!(
        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#c00\" stroke-width=\"2\"/>\n",
        y,
        y + 18.0
    )
}
