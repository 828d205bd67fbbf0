//! The disk's own rate of synced appends: what no store on it can beat one by one.

use anyhow::Result;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(3);
/// About what one event takes.
const RECORD: [u8; 150] = [b'x'; 150];

/// Appends followed by fdatasync, a second, in a folder's file system.
pub(crate) fn synced_appends(folder: &Path) -> Result<f64> {
    let path = folder.join("yardstick");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        file.write_all(&RECORD)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
