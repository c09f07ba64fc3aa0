//! The capacity-aware bound as a linear program, solved by HiGHS (Huangfu and Hall, "Parallelizing the dual revised simplex method",
//! Mathematical Programming Computation 10, 2018): the exact optimum of an [`Instance`], which the prices of [`super::prices`] come near from below.
//!
//! Columns: the hours that a job works in a way in a block, and for each site and block the energy from the grid. Rows: the work of each job; a
//! job's hours in a block; a site's GPU-hours in a block; and what a site draws less its on-site energy is from the grid at least.

use highs::{Col, HighsModelStatus, RowProblem, Sense};

use super::CapacityError;
use super::instance::{Instance, Need};

/// Larger programs are refused: with so many columns HiGHS takes a minute, and more than twice as long with twice as many.
pub const MOST_COLUMNS: usize = 1_000_000;

/// The least carbon of an instance, g.
///
/// # Errors
/// It is too large, or HiGHS ends without an optimum.
pub fn least_g(instance: &Instance) -> Result<f64, CapacityError> {
    let columns = columns(instance);
    if columns > MOST_COLUMNS {
        return Err(CapacityError::TooLarge { columns, most: MOST_COLUMNS });
    }
    let (blocks, sites) = (instance.blocks(), instance.rooms.len());
    let mut program = RowProblem::default();
    let mut room: Vec<Vec<(Col, f64)>> = vec![Vec::new(); sites * blocks];
    let mut power: Vec<Vec<(Col, f64)>> = vec![Vec::new(); sites * blocks];
    for need in &instance.needs {
        let ways = &instance.kinds[need.kind].ways;
        let mut work: Vec<(Col, f64)> = Vec::new();
        for block in need.first..need.end {
            let open_h = instance.open_h(need, block);
            let mut hours: Vec<(Col, f64)> = Vec::new();
            for way in ways {
                let energy_kwh = need.units * way.power_kw;
                // All energy costs what on-site energy does; what comes from the grid costs the difference besides.
                let cell = way.site * blocks + block;
                let column = program.add_column(energy_kwh * instance.rooms[way.site].onsite_g_per_kwh[block], 0.0..=open_h);
                hours.push((column, 1.0));
                work.push((column, way.work_per_h));
                room[cell].push((column, need.units * way.gpus));
                power[cell].push((column, energy_kwh));
            }
            program.add_row(..=open_h, hours);
        }
        program.add_row(need.work_h.., work);
    }
    let mut fixed_g = 0.0;
    for (site, of) in instance.rooms.iter().enumerate() {
        for block in 0..blocks {
            let cell = site * blocks + block;
            program.add_row(..=of.gpu_h[block], std::mem::take(&mut room[cell]));
            let (grid, onsite) = (of.grid_g_per_kwh[block], of.onsite_g_per_kwh[block]);
            fixed_g += of.service_kwh[block] * onsite;
            if grid > onsite {
                let from_grid = program.add_column(grid - onsite, 0.0..);
                let mut drawn = std::mem::take(&mut power[cell]);
                drawn.push((from_grid, -1.0));
                program.add_row(..=of.onsite_kwh[block] - of.service_kwh[block], drawn);
            }
        }
    }
    let mut model = program.optimise(Sense::Minimise);
    model.set_option("output_flag", false);
    model.set_option("threads", 1);
    let solved = model.solve();
    match solved.status() {
        HighsModelStatus::Optimal => Ok(solved.objective_value() + fixed_g),
        status => Err(CapacityError::Unsolved(format!("{status:?}"))),
    }
}

/// How many columns the program has.
#[must_use]
pub fn columns(instance: &Instance) -> usize {
    let of = |need: &Need| (need.end - need.first) * instance.kinds[need.kind].ways.len();
    instance.needs.iter().map(of).sum::<usize>() + instance.rooms.len() * instance.blocks()
}
