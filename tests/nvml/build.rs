//! Gives the library the name under which programs load NVML; decides nothing else.
//! Without the soname, a program linked against it (Slurm's gpu_nvml plugin) would ask the loader for libnvidia_ml.so.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libnvidia-ml.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
