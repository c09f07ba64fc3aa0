//! `slurm/spank.h` in Rust, as build.rs wrote it: the part that the plugin uses. Only `spank.rs` calls these.

include!(concat!(env!("OUT_DIR"), "/spank.rs"));
