//! Facts about the machine. The one place that knows sysinfo.

mod hour;
mod parts;
pub mod watch;

use sitewarden_protocol::fingerprint::{self, Parts};
use sitewarden_protocol::record::HostSample;
use std::fs;
use std::path::{Path, PathBuf};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// Looks at the machine again and again. CPU use is measured between one look and the next.
pub struct Observer {
    system: System,
    disk: PathBuf,
}

impl Observer {
    /// `disk` is any path on the disk that counts.
    ///
    /// # Errors
    /// If the system cannot be looked at.
    pub fn new(disk: PathBuf) -> Result<Self, sysinfo::Error> {
        // Never `new_all`: it keeps a handle open for each process.
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        Ok(Self { system: System::new_with_specifics(kinds)?, disk })
    }

    /// The machine now.
    pub fn sample(&mut self) -> HostSample {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let disk = rustix::fs::statvfs(&self.disk).ok();
        let blocks = |count: fn(&rustix::fs::StatVfs) -> u64| {
            disk.as_ref().map_or(0, |disk| count(disk).saturating_mul(disk.f_frsize))
        };
        HostSample {
            cpu_permille: permille(self.system.global_cpu_usage()),
            memory_used: self.system.used_memory(),
            memory_total: self.system.total_memory(),
            disk_free: blocks(|disk| disk.f_bavail),
            disk_total: blocks(|disk| disk.f_blocks),
            uptime: System::uptime().unwrap_or(0),
            agent_memory: self.own_memory(),
        }
    }

    fn own_memory(&mut self) -> u64 {
        let Ok(own) = sysinfo::get_current_pid() else { return 0 };
        let kinds = ProcessRefreshKind::nothing().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), true, kinds);
        self.system.process(own).map_or(0, sysinfo::Process::memory)
    }
}

/// A share in per cent as a whole number of per mille, 0 to 1000.
fn permille(percent: f32) -> u16 {
    let bounded = (percent * 10.0).clamp(0.0, 1_000.0).round();
    // In range by the clamp; a NaN would become 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    let whole = bounded as u16;
    whole
}

/// What the machine is called when it enrols: a pseudonym, because its own name says whose it is and what it does, and no
/// setting can have been made yet. Made of the digests of its parts, which the hub gets too, so it is the same for the same
/// machine and tells nothing more. The vendor can call the agent as he likes (`sitewarden-hub agent edit ID --name …`).
pub fn name() -> String {
    let mut hasher = blake3::Hasher::new_derive_key("sitewarden machine name 1");
    for (kind, digest) in fingerprint() {
        hasher.update(kind.as_bytes()).update(&digest);
    }
    let digest = hasher.finalize().to_hex();
    format!("machine-{}", digest.chars().take(12).collect::<String>())
}

/// The machine's parts, each as a digest: what stays the same when the agent's folder is copied elsewhere does not.
pub fn fingerprint() -> Parts {
    fingerprint_below(Path::new("/"))
}

/// The same, of the machine whose `/` is at `root`; the processor is always this one's.
pub fn fingerprint_below(root: &Path) -> Parts {
    let found = parts::below(root).into_iter().chain(cpu().map(|value| ("cpu", value)));
    found.map(|(kind, value)| (kind.to_owned(), fingerprint::digest(kind, &value))).collect()
}

/// Who made the processor, and which one it is: not how many of it there are, nor how fast they run, as both can be
/// set for a virtual machine.
fn cpu() -> Option<String> {
    let kinds = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(kinds).ok()?;
    let cpu = system.cpus().first()?;
    let value = format!("{} {}", cpu.vendor_id(), cpu.brand()).trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// Different after every start of the machine; zeros where the kernel does not say.
pub fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    uuid::Uuid::try_parse(text.trim()).map_or([0; 16], uuid::Uuid::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_makes_sense() {
        let sample = Observer::new(PathBuf::from("/")).unwrap().sample();
        assert!(sample.cpu_permille <= 1_000);
        assert!(0 < sample.memory_used && sample.memory_used <= sample.memory_total);
        assert!(sample.disk_free <= sample.disk_total && sample.disk_total > 0);
        assert!(sample.agent_memory > 1 << 20);
    }

    #[test]
    fn the_fingerprint_is_the_same_twice_and_fits() {
        let found = fingerprint();
        assert_eq!(found, fingerprint());
        assert!(!found.is_empty() && found.len() <= fingerprint::MAX_PARTS);
    }

    #[test]
    fn the_processor_is_a_part_where_nothing_else_is() {
        let empty = tempfile::TempDir::new().unwrap();
        let kinds: Vec<_> = fingerprint_below(empty.path()).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["cpu"]);
        assert_eq!(cpu(), cpu());
    }
}
