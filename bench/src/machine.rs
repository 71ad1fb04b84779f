//! What the operating system says of this process.

/// Gives the most memory this process ever had, in MiB; 0 where the system does not tell.
pub fn peak_rss_mb() -> u64 {
    status_kb("VmHWM:") / 1024
}

/// Gives the memory this process has now, in bytes; 0 where the system does not tell.
pub fn rss_bytes() -> u64 {
    status_kb("VmRSS:") * 1024
}

fn status_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
