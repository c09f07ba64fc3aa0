//! Carbon against waiting: a point each policy, and the steps that no policy beats on both.

use std::fmt::Write;

use carm_page::axis;
use carm_page::chart::{Frame, NARROW, WIDE, legend};

use super::{Kind, by_kind, labels, named};
use crate::account::summary::PolicySummary;
use crate::policy;
use crate::run::Results;

/// A policy.
struct Point<'r> {
    kind: Kind,
    name: &'r str,
    waiting_h: f64,
    /// Of what first come, first served emits.
    percent: f64,
}

/// The section; empty where nobody waits.
pub fn section(results: &Results) -> String {
    let fcfs_g = named(results, policy::FCFS).map_or(0.0, |of| of.carbon_g);
    let points: Vec<Point> = by_kind(results).into_iter().map(|(kind, of)| point(kind, of, fcfs_g)).collect();
    if fcfs_g <= 0.0 || points.iter().all(|point| point.waiting_h <= 0.0) {
        return String::new();
    }
    let mut text =
        "<section class=\"chart\">\n<h2>Carbon against waiting</h2>\n<p class=\"say\">Left is sooner, low is less carbon; no \
                    policy beats those on the line on both. The carbon axis is cut.</p>\n"
            .to_owned();
    let key = |kind: Kind| mark(kind, 7.0, 5.0, "");
    text += &legend(&[
        (key(Kind::Reference), "reference"),
        (key(Kind::Baseline), "baseline"),
        (key(Kind::Carm), "CARM"),
        (key(Kind::Lever), "CARM, one lever"),
    ]);
    for frame in [NARROW, WIDE] {
        text += &Plot::new(&points, frame).drawn();
    }
    text + &together(&points) + "</section>\n"
}

fn point(kind: Kind, of: &PolicySummary, fcfs_g: f64) -> Point<'_> {
    Point { kind, name: &of.name, waiting_h: of.waiting_h_mean, percent: 100.0 * of.carbon_g / fcfs_g }
}

/// Who gets its name first: references, CARM, baselines, levers.
fn order(points: &[Point]) -> Vec<usize> {
    let rank = |kind: Kind| match kind {
        Kind::Reference => 0,
        Kind::Carm => 1,
        Kind::Baseline => 2,
        Kind::Lever => 3,
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| rank(points[i].kind));
    order
}

/// Of a policy that came to the same as another: the one that has its name on the chart for both.
fn same_as(points: &[Point], at: usize) -> Option<usize> {
    let same = |a: &Point, b: &Point| (a.waiting_h - b.waiting_h).abs() < 1e-6 && (a.percent - b.percent).abs() < 1e-6;
    order(points).into_iter().take_while(|&other| other != at).find(|&other| same(&points[other], &points[at]))
}

/// Which policies came to the same.
fn together(points: &[Point]) -> String {
    let mut text = String::new();
    for (first, point) in points.iter().enumerate() {
        let same: Vec<&str> =
            (0..points.len()).filter(|&at| same_as(points, at) == Some(first)).map(|at| points[at].name).collect();
        if !same.is_empty() {
            let _ = writeln!(text, "<p class=\"say\">The same as <b>{}</b>: {}.</p>", point.name, same.join(", "));
        }
    }
    text
}

/// Above the plot.
const TOP: f64 = 34.0;

/// The chart in one of its sizes, and what its axes reach from and to.
struct Plot<'p> {
    points: &'p [Point<'p>],
    frame: Frame,
    height: f64,
    most_h: f64,
    percent: (f64, f64),
}

