//! The writer's part in floating users: each claim is decided on what the ones before it leave.

use super::{Group, Writer};
use crate::enforcement::seats::{Claim, NewMachine, SeatError, find};
use crate::journal::AppendError;
use sitewarden_protocol::id::{ActivationId, LicenseId};
use sitewarden_protocol::license::License;
use sitewarden_protocol::license::seats::{self, AllowedMachine, Machine, Refusal, Scene};
use sitewarden_protocol::record::{Body, Heartbeat, MachineActivated, MachineDeactivated, SessionEnd, SessionEnded};
use sitewarden_protocol::time::UnixMillis;
use tokio::sync::oneshot;

type Answer<T> = oneshot::Sender<Result<T, SeatError>>;

/// A change of machines or their users, with the place for its answer.
pub(in crate::enforcement) enum SeatCommand {
    Activate { key: String, machine: NewMachine, random: [u8; 10], answer: Answer<(ActivationId, License)> },
    Claim { key: String, claim: Claim, answer: Answer<()> },
    Deactivate { key: Option<String>, activation: ActivationId, reason: String, answer: Answer<()> },
    Release { activation: ActivationId, by: String, answer: Answer<u32> },
}

impl Writer {
    pub(super) fn seats(&mut self, command: SeatCommand, group: &mut Group) {
        match command {
            SeatCommand::Activate { key, machine, random, answer } => {
                let decided = self.activate_machine(&key, machine, random, group);
                group.reply(answer, decided);
            }
            SeatCommand::Claim { key, claim, answer } => {
                let decided = self.claim(&key, claim, group);
                group.reply(answer, decided);
            }
            SeatCommand::Deactivate { key, activation, reason, answer } => {
                let decided = self.deactivate_machine(key.as_deref(), activation, reason, group);
                group.reply(answer, decided);
            }
            SeatCommand::Release { activation, by, answer } => {
                let decided = self.release_users(activation, by, group);
                group.reply(answer, decided);
            }
        }
    }

    /// Ends the sessions of which nothing was heard for too long. Decisions count without them from that moment on; this
    /// is the record of it.
    pub(super) async fn end_lapsed(&mut self) {
        let mut group = self.begin();
        self.lapse(|_| true, &mut group);
        if !group.bodies.is_empty() {
            self.write(group).await;
        }
    }

    fn activate_machine(
        &mut self,
        key: &str,
        machine: NewMachine,
        random: [u8; 10],
        group: &mut Group,
    ) -> Result<(ActivationId, License), SeatError> {
        let license = self.licensed(key)?;
        let NewMachine { hardware, name, app_version } = machine;
        let allowed = seats::may_activate(&license, &hardware, &self.scene(&license.app, group.at));
        let activation = match allowed {
            Ok(AllowedMachine::Known(known)) => known,
            Ok(AllowedMachine::New) => ActivationId::new(group.at, random),
            Err(refusal) => return Err(refusal.into()),
        };
        let same =
            |known: &Machine| known.hardware == hardware && known.name == name && known.app_version == app_version;
        if !self.site.machines().get(activation).is_some_and(same) {
            let activated = MachineActivated { license: license.id, activation, hardware, machine: name, app_version };
            group.change(&mut self.site, Body::MachineActivated(activated));
        }
        Ok((activation, license))
    }

    fn claim(&mut self, key: &str, claim: Claim, group: &mut Group) -> Result<(), SeatError> {
        let license = self.licensed(key)?;
        self.lapse(|of| of == license.id, group);
        let Claim { activation, users, features } = claim;
        let scene = self.scene(&license.app, group.at);
        let claimed = seats::claim(&license, activation, users, features.is_some(), &scene);
        if let Some(users) = claimed.noted {
            let features = features.filter(|_| claimed.outcome.is_ok()).unwrap_or_default();
            let heartbeat = Heartbeat { license: license.id, activation, users, features };
            group.change(&mut self.site, Body::Heartbeat(heartbeat));
        }
        Ok(claimed.outcome?)
    }

    fn deactivate_machine(
        &mut self,
        key: Option<&str>,
        activation: ActivationId,
        reason: String,
        group: &mut Group,
    ) -> Result<(), SeatError> {
        let license = match key {
            Some(key) => {
                let license = self.licensed(key)?;
                seats::machine(&license, activation, self.site.machines())?.license
            }
            None => self.machine(activation)?.license,
        };
        let gone = MachineDeactivated { license, activation, reason };
        group.change(&mut self.site, Body::MachineDeactivated(gone));
        Ok(())
    }

    fn release_users(&mut self, activation: ActivationId, by: String, group: &mut Group) -> Result<u32, SeatError> {
        self.lapse(|_| true, group);
        let Machine { license, users, .. } = *self.machine(activation)?;
        if users > 0 {
            let cause = SessionEnd::Released { by };
            group.change(&mut self.site, Body::SessionEnded(SessionEnded { license, activation, users, cause }));
        }
        Ok(users)
    }

    fn lapse(&mut self, of: impl Fn(LicenseId) -> bool, group: &mut Group) {
        // Whether a session is over depends on no app.
        let scene = self.scene("", group.at);
        let lapsed = scene.machines.iter().filter(|(_, machine)| machine.users > 0 && of(machine.license));
        let lapsed = lapsed.filter(|(_, machine)| scene.is_lapsed(machine)).map(|(activation, machine)| SessionEnded {
            license: machine.license,
            activation,
            users: machine.users,
            cause: SessionEnd::Lapsed,
        });
        for ended in lapsed.collect::<Vec<_>>() {
            group.change(&mut self.site, Body::SessionEnded(ended));
        }
    }

    fn licensed(&self, key: &str) -> Result<License, SeatError> {
        find(self.site.licenses(), self.site.id(), key).cloned().ok_or(SeatError::UnknownKey)
    }

    fn machine(&self, activation: ActivationId) -> Result<&Machine, Refusal> {
        self.site.machines().get(activation).ok_or(Refusal::UnknownActivation)
    }

    fn scene(&self, app: &str, now: UnixMillis) -> Scene<'_> {
        Scene {
            circumstances: self.site.circumstances(now),
            used: self.site.used(app),
            machines: self.site.machines(),
            listening_since: self.site.listening_since(),
        }
    }
}

impl Group {
    /// Answers when what was decided is on disk.
    fn reply<T: Send + 'static>(&mut self, answer: Answer<T>, decided: Result<T, SeatError>) {
        self.replies.push(Box::new(move |written: Result<(), AppendError>| {
            let outcome = match (decided, written) {
                (Err(refused), _) => Err(refused),
                (Ok(_), Err(error)) => Err(error.into()),
                (Ok(done), Ok(())) => Ok(done),
            };
            drop(answer.send(outcome));
        }));
    }
}
