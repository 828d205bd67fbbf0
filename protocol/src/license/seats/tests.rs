use super::super::testing::{DAY, NOW, fresh, license};
use super::super::{Limits, Status};
use super::*;
use crate::fingerprint::{Parts, digest};
use crate::record::{Body, Heartbeat, MachineActivated, MachineDeactivated, SessionEnd, SessionEnded};

const MINUTE: Duration = Duration::from_secs(60);

fn parts(values: &[(&str, &str)]) -> Parts {
    values.iter().map(|(kind, value)| ((*kind).to_owned(), digest(kind, value))).collect()
}

fn pc(number: u8) -> Parts {
    let (mac, uuid) = (format!("mac{number}"), format!("uuid{number}"));
    parts(&[("mac_address", &mac), ("cpu_id", "the same model"), ("system_uuid", &uuid)])
}

fn id(number: u8) -> ActivationId {
    ActivationId::from_bytes([number; 16])
}

fn floating(users: Option<u32>, activations: Option<u32>) -> License {
    License { limits: Limits { users, activations, monitors: None }, ..license(1, "EMS", Status::Active) }
}

struct Site {
    license: License,
    machines: Machines,
}

impl Site {
    fn with_machines(license: License, count: u8) -> Self {
        let mut site = Self { license, machines: Machines::default() };
        (1..=count).for_each(|number| site.activate(number));
        site
    }

    fn activate(&mut self, number: u8) {
        let body = MachineActivated {
            license: self.license.id,
            activation: id(number),
            hardware: pc(number),
            machine: format!("PC-{number}"),
            app_version: "1.0.0".into(),
        };
        self.machines.apply(&Body::MachineActivated(body), NOW);
    }

    fn heartbeat(&mut self, number: u8, users: u32, at: UnixMillis) {
        let (license, activation) = (self.license.id, id(number));
        self.machines.apply(&Body::Heartbeat(Heartbeat { license, activation, users, features: vec![] }), at);
    }

    fn end(&mut self, number: u8, cause: SessionEnd) {
        let (license, activation) = (self.license.id, id(number));
        self.machines.apply(&Body::SessionEnded(SessionEnded { license, activation, users: 0, cause }), NOW);
    }

    fn scene(&self, now: UnixMillis) -> Scene<'_> {
        Scene {
            circumstances: fresh(now),
            used: Use::default(),
            machines: &self.machines,
            listening_since: UnixMillis(0),
        }
    }

    fn claim(&self, number: u8, users: u32, now: UnixMillis) -> Result<(), Refusal> {
        may_claim(&self.license, id(number), users, &self.scene(now))
    }
}

#[test]
fn claims_of_all_machines_together_never_pass_the_limit() {
    let mut site = Site::with_machines(floating(Some(10), None), 3);
    assert_eq!(site.claim(1, 6, NOW), Ok(()));
    site.heartbeat(1, 6, NOW);
    assert_eq!(site.claim(2, 5, NOW), Err(Refusal::TooManyUsers { claimed: 5, others: 6, permitted: 10 }));
    assert_eq!(site.claim(2, 4, NOW), Ok(()));
    site.heartbeat(2, 4, NOW);
    assert!(site.claim(3, 1, NOW).is_err());
    assert_eq!(
        site.claim(1, 10, NOW).unwrap_err().to_string(),
        "10 users and the 4 of other machines exceed the permitted 10"
    );
    assert_eq!(site.claim(3, 0, NOW), Ok(()));
    site.heartbeat(1, 5, NOW);
    assert_eq!(site.claim(3, 1, NOW), Ok(()));
    assert_eq!(site.scene(NOW).users(&site.license), 9);
}

#[test]
fn what_a_machine_has_stays_its_own_when_the_limit_is_lowered() {
    let mut site = Site::with_machines(floating(Some(10), None), 2);
    site.heartbeat(1, 6, NOW);
    site.heartbeat(2, 4, NOW);
    site.license.limits.users = Some(3);
    assert_eq!(site.claim(1, 6, NOW), Ok(()));
    assert_eq!(site.claim(1, 5, NOW), Ok(()));
    assert!(matches!(site.claim(1, 7, NOW), Err(Refusal::TooManyUsers { .. })));
}

#[test]
fn a_session_lapses_when_its_heartbeat_stops_and_not_while_nobody_could_hear_it() {
    let mut site = Site::with_machines(floating(Some(10), None), 2);
    site.heartbeat(1, 10, NOW);
    let (almost, then) = (NOW.after(LAPSE - Duration::from_millis(1)), NOW.after(LAPSE));
    assert!(site.claim(2, 1, almost).is_err());
    assert_eq!(site.claim(2, 1, then), Ok(()));
    assert_eq!(site.scene(then).users(&site.license), 0);
    let restarted = Scene { listening_since: NOW.after(MINUTE), ..site.scene(then) };
    assert_eq!(restarted.users(&site.license), 10);
    site.heartbeat(2, 1, then);
    assert!(site.claim(1, 10, then).is_err(), "a lapsed session has to claim like any other");
}

