//! What must hold after every step.

use super::site::{OVERRIDE_DAYS, SITE, Site, key};
use super::steps::{APPS, Step};
use sitewarden_protocol::license::{
    ActivationError, Cause, Explanation, License, NoRoom, Rung, Status, Term, Verdict, access, activate, explain,
    in_force, may_reserve,
};
use sitewarden_protocol::time::UnixMillis;

type Checked = Result<(), String>;

/// All of it.
pub(crate) fn all(before: &Site, step: &Step, after: &Site) -> Checked {
    one_active_licence_for_each_app(after)?;
    a_granted_reservation_fits(before, step, after)?;
    a_typed_key_takes_no_access_away(before, step, after)?;
    time_goes_back_only_when_the_hub_says_so(before, step, after)?;
    invalid_is_final(before, after)?;
    overrides_stay_within_what_the_vendor_allows(after)?;
    for app in 0..APPS.len() {
        what_is_explained_is_what_is_decided(after, app, after.time.now())?;
        what_is_foretold_happens(after, app)?;
    }
    Ok(())
}

fn one_active_licence_for_each_app(site: &Site) -> Checked {
    let licenses = site.licenses();
    for app in APPS {
        let active = |license: &&License| license.app == app && license.status == Status::Active;
        let active: Vec<_> = licenses.iter().filter(active).map(|license| &license.name).collect();
        check(active.len() <= 1, || format!("{active:?} are Active for {app} at one site"))?;
    }
    Ok(())
}

/// Unless the policy itself is milder than to block what is new, now.
fn a_granted_reservation_fits(before: &Site, step: &Step, after: &Site) -> Checked {
    let Step::Reserve(app, _) = *step else { return Ok(()) };
    if !after.granted {
        return Ok(());
    }
    let (licenses, now, count) = (before.licenses(), before.time.now(), after.used(app).in_use);
    let license = in_force(&licenses, APPS[app]).ok_or("a monitor was granted without a licence")?;
    let usable = license.status == Status::Active || license.policy.expiry.then != Rung::Block;
    let usable = usable || license.policy.expiry.grace_days > 0 || before.reliefs.until(now).is_some();
    check(usable, || format!("a monitor was granted under {}, which is {:?}", license.name, license.status))?;
    let Some(quota) = license.limits.monitors else { return Ok(()) };
    let permitted = quota + quota * u32::from(license.policy.overage_percent) / 100;
    let rule = license.policy.overage;
    let excess_since = before.used(app).excess_since.unwrap_or(now);
    let mild = rule.then < Rung::BlockNew || now < rule.applies_from(excess_since);
    check(count <= permitted || mild, || format!("{count} monitors of {permitted} were granted under {}", license.name))
}

/// By a term that has not begun, that is. An override is not looked at: it is for a time without any licence.
fn a_typed_key_takes_no_access_away(before: &Site, step: &Step, after: &Site) -> Checked {
    let Step::Activate { .. } = step else { return Ok(()) };
    let circumstances = after.circumstances(after.time.now());
    if circumstances.relieved_until.is_some() {
        return Ok(());
    }
    for (app, name) in APPS.iter().enumerate() {
        let open = access(&before.licenses(), name, &circumstances, before.used(app)).is_ok();
        let now = access(&after.licenses(), name, &circumstances, after.used(app)).err();
        check(!open || !matches!(now, Some(Cause::NotYet { .. })), || {
            format!("{name} ran before a key was typed: {now:?}")
        })?;
    }
    Ok(())
}

fn time_goes_back_only_when_the_hub_says_so(before: &Site, step: &Step, after: &Site) -> Checked {
    let ran = if let Step::Run(span) = step { *span } else { 0 };
    let (was, is) = (before.time.now().0, after.time.now().0);
    if matches!(step, Step::Answered) {
        let tolerated = (is - after.real).abs() <= 5 * super::steps::MINUTE;
        return check(tolerated || after.time.last_heard().0 >= after.real, || {
            format!("after the hub's answer licence time is {} ms off", is - after.real)
        });
    }
    check(is >= was + ran, || format!("licence time went from {was} to {is} while {ran} ms passed"))
}

