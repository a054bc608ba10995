//! What Linux tells about processes. Elsewhere there is nothing to be had.

use std::fs;
use std::time::Duration;

/// The memory of this process that is in RAM.
pub fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The file descriptors of this process, without the one that it takes to count them.
pub fn descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// The processor time that a process has taken so far, in the steps of 10 ms that Linux counts it in.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name of the program, which may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(UTIME);
    let [user, system]: [u64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
    Some(Duration::from_millis((user + system) * TICK_MILLIS))
}

/// Where the user's time is, behind the name.
const UTIME: usize = 11;
/// `USER_HZ` is 100 on all machines.
const TICK_MILLIS: u64 = 10;
