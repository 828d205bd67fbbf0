//! Key files of which there are several: `NAME.key` is number 1, `NAME-2.key` number 2, and so on.

use super::Error;
use sitewarden_certs::secret_file;
use std::{
    fs::{self, File},
    path::Path,
};

/// The numbers of the files `NAME…ENDING` in the folder, in order. Number 1 is written without its number, too.
pub(super) fn numbers(folder: &Path, name: &str, ending: &str) -> Result<Vec<u32>, Error> {
    let failed = |source| secret_file::Error::Io { doing: "look into", path: folder.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        // Whatever else lies there, such as a copy that somebody made, is not ours.
        let middle = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_suffix(ending));
        numbers.extend(match middle {
            Some("") => Some(1),
            Some(middle) => middle.strip_prefix('-').and_then(number),
            None => None,
        });
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// In its only spelling.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == text)
}

/// Removes a file for good.
pub(super) fn remove(folder: &Path, name: &str) -> Result<(), Error> {
    let path = folder.join(name);
    let failed = |source| secret_file::Error::Io { doing: "remove", path: path.clone(), source };
    fs::remove_file(&path).map_err(failed)?;
    Ok(File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?)
}
