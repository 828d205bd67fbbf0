//! What was logged, for tests that say how often.

use std::{
    io::{self, Write},
    sync::{Mutex, Once},
};

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static START: Once = Once::new();

struct Catcher;

impl Write for Catcher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep what all hubs of this process log.
pub fn start() {
    START.call_once(|| {
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Catcher).init();
    });
}

/// The lines with a word in them, such as an agent's id.
pub fn lines_with(word: &str) -> Vec<String> {
    let logged = String::from_utf8_lossy(&LOGGED.lock().unwrap()).into_owned();
    logged.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
}