impl<'p> Plot<'p> {
    fn new(points: &'p [Point<'p>], frame: Frame) -> Self {
        let percents = points.iter().map(|point| point.percent);
        let (least, most) = percents.fold((f64::INFINITY, 0.0_f64), |(least, most), p| (least.min(p), most.max(p)));
        let margin = (0.07 * (most - least)).max(0.5);
        Self {
            points,
            frame,
            height: if frame.class == "wide" { 430.0 } else { 560.0 },
            most_h: 1.08 * points.iter().map(|point| point.waiting_h).fold(0.0, f64::max),
            percent: (least - margin, most + margin),
        }
    }

    fn foot(&self) -> f64 {
        self.height - 40.0
    }

    fn x(&self, hour: f64) -> f64 {
        let from = self.frame.left + 6.0;
        from + (self.frame.end() - from) * hour / self.most_h
    }

    fn y(&self, percent: f64) -> f64 {
        self.foot() - (self.foot() - TOP) * (percent - self.percent.0) / (self.percent.1 - self.percent.0)
    }

    fn drawn(&self) -> String {
        let (frame, points) = (self.frame, self.points);
        let id = format!("scatter-{}", frame.class);
        let mut text =
            frame.open(self.height, &id, "Carbon against mean waiting by policy; the figures stand in the tables below");
        text += &self.axes();
        text += &self.unbeaten();
        let order: Vec<usize> = order(points).into_iter().filter(|&at| same_as(points, at).is_none()).collect();
        let at: Vec<(f64, f64)> = order.iter().map(|&i| (self.x(points[i].waiting_h), self.y(points[i].percent))).collect();
        // CARM's names are bold: wider.
        let width = |&i: &usize| labels::width(points[i].name) * if points[i].kind == Kind::Carm { 1.12 } else { 1.0 };
        let widths: Vec<f64> = order.iter().map(width).collect();
        let placed = labels::place(&at, &widths, [frame.left + 2.0, TOP - 8.0, frame.width, self.foot() - 2.0]);
        for [from, to] in placed.iter().flatten().filter_map(|label| label.leader) {
            let _ = writeln!(text, "<path class=\"leader\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>", from.0, from.1, to.0, to.1);
        }
        // Those that matter most on top.
        for (i, &(x, y)) in order.iter().zip(&at).rev() {
            let Point { kind, name, percent, waiting_h } = points[*i];
            text += &(mark(kind, x, y, &format!("{name}: {percent:.1} % after {waiting_h:.2} h")) + "\n");
        }
        let mut numbered: Vec<String> = Vec::new();
        for (label, &i) in placed.iter().zip(&order) {
            let Point { kind, name, .. } = points[i];
            let shown = match label {
                Some(label) if label.short => {
                    let number = (numbered.len() + 1).to_string();
                    numbered.push(format!("<b>{number}</b> {name}"));
                    number
                }
                Some(_) => name.to_owned(),
                // No name is lost.
                None => {
                    numbered.push(name.to_owned());
                    continue;
                }
            };
            let (x, y) = label.map_or((0.0, 0.0), |label| (label.x, label.y));
            let _ = writeln!(text, "<text class=\"over point {}\" x=\"{x:.1}\" y=\"{y:.1}\">{shown}</text>", kind.class());
        }
        text += "</svg>\n";
        if !numbered.is_empty() {
            let _ = writeln!(text, "<p class=\"say {}\">Without room for their names: {}.</p>", frame.class, numbered.join(", "));
        }
        text
    }

    fn axes(&self) -> String {
        let (left, right, foot) = (self.frame.left, self.frame.end(), self.foot());
        let mut text =
            format!("<text class=\"title\" x=\"0\" y=\"{:.1}\">Carbon, % of first come, first served</text>\n", TOP - 16.0);
        for (tick, label) in ticks(self.percent.0, self.percent.1) {
            let y = self.y(tick);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M{left} {y:.1}H{right}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 5.0,
                y + 3.5
            );
        }
        for (tick, label) in ticks(0.0, self.most_h) {
            let x = self.x(tick);
            let _ = writeln!(
                text,
                "<path class=\"rule\" d=\"M{x:.1} {TOP}V{foot}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                foot + 15.0
            );
        }
        let _ = writeln!(
            text,
            "<path class=\"rule day\" d=\"M{left} {TOP}V{foot}H{right}\"/>\
             <text class=\"title\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">Mean waiting, h</text>",
            foot + 33.0
        );
        text
    }

    /// The line under which there is no policy: from the one that waits least on, each that emits less than all before.
    fn unbeaten(&self) -> String {
        let mut by_waiting: Vec<(f64, f64)> = self.points.iter().map(|point| (point.waiting_h, point.percent)).collect();
        by_waiting.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (mut path, mut least) = (String::new(), f64::INFINITY);
        for (hour, percent) in by_waiting {
            if percent < least {
                let (x, y) = (self.x(hour), self.y(percent));
                path += &if path.is_empty() { format!("M{x:.1} {y:.1}") } else { format!("H{x:.1}V{y:.1}") };
                least = percent;
            }
        }
        format!("<path class=\"unbeaten\" d=\"{path}\"/>\n")
    }
}

/// Round numbers between two that need not be.
fn ticks(least: f64, most: f64) -> Vec<(f64, String)> {
    let ticks = axis::between(least, most);
    let step = ticks.get(1).map_or(1.0, |second| second - ticks[0]);
    let inside = ticks.into_iter().filter(|tick| (least..=most).contains(tick));
    inside.map(|tick| (tick, axis::label(tick, step))).collect()
}

/// A kind's own shape, which is told apart without colours, too.
fn mark(kind: Kind, x: f64, y: f64, title: &str) -> String {
    let title = if title.is_empty() { String::new() } else { format!("<title>{title}</title>") };
    let class = kind.class();
    match kind {
        Kind::Reference => {
            format!("<path class=\"point {class}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\">{title}</path>", y - 5.0)
        }
        Kind::Baseline => {
            let (left, top) = (x - 3.5, y - 3.5);
            format!("<rect class=\"point {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"7\" height=\"7\">{title}</rect>")
        }
        Kind::Carm => format!("<circle class=\"point {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\">{title}</circle>"),
        Kind::Lever => format!("<circle class=\"point {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\">{title}</circle>"),
    }
}
