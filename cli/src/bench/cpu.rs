//! Processor time of this process and of local servers, from `/proc`.

use std::fs;

use sdfs_server_group::Config;

use crate::view::pid_in;

/// Processor time used until now, seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// By this process.
    pub(crate) own_s: f64,
    /// By the servers that run on this machine.
    pub(crate) servers_s: f64,
    /// How many those are.
    pub(crate) servers: usize,
}

impl CpuTime {
    /// As it is now.
    pub(crate) fn now(servers: &[u32]) -> CpuTime {
        let used: Vec<_> = servers
            .iter()
            .filter_map(|pid| cpu_s(&pid.to_string()))
            .collect();
        CpuTime {
            own_s: cpu_s("self").unwrap_or(0.0),
            servers_s: used.iter().sum(),
            servers: used.len(),
        }
    }

    /// Used since `before`.
    pub(crate) fn since(self, before: CpuTime) -> CpuTime {
        CpuTime {
            own_s: self.own_s - before.own_s,
            servers_s: self.servers_s - before.servers_s,
            servers: self.servers,
        }
    }
}

/// The process ids of the servers of `config` that run on this machine: each writes its own into
/// the lock file of its spaces.
pub(crate) fn local_servers(config: &Config) -> Vec<u32> {
    let spaces = config
        .servers
        .iter()
        .filter_map(|server| server.space.first());
    spaces.filter_map(|space| pid_in(space)).collect()
}

/// User and system time of a process; `None` when it is gone.
fn cpu_s(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = ticks_in(&stat)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `utime` + `stime`, fields 14 and 15 of proc_pid_stat(5), counted after the command's name,
/// which may hold anything in its parentheses.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_command_names_do_not_confuse() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 99 0 0 0 150 50 0 0 20 0 3 0 12345";
        assert_eq!(ticks_in(stat), Some(200));
        assert_eq!(ticks_in("nonsense"), None);
    }

    #[test]
    fn own_time_is_known() {
        assert!(CpuTime::now(&[]).own_s >= 0.0);
        assert!(cpu_s("self").is_some());
    }
}