fn invalid_is_final(before: &Site, after: &Site) -> Checked {
    let now = after.licenses();
    // The hub's word, also where the plant activated the licence before it heard of it.
    let mut words = after.snapshot.licenses.iter().zip(&now).filter(|(word, _)| word.status == Status::Invalid);
    check(words.all(|(_, here)| here.status == Status::Invalid), || "the hub says Invalid, in vain".into())?;
    for (number, license) in before.licenses().iter().enumerate() {
        if license.status != Status::Invalid {
            continue;
        }
        let status = now.iter().find(|known| known.id == license.id).map(|known| known.status);
        check(status == Some(Status::Invalid), || format!("{} was Invalid and is {status:?}", license.name))?;
        let typed = activate(&now, SITE, &key(number), true, after.time.now(), |_| 0);
        check(typed == Err(ActivationError::Spent), || format!("the key of {} counts again: {typed:?}", license.name))?;
    }
    Ok(())
}

/// In any 365 days; unless time itself was set back, when days of a year that never was are free again.
fn overrides_stay_within_what_the_vendor_allows(site: &Site) -> Checked {
    for last in &site.overrides {
        let year = site.overrides.iter().filter(|one| one.at <= last.at && last.at.0 - one.at.0 < super::steps::YEAR);
        let days: i64 = year.map(|one| (one.until.0 - one.at.0) / super::steps::DAY).sum();
        check(days <= i64::from(OVERRIDE_DAYS), || format!("{days} days of override in the year to {}", last.at))?;
    }
    Ok(())
}

fn what_is_explained_is_what_is_decided(site: &Site, app: usize, at: UnixMillis) -> Checked {
    let (told, open, room) = decided(site, app, at);
    let wrong = |what: &str| format!("at {} of {}: {what}: {told:?}", at.0, APPS[app]);
    check(told.allowed == open && (told.verdict == Verdict::Denied) != open, || wrong("access is not as explained"))?;
    check(told.new_monitors == (open && room == Some(Ok(()))), || wrong("room is not as explained"))?;
    let new_blocked = matches!(room, Some(Err(NoRoom::BlockedNew(_))));
    check(!new_blocked || told.verdict >= Verdict::NoNew, || wrong("a block of what is new is not told"))?;
    check(told.verdict != Verdict::NoNew || matches!(room, Some(Err(_))), || wrong("NoNew, and there is room"))?;
    check(!told.reasons.is_empty(), || wrong("no reason is told"))
}

type Room = Option<Result<(), NoRoom>>;

fn decided(site: &Site, app: usize, at: UnixMillis) -> (Explanation, bool, Room) {
    let (licenses, then, used) = (site.licenses(), site.circumstances(at), site.used(app));
    let told = explain(&licenses, APPS[app], &then, used);
    let open = access(&licenses, APPS[app], &then, used);
    let room = open.as_ref().ok().copied().flatten().map(|license| may_reserve(license, &then, used));
    (told, open.is_ok(), room)
}

/// Every change comes at the told moment, and none comes untold: looked at around each date that a rule names.
fn what_is_foretold_happens(site: &Site, app: usize) -> Checked {
    let now = site.time.now();
    let foretold = decided(site, app, now).0;
    let mut moments: Vec<i64> = dates(site, app).into_iter().flat_map(|at| [at.0 - 1, at.0, at.0 + 1]).collect();
    moments.extend(foretold.changes.iter().flat_map(|change| [change.at.0 - 1, change.at.0, change.at.0 + 1]));
    moments.push(now.0 + 10 * super::steps::YEAR);
    for at in moments.into_iter().map(UnixMillis).filter(|at| *at >= now) {
        let due = foretold.changes.iter().rev().find(|change| change.at <= at).map(|change| change.verdict);
        let (due, met) = (due.unwrap_or(foretold.verdict), decided(site, app, at).0.verdict);
        check(met == due, || {
            format!("{}: at {} ({} ms) {due:?} was foretold, it is {met:?}: {foretold:?}", APPS[app], at, at.0)
        })?;
        what_is_explained_is_what_is_decided(site, app, at)?;
    }
    Ok(())
}

/// All dates that the rules of an app's licences name, worked out here and not by the code under test.
fn dates(site: &Site, app: usize) -> Vec<UnixMillis> {
    let now = site.circumstances(site.time.now());
    let mut dates = vec![now.fresh_until];
    dates.extend(now.relieved_until);
    for license in site.licenses().iter().filter(|license| license.app == APPS[app]) {
        let policy = &license.policy;
        let graces = [
            license.expires_at.map(|end| (end, policy.expiry)),
            Some((now.fresh_until, policy.staleness)),
            site.used(app).excess_since.map(|since| (since, policy.overage)),
        ];
        for (since, rule) in graces.into_iter().flatten() {
            dates.push(since);
            dates.push(UnixMillis(since.0 + i64::from(rule.grace_days) * super::steps::DAY));
        }
        if let Term::Dates { from, until } = license.term {
            dates.extend([from, until]);
        }
    }
    dates
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}
