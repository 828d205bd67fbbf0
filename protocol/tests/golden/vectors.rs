//! The files: one vector each, as lines of hexadecimal digits.

use std::path::PathBuf;
use std::{env, fs};

const RECORD: &str = "SITEWARDEN_RECORD_GOLDEN";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Whether missing vectors are to be recorded.
pub(crate) fn recording() -> bool {
    env::var_os(RECORD).is_some()
}

/// The vector of this name. If it is missing, `make` is recorded when asked for, and the test fails otherwise.
pub(crate) fn recorded(name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    if !path.exists() {
        assert!(
            recording(),
            "{} is missing; record it with: {RECORD}=1 cargo test -p sitewarden-protocol --test golden",
            path.display()
        );
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, hex(&make())).unwrap();
    }
    bytes(&fs::read_to_string(path).unwrap())
}

/// Fails with both sides in readable form if the bytes differ.
pub(crate) fn expect(name: &str, written: &[u8], recorded: &[u8]) {
    assert!(written == recorded, "{name} is written differently now:\n{}recorded:\n{}", hex(written), hex(recorded));
}

/// Every recorded vector's name, behind the folder of the version that first wrote it.
pub(crate) fn all_names() -> Vec<String> {
    let entries = |path: PathBuf| {
        let entries = fs::read_dir(path).unwrap_or_else(|_| panic!("no testdata; record it with {RECORD}=1"));
        entries.map(|entry| entry.unwrap().path())
    };
    let name = |path: PathBuf| {
        let path = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
        path.strip_suffix(".hex").unwrap_or(&path).to_owned()
    };
    entries(folder()).flat_map(entries).map(name).collect()
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}
