//! What the process takes of the machine, under the names that all programs have for it. From /proc; where there is none,
//! the figures are not shown.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// In how many pieces the kernel counts a second in /proc: 100 on every architecture that we are built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The figures of one moment; `None`: not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    /// Seconds since 1970.
    started: Option<f64>,
}

impl Process {
    /// Those of this process, which began at `started` (seconds since 1970). Reads files, none of them on a disk.
    pub fn read(started: f64) -> Self {
        let text =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (stat, status, limits) = (text("stat"), text("status"), text("limits"));
        Self {
            cpu_seconds: cpu_seconds(&stat),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            virtual_bytes: kibibytes(&status, "VmSize:"),
            threads: field(&status, "Threads:"),
            // One of them is the folder that is being read.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .and_then(|folder| u64::try_from(folder.count()).ok()?.checked_sub(1)),
            max_fds: field(&limits, "Max open files"),
            started: Some(started),
        }
    }
}

/// User and system time. The program's name is in brackets before them, and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace();
    // The first behind the name is number 3 of proc(5); 14 and 15 are the times.
    let user: u32 = fields.nth(11)?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// The first number of the line that begins so.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    field(status, name)?.checked_mul(1024)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(seconds) = self.cpu_seconds {
            let text = "User and system time, in seconds.";
            let name = "process_cpu_seconds";
            let own = encoder.encode_descriptor(name, text, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(own)?;
        }
        if let Some(seconds) = self.started {
            let text = "When the program began, in seconds since 1970.";
            let name = "process_start_time_seconds";
            let own = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
            ConstGauge::new(seconds).encode(own)?;
        }
        for (name, text, value) in [
            ("process_resident_memory_bytes", "Memory in use.", self.resident_bytes),
            ("process_virtual_memory_bytes", "Memory that is mapped.", self.virtual_bytes),
            ("process_threads", "Threads.", self.threads),
            ("process_open_fds", "Open files and sockets.", self.open_fds),
            ("process_max_fds", "How many files and sockets may be open.", self.max_fds),
        ] {
            // "unlimited" is no number, and then there is nothing to show.
            if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
                let own = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(own)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_that_looks_like_fields() {
        let stat = "42 (mail) R 9 (x) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("42 (mail) R 9"), None);
    }

    #[test]
    fn fields_are_found_by_their_names() {
        let status = "VmPeak:\t  9 kB\nVmRSS:\t  12 kB\nThreads:\t7\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSize:"), None);
        let limits = "Max open files            1024                 524288               files";
        assert_eq!(field(limits, "Max open files"), Some(1024));
        assert_eq!(field("Max open files  unlimited  unlimited  files", "Max open files"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_figures() {
        let process = Process::read(1.5);
        assert!(process.resident_bytes.unwrap() > 1024 * 1024, "{process:?}");
        assert!(process.virtual_bytes >= process.resident_bytes, "{process:?}");
        assert!(process.threads.unwrap() >= 1, "{process:?}");
        assert!(process.open_fds.unwrap() >= 3, "{process:?}");
        assert!(process.max_fds >= process.open_fds, "{process:?}");
        assert!(process.cpu_seconds.is_some(), "{process:?}");
        assert_eq!(process.started, Some(1.5));
    }
}
