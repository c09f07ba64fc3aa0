//! `carm-grid score`.
