//! A disk that keeps what was synced, and of the rest what chance leaves.

use super::trace::{Call, Trace};
use crate::simulation::random::Random;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// What disks write whole or not at all, bytes.
const SECTOR: usize = 512;
/// Of a thousand changes that were not synced, how many are there whole, and how many in part.
const THERE: u64 = 400;
const TORN: u64 = 200;

/// The disk below one folder.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// As the process sees it.
    names: BTreeMap<PathBuf, Node>,
    /// As it is on the disk for certain.
    durable: BTreeMap<PathBuf, Node>,
    /// What has become of names since, in order.
    waiting: Vec<Naming>,
    /// How far each descriptor has written.
    offsets: HashMap<u64, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    waiting: Vec<Change>,
    length: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Make(PathBuf, Node),
    Remove(PathBuf),
    Move(PathBuf, PathBuf),
}

impl Disk {
    /// A disk that holds what is in `folder` now, all of it synced. `root` is where the process will find it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn holding(folder: &Path, root: &Path) -> Result<Self> {
        let mut disk = Self {
            root: root.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            waiting: Vec::new(),
            offsets: HashMap::new(),
        };
        disk.load(folder, root)?;
        disk.durable = disk.names.clone();
        Ok(disk)
    }

    fn load(&mut self, folder: &Path, root: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, name) = (entry.path(), root.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.names.insert(name.clone(), Node::Folder);
                self.load(&path, &name)?;
            } else if kind.is_file() {
                let durable = fs::read(&path)?;
                self.names.insert(name, Node::File(self.files.len()));
                self.files.push(File { length: durable.len(), waiting: Vec::new(), durable });
            }
        }
        Ok(())
    }

    /// Plays what a process had done at a moment. What had not ended by then may have been done in part.
    pub fn play(&mut self, trace: &Trace, until: usize) {
        let begun = trace.calls.iter().take_while(|call| call.begun < until);
        for call in begun.filter(|call| call.answer.is_some() || call.ended == usize::MAX) {
            self.call(call, call.ended < until);
        }
    }

    fn call(&mut self, call: &Call, ended: bool) {
        match call.name.as_str() {
            "openat" => self.open(call),
            "write" | "writev" | "pwrite64" => self.write(call),
            "ftruncate" => {
                if let (Some(Node::File(file)), Some(length)) = (self.node(call.file(0)), call.number(1)) {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    self.change(file, Change::Cut(length));
                }
            }
            "mkdir" => self.name(call.path(0), |path| Naming::Make(path, Node::Folder)),
            "unlink" | "rmdir" => self.name(call.path(0), Naming::Remove),
            "unlinkat" => self.name(call.path(1), Naming::Remove),
            "rename" => self.rename(call.path(0), call.path(1)),
            "renameat" | "renameat2" => self.rename(call.path(1), call.path(3)),
            "fsync" | "fdatasync" if ended => self.sync(call.file(0)),
            _ => {}
        }
    }

    fn open(&mut self, call: &Call) {
        let (Some(path), Some(descriptor)) = (call.path(1), call.answer) else { return };
        if !path.starts_with(&self.root) {
            return;
        }
        if call.has(2, "O_CREAT") && !self.names.contains_key(&path) {
            self.files.push(File::default());
            let node = Node::File(self.files.len() - 1);
            self.name(Some(path.clone()), |path| Naming::Make(path, node));
        }
        let Some(Node::File(file)) = self.node(Some(path)) else { return };
        if call.has(2, "O_TRUNC") {
            self.change(file, Change::Cut(0));
        }
        let at = if call.has(2, "O_APPEND") { self.files[file].length } else { 0 };
        self.offsets.insert(descriptor, at);
    }

    fn write(&mut self, call: &Call) {
        let Some(Node::File(file)) = self.node(call.file(0)) else { return };
        let (Some(mut data), Some(descriptor)) = (call.data(), call.number(0)) else { return };
        data.truncate(call.answer.map_or(data.len(), |written| usize::try_from(written).unwrap_or(usize::MAX)));
        let at = if call.name == "pwrite64" {
            call.number(3).and_then(|at| usize::try_from(at).ok()).unwrap_or_default()
        } else {
            let offset = self.offsets.entry(descriptor).or_default();
            let at = *offset;
            *offset += data.len();
            at
        };
        self.change(file, Change::Write(at, data));
    }

    fn change(&mut self, file: usize, change: Change) {
        let file = &mut self.files[file];
        file.length = match &change {
            Change::Write(at, data) => file.length.max(at + data.len()),
            Change::Cut(length) => *length,
        };
        file.waiting.push(change);
    }

    fn rename(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.name(Some(to), |to| Naming::Move(from, to));
        }
    }

    fn name(&mut self, path: Option<PathBuf>, naming: impl FnOnce(PathBuf) -> Naming) {
        let Some(path) = path.filter(|path| path.starts_with(&self.root)) else { return };
        let naming = naming(path);
        naming.apply(&mut self.names);
        self.waiting.push(naming);
    }

    fn node(&self, path: Option<PathBuf>) -> Option<Node> {
        self.names.get(&path?).copied()
    }

    fn sync(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else { return };
        if path == self.root || self.names.get(&path) == Some(&Node::Folder) {
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.waiting).into_iter().partition(|naming| naming.folder() == Some(&path));
            here.iter().for_each(|naming| naming.apply(&mut self.durable));
            self.waiting = elsewhere;
        } else if let Some(Node::File(file)) = self.names.get(&path).copied() {
            let file = &mut self.files[file];
            for change in std::mem::take(&mut file.waiting) {
                change.apply(&mut file.durable);
            }
        }
    }

    /// Where the process found it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files that are not in `folder` as the process left them: none, if everything it did was understood.
    pub fn misunderstood(&self, folder: &Path) -> Vec<PathBuf> {
        let differs = |(path, node): (&PathBuf, &Node)| {
            let Node::File(file) = node else { return None };
            let mut content = self.files[*file].durable.clone();
            self.files[*file].waiting.iter().for_each(|change| change.apply(&mut content));
            let real = fs::read(folder.join(path.strip_prefix(&self.root).ok()?)).ok();
            (real.as_ref() != Some(&content)).then(|| path.clone())
        };
        self.names.iter().filter_map(differs).collect()
    }

    /// Makes a folder of what the disk may hold, as chance has it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn image(&self, folder: &Path, random: &mut Random) -> Result<()> {
        let mut names = self.durable.clone();
        let happened = usize::try_from(random.between(0, self.waiting.len() as u64))?;
        self.waiting.iter().take(happened).for_each(|naming| naming.apply(&mut names));
        fs::create_dir_all(folder)?;
        // In order, so that a folder comes before what is in it; what has none is out of reach.
        for (path, node) in &names {
            let target = folder.join(path.strip_prefix(&self.root)?);
            if !target.parent().is_some_and(Path::exists) {
                continue;
            }
            match node {
                Node::Folder => fs::create_dir(&target)?,
                Node::File(file) => fs::write(&target, self.files[*file].chanced(random))?,
            }
        }
        Ok(())
    }
}

