//! A test's own namespaces, without root: the test runs again inside.
//!
//! Where the kernel gives none, such a test says by name that it was skipped; in CI it fails.

use anyhow::{Context, Result, ensure};
use std::env;
use std::process::{Command, Stdio};

/// Set in the process that runs inside.
const INSIDE: &str = "SITEWARDEN_TEST_INSIDE";

/// Runs a story in a mount namespace of its own, where it may mount what it likes; `name` is the test's, as the test program
/// knows it.
///
/// # Errors
/// With what the story said, if it failed; in CI, if there can be no such namespace.
pub fn with_own_mounts(name: &str, story: impl FnOnce() -> Result<()>) -> Result<()> {
    inside(name, &["--user", "--map-root-user", "--mount"], "mount -t tmpfs none /mnt", story)
}

/// The same with these of `unshare`'s namespaces, if `needs` can be done in them.
///
/// # Errors
/// As above.
pub(super) fn inside(name: &str, namespaces: &[&str], needs: &str, story: impl FnOnce() -> Result<()>) -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        return story();
    }
    if let Err(reason) = available(namespaces, needs) {
        ensure!(
            env::var_os("CI").is_none(),
            "{name} needs namespaces of its own, and in CI no test is skipped: {reason:#}"
        );
        eprintln!("SKIPPED {name}: there can be no namespaces of its own here: {reason:#}");
        return Ok(());
    }
    again(name, namespaces)
}

/// Runs a story in a network of its own that has loopback and nothing else, so that whatever it calls, nothing leaves it. Where
/// there can be no such network it runs outside, and is told so: `false`.
///
/// # Errors
/// With what the story said, if it failed; in CI, if there can be no such network.
pub fn with_loopback_only(name: &str, story: impl FnOnce(bool) -> Result<()>) -> Result<()> {
    const NAMESPACES: [&str; 3] = ["--user", "--map-root-user", "--net"];
    const UP: &str = "ip link set lo up";
    if env::var_os(INSIDE).is_some() {
        let up = Command::new("sh").args(["-c", UP]).status().context(UP)?;
        ensure!(up.success(), "{UP}: {up}");
        return story(true);
    }
    if let Err(reason) = available(&NAMESPACES, UP) {
        ensure!(
            env::var_os("CI").is_none(),
            "{name} needs a network of its own, and in CI no part is skipped: {reason:#}"
        );
        eprintln!("PARTLY SKIPPED {name}: there can be no network of its own here: {reason:#}");
        return story(false);
    }
    again(name, &NAMESPACES)
}

/// Runs a test again in these namespaces.
fn again(name: &str, namespaces: &[&str]) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(namespaces).arg("--").arg(env::current_exe()?).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let ended = command.stdin(Stdio::null()).status().context("unshare")?;
    ensure!(ended.success(), "{name} failed in its own namespaces; what it said stands above");
    Ok(())
}

/// Whether there can be such namespaces.
fn available(namespaces: &[&str], needs: &str) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["--", "sh", "-c", needs]);
    let output = command.output().context("unshare")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