#[test]
fn who_was_released_is_told_once_and_may_claim_again() {
    let mut site = Site::with_machines(floating(Some(10), None), 1);
    site.heartbeat(1, 5, NOW);
    site.end(1, SessionEnd::Released { by: "operator".into() });
    assert_eq!(site.scene(NOW).users(&site.license), 0);
    assert_eq!(site.claim(1, 5, NOW), Err(Refusal::Released { by: "operator".into() }));
    assert_eq!(site.claim(1, 0, NOW), Ok(()));
    site.heartbeat(1, 0, NOW);
    assert_eq!(site.claim(1, 5, NOW), Ok(()));
    site.heartbeat(1, 5, NOW);
    site.end(1, SessionEnd::Lapsed);
    assert_eq!(site.claim(1, 5, NOW), Ok(()));
}

#[test]
fn the_same_hardware_is_the_same_machine_and_machines_are_limited() {
    let site = Site::with_machines(floating(None, Some(2)), 2);
    let may = |hardware: &Parts| may_activate(&site.license, hardware, &site.scene(NOW));
    assert_eq!(may(&pc(2)), Ok(AllowedMachine::Known(id(2))));
    let other_card = parts(&[("mac_address", "new"), ("cpu_id", "the same model"), ("system_uuid", "uuid1")]);
    assert_eq!(may(&other_card), Ok(AllowedMachine::Known(id(1))));
    assert_eq!(may(&pc(3)), Err(Refusal::TooManyMachines { permitted: 2 }));
    let mut site = Site::with_machines(floating(None, Some(2)), 2);
    let gone = MachineDeactivated { license: site.license.id, activation: id(1), reason: String::new() };
    site.machines.apply(&Body::MachineDeactivated(gone), NOW);
    assert_eq!(may_activate(&site.license, &pc(3), &site.scene(NOW)), Ok(AllowedMachine::New));
    assert_eq!(machine(&site.license, id(1), &site.machines), Err(Refusal::UnknownActivation));
}

#[test]
fn one_part_in_common_of_two_is_another_machine_and_a_text_is_one_part() {
    let known = parts(&[("mac_address", "1"), ("cpu_id", "the same model")]);
    let other = parts(&[("mac_address", "2"), ("cpu_id", "the same model")]);
    assert_eq!(same_hardware(&known, &other), Err(Refusal::OtherHardware { matched: 1, of: 2 }));
    assert_eq!(same_hardware(&known, &known), Ok(2));
    assert_eq!(same_hardware(&parts(&[("id", "a")]), &parts(&[("id", "a")])), Ok(1));
    assert!(same_hardware(&parts(&[("id", "a")]), &parts(&[("id", "b")])).is_err());
}

#[test]
fn the_ladder_counts_for_users_too() {
    let mut site = Site::with_machines(floating(Some(10), None), 2);
    site.license.expires_at = Some(NOW);
    assert!(matches!(site.claim(1, 1, NOW), Err(Refusal::License(Cause::Expired { .. }))));
    site.license.policy.expiry = super::super::Rule { grace_days: 3, then: Rung::BlockNew };
    assert_eq!(site.claim(1, 5, NOW.after(DAY)), Ok(()));
    let later = NOW.after(DAY * 3);
    site.heartbeat(1, 5, later);
    assert_eq!(site.claim(1, 5, later), Ok(()));
    assert!(matches!(site.claim(1, 6, later), Err(Refusal::BlockedNew(BlockedNew::Expired(_)))));
    assert_eq!(may_activate(&site.license, &pc(1), &site.scene(later)), Ok(AllowedMachine::Known(id(1))));
    assert!(matches!(may_activate(&site.license, &pc(9), &site.scene(later)), Err(Refusal::BlockedNew(_))));
    let relieved = Circumstances { relieved_until: Some(later.after(DAY)), ..fresh(later) };
    let scene = Scene { circumstances: relieved, ..site.scene(later) };
    assert_eq!(may_claim(&site.license, id(1), 6, &scene), Ok(()));
    site.license.status = Status::Invalid;
    assert!(matches!(site.claim(1, 1, NOW), Err(Refusal::License(Cause::Withdrawn { .. }))));
}

#[test]
fn machines_are_read_back_from_their_checkpoint() {
    let mut site = Site::with_machines(floating(None, None), 2);
    site.heartbeat(1, 5, NOW);
    site.end(1, SessionEnd::Released { by: "operator".into() });
    let text = serde_json::to_string(&site.machines).unwrap();
    assert_eq!(serde_json::from_str::<Machines>(&text).unwrap(), site.machines);
}