impl File {
    fn chanced(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.waiting {
            if random.chance(THERE) {
                change.apply(&mut content);
            } else if let Change::Write(at, data) = change
                && random.chance(TORN)
            {
                let sectors = data.len().div_ceil(SECTOR) as u64;
                let kept = usize::try_from(random.between(0, sectors)).unwrap_or_default() * SECTOR;
                Change::Write(*at, data[..kept.min(data.len())].to_vec()).apply(&mut content);
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Cut(length) => content.resize(*length, 0),
            Self::Write(_, data) if data.is_empty() => {}
            Self::Write(at, data) => {
                let end = at + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Naming {
    fn folder(&self) -> Option<&Path> {
        let (Self::Make(path, _) | Self::Remove(path) | Self::Move(_, path)) = self;
        path.parent()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Make(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Move(from, to) => {
                let moved: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    if let (Some(node), Ok(rest)) = (names.remove(&path), path.strip_prefix(from)) {
                        let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                        names.insert(target, node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::watched;
    use std::process::Command;

    /// What is on the disk for certain after a script, by a hundred chances.
    fn outcomes(script: &str, file: &str) -> std::collections::BTreeSet<Option<String>> {
        let folder = tempfile::TempDir::new().unwrap();
        let (root, path) = (folder.path().join("root"), folder.path().join("trace"));
        fs::create_dir(&root).unwrap();
        let mut program = Command::new("python3");
        program.args(["-c", &format!("import os\nos.chdir({root:?})\n{script}")]);
        let mut child = watched(&program, &path).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let mut disk = Disk::holding(&empty, &root).unwrap();
        let trace = Trace::read(&path, child.id()).unwrap();
        disk.play(&trace, trace.length());
        let outcome = |seed| {
            let image = folder.path().join(format!("image{seed}"));
            disk.image(&image, &mut Random::new(seed)).unwrap();
            fs::read_to_string(image.join(file)).ok()
        };
        (0..100).map(outcome).collect()
    }

    const OPEN: &str = "f = os.open('f', os.O_RDWR | os.O_CREAT); d = os.open('.', os.O_RDONLY)\n";

    #[test]
    fn only_what_was_synced_is_there_for_certain() {
        let some = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::to_owned)).collect();
        let all = outcomes(&format!("{OPEN}os.write(f, b'a'); os.fsync(f); os.fsync(d)"), "f");
        assert_eq!(all, some(&[Some("a")]));
        let no_folder = outcomes(&format!("{OPEN}os.write(f, b'a'); os.fsync(f)"), "f");
        assert_eq!(no_folder, some(&[None, Some("a")]));
        let no_content = outcomes(&format!("{OPEN}os.fsync(d); os.write(f, b'a')"), "f");
        assert_eq!(no_content, some(&[Some(""), Some("a")]));
        let second =
            outcomes(&format!("{OPEN}os.write(f, b'a'); os.fsync(f); os.fsync(d); os.pwrite(f, b'b', 0)"), "f");
        assert_eq!(second, some(&[Some("a"), Some("b")]));
    }

    #[test]
    fn a_file_that_is_renamed_over_another_is_the_old_or_the_new_one() {
        let script = format!(
            "{OPEN}os.write(f, b'old'); os.fsync(f); os.fsync(d)\n\
             n = os.open('n', os.O_RDWR | os.O_CREAT); os.write(n, b'new'); os.fsync(n); os.rename(os.path.abspath('n'), os.path.abspath('f'))"
        );
        let found = outcomes(&script, "f");
        assert_eq!(found, [Some("old".to_owned()), Some("new".to_owned())].into());
        assert_eq!(outcomes(&format!("{script}\nos.fsync(d)"), "f"), [Some("new".to_owned())].into());
    }
}
