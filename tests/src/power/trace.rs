//! What strace writes, read back. Made for its `-f -yy -xx` form, in which every text is hexadecimal.

use crate::harness::until;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The calls that change files, and those by which a process answers others.
const CALLS: &str = "openat,write,pwrite64,writev,sendto,ftruncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir,\
    fsync,fdatasync,close";
/// How long strace may take to write what it saw.
const WRITING_LIMIT: Duration = Duration::from_secs(60);
/// Lines at the end among which that of the process is: those of its threads are the others.
const ENDS: usize = 200;
/// The longest data of one call, bytes; no write of ours is longer.
const LONGEST: usize = 8 << 20;

/// A program that is watched: its calls go to `trace`. It stays the child of whoever starts it.
pub fn watched(program: &Command, trace: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-q", "-yy", "-xx", "-s", &LONGEST.to_string(), "-e", "signal=SIGKILL", "-e"]);
    command.arg(format!("trace={CALLS}")).arg("-o").arg(trace).arg("--");
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// What a process did, in the order in which it was begun.
#[derive(Debug)]
pub struct Trace {
    /// Its calls.
    pub calls: Vec<Call>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments as strace writes them.
    arguments: Vec<String>,
    /// What it answered; `None` if it had not when the process ended, or failed.
    pub answer: Option<u64>,
    /// Its place among all begins and ends.
    pub begun: usize,
    /// The same of its end.
    pub ended: usize,
}

impl Trace {
    /// Reads what strace wrote of a process that has ended, once it has written the end.
    ///
    /// # Errors
    /// If it does not, or is not in the expected form.
    pub fn read(path: &Path, process: u32) -> Result<Self> {
        let text = until(WRITING_LIMIT, "strace to write the end", || {
            let text = fs::read_to_string(path).unwrap_or_default();
            let ended = |line: &str| {
                line.strip_prefix(&process.to_string()).is_some_and(|rest| rest.trim_start().starts_with("+++ "))
            };
            Ok(text.lines().rev().take(ENDS).any(ended).then_some(text))
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let (mut calls, mut open) = (Vec::<Call>::new(), HashMap::new());
        for (place, line) in text.lines().enumerate() {
            let (process, rest) = line.split_once(' ').with_context(|| format!("no process in {line:.80}"))?;
            let rest = rest.trim_start();
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some(index) = open.remove(process) else { continue };
                let (_, after) = resumed.split_once(" resumed>").context("a call that is resumed")?;
                let call: &mut Call = calls.get_mut(index).context("the call that is resumed")?;
                let (more, answer) = end(after)?;
                call.arguments.extend(arguments(more.trim_start_matches(',')));
                (call.answer, call.ended) = (answer, place);
            } else if let Some((name, after)) = rest.split_once('(') {
                let unfinished = after.strip_suffix(" <unfinished ...>");
                let (given, answer, ended) = match unfinished {
                    Some(given) => {
                        open.insert(process.to_owned(), calls.len());
                        (given, None, usize::MAX)
                    }
                    None => match end(after) {
                        Ok((given, answer)) => (given, answer, place),
                        // The process was killed within it.
                        Err(_) => (after, None, usize::MAX),
                    },
                };
                calls.push(Call { name: name.to_owned(), arguments: arguments(given), answer, begun: place, ended });
            }
        }
        Ok(Self { calls })
    }

    /// How many begins and ends there are.
    pub fn length(&self) -> usize {
        self.calls.iter().map(|call| call.begun + 1).max().unwrap_or_default()
    }

    /// How many answers that begin with `words` were on their way to somebody before a moment.
    pub fn told(&self, words: &str, before: usize) -> usize {
        let tells = |call: &&Call| {
            matches!(call.name.as_str(), "write" | "writev" | "sendto")
                && call.begun < before
                && call.data().is_some_and(|data| data.starts_with(words.as_bytes()))
        };
        self.calls.iter().filter(tells).count()
    }
}

impl Call {
    /// The file that the argument's descriptor is of; `None` for a socket and the like.
    pub fn file(&self, argument: usize) -> Option<PathBuf> {
        let (_, path) = self.arguments.get(argument)?.split_once('<')?;
        let path = path.rsplit_once('>').map_or(path, |(path, _)| path);
        path.starts_with("\\x2f").then(|| to_path(&text(path)))
    }

    /// The path in an argument; one that is not absolute is behind the descriptor of a folder.
    pub fn path(&self, argument: usize) -> Option<PathBuf> {
        let quoted = self.arguments.get(argument)?.strip_prefix('"')?.strip_suffix('"')?;
        let path = to_path(&text(quoted));
        if path.is_absolute() {
            return Some(path);
        }
        Some(self.file(argument.checked_sub(1)?)?.join(path))
    }

    /// The number of a descriptor, or another number.
    pub fn number(&self, argument: usize) -> Option<u64> {
        let word = self.arguments.get(argument)?;
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// Whether an argument has this flag.
    pub fn has(&self, argument: usize, flag: &str) -> bool {
        self.arguments.get(argument).is_some_and(|flags| flags.split('|').any(|known| known == flag))
    }

    /// What was to be written: the argument behind the descriptor, or all parts of a vector.
    pub fn data(&self) -> Option<Vec<u8>> {
        let given = self.arguments.get(1..)?.join(", ");
        let parts: Vec<&str> = given.split('"').skip(1).step_by(2).collect();
        (!parts.is_empty()).then(|| parts.iter().flat_map(|part| text(part)).collect())
    }
}

/// The arguments and the answer of `a, b) = 5`.
fn end(text: &str) -> Result<(&str, Option<u64>)> {
    let Some((arguments, answer)) = text.rsplit_once(") = ").or_else(|| text.rsplit_once(" = ")) else {
        bail!("no answer in {text:.80}")
    };
    let digits: String = answer.chars().take_while(char::is_ascii_digit).collect();
    Ok((arguments.trim_end().trim_end_matches(')'), digits.parse().ok()))
}

/// Commas stand only between arguments, and within lists in brackets: all texts are hexadecimal.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut argument) = (Vec::new(), 0_i32, String::new());
    for character in text.chars() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            _ => {}
        }
        argument.push(character);
    }
    if !argument.trim().is_empty() {
        arguments.push(argument.trim().to_owned());
    }
    arguments
}

