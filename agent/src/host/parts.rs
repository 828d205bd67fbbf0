//! What identifies the machine, read from its files. What is missing, as in a container, is no part.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The most parts of one kind; with two such kinds all fit into `sitewarden_protocol::fingerprint::MAX_PARTS`.
const MAX_OF_A_KIND: usize = 12;
/// Block devices that are made by software, or hold what can be taken out.
const NO_DISKS: [&str; 5] = ["fd", "loop", "ram", "sr", "zram"];

/// The kind and the value of each part below `root`, which is `/` but for tests.
pub(super) fn below(root: &Path) -> Vec<(&'static str, String)> {
    let mut parts = vec![];
    let texts = [("machine_id", "etc/machine-id"), ("product_uuid", "sys/class/dmi/id/product_uuid")];
    parts.extend(texts.into_iter().filter_map(|(kind, path)| Some((kind, text(&root.join(path))?))));
    let generation = fs::read(root.join("sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw")).ok();
    parts.extend(generation.and_then(|bytes| telling(&hex(&bytes))).map(|value| ("vm_generation", value)));
    parts.extend(macs(&root.join("sys/class/net")).into_iter().take(MAX_OF_A_KIND).map(|mac| ("mac", mac)));
    parts.extend(disks(&root.join("sys/block")).into_iter().take(MAX_OF_A_KIND).map(|disk| ("disk", disk)));
    parts
}

/// Addresses of the network cards, in a fixed order. Bridges and the like come and go with the software that makes
/// them; in a container, where no card shows its device, an address that a manufacturer gave will do.
fn macs(folder: &Path) -> BTreeSet<String> {
    let cards: Vec<_> = names(folder)
        .into_iter()
        .filter_map(|name| {
            let card = folder.join(name);
            Some((card.join("device").exists(), text(&card.join("address"))?))
        })
        .collect();
    if cards.iter().any(|(physical, _)| *physical) {
        cards.into_iter().filter(|(physical, _)| *physical).map(|(_, mac)| mac).collect()
    } else {
        cards.into_iter().map(|(_, mac)| mac).filter(|mac| !is_local(mac)).collect()
    }
}

/// Whether software chose the address, and not a manufacturer.
fn is_local(mac: &str) -> bool {
    mac.get(..2).and_then(|first| u8::from_str_radix(first, 16).ok()).is_none_or(|first| first & 2 != 0)
}

/// What the disks are called by their manufacturers, in a fixed order.
fn disks(folder: &Path) -> BTreeSet<String> {
    let disks = names(folder).into_iter().filter(|name| {
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        !NO_DISKS.contains(&kind)
    });
    disks
        .filter_map(|name| {
            ["device/serial", "serial", "device/wwid"].iter().find_map(|file| text(&folder.join(&name).join(file)))
        })
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn text(path: &Path) -> Option<String> {
    telling(fs::read_to_string(path).ok()?.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
}

/// The value, if it tells machines apart: not empty, not one digit over and over, and not what an image of a system
/// that was never started says.
fn telling(value: &str) -> Option<String> {
    let mut digits = value.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase());
    let first = digits.next()?;
    let tells = digits.any(|digit| digit != first) && value != "uninitialized";
    tells.then(|| value.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A folder that looks like `/` of a machine with these files.
    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn found(files: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        below(machine(files).path())
    }

    fn of(kind: &'static str, values: &[&str]) -> Vec<(&'static str, String)> {
        values.iter().map(|value| (kind, (*value).to_owned())).collect()
    }

    #[test]
    fn a_server_has_all_its_parts() {
        let parts = found(&[
            ("etc/machine-id", "0123456789abcdef\n"),
            ("sys/class/dmi/id/product_uuid", "4C4C4544-0031\n"),
            ("sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw", "\0\u{1}é"),
            ("sys/class/net/eth0/address", "3c:ec:ef:00:00:01\n"),
            ("sys/class/net/eth0/device/vendor", "0x8086"),
            ("sys/block/nvme0n1/device/serial", "S4EVNX0N  \n"),
        ]);
        let kinds: Vec<_> = parts.iter().map(|(kind, value)| (*kind, value.as_str())).collect();
        assert_eq!(
            kinds,
            [
                ("machine_id", "0123456789abcdef"),
                ("product_uuid", "4C4C4544-0031"),
                ("vm_generation", "0001c3a9"),
                ("mac", "3c:ec:ef:00:00:01"),
                ("disk", "S4EVNX0N"),
            ]
        );
    }

    #[test]
    fn only_cards_with_a_device_count_if_there_is_one() {
        let files = [
            ("sys/class/net/lo/address", "00:00:00:00:00:00"),
            ("sys/class/net/docker0/address", "02:42:ac:11:00:02"),
            ("sys/class/net/bond0/address", "3c:ec:ef:00:00:09"),
            ("sys/class/net/eth1/address", "02:fc:00:00:00:01"),
            ("sys/class/net/eth1/device/vendor", "virtio"),
        ];
        assert_eq!(found(&files), of("mac", &["02:fc:00:00:00:01"]));
        assert_eq!(found(&files[..3]), of("mac", &["3c:ec:ef:00:00:09"]), "none has a device");
        assert_eq!(found(&files[..2]), []);
    }

    #[test]
    fn disks_are_known_by_serial_or_world_wide_name_and_not_those_that_software_makes() {
        let parts = found(&[
            ("sys/block/vda/serial", "vol-1"),
            ("sys/block/sda/device/wwid", "naa.5000"),
            ("sys/block/sdb/device/serial", "SN2"),
            ("sys/block/sdb/device/wwid", "naa.5001"),
            ("sys/block/sdc/size", "100"),
            ("sys/block/loop0/serial", "x1"),
            ("sys/block/ram0/serial", "x2"),
            ("sys/block/zram0/serial", "x3"),
            ("sys/block/sr0/device/wwid", "QM00003"),
        ]);
        assert_eq!(parts, of("disk", &["SN2", "naa.5000", "vol-1"]));
    }

    #[test]
    fn what_all_machines_have_and_what_is_missing_is_no_part() {
        assert_eq!(found(&[]), []);
        let parts = found(&[
            ("etc/machine-id", "uninitialized\n"),
            ("sys/class/dmi/id/product_uuid", "00000000-0000-0000"),
            ("sys/block/sda/device/serial", "\n"),
            ("sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw", "\0\0\0"),
        ]);
        assert_eq!(parts, []);
    }

    #[test]
    fn many_disks_leave_room_for_the_rest() {
        let names: Vec<_> = (10..50).map(|i| (format!("sys/block/sd{i}/serial"), format!("SN{i}"))).collect();
        let files: Vec<_> = names.iter().map(|(path, serial)| (path.as_str(), serial.as_str())).collect();
        assert_eq!(found(&files).len(), MAX_OF_A_KIND);
    }
}
