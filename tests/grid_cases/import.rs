//! `carm-grid import`.
