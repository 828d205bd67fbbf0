//! Denials over a real journal.

use super::*;
use crate::anonymity::Anonymity;
use crate::clock::{self, Machine};
use crate::folder::Folder;
use crate::journal::{Counters, Settings};
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::record::Record;
use tempfile::TempDir;
use tokio::sync::watch;

struct Bench {
    denials: Denials,
    keeper: Option<keeper::Keeper>,
    journal: Journal,
    _temporary: TempDir,
}

fn bench(quota: u64) -> Bench {
    let temporary = TempDir::new().unwrap();
    let folder = Folder::at(temporary.path());
    folder.make("state").unwrap();
    let (agent, settings) = (AgentId::from_bytes([4; 16]), Settings { quota, reserve: 0 });
    let journal = Journal::open(
        &folder.journal(),
        agent,
        settings,
        Position::default(),
        Arc::new(Counters::default()),
        clock::wall(),
    )
    .unwrap();
    let clock = Clock::start(&folder, clock::wall(), Default::default(), Box::new(Machine::new())).unwrap();
    let anonymity = Arc::new(Anonymity::load(&folder, Arc::default()).unwrap());
    let (denials, keeper) = Denials::new((journal.clone(), anonymity), clock, DenialCounters::default());
    Bench { denials, keeper: Some(keeper), journal, _temporary: temporary }
}

fn no_license(app: &str) -> Cause {
    Cause::NoLicense { app: app.to_owned() }
}

const fn verify(app: &str) -> Asked<'_> {
    Asked { app, action: "verify", user: "ems" }
}

/// What was written, without the journal's first record.
fn written(journal: &Journal) -> Vec<Body> {
    let Some(draft) = journal.read_after(Position { epoch: 1, seq: 1 }).unwrap() else { return vec![] };
    draft.records.iter().map(|bytes| Record::decode(bytes).unwrap().decode_body().unwrap()).collect()
}

fn counts(journal: &Journal) -> Vec<(String, u64)> {
    let count = |body| match body {
        Body::Denials(denials) => (denials.app, denials.count),
        other => panic!("{other:?}"),
    };
    written(journal).into_iter().map(count).collect()
}

/// Ends the keeper, as a clean stop does.
async fn stop(bench: &mut Bench) {
    let (stop, stopping) = watch::channel(false);
    stop.send_replace(true);
    bench.keeper.take().unwrap().run(stopping).await;
}

#[tokio::test]
async fn the_first_denial_is_a_record_and_the_rest_are_counted_and_written_before_a_clean_stop() {
    let mut bench = bench(1 << 40);
    for _ in 0..10_000 {
        bench.denials.note(verify("EMS"), &no_license("EMS"));
    }
    bench.denials.note(verify("CBM"), &no_license("CBM"));
    stop(&mut bench).await;
    let told = [("EMS", 1), ("CBM", 1), ("EMS", 9_999)].map(|(app, count)| (app.to_owned(), count));
    assert_eq!(counts(&bench.journal), told);
    let Body::Denials(first) = written(&bench.journal).remove(0) else { panic!() };
    assert_eq!((first.user.as_str(), first.action.as_str()), ("ems", "verify"));
    assert_eq!(first.cause, "this site has no license for EMS; ask your vendor for one");
}

#[tokio::test]
async fn what_is_quiet_for_a_minute_is_a_first_one_again() {
    let mut bench = bench(1 << 40);
    let keeper = bench.keeper.take().unwrap();
    bench.denials.note(verify("EMS"), &no_license("EMS"));
    bench.denials.note(verify("EMS"), &no_license("EMS"));
    keeper.write_counted().await;
    keeper.write_counted().await;
    bench.denials.note(verify("EMS"), &no_license("EMS"));
    bench.keeper = Some(keeper);
    stop(&mut bench).await;
    assert_eq!(counts(&bench.journal).iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn a_caller_who_names_ever_new_apps_comes_to_a_bounded_number_of_records() {
    let mut bench = bench(1 << 40);
    for number in 0..5_000 {
        let app = format!("{number}{}", "ä".repeat(500));
        bench.denials.note(verify(&app), &no_license(&app));
    }
    stop(&mut bench).await;
    let counts = counts(&bench.journal);
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 5_000);
    assert_eq!(counts.len(), MAX_KEYS + 1);
    assert!(counts.iter().all(|(app, _)| app.len() <= MAX_APP), "{counts:?}");
    assert_eq!(counts.last().map(|(app, _)| app.as_str()), Some(OTHERS));
}

#[tokio::test]
async fn a_full_journal_forgets_no_denial() {
    let mut bench = bench(1);
    for _ in 0..3 {
        bench.denials.note(verify("EMS"), &no_license("EMS"));
    }
    bench.denials.record(Asked { action: "reserve", ..verify("EMS") }, &Denied::from(no_license("EMS"))).await;
    stop(&mut bench).await;
    assert_eq!(written(&bench.journal), []);
    let mut kept: Vec<_> = bench.denials.take().into_iter().map(|one| (one.action, one.denials.count)).collect();
    kept.sort_unstable();
    assert_eq!(kept, [("reserve", 1), ("verify", 3)]);
}

#[tokio::test]
async fn a_refused_reservation_is_on_disk_at_once_and_its_repeats_are_counted() {
    let mut bench = bench(1 << 40);
    let asked = Asked { action: "reserve", ..verify("EMS") };
    for would_be in 4..7 {
        let denied =
            Denied::from(sitewarden_protocol::license::NoRoom::Quota(sitewarden_protocol::license::OverQuota {
                would_be,
                permitted: 3,
            }));
        bench.denials.record(asked, &denied).await;
        assert!(matches!(written(&bench.journal)[..], [Body::Denial(_)]));
    }
    stop(&mut bench).await;
    assert!(matches!(&written(&bench.journal)[..], [Body::Denial(_), Body::Denials(rest)] if rest.count == 2));
}
