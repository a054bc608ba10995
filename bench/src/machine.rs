//! What the figures depend on beside the code: the machine and how busy it is, and the versions.

use std::collections::BTreeMap;
use std::{fs, thread};

/// The machine in a line: processor, cores, system, load.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    format!("{cores} cores of {model}, {} {}, load {load} at the start", std::env::consts::OS, kernel.trim())
}

/// What is measured, each with its version.
pub(crate) fn versions() -> BTreeMap<&'static str, &'static str> {
    PACKAGES.into_iter().map(|package| (package, version(package))).collect()
}

/// The version of a package in the lock file of this workspace.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{package}\"\n")));
    let version = entry.and_then(|entry| entry.split_once("version = \"")?.1.split_once('"'));
    version.map_or("of an unknown version", |(version, _)| version)
}

const PACKAGES: [&str; 6] = ["grid-rpc", "tokio-tungstenite", "tarpc", "tonic", "jsonrpsee", "capnp-rpc"];
