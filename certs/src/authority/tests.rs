use super::*;
use x509_parser::prelude::{GeneralName, ParsedExtension};

const NOW: UnixMillis = UnixMillis(1_769_846_400_000);
const AGENT: AgentId = AgentId::from_bytes([7; 16]);

fn authority() -> Authority {
    Authority::create("Test authority", NOW).unwrap()
}

fn later(span: Duration) -> UnixMillis {
    NOW.after(span)
}

#[test]
fn the_authority_signs_leaves_only_and_for_twenty_years() {
    let authority = authority();
    let read = peer::certificate(authority.cert_der()).unwrap();
    let constraints = read.basic_constraints().unwrap().unwrap().value;
    let usage = read.key_usage().unwrap().unwrap().value;

    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    assert_eq!(read.validity().not_before.timestamp(), NOW.seconds() - 24 * 60 * 60);
    assert_eq!(authority.expires(), later(AUTHORITY_LIFE));
}

#[test]
fn an_authority_comes_back_from_its_files_as_the_same() {
    let authority = authority();
    let again = Authority::from_pem(&authority.cert_pem(), &authority.key_pem()).unwrap();
    assert_eq!(again.cert_der(), authority.cert_der());
    assert_eq!(again.fingerprint(), authority.fingerprint());
    assert_eq!(again.expires(), authority.expires());
    assert_eq!(authority.fingerprint(), Fingerprint::of(authority.cert_der()));
}

#[test]
fn a_key_of_another_authority_or_a_leaf_in_its_place_is_refused() {
    let (one, other) = (authority(), authority());
    let mismatch = Authority::from_pem(&one.cert_pem(), &other.key_pem());
    assert!(matches!(mismatch, Err(Error::KeyMismatch)));

    let hub = one.issue_hub(&[], NOW).unwrap();
    let leaf = Authority::from_pem(&hub.chain_pem, &hub.key_pem);
    assert!(matches!(leaf, Err(Error::NotAnAuthority)));
    assert!(matches!(Authority::from_pem("", &one.key_pem()), Err(Error::Pem(_))));
}

#[test]
fn a_hub_is_known_by_its_own_names_and_the_one_all_agents_verify() {
    let authority = authority();
    let names = ["Hub.example.com", "192.0.2.7", "localhost"].map(String::from);
    let hub = authority.issue_hub(&names, NOW).unwrap();

    let chain: Vec<_> = CertificateDer::pem_slice_iter(hub.chain_pem.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(chain.len(), 2);
    assert_eq!(&chain[1], authority.cert_der());

    let read = peer::certificate(&chain[0]).unwrap();
    let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
    let expected = [
        GeneralName::DNSName(HUB_NAME),
        GeneralName::DNSName("localhost"),
        GeneralName::IPAddress(&[127, 0, 0, 1]),
        GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        GeneralName::DNSName("hub.example.com"),
        GeneralName::IPAddress(&[192, 0, 2, 7]),
    ];
    assert_eq!(names.as_slice(), expected);
    let role = read.extended_key_usage().unwrap().unwrap().value;
    assert!(role.server_auth && !role.client_auth && !read.is_ca());
}

#[test]
fn what_is_no_name_is_not_put_into_a_certificate() {
    for wrong in ["", "*.example.com", "two words", "http://hub", "hub:8443"] {
        let issued = authority().issue_hub(&[wrong.to_owned()], NOW);
        assert!(matches!(issued, Err(Error::Hostname(_))), "{wrong}");
    }
    for wrong in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(Authority::create(wrong, NOW), Err(Error::Name)), "{wrong:?}");
    }
}

