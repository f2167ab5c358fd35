//! What processes cost: CPU time, and memory that is theirs alone.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Outcome;
use crate::instance::Instance;

/// A tick of the kernel's clock as /proc shows it, nanoseconds.
const TICK: u64 = 10_000_000;

/// CPU time so far, nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Of the living processes of one smtpd.
    living: HashMap<i32, u64>,
    /// Of all the dead children of master, in whole ticks.
    dead: u64,
}

impl Snapshot {
    /// Looks at the processes of one smtpd.
    pub(crate) fn take(instance: &Instance, variant: usize) -> Outcome<Self> {
        let mut living = HashMap::new();
        for pid in processes(instance, variant, None)? {
            // It may end meanwhile: then it is among the dead.
            if let Some(time) = cpu_time(pid) {
                living.insert(pid, time);
            }
        }
        Ok(Self { living, dead: of_dead_children(instance.master())? })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> u64 {
        let mut used: u64 = 0;
        let mut counted: u64 = 0;
        for (pid, time) in &self.living {
            used += time.saturating_sub(before.living.get(pid).copied().unwrap_or(0));
        }
        for (pid, time) in &before.living {
            counted += if self.living.contains_key(pid) { 0 } else { *time };
        }
        used + self.dead.saturating_sub(before.dead).saturating_sub(counted)
    }
}

/// The processes of one smtpd; with `port`, those of one service.
pub(crate) fn processes(
    instance: &Instance,
    variant: usize,
    port: Option<u16>,
) -> Outcome<Vec<i32>> {
    let name = &instance.variants.get(variant).ok_or("no such variant")?.name;
    let name = format!("smtpd-{name}");
    let port = port.map(|port| format!("127.0.0.1:{port}"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(line) = fs::read_to_string(format!("/proc/{pid}/cmdline")) else { continue };
        let mut words = line.split('\0');
        let program = words.next().and_then(|path| path.rsplit('/').next());
        let wanted = port.as_ref().is_none_or(|port| words.any(|word| word == port));
        if program == Some(name.as_str()) && wanted {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Waits until a service of one smtpd has no process, since each was for one client.
pub(crate) fn wait_until_gone(instance: &Instance, variant: usize, port: u16) -> Outcome<()> {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if processes(instance, variant, Some(port))?.is_empty() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err("processes that should have ended are still there".into())
}

fn cpu_time(pid: i32) -> Option<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    let time = clock_gettime(clock).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).ok()?)
}

fn of_dead_children(master: i32) -> Outcome<u64> {
    let stat = fs::read_to_string(format!("/proc/{master}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').ok_or("bad /proc/PID/stat")?;
    let field =
        |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
    // cutime and cstime; the third field of the file is the first of `rest`
    let ticks = field(13).zip(field(14)).map(|(user, system)| user + system);
    Ok(ticks.ok_or("bad /proc/PID/stat")? * TICK)
}

/// Memory that a process shares with no other, KiB.
pub(crate) fn own_memory(pid: i32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut sum = 0;
    for line in text.lines().filter(|line| line.starts_with("Private_")) {
        let number = line.split_whitespace().nth(1).ok_or("bad smaps_rollup")?;
        sum += number.parse::<u64>()?;
    }
    Ok(sum)
}