fn text(escaped: &str) -> Vec<u8> {
    escaped.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_whole_resumed_and_cut_off() {
        let lines = [
            r#"7 pwrite64(3<\x2f\x61>, "\x78\x79", 2, 300) = 2"#,
            r#"8 fdatasync(3<\x2f\x61> <unfinished ...>"#,
            r#"7 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="\x48\x54", iov_len=2}, {iov_base="\x54", iov_len=1}], 2) = 3"#,
            r#"8 <... fdatasync resumed>)          = 0"#,
            r#"7 openat(AT_FDCWD<\x2f\x62>, "\x63", O_RDWR|O_CREAT, 0666) = 5<\x2f\x62\x2f\x63>"#,
            r#"7 rename("\x2f\x61", "\x2f\x64") = -1 ENOENT (No such file or directory)"#,
            r#"7 fsync(3<\x2f\x61>"#,
        ];
        let trace = Trace::parse(&lines.join("\n")).unwrap();
        let [write, sync, vector, open, failed, cut] = &trace.calls[..] else { panic!("{trace:?}") };
        assert_eq!(
            (write.file(0), write.data(), write.number(3)),
            (Some("/a".into()), Some(b"xy".to_vec()), Some(300))
        );
        assert_eq!((sync.answer, sync.begun, sync.ended), (Some(0), 1, 3));
        assert_eq!((vector.file(0), vector.data()), (None, Some(b"HTT".to_vec())));
        assert_eq!((open.path(1), open.answer, open.has(2, "O_CREAT")), (Some("/b/c".into()), Some(5), true));
        assert_eq!((failed.path(1), failed.answer), (Some("/d".into()), None));
        assert_eq!((cut.name.as_str(), cut.answer, cut.ended), ("fsync", None, usize::MAX));
        assert_eq!((trace.told("HT", 2), trace.told("HT", 3)), (0, 1));
    }
}
