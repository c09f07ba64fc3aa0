//! `carm-grid fetch`.
