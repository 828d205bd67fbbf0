//! The order of the rungs, and what an override reaches: for one licence in any circumstances.

use super::site::license;
use super::steps::{APPS, DAY, START, policy, quota, term};
use proptest::prelude::*;
use sitewarden_protocol::license::{
    Cause, Circumstances, License, NoRoom, Policy, Rung, Status, Use, Verdict, access, explain, may_reserve,
};
use sitewarden_protocol::time::UnixMillis;

const EMS: &str = APPS[0];
const RUNGS: [Rung; 4] = [Rung::Observe, Rung::Warn, Rung::BlockNew, Rung::Block];

/// A licence, and what its decisions depend on.
#[derive(Debug, Clone)]
struct Case {
    license: License,
    circumstances: Circumstances,
    used: Use,
}

/// What is decided: how good it looks, and whether one more monitor may run.
#[derive(Debug, PartialEq)]
struct Decided {
    verdict: Verdict,
    room: bool,
    refused_by_quota: bool,
}

impl Case {
    fn decide(&self) -> Decided {
        let licenses = std::slice::from_ref(&self.license);
        let verdict = explain(licenses, EMS, &self.circumstances, self.used).verdict;
        let room = match access(licenses, EMS, &self.circumstances, self.used) {
            Ok(Some(license)) => may_reserve(license, &self.circumstances, self.used),
            _ => return Decided { verdict, room: false, refused_by_quota: false },
        };
        Decided { verdict, room: room.is_ok(), refused_by_quota: matches!(room, Err(NoRoom::Quota(_))) }
    }

    fn with(&self, policy: Policy) -> Self {
        Self { license: License { policy, ..self.license.clone() }, ..self.clone() }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let status = prop::sample::select(
        &[Status::Inactive, Status::Active, Status::Active, Status::Expired, Status::Deactivated, Status::Invalid][..],
    );
    let day = || prop_oneof![-60_i64..60, Just(0)];
    let used = (0_u32..8, prop::option::of(-60_i64..=0));
    let relief = prop::option::of(-10_i64..30);
    (status, term(), quota(), policy(), day(), day(), used, relief).prop_map(
        |(status, term, quota, policy, began, fresh, (in_use, over), relief)| {
            let at = |days: i64| UnixMillis(START.0 + days * DAY);
            let activated = at(began.min(0));
            let license = License {
                term,
                policy,
                status,
                activated_at: Some(activated),
                expires_at: term.expiry(activated),
                ..license(0, EMS, quota, at(-100))
            };
            let circumstances = Circumstances { now: START, fresh_until: at(fresh), relieved_until: relief.map(at) };
            Case {
                license,
                circumstances,
                used: Use { in_use, over_since: over.map(at), excess_since: over.map(|days| at(days / 2)) },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A stricter rung never allows more; more days of grace and more overage never allow less.
    #[test]
    fn a_milder_policy_never_decides_more_strictly(case in case(), grace in 0_u16..30, percent in 0_u16..100) {
        let mut milder = Vec::new();
        let policy = case.license.policy;
        let rules: [fn(&mut Policy) -> &mut sitewarden_protocol::license::Rule; 3] =
            [|policy| &mut policy.expiry, |policy| &mut policy.staleness, |policy| &mut policy.overage];
        for rule in rules {
            let strict = rule(&mut policy.clone()).then;
            for rung in RUNGS.into_iter().filter(|rung| *rung < strict) {
                let mut milder_one = policy;
                rule(&mut milder_one).then = rung;
                milder.push(milder_one);
            }
            let mut longer = policy;
            rule(&mut longer).grace_days += grace;
            // Days of grace warn, which is more than a rule that observes only ever does.
            milder.push(longer);
        }
        milder.push(Policy { overage_percent: policy.overage_percent + percent, ..policy });
        let strict = case.decide();
        for policy in milder {
            let mild = case.with(policy).decide();
            prop_assert!(mild.verdict <= strict.verdict, "{policy:?} is milder and gives {mild:?} for {strict:?}");
            prop_assert!(mild.room || !strict.room, "{policy:?} is milder and leaves no room: {mild:?} for {strict:?}");
        }
    }

    /// An override never reaches what was withdrawn, never waits for a key, and never adds to the quota.
    #[test]
    fn an_override_reaches_time_and_nothing_else(case in case()) {
        let licenses = std::slice::from_ref(&case.license);
        let plain = Case { circumstances: Circumstances { relieved_until: None, ..case.circumstances }, ..case.clone() };
        let (without, with) = (plain.decide(), case.decide());
        prop_assert!(with.verdict <= without.verdict && (with.room || !without.room), "{with:?} for {without:?}");
        if !matches!(case.license.status, Status::Active | Status::Expired) {
            let cause = access(licenses, EMS, &case.circumstances, case.used).err();
            let withdrawn = matches!(cause, Some(Cause::Withdrawn { .. } | Cause::NotActivated { .. }));
            prop_assert!(withdrawn && !with.room, "{:?} under an override: {cause:?}", case.license.status);
        }
        if without.refused_by_quota {
            prop_assert!(with.refused_by_quota, "an override made room: {with:?}");
        }
        // Without any rule on time but the quota's, an override changes nothing at all.
        let timeless = |case: &Case| {
            let mild = sitewarden_protocol::license::Rule { grace_days: 0, then: Rung::Observe };
            case.with(Policy { expiry: mild, staleness: mild, ..case.license.policy }).decide()
        };
        prop_assert_eq!(timeless(&case), timeless(&plain));
    }
}
