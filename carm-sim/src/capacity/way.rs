//! The ways in which a job can work: a site, a width and a clock each. Of a site and width only the clocks that some carbon price wants are
//! kept: the lower hull of speed and power from the clock of least energy on. Whatever another clock does, a mix of these and pauses does
//! with no more power and no more GPU-hours.

use crate::jobs::Job;
use crate::world::World;

/// A site, a width and a clock, for one unit of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// The site.
    pub site: usize,
    /// GPUs.
    pub gpus: f64,
    /// Facility power, kW.
    pub power_kw: f64,
    /// Work that an hour does, hours at full clock.
    pub work_per_h: f64,
}

/// Ways that several jobs share, by `work_per_h`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kind {
    /// The ways.
    pub ways: Vec<Way>,
}

/// All kinds, and of each job its kind and how many units it is; none of a job that fits nowhere.
///
/// Jobs of one workload and one width are the same but for their number of GPUs: a unit is a GPU. Of moldable jobs a unit is the job.
#[must_use]
pub fn kinds(world: &World) -> (Vec<Kind>, Vec<Option<(usize, f64)>>) {
    // What makes a kind: the workload, the widths (of a moldable job) and the sites that are large enough for each.
    type Key = (usize, Vec<u32>, Vec<Vec<usize>>);
    let mut keys: Vec<Key> = Vec::new();
    let mut kinds: Vec<Kind> = Vec::new();
    let of = |job: &Job| {
        let moldable = !job.widths.is_empty();
        let widths = if moldable { job.widths.clone() } else { vec![job.gpus] };
        let fitting = |&width: &u32| (0..world.sites.len()).filter(|&site| world.sites[site].site.gpus >= width).collect();
        let sites: Vec<Vec<usize>> = widths.iter().map(fitting).collect();
        let (units, requested) = if moldable { (1.0, job.gpus) } else { (f64::from(job.gpus), 1) };
        let key: Key = (job.workload, if moldable { [&widths[..], &[job.gpus]].concat() } else { Vec::new() }, sites);
        let known = keys.iter().position(|known| *known == key);
        let kind = known.unwrap_or_else(|| {
            let widths = if moldable { widths } else { vec![1] };
            let pairs = widths.iter().zip(&key.2).flat_map(|(&width, sites)| sites.iter().map(move |&site| (site, width)));
            let mut ways: Vec<Way> =
                pairs.flat_map(|(site, width)| clocks(world, job.workload, site, (width, requested))).collect();
            ways.sort_by(|a, b| a.work_per_h.total_cmp(&b.work_per_h));
            keys.push(key);
            kinds.push(Kind { ways });
            kinds.len() - 1
        });
        (!kinds[kind].ways.is_empty()).then_some((kind, units))
    };
    let of = world.jobs.iter().map(of).collect();
    (kinds, of)
}

/// The clocks of a site and width that are worth keeping.
fn clocks(world: &World, workload: usize, site: usize, (width, requested): (u32, u32)) -> Vec<Way> {
    let place = &world.sites[site];
    if place.profiles[workload].relative_throughput(width, requested).is_none() {
        return Vec::new();
    }
    let way = |level: usize| Way {
        site,
        gpus: f64::from(width),
        power_kw: place.power_w(workload, level, width) / 1000.0,
        work_per_h: place.work_per_h(workload, level, width, requested),
    };
    hull((0..place.levels[workload].len()).map(way).collect())
}

/// The lower hull of (work, power) from the least power for each piece of work on.
fn hull(mut ways: Vec<Way>) -> Vec<Way> {
    ways.sort_by(|a, b| a.work_per_h.total_cmp(&b.work_per_h).then(b.power_kw.total_cmp(&a.power_kw)));
    let mut kept: Vec<Way> = Vec::new();
    // From the way before to this one, for each piece of work; before the first is rest.
    let slope = |kept: &[Way], way: &Way| match kept.last() {
        Some(last) => (way.power_kw - last.power_kw) / (way.work_per_h - last.work_per_h),
        None => way.power_kw / way.work_per_h,
    };
    for way in ways.into_iter().filter(|way| way.work_per_h > 0.0) {
        while let Some((last, before)) = kept.split_last() {
            if way.work_per_h > last.work_per_h && slope(kept.as_slice(), &way) > slope(before, last) {
                break;
            }
            kept.pop();
        }
        kept.push(way);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(points: &[(f64, f64)]) -> Vec<Way> {
        points.iter().map(|&(work_per_h, power_kw)| Way { site: 0, gpus: 1.0, power_kw, work_per_h }).collect()
    }

    #[test]
    fn a_clock_that_a_mix_with_rest_betters_is_left_out() {
        // 0.5 at 150 W: five eighths of the time at 0.8 and 180 W do the same work with 112.5 W. 0.9 at 290 W lies above the line from 0.8 to 1.
        let kept = hull(ways(&[(1.0, 300.0), (0.5, 150.0), (0.9, 290.0), (0.8, 180.0)]));
        assert_eq!(kept, ways(&[(0.8, 180.0), (1.0, 300.0)]));
    }

    #[test]
    fn of_two_clocks_of_one_speed_the_one_of_less_power_is_kept() {
        assert_eq!(hull(ways(&[(0.8, 180.0), (1.0, 320.0), (1.0, 300.0)])), ways(&[(0.8, 180.0), (1.0, 300.0)]));
    }
}
