//! Real handshakes, in memory: what the configurations of [`crate::tls`] accept and refuse when they meet.

use crate::{
    HUB_NAME,
    authority::{AGENT_LIFE, Authority, IssuedHub},
    fingerprint::Fingerprint,
    request::TlsKey,
    tls::{self, SYNC_ALPN, is_wrong_ca, peer_agent},
    validity::DAY,
};
use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, ClientConnection, Error, HandshakeKind,
    ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, client::Resumption,
};
use rustls_pki_types::ServerName;
use sitewarden_protocol::{id::AgentId, time::UnixMillis};
use std::{sync::Arc, time::SystemTime};

const AGENT: AgentId = AgentId::from_bytes([5; 16]);

/// A hub and the authority it made.
struct Hub {
    authority: Authority,
    issued: IssuedHub,
}

/// What an agent holds once enrolled.
struct Agent {
    certificate: Vec<u8>,
    key: TlsKey,
}

/// rustls looks at the real clock, so certificates are made by it here.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(0).after(since)
}

impl Hub {
    fn new() -> Self {
        let authority = Authority::create("Test authority", now()).unwrap();
        let issued = authority.issue_hub(&["hub.example.com".to_owned()], now()).unwrap();
        Self { authority, issued }
    }

    fn enrol(&self, at: UnixMillis) -> Agent {
        let key = TlsKey::generate().unwrap();
        let certificate = self.authority.issue_agent(&key.csr_der().unwrap(), AGENT, AGENT_LIFE, at).unwrap().cert_der;
        Agent { certificate, key }
    }

    fn sync(&self) -> ServerConfig {
        tls::sync_server(&self.issued.chain_pem, &self.issued.key_pem, &[self.authority.cert_der()]).unwrap()
    }

    fn https(&self) -> ServerConfig {
        tls::https_server(&self.issued.chain_pem, &self.issued.key_pem, &[self.authority.cert_der()]).unwrap()
    }
}

impl Agent {
    /// A configuration that believes `hub`.
    fn sync(&self, hub: &Hub) -> ClientConfig {
        tls::sync_client(&[hub.authority.cert_der()], &self.certificate, &self.key.pem()).unwrap()
    }
}

/// The two ends after a handshake that both accepted.
struct Met {
    client: ClientConnection,
    server: ServerConnection,
}

/// Which end refused, and why.
#[derive(Debug)]
enum Refusal {
    ByClient(Error),
    ByServer(Error),
}

/// Lets the two meet, the client dialling `name`; bytes go back and forth until neither has more to say.
fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &'static str) -> Result<Met, Refusal> {
    let mut client = ClientConnection::new(client.clone(), ServerName::try_from(name).unwrap()).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(Refusal::ByServer)?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(Refusal::ByClient)?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Met { client, server })
}

fn meet_once(client: ClientConfig, server: ServerConfig, name: &'static str) -> Result<Met, Refusal> {
    meet(&client.into(), &server.into(), name)
}

#[track_caller]
fn refused(outcome: Result<Met, Refusal>) -> Refusal {
    outcome.err().expect("the handshake should have been refused")
}

#[test]
fn an_enrolled_agent_is_accepted_and_known_by_name() {
    let hub = Hub::new();
    let agent = hub.enrol(now());
    let met = meet_once(agent.sync(&hub), hub.sync(), HUB_NAME).unwrap_or_else(|refusal| panic!("{refusal:?}"));

    let peer = peer_agent(met.server.peer_certificates().unwrap()).unwrap();
    assert_eq!(peer.agent, AGENT);
    assert_eq!(peer.key_digest, agent.key.digest());
    assert!(peer.not_after > now().after(AGENT_LIFE - DAY));
    assert_eq!(met.server.alpn_protocol(), Some(SYNC_ALPN));
    assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let hub = Hub::new();
    let mut nobody = tls::enrolment_client(hub.authority.fingerprint()).unwrap();
    nobody.alpn_protocols = vec![SYNC_ALPN.to_vec()];
    let refusal = refused(meet_once(nobody, hub.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::NoCertificatesPresented)), "{refusal:?}");
}

#[test]
fn an_agent_of_another_authority_is_refused() {
    let (hub, other) = (Hub::new(), Hub::new());
    let stranger = other.enrol(now());
    let refusal = refused(meet_once(stranger.sync(&hub), hub.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::InvalidCertificate(_))), "{refusal:?}");
}

#[test]
fn an_agent_whose_certificate_is_over_is_refused() {
    let hub = Hub::new();
    let over = UnixMillis(0).after(now().since(UnixMillis(0)) - AGENT_LIFE - DAY);
    let late = hub.enrol(over);
    let refusal = refused(meet_once(late.sync(&hub), hub.sync(), HUB_NAME));
    let Refusal::ByServer(Error::InvalidCertificate(why)) = refusal else { panic!("{refusal:?}") };
    assert!(matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. }), "{why:?}");
}

