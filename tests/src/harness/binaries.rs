//! Where the programs under test lie: beside the program that tests them.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::{env, fs};
use tempfile::TempDir;

/// A program under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `sitewarden-hub`.
    Hub,
    /// `sitewarden-agent`.
    Agent,
}

impl Binary {
    /// Its file.
    ///
    /// # Errors
    /// If it was not built; the message says how.
    pub fn path(self) -> Result<PathBuf> {
        let name = match self {
            Self::Hub => "sitewarden-hub",
            Self::Agent => "sitewarden-agent",
        };
        let folder = profile()?;
        let path = folder.join(name);
        if !path.exists() {
            let flag = if folder.ends_with("release") { " --release" } else { "" };
            bail!("{} is missing; build it with: cargo build --workspace{flag}", path.display());
        }
        Ok(path)
    }
}

/// `target/debug` or `target/release`: the folder of this program, or the one above for a test program in `deps`.
fn profile() -> Result<PathBuf> {
    let program = env::current_exe().context("this program's own path")?;
    let folder = program.parent().context("this program's folder")?;
    let above = folder.ends_with("deps").then(|| folder.parent()).flatten();
    Ok(above.unwrap_or(folder).to_owned())
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// A folder for one test, on the disk that the build is on: `/tmp` may be memory, which syncs nothing.
///
/// # Errors
/// If it cannot be made.
pub fn scratch() -> Result<TempDir> {
    let parent = profile()?.parent().context("the target folder")?.join("scratch");
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    Ok(tempfile::Builder::new().prefix("t").tempdir_in(parent)?)
}
