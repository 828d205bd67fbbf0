use super::*;

fn plan(folder: &tempfile::TempDir, password: &str) -> Plan {
    let admin_password_file = folder.path().join("password");
    fs::write(&admin_password_file, password).unwrap();
    Plan { data_dir: folder.path().join("hub"), admin_password_file, hostnames: vec!["hub.example.com".to_owned()] }
}

#[tokio::test]
async fn a_new_hub_has_settings_that_load_and_nothing_is_left_beside() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder, "a long password\n");
    init(&plan).await.unwrap();
    let config = crate::config::Config::load(&plan.data_dir, crate::config::Flags::default()).unwrap();
    assert_eq!(config.hostnames, plan.hostnames);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["hub", "password"]);
    let store = Store::open(&plan.data_dir.join("hub.sqlite"), keys(&plan).store_secrets()).await.unwrap();
    let hash = store.user(ADMINISTRATOR).await.unwrap().unwrap().password_hash;
    assert!(hash.starts_with("$argon2id$"), "{hash}");
}

fn keys(plan: &Plan) -> Keys {
    Keys::load(&plan.data_dir.join("keys")).unwrap()
}

#[tokio::test]
async fn what_an_interrupted_init_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder, "a long password");
    let left = folder.path().join(".hub.init");
    secret_file::create_folder(&left.join("keys")).unwrap();
    secret_file::write(&left.join("keys/signing.key"), b"half").unwrap();
    init(&plan).await.unwrap();
    assert!(!left.exists());
    assert!(folder::is_hub(&plan.data_dir).unwrap());
}

#[tokio::test]
async fn an_init_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { hostnames: vec!["*.example.com".to_owned()], ..plan(&folder, "a long password") };
    assert!(matches!(init(&plan).await, Err(Error::Hostname(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_second_init_at_the_same_time_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder, "a long password");
    let at_work = Beside::make(&plan.data_dir).unwrap();
    assert!(matches!(init(&plan).await, Err(Error::Folder(folder::Error::InUse(_)))));
    drop(at_work);
    init(&plan).await.unwrap();
}

#[tokio::test]
async fn a_short_password_or_a_folder_with_something_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(init(&plan(&folder, "1234567\n")).await, Err(Error::Password(password::Error::Length))));
    let plan = plan(&folder, "a long password");
    fs::create_dir(&plan.data_dir).unwrap();
    fs::write(plan.data_dir.join("something"), "").unwrap();
    assert!(matches!(init(&plan).await, Err(Error::NotEmpty(_))));
}