#[test]
fn a_hubs_certificate_does_not_make_it_an_agent_nor_an_agents_a_hub() {
    let hub = Hub::new();
    let leaf = rustls_pki_types::pem::PemObject::from_pem_slice(hub.issued.chain_pem.as_bytes());
    let leaf: rustls_pki_types::CertificateDer<'static> = leaf.unwrap();
    let posing = tls::sync_client(&[hub.authority.cert_der()], &leaf, &hub.issued.key_pem).unwrap();
    let refusal = refused(meet_once(posing, hub.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::InvalidCertificate(_))), "{refusal:?}");

    let agent = hub.enrol(now());
    let pem = pem_of(&agent.certificate) + &hub.authority.cert_pem();
    let posing = tls::https_server(&pem, &agent.key.pem(), &[hub.authority.cert_der()]).unwrap();
    let pinned = tls::enrolment_client(hub.authority.fingerprint()).unwrap();
    let refusal = refused(meet_once(pinned, posing, HUB_NAME));
    assert!(matches!(refusal, Refusal::ByClient(Error::InvalidCertificate(_))), "{refusal:?}");
}

#[test]
fn a_signing_keys_certificate_opens_no_door_on_either_side() {
    let hub = Hub::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let raw = rcgen::PublicKeyData::der_bytes(&key).try_into().unwrap();
    let public = sitewarden_protocol::signing::PublicKey::from_bytes(raw).unwrap();
    let site = sitewarden_protocol::id::SiteId::from_bytes([6; 16]);
    let certificate = hub.authority.issue_signing(&public, AGENT, site, now()).unwrap();

    let posing = tls::sync_client(&[hub.authority.cert_der()], &certificate, &key.serialize_pem()).unwrap();
    let refusal = refused(meet_once(posing, hub.sync(), HUB_NAME));
    let Refusal::ByServer(Error::InvalidCertificate(why)) = refusal else { panic!("{refusal:?}") };
    assert!(is_of_another_purpose(&why), "{why:?}");

    let pem = pem_of(&certificate) + &hub.authority.cert_pem();
    let posing = tls::https_server(&pem, &key.serialize_pem(), &[hub.authority.cert_der()]).unwrap();
    let pinned = tls::enrolment_client(hub.authority.fingerprint()).unwrap();
    let refusal = refused(meet_once(pinned, posing, HUB_NAME));
    let Refusal::ByClient(Error::InvalidCertificate(why)) = refusal else { panic!("{refusal:?}") };
    assert!(is_of_another_purpose(&why), "{why:?}");
}

fn is_of_another_purpose(why: &CertificateError) -> bool {
    matches!(why, CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. })
}

#[test]
fn an_agent_does_not_speak_to_the_hub_of_another_authority() {
    let (hub, other) = (Hub::new(), Hub::new());
    let agent = hub.enrol(now());
    let refusal = refused(meet_once(agent.sync(&hub), other.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByClient(Error::InvalidCertificate(_))), "{refusal:?}");
}

#[test]
fn a_second_handshake_is_a_full_one_even_if_the_client_would_resume() {
    let hub = Hub::new();
    let mut eager = hub.enrol(now()).sync(&hub);
    eager.resumption = Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let (eager, server) = (Arc::new(eager), Arc::new(hub.sync()));
    for round in 0..2 {
        let met = meet(&eager, &server, HUB_NAME).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(met.server.handshake_kind(), Some(HandshakeKind::Full), "round {round}");
        assert_eq!(met.client.handshake_kind(), Some(HandshakeKind::Full), "round {round}");
        assert_eq!(met.client.tls13_tickets_received(), 0);
        assert!(!met.client.is_early_data_accepted());
    }
}

#[test]
fn another_protocol_or_an_older_tls_is_refused_on_the_sync_port() {
    let hub = Hub::new();
    let mut web = hub.enrol(now()).sync(&hub);
    web.alpn_protocols = vec![b"http/1.1".to_vec()];
    let refusal = refused(meet_once(web, hub.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::NoApplicationProtocol)), "{refusal:?}");

    let refusal = refused(meet_once(tls12_client(&hub), hub.sync(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::PeerIncompatible(_))), "{refusal:?}");
}

