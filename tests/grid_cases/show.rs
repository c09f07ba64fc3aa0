//! `carm-grid show`.
