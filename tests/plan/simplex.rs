//! A dense two-phase simplex method with Bland's rule: slow, small and independent of the planner.

/// A linear program over non-negative variables: rows are (coefficients, relation, right-hand side >= 0).
pub struct Program {
    pub cost: Vec<f64>,
    pub rows: Vec<(Vec<f64>, Relation, f64)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Relation {
    AtMost,
    Exactly,
}

const EPS: f64 = 1e-11;

impl Program {
    /// The least cost and a solution; `None` if there is none.
    pub fn minimise(&self) -> Option<(f64, Vec<f64>)> {
        let (n, m) = (self.cost.len(), self.rows.len());
        let slacks = self.rows.iter().filter(|r| r.1 == Relation::AtMost).count();
        let width = n + slacks + m + 1; // variables, slacks, artificial ones, right-hand side
        let mut t = vec![vec![0.0; width]; m];
        let mut basis = vec![0; m];
        let mut slack = n;
        for (i, (coefficients, relation, rhs)) in self.rows.iter().enumerate() {
            assert!(*rhs >= 0.0, "right-hand sides must not be negative: {rhs}");
            t[i][..n].copy_from_slice(coefficients);
            t[i][width - 1] = *rhs;
            basis[i] = n + slacks + i;
            t[i][n + slacks + i] = 1.0;
            if *relation == Relation::AtMost {
                t[i][slack] = 1.0;
                basis[i] = slack;
                slack += 1;
            }
        }
        let first: Vec<f64> = (0..width - 1).map(|j| if j >= n + slacks { 1.0 } else { 0.0 }).collect();
        run(&mut t, &mut basis, &first, width - 1);
        let left: f64 = (0..m).filter(|&i| basis[i] >= n + slacks).map(|i| t[i][width - 1]).sum();
        if left > 1e-10 {
            return None;
        }
        // Artificial variables that stay in the basis at zero leave it where they can.
        for i in 0..m {
            if basis[i] >= n + slacks
                && let Some(j) = (0..n + slacks).find(|&j| t[i][j].abs() > 1e-9)
            {
                pivot(&mut t, &mut basis, i, j);
            }
        }
        let mut second = self.cost.clone();
        second.resize(width - 1, 0.0);
        run(&mut t, &mut basis, &second, n + slacks);
        let mut x = vec![0.0; n];
        for i in 0..m {
            if basis[i] < n {
                x[basis[i]] = t[i][width - 1];
            }
        }
        Some((x.iter().zip(&self.cost).map(|(x, c)| x * c).sum(), x))
    }
}

fn run(t: &mut [Vec<f64>], basis: &mut [usize], cost: &[f64], columns: usize) {
    let scale = cost.iter().fold(1.0, |m: f64, c| m.max(c.abs()));
    for _ in 0..10_000 {
        let reduced = |j: usize| cost[j] - t.iter().zip(basis.iter()).map(|(row, &b)| cost[b] * row[j]).sum::<f64>();
        let Some(j) = (0..columns).find(|&j| reduced(j) < -EPS * scale) else {
            return;
        };
        let rhs = t[0].len() - 1;
        let ratios = (0..t.len()).filter(|&i| t[i][j] > EPS).map(|i| (t[i][rhs] / t[i][j], basis[i], i));
        let Some((_, _, i)) = ratios.min_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1))) else {
            panic!("unbounded");
        };
        pivot(t, basis, i, j);
    }
    panic!("no end after 10,000 pivots");
}

fn pivot(t: &mut [Vec<f64>], basis: &mut [usize], i: usize, j: usize) {
    let by = t[i][j];
    t[i].iter_mut().for_each(|v| *v /= by);
    let row = t[i].clone();
    for (k, other) in t.iter_mut().enumerate() {
        let factor = other[j];
        if k != i && factor != 0.0 {
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    basis[i] = j;
}

#[test]
fn the_simplex_method_solves_a_textbook_program() {
    // max 3x + 5y with x <= 4, 2y <= 12, 3x + 2y <= 18: 36 at (2, 6).
    let p = Program {
        cost: vec![-3.0, -5.0],
        rows: vec![
            (vec![1.0, 0.0], Relation::AtMost, 4.0),
            (vec![0.0, 2.0], Relation::AtMost, 12.0),
            (vec![3.0, 2.0], Relation::AtMost, 18.0),
        ],
    };
    let (cost, x) = p.minimise().unwrap();
    assert!((cost + 36.0).abs() < 1e-9 && (x[0] - 2.0).abs() < 1e-9 && (x[1] - 6.0).abs() < 1e-9);
}

#[test]
fn the_simplex_method_finds_a_contradiction() {
    let p = Program { cost: vec![1.0], rows: vec![(vec![1.0], Relation::AtMost, 1.0), (vec![1.0], Relation::Exactly, 2.0)] };
    assert!(p.minimise().is_none());
}