#[test]
fn the_https_port_takes_anyone_with_either_tls() {
    let hub = Hub::new();
    let mut browser = tls12_client(&hub);
    browser.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let met = meet_once(browser, hub.https(), "hub.example.com").unwrap_or_else(|r| panic!("{r:?}"));
    assert_eq!(met.server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(met.server.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[test]
fn the_https_port_knows_an_agent_by_its_certificate_and_resumes_nothing() {
    let hub = Hub::new();
    let agent = hub.enrol(now());
    let mut eager = tls::https_client(&[hub.authority.cert_der()], &agent.certificate, &agent.key.pem()).unwrap();
    eager.resumption = Resumption::in_memory_sessions(8);
    let (eager, server) = (Arc::new(eager), Arc::new(hub.https()));
    for round in 0..2 {
        let met = meet(&eager, &server, HUB_NAME).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(peer_agent(met.server.peer_certificates().unwrap()).unwrap().agent, AGENT);
        assert_eq!(met.server.handshake_kind(), Some(HandshakeKind::Full), "round {round}");
    }
    let browser = meet_once(tls12_client(&hub), hub.https(), "hub.example.com").unwrap_or_else(|r| panic!("{r:?}"));
    assert!(browser.server.peer_certificates().is_none());
}

#[test]
fn the_https_port_refuses_a_certificate_of_another_authority() {
    let (hub, other) = (Hub::new(), Hub::new());
    let stranger = other.enrol(now());
    let client = tls::https_client(&[hub.authority.cert_der()], &stranger.certificate, &stranger.key.pem()).unwrap();
    let refusal = refused(meet_once(client, hub.https(), HUB_NAME));
    assert!(matches!(refusal, Refusal::ByServer(Error::InvalidCertificate(_))), "{refusal:?}");
}

#[test]
fn an_agent_with_the_right_token_believes_the_hub_by_any_address() {
    let hub = Hub::new();
    for dialled in [HUB_NAME, "hub.example.com", "127.0.0.1", "198.51.100.9", "moved.example.net"] {
        let pinned = tls::enrolment_client(hub.authority.fingerprint()).unwrap();
        let met = meet_once(pinned, hub.https(), dialled).unwrap_or_else(|refusal| panic!("{dialled}: {refusal:?}"));
        assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
}

#[test]
fn an_agent_with_another_hubs_token_says_that_the_authority_is_the_wrong_one() {
    let (hub, other) = (Hub::new(), Hub::new());
    let pinned = tls::enrolment_client(other.authority.fingerprint()).unwrap();
    let Refusal::ByClient(error) = refused(meet_once(pinned, hub.https(), HUB_NAME)) else { panic!("by the server") };
    assert!(is_wrong_ca(&error));
    assert!(is_wrong_ca(&std::io::Error::new(std::io::ErrorKind::InvalidData, error)));
}

#[test]
fn showing_the_pinned_authority_without_being_signed_by_it_is_not_enough() {
    let (hub, other) = (Hub::new(), Hub::new());
    let own = other.issued.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let chain = format!("{own}{}", hub.authority.cert_pem());
    let posing = tls::https_server(&chain, &other.issued.key_pem, &[hub.authority.cert_der()]).unwrap();
    let pinned = tls::enrolment_client(hub.authority.fingerprint()).unwrap();
    let Refusal::ByClient(error) = refused(meet_once(pinned, posing, HUB_NAME)) else { panic!("by the server") };
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error:?}");
    assert!(!is_wrong_ca(&error));
}

#[test]
fn a_leaf_named_by_a_token_is_not_an_authority() {
    let hub = Hub::new();
    let agent = hub.enrol(now());
    let own = hub.issued.chain_pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let chain = format!("{own}{}", pem_of(&agent.certificate));
    let odd = tls::https_server(&chain, &hub.issued.key_pem, &[hub.authority.cert_der()]).unwrap();
    let pinned = tls::enrolment_client(Fingerprint::of(&agent.certificate)).unwrap();
    let Refusal::ByClient(error) = refused(meet_once(pinned, odd, HUB_NAME)) else { panic!("by the server") };
    assert!(matches!(error, Error::Other(_)) && !is_wrong_ca(&error), "{error:?}");
}

#[test]
fn quinn_finds_the_cipher_suite_and_the_early_data_setting_that_it_asks_for() {
    let config = Hub::new().sync();
    let suites: Vec<_> = config.crypto_provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
    assert!(suites.contains(&CipherSuite::TLS13_AES_128_GCM_SHA256));
    assert_eq!(config.max_early_data_size, 0);
}

#[test]
fn what_does_not_fit_together_makes_no_configuration() {
    let (hub, other) = (Hub::new(), Hub::new());
    let (none, root): ([&[u8]; 0], _) = ([], [hub.authority.cert_der()]);
    let (chain, key) = (&hub.issued.chain_pem, &hub.issued.key_pem);
    assert!(matches!(tls::https_server(chain, &other.issued.key_pem, &root), Err(tls::Error::Tls(_))));
    assert!(matches!(tls::https_server("", key, &root), Err(tls::Error::NoCertificate)));
    assert!(matches!(tls::https_server(chain, "", &root), Err(tls::Error::Pem(_))));
    assert!(matches!(tls::sync_server(chain, key, &none), Err(tls::Error::NoCertificate)));
    assert!(tls::sync_server(chain, key, &[b"not a certificate"]).is_err());
}

#[test]
fn a_refused_client_is_told_so() {
    let (hub, other) = (Hub::new(), Hub::new());
    let mut client =
        ClientConnection::new(other.enrol(now()).sync(&hub).into(), ServerName::try_from(HUB_NAME).unwrap()).unwrap();
    let mut server = ServerConnection::new(hub.sync().into()).unwrap();
    let told = loop {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        let refused = server.process_new_packets().is_err();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        let answer = client.process_new_packets();
        if refused {
            break answer;
        }
    };
    let alert = told.err();
    assert!(
        matches!(alert, Some(Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError))),
        "{alert:?}"
    );
}

/// A browser of some years ago.
fn tls12_client(hub: &Hub) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(hub.authority.cert_der().clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn pem_of(certificate: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate))
}
