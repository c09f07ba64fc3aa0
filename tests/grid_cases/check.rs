//! `carm-grid check`.