#[test]
fn an_agent_gets_its_own_key_under_the_name_the_hub_chose() {
    let key = TlsKey::generate().unwrap();
    let issued = authority().issue_agent(&key.csr_der().unwrap(), AGENT, AGENT_LIFE, NOW).unwrap();
    let read = peer::certificate(&issued.cert_der).unwrap();

    assert_eq!(issued.key_digest, key.digest());
    assert_eq!(issued.not_before, UnixMillis(NOW.0 - 24 * 60 * 60 * 1_000));
    assert_eq!(issued.not_after, later(AGENT_LIFE));
    assert_eq!(read.subject().to_string(), format!("CN={AGENT}"));
    let role = read.extended_key_usage().unwrap().unwrap().value;
    assert!(role.client_auth && !role.server_auth && !read.is_ca());
}

#[test]
fn what_a_request_asks_for_beyond_its_key_is_ignored() {
    let greedy = TlsKey::generate().unwrap();
    let mut params = CertificateParams::new(vec![HUB_NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = params.serialize_request(greedy.pair()).unwrap();

    let issued = authority().issue_agent(csr.der(), AGENT, AGENT_LIFE, NOW).unwrap();
    let read = peer::certificate(&issued.cert_der).unwrap();
    let names: Vec<_> = read
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(names, [vec![GeneralName::URI(&peer::uri(AGENT))]]);
    assert!(!read.is_ca() && !read.extended_key_usage().unwrap().unwrap().value.server_auth);
}

#[test]
fn a_request_with_a_broken_signature_gets_nothing() {
    let mut csr = TlsKey::generate().unwrap().csr_der().unwrap();
    *csr.last_mut().unwrap() ^= 1;
    let issued = authority().issue_agent(&csr, AGENT, AGENT_LIFE, NOW);
    assert!(matches!(issued, Err(Error::Request(RequestError::BadSignature))));
}

#[test]
fn an_agent_can_tell_how_long_its_certificate_lives_and_from_which_authority_it_is() {
    let (one, other, key) = (authority(), authority(), TlsKey::generate().unwrap());
    let issued = one.issue_agent(&key.csr_der().unwrap(), AGENT, 30 * DAY, NOW).unwrap();
    let held = crate::renewal::Held::read(&issued.cert_der).unwrap();
    assert_eq!((held.issued, held.not_after, held.key_digest), (NOW, later(30 * DAY), key.digest()));
    assert!(held.is_from(one.cert_der()) && !held.is_from(other.cert_der()) && !held.is_from(b"nonsense"));
    assert!(!held.is_due(later(20 * DAY - Duration::from_secs(1))));
    assert!(held.is_due(later(20 * DAY)));
    assert!(!held.is_over(later(30 * DAY - Duration::from_secs(1))));
    assert!(held.is_over(later(30 * DAY)));
}

#[test]
fn two_certificates_never_share_a_serial_number() {
    let (authority, csr) = (authority(), TlsKey::generate().unwrap().csr_der().unwrap());
    let [one, other] = [(); 2].map(|()| authority.issue_agent(&csr, AGENT, AGENT_LIFE, NOW).unwrap().cert_der);
    let [one, other] = [&one, &other].map(|der| peer::certificate(der).unwrap().serial.clone());
    assert_ne!(one, other);
    assert!(one.bits() <= 128 && one.bits() > 64);
}

#[test]
fn no_leaf_outlasts_its_authority() {
    let (authority, csr) = (authority(), TlsKey::generate().unwrap().csr_der().unwrap());
    let near_the_end = later(AUTHORITY_LIFE - DAY);
    let issued = authority.issue_agent(&csr, AGENT, AGENT_LIFE, near_the_end).unwrap();
    assert_eq!(issued.not_after, authority.expires());
    assert!(matches!(authority.issue_agent(&csr, AGENT, AGENT_LIFE, authority.expires()), Err(Error::Time)));
    assert!(matches!(authority.issue_hub(&[], UnixMillis(-1)), Err(Error::Time)));
}

#[test]
fn debug_shows_no_key() {
    let authority = authority();
    let hub = authority.issue_hub(&[], NOW).unwrap();
    let shown = format!("{authority:?} {hub:?}");
    assert!(!shown.contains("PRIVATE") && shown.len() < 250, "{shown}");
}
