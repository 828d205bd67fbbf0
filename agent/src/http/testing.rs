//! What handlers work with, for tests of routes: a real site, and no line.

use super::Api;
use crate::anonymity::Anonymity;
use crate::bundle::{self, Bundles};
use crate::config::Config;
use crate::enforcement::Denials;
use crate::enforcement::tests::{Running, SITE};
use crate::folder::Folder;
use crate::identity::Names;
use crate::logins::Logins;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::proof::Prover;
use crate::sync::Line;
use crate::telemetry::{self, Telemetry};
use crate::users::Users;
use sitewarden_protocol::chain::Position;
use sitewarden_protocol::id::AgentId;
use sitewarden_protocol::signing::PrivateKey;
use sitewarden_protocol::sync::agent::Release;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Signs proofs and envelopes.
pub(crate) fn signing_key() -> PrivateKey {
    PrivateKey::from_seed(&[3; 32])
}

/// Nobody writes down what is denied, nobody takes questions for the hub, and nobody sends what is due.
pub(crate) fn api(folder: &Folder, running: &Running) -> Api {
    let names = Names {
        agent: AgentId::from_bytes([4; 16]),
        site: SITE,
        hub_host: String::new(),
        hub_url: String::new(),
        sync_port: 0,
        authorities: vec![],
        signing_keys: vec![],
    };
    folder.make("identity").unwrap();
    let metrics = Arc::new(Metrics::new());
    let (clock, journal) = (running.clock.clone(), running.journal.clone());
    let anonymity = Arc::new(Anonymity::load(folder, Arc::default()).unwrap());
    let (denials, _) = Denials::new((journal.clone(), Arc::clone(&anonymity)), clock.clone(), metrics.denials.clone());
    let line = Line::new(&names, Config::default().way(folder), Position::default(), Release::Live).0;
    let parts = telemetry::Parts {
        clock: clock.clone(),
        journal: journal.clone(),
        anonymity: Arc::clone(&anonymity),
        line: line.clone(),
        live: true,
        enforcement: running.enforcement.clone(),
    };
    let bundles = Bundles::new(bundle::Parts {
        folder: folder.clone(),
        names: Arc::new(names.clone()),
        signing_key: Arc::new(signing_key()),
        clock: clock.clone(),
        journal: journal.clone(),
        enforcement: running.enforcement.clone(),
        line: line.clone(),
        switches: Arc::clone(anonymity.switches()),
        one_way: false,
    });
    Api {
        bundles,
        prover: Arc::new(Prover::new(Arc::new(signing_key()), names.agent, SITE, [0; 16])),
        denials,
        anonymity,
        machine: Machine::default(),
        clock,
        enforcement: running.enforcement.clone(),
        journal,
        users: Arc::new(Users::load(folder.state("users.json"), Zeroizing::new([0; 32])).unwrap()),
        logins: Arc::new(Logins::load(folder.state("logins.json"), &[0; 32]).unwrap()),
        telemetry: Telemetry::open(folder, &names, parts).unwrap().0,
        metrics,
        line,
        names: Arc::new(names),
    }
}
