//! The program as an operator types it, against a hub that runs.

use crate::support::TestHub;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs commands on a hub; files are named from its temporary folder.
pub struct Commands {
    data_dir: PathBuf,
    folder: PathBuf,
}

impl Commands {
    pub fn of(hub: &TestHub) -> Self {
        Self { data_dir: hub.data_dir.clone(), folder: hub.folder.path().to_owned() }
    }

    /// Makes a password file.
    pub fn password(&self, name: &str, password: &str) {
        std::fs::write(self.folder.join(name), format!("{password}\n")).unwrap();
    }

    /// What a command prints with `--json`; it must succeed.
    pub async fn json(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json")).await;
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command prints for people; it must succeed.
    pub async fn text(&self, line: &str) -> String {
        let output = self.run(line).await;
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and the complaint of a command that must fail.
    pub async fn fails(&self, line: &str) -> (i32, String) {
        let output = self.run(line).await;
        assert!(!output.status.success(), "{line}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Words may not have spaces; a word in single quotes may have underscores for them.
    async fn run(&self, line: &str) -> Output {
        let words =
            line.split(' ').map(|word| match word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')) {
                Some(quoted) => quoted.replace('_', " "),
                None => word.to_owned(),
            });
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitewarden-hub"));
        command.args(words).arg("--data-dir").arg(&self.data_dir).current_dir(&self.folder);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}
