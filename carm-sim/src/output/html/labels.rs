//! Names beside points so that none covers another, a point, or the line that leads to another point.

/// A letter is no wider than this, on average, and a line no higher; a number that stands for a name is no wider.
const LETTER: f64 = 6.5;
const LINE: f64 = 13.0;
const NUMBER: f64 = 15.0;

/// How wide a label is.
#[must_use]
pub fn width(text: &str) -> f64 {
    LETTER * text.chars().count() as f64
}

/// A label that has found its place: where its first letter stands, and the line that leads to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    pub x: f64,
    pub y: f64,
    /// From the point to the label, where they are apart.
    pub leader: Option<[(f64, f64); 2]>,
    /// There is room for a number alone.
    pub short: bool,
}

/// Left, top, right, bottom.
type Area = [f64; 4];

/// Places labels of some widths in order, those first that matter most; none where there is no room at all.
pub fn place(points: &[(f64, f64)], widths: &[f64], within: Area) -> Vec<Option<Placed>> {
    let taken = points.iter().map(|&(x, y)| [x - 5.0, y - 5.0, x + 5.0, y + 5.0]).collect();
    let mut room = Room { within, taken, beads: Vec::new() };
    points
        .iter()
        .zip(widths)
        .map(|(&point, &width)| {
            let fits = |width: f64, crossing: bool| places(point, width).find(|place| room.has(place, point, crossing));
            // Rather a line across a line than no name.
            let full = fits(width, false).or_else(|| fits(width, true));
            let (area, leader) = full.or_else(|| fits(NUMBER, true))?;
            room.taken.push(area);
            room.beads.extend(leader.iter().flat_map(|line| beads(*line)));
            Some(Placed { x: area[0], y: area[3] - 3.5, leader, short: full.is_none() })
        })
        .collect()
}

/// A label's place: its area, and the line that leads to it where it is apart from its point.
type Place = (Area, Option<[(f64, f64); 2]>);

/// What is left of the chart.
struct Room {
    within: Area,
    /// By points and labels.
    taken: Vec<Area>,
    /// By lines.
    beads: Vec<Area>,
}

impl Room {
    fn has(&self, (area, leader): &Place, own: (f64, f64), crossing: bool) -> bool {
        let [left, top, right, bottom] = self.within;
        let inside = area[0] >= left && area[1] >= top && area[2] <= right && area[3] <= bottom;
        let is_own = |bead: &Area| (bead[0] - own.0).abs() < 8.0 && (bead[1] - own.1).abs() < 8.0;
        let free = |bead: Area| {
            let lines = if crossing { &[][..] } else { &self.beads };
            is_own(&bead) || !self.taken.iter().chain(lines).any(|other| cover(&bead, other))
        };
        inside
            && !self.taken.iter().chain(&self.beads).any(|other| cover(area, other))
            && leader.iter().flat_map(|line| beads(*line)).all(free)
    }
}

/// Where a label may stand: close to its point first, then ever farther around it.
fn places((x, y): (f64, f64), width: f64) -> impl Iterator<Item = Place> {
    const ANGLES: i32 = 48;
    (0..28).flat_map(move |ring| {
        (0..ANGLES).map(move |i| {
            // To the right first, then to both sides alike.
            let turn = f64::from((i + 1) / 2 * if i % 2 == 0 { 1 } else { -1 });
            let (sin, cos) = (std::f64::consts::TAU * turn / f64::from(ANGLES)).sin_cos();
            let away = 9.0 * f64::from(ring);
            let middle = (x + cos * (8.0 + width / 2.0 + away), y + sin * (12.0 + away));
            let area = [middle.0 - width / 2.0, middle.1 - LINE / 2.0, middle.0 + width / 2.0, middle.1 + LINE / 2.0];
            let end = (x.clamp(area[0], area[2]), y.clamp(area[1], area[3]));
            (area, (ring > 0).then_some([(x, y), end]))
        })
    })
}

fn cover(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// A line as small areas.
fn beads([from, to]: [(f64, f64); 2]) -> Vec<Area> {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let count = (length / 3.0).ceil().max(1.0) as i32;
    let at = |i: i32| {
        let part = f64::from(i) / f64::from(count);
        let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
        [x - 1.0, y - 1.0, x + 1.0, y + 1.0]
    };
    // What is at the label itself is the label's.
    (0..count).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels that found a place in a crowd of so many points so far below each other, and what they cover.
    fn crowd(count: u32, apart: f64) -> Vec<(Placed, Area)> {
        let point = |i| (60.0 + f64::from(i % 4) * 7.0, 60.0 + f64::from(i) * apart);
        let points: Vec<(f64, f64)> = (0..count).map(point).collect();
        let placed = place(&points, &vec![110.0; points.len()], [0.0, 0.0, 700.0, 400.0]);
        let area = |label: Placed| {
            let width = if label.short { NUMBER } else { 110.0 };
            (label, [label.x, label.y - 9.0, label.x + width, label.y + 3.0])
        };
        let found: Vec<(Placed, Area)> = placed.into_iter().flatten().map(area).collect();
        for (i, (_, area)) in found.iter().enumerate() {
            assert!(found[i + 1..].iter().all(|(_, other)| !cover(area, other)), "{i} of {count}");
            assert!(points.iter().all(|&(x, y)| !cover(area, &[x - 3.0, y - 3.0, x + 3.0, y + 3.0])), "{i} of {count}");
        }
        found
    }

    #[test]
    fn a_crowd_of_points_gets_labels_that_cover_nothing() {
        let found = crowd(12, 20.0);
        assert_eq!(found.iter().filter(|(label, _)| !label.short).count(), 12, "each has its name");
    }

    #[test]
    fn a_crowd_too_dense_for_all_names_keeps_the_first_and_covers_nothing() {
        let found = crowd(20, 4.0);
        assert!(!found[0].0.short && found.len() < 20, "{} of 20", found.len());
    }

    #[test]
    fn a_label_without_room_becomes_a_number_or_is_left_out() {
        let short = |width: f64| place(&[(5.0, 10.0)], &[200.0], [0.0, 0.0, width, 20.0])[0].map(|label| label.short);
        assert_eq!((short(300.0), short(40.0), short(10.0)), (Some(false), Some(true), None));
    }
}
