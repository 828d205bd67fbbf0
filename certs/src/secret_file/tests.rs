use super::*;
use std::os::unix::fs::symlink;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn loosen(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_is_its_owners_alone_and_a_certificate_is_everyones() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    write(&key, b"secret").unwrap();
    write_public(&certificate, b"public").unwrap();
    assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o644));
    assert_eq!(read(&key).unwrap().as_slice(), b"secret");
}

#[test]
fn writing_again_replaces_the_content_mends_the_mode_and_leaves_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    write(&path, b"old").unwrap();
    loosen(&path, 0o666);
    write(&path, b"new").unwrap();
    assert_eq!(read(&path).unwrap().as_slice(), b"new");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_write_that_fails_leaves_the_target_and_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("occupied");
    fs::create_dir(&path).unwrap();
    assert!(matches!(write(&path, b"secret"), Err(Error::Io { doing: "write", .. })));
    assert!(path.is_dir());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_the_targets_place_is_replaced_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (elsewhere, path) = (folder.path().join("elsewhere"), folder.path().join("key.pem"));
    fs::write(&elsewhere, b"untouched").unwrap();
    symlink(&elsewhere, &path).unwrap();
    write(&path, b"secret").unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    write(&path, b"secret").unwrap();
    for loose in [0o640, 0o604, 0o620, 0o601] {
        loosen(&path, loose);
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::LooseFile { mode, .. } if mode == loose));
        assert!(error.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())), "{error}");
    }
    loosen(&path, 0o400);
    assert!(read(&path).is_ok());
}

#[test]
fn the_command_is_right_for_a_path_that_a_shell_would_split() {
    assert_eq!(quoted(Path::new("/var/lib/key.pem")), "/var/lib/key.pem");
    assert_eq!(quoted(Path::new("/a b/it's")), r"-- '/a b/it'\''s'");
    assert_eq!(quoted(Path::new("-R")), "-- '-R'");
}

#[test]
fn what_is_no_file_or_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read(folder.path()), Err(Error::Kind { expected: "file", .. })));
    assert!(matches!(read(&folder.path().join("none")), Err(Error::Io { .. })));

    let (largest, larger) = (folder.path().join("largest"), folder.path().join("larger"));
    write(&largest, &vec![0; 1 << 20]).unwrap();
    write(&larger, &vec![0; (1 << 20) + 1]).unwrap();
    assert_eq!(read(&largest).unwrap().len(), 1 << 20);
    assert!(matches!(read(&larger), Err(Error::TooLong { .. })));
}

#[test]
fn a_folder_is_made_with_those_above_it_and_making_it_again_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("above/below");
    create_folder(&path).unwrap();
    create_folder(&path).unwrap();
    assert_eq!((mode(&path), mode(&folder.path().join("above"))), (0o700, 0o700));
}

#[test]
fn a_folder_that_others_may_use_is_refused_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    create_folder(&path).unwrap();
    loosen(&path, 0o750);
    for error in [check_folder(&path).unwrap_err(), create_folder(&path).unwrap_err()] {
        assert!(error.to_string().ends_with(&format!("run `chmod 700 {}`", path.display())), "{error}");
    }
    assert_eq!(mode(&path), 0o750);
}

#[test]
fn a_file_in_a_folders_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    write(&path, b"").unwrap();
    assert!(matches!(create_folder(&path), Err(Error::Kind { expected: "folder", .. })));
    assert!(create_folder(&path.join("below")).is_err());
}
