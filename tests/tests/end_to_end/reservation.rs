//! A reservation that was answered with yes survives SIGKILL, and the quota holds with any number of racing callers.

use sitewarden_tests::harness::{Line, until};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const QUOTA: usize = 60;
const CALLERS: usize = 8;

#[test]
fn a_reservation_answered_yes_survives_sigkill_and_the_quota_is_never_passed() {
    let mut line = Line::new(u32::try_from(QUOTA).unwrap()).unwrap();
    line.agent.command(&["activate", &line.key]).unwrap();
    let granted: Mutex<BTreeSet<String>> = Mutex::default();
    for round in 0..3 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (mut app, granted, stop) = (line.app().unwrap(), &granted, &stop);
                scope.spawn(move || {
                    for number in 0.. {
                        let monitor = format!("m-{round}-{caller}-{number}");
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let Ok(answer) = app.put(&format!("/_config/monitors/{monitor}?app=EMS")) else { return };
                        match answer.status {
                            200 => drop(granted.lock().unwrap().insert(monitor)),
                            409 => return,
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                });
            }
            let enough = (round + 1) * QUOTA / 4;
            until(Duration::from_secs(60), "some reservations", || {
                Ok((granted.lock().unwrap().len() >= enough).then_some(()))
            })
            .unwrap();
            line.agent.kill();
            stop.store(true, Ordering::Relaxed);
        });
        line.agent.start().unwrap();
        let listed = line.agent.command(&["monitors", "list", "--app", "EMS", "--json"]).unwrap().json().unwrap();
        let listed: BTreeSet<String> =
            listed["monitors"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let forgotten: Vec<_> = granted.lock().unwrap().difference(&listed).cloned().collect();
        assert!(forgotten.is_empty(), "answered yes and forgotten: {forgotten:?}");
        assert!(listed.len() <= QUOTA, "{} monitors of {QUOTA}", listed.len());
    }
}
