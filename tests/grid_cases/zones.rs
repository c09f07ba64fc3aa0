//! `carm-grid zones`.
