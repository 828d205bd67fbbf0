//! What takes bundles in, over a store without a hub around it.

use super::{Bundles, IMPORTS, Parts};
use crate::config::Changeable;
use crate::http::{Enrolment, Rate};
use crate::ingest::Ingest;
use crate::keys::{Authorities, SealingKeys, SigningKeys};
use crate::metrics::Metrics;
use crate::renewal::Renewals;
use crate::settings::Live;
use crate::store::Store;
use crate::sync::{Backing, Signer};
use sitewarden_certs::authority::AGENT_LIFE;
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub(crate) fn bundles(
    store: &Store,
    authorities: &Arc<Authorities>,
    signing: &Arc<SigningKeys>,
    sealing: &Arc<SealingKeys>,
) -> Bundles {
    let settings = Live::of(Changeable::default());
    let (authorities, sealing, metrics) = (Arc::clone(authorities), Arc::clone(sealing), Arc::<Metrics>::default());
    let signer = Arc::new(Signer::new(Arc::clone(signing), Arc::clone(&authorities), settings, Arc::clone(&sealing)));
    let ingest = Ingest::new(store.clone(), Arc::clone(&signer), Arc::clone(&sealing), Arc::clone(&metrics));
    let renewals = Renewals::new(
        store.clone(),
        Arc::clone(&authorities),
        Arc::clone(&signer),
        AGENT_LIFE,
        &Zeroizing::new([2; 32]),
    );
    let (registry, renewals) = (Arc::default(), Arc::new(renewals));
    let backing = Backing::new(store.clone(), Arc::clone(&signer), ingest, renewals, Arc::clone(&metrics), registry);
    let enrolment = Enrolment {
        store: store.clone(),
        authorities: Arc::clone(&authorities),
        life: AGENT_LIFE,
        signer: Arc::clone(&signer),
        metrics,
        sync_port: 0,
        rate: Rate::default(),
    };
    let (store, enrolment, imports) = (store.clone(), Arc::new(enrolment), Semaphore::new(IMPORTS));
    Bundles::new(Parts { store, backing, signer, authorities, enrolment, sealing, imports })
}
