use crate::store::{
    Act, ContactEdit, Error, InstitutionEdit, InstitutionFilter, LeadRefusal, NewContact, NewInstitution, NewNote,
    NoteEdit, Span,
    leads::explained,
    testing::{Fixture, act},
};
use serde_json::{Map, json};

const ALL: Span = Span { skip: 0, take: 100 };

fn named(name: &str, tags: &[&str]) -> NewInstitution {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    NewInstitution { name: name.into(), tags, ..NewInstitution::default() }
}

fn person(name: &str, is_primary: bool) -> NewContact {
    let email = Some(format!("{name}@example.com"));
    NewContact { name: name.into(), email, is_primary, ..NewContact::default() }
}

impl Fixture {
    async fn lead(&self, new: NewInstitution) -> i64 {
        self.store.add_institution(&act(), new).await.unwrap().id
    }

    async fn found(&self, search: &str, tags: &[&str]) -> Vec<String> {
        let search = Some(search).filter(|search| !search.is_empty()).map(str::to_owned);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let part = self.store.list_institutions(InstitutionFilter { search, tags }, ALL).await.unwrap();
        assert_eq!(part.total, part.items.len() as u64);
        part.items.into_iter().map(|institution| institution.name).collect()
    }

    async fn primary(&self, institution: i64) -> Vec<String> {
        let contacts = self.store.list_contacts(institution, ALL).await.unwrap().items;
        contacts.into_iter().filter(|contact| contact.is_primary).map(|contact| contact.name).collect()
    }
}

#[tokio::test]
async fn an_institution_is_found_by_the_beginnings_of_its_words_and_by_all_of_its_tags() {
    let fixture = Fixture::new().await;
    let mut first = named("Example University", &["Education", "research"]);
    (first.kind, first.address) = ("university".into(), "123 Main St".into());
    let first = fixture.lead(first).await;
    fixture.lead(named("Höhere Schule", &["education"])).await;
    fixture.lead(named("Acme \"OR\" x", &[])).await;
    let university = ["Example University"];
    for words in ["exam", "univ EXAMPLE", "main 123", "RESEARCH"] {
        assert_eq!(fixture.found(words, &[]).await, university, "{words}");
    }
    assert_eq!(fixture.found("hohere", &[]).await, ["Höhere Schule"]);
    assert_eq!(fixture.found("", &["EDUCATION"]).await, ["Example University", "Höhere Schule"]);
    assert_eq!(fixture.found("", &["education", "research"]).await, university);
    assert_eq!(fixture.found("sch", &["education"]).await, ["Höhere Schule"]);
    assert_eq!(fixture.found("", &[]).await.len(), 3);
    // What is typed is never a question in another language, and what has no words finds nothing.
    for harmless in ["\"", "a\" OR \"b", "words:x", "NEAR(", "*", "%", "ample"] {
        assert_eq!(fixture.found(harmless, &[]).await, [""; 0], "{harmless}");
    }
    assert_eq!(fixture.found("acme or", &[]).await, ["Acme \"OR\" x"]);

    let john = NewContact { position: Some("IT Manager".into()), ..person("john", false) };
    let john = fixture.store.add_contact(&act(), first, john).await.unwrap().unwrap();
    for words in ["john", "example.com", "manager"] {
        assert_eq!(fixture.found(words, &[]).await, university, "{words}");
    }
    fixture.store.remove_contact(&act(), (first, john.id)).await.unwrap();
    assert_eq!(fixture.found("john", &[]).await, [""; 0]);
    let edit =
        InstitutionEdit { name: Some("Another".into()), tags: Some(vec!["new".into()]), ..InstitutionEdit::default() };
    fixture.store.edit_institution(&act(), first, edit).await.unwrap().unwrap();
    assert_eq!(fixture.found("example", &[]).await, [""; 0]);
    assert_eq!(fixture.found("another", &["new"]).await, ["Another"]);
    fixture.store.remove_institution(&act(), first).await.unwrap().unwrap();
    assert_eq!(fixture.found("another", &[]).await, [""; 0]);
    assert_eq!(fixture.found("", &["new"]).await, [""; 0]);
}

#[tokio::test]
async fn pages_follow_on_each_other_and_end() {
    let fixture = Fixture::new().await;
    for number in 0..25 {
        fixture.lead(named(&format!("lead {number:02}"), &["t"])).await;
    }
    for filter in [
        InstitutionFilter::default(),
        InstitutionFilter { search: Some("lead".into()), tags: vec![] },
        InstitutionFilter { search: None, tags: vec!["t".into()] },
    ] {
        let mut seen = vec![];
        for page in 0..4 {
            let part = fixture.store.list_institutions(filter.clone(), Span { skip: page * 10, take: 10 });
            let part = part.await.unwrap();
            assert_eq!(part.total, 25);
            seen.extend(part.items.into_iter().map(|institution| institution.name));
        }
        assert_eq!(seen, (0..25).map(|number| format!("lead {number:02}")).collect::<Vec<_>>());
    }
    let beyond = fixture.store.list_institutions(InstitutionFilter::default(), Span { skip: 10_001, take: 1 });
    assert!(matches!(beyond.await, Err(Error::Invalid { what: "page", .. })));
}

#[tokio::test]
async fn every_way_to_find_goes_through_an_index() {
    let fixture = Fixture::new().await;
    let two = vec!["a".to_owned(), "b".to_owned()];
    for (search, tags) in [(Some("x y"), vec![]), (None, two.clone()), (Some("x"), two)] {
        let plan = explained(&fixture.store, InstitutionFilter { search: search.map(str::to_owned), tags }).await;
        for step in &plan {
            let through_index = step.contains("VIRTUAL TABLE INDEX") || !step.starts_with("SCAN");
            assert!(through_index && !step.contains("TEMP B-TREE"), "{plan:#?}");
        }
    }
}

#[tokio::test]
async fn at_most_one_contact_is_the_primary_one() {
    let fixture = Fixture::new().await;
    let lead = fixture.lead(named("A", &[])).await;
    let john = fixture.store.add_contact(&act(), lead, person("john", true)).await.unwrap().unwrap();
    let mary = fixture.store.add_contact(&act(), lead, person("mary", true)).await.unwrap().unwrap();
    assert_eq!(fixture.primary(lead).await, ["mary"]);
    let stepped_back = fixture.store.show_contact(lead, john.id).await.unwrap();
    assert_eq!((stepped_back.is_primary, stepped_back.revision), (false, 2));
    let edit = |is_primary| ContactEdit { is_primary: Some(is_primary), ..ContactEdit::default() };
    fixture.store.edit_contact(&act(), (lead, john.id), edit(true)).await.unwrap();
    assert_eq!(fixture.primary(lead).await, ["john"]);
    fixture.store.edit_contact(&act(), (lead, john.id), edit(false)).await.unwrap();
    assert_eq!(fixture.primary(lead).await, [""; 0]);
    let other = fixture.lead(named("B", &[])).await;
    assert!(matches!(fixture.store.show_contact(other, mary.id).await, Err(Error::NotFound { what: "contact" })));
    let none = ContactEdit { email: Some(String::new()), ..ContactEdit::default() };
    let john = fixture.store.edit_contact(&act(), (lead, john.id), none).await.unwrap();
    assert_eq!(john.email, None);
}

#[tokio::test]
async fn a_lead_that_becomes_a_customer_keeps_its_history_and_stays() {
    let fixture = Fixture::new().await;
    let lead = fixture.lead(named("Example University", &["x"])).await;
    fixture.store.add_contact(&act(), lead, person("john", true)).await.unwrap().unwrap();
    let note = NewNote { content: "Discussed pricing options".into(), ..NewNote::default() };
    let note = fixture.store.add_note(&act(), lead, note).await.unwrap();
    assert_eq!(note.author, "tester");
    let customer = fixture.store.convert_institution(&act(), lead, None, None).await.unwrap().unwrap();
    assert_eq!((customer.name.as_str(), customer.email.as_deref()), ("Example University", Some("john@example.com")));
    let shown = fixture.store.show_institution(lead).await.unwrap();
    assert_eq!(shown.customer, Some(customer.id));
    assert_eq!(fixture.store.list_notes(lead, ALL).await.unwrap().items, [note]);
    assert_eq!(fixture.primary(lead).await, ["john"]);
    let again = fixture.store.convert_institution(&act(), lead, Some("Other".into()), None).await.unwrap();
    assert_eq!(again, Err(LeadRefusal::AlreadyCustomer(customer.id)));
    let removed = fixture.store.remove_institution(&act(), lead).await.unwrap();
    assert_eq!(removed, Err(LeadRefusal::IsCustomer(customer.id)));
    let second = fixture.lead(named("Second", &[])).await;
    let taken = fixture.store.convert_institution(&act(), second, Some("Acme".into()), None).await;
    assert!(matches!(taken, Err(Error::Conflict { what: "customer with this name" })), "{taken:?}");
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_one_that_changes_nothing_is_not() {
    let fixture = Fixture::new().await;
    let lead = fixture.lead(named("A", &[])).await;
    let contact = fixture.store.add_contact(&act(), lead, person("john", false)).await.unwrap().unwrap();
    let note = NewNote { content: "x".into(), ..NewNote::default() };
    let note = fixture.store.add_note(&act(), lead, note).await.unwrap();
    for _ in 0..2 {
        let edit = InstitutionEdit { address: Some("here".into()), ..InstitutionEdit::default() };
        fixture.store.edit_institution(&act(), lead, edit).await.unwrap().unwrap();
        let edit = ContactEdit { phone: Some("1".into()), ..ContactEdit::default() };
        fixture.store.edit_contact(&act(), (lead, contact.id), edit).await.unwrap();
        let edit = NoteEdit { kind: Some("meeting".into()), ..NoteEdit::default() };
        fixture.store.edit_note(&act(), (lead, note.id), edit).await.unwrap();
    }
    fixture.store.remove_note(&act(), (lead, note.id)).await.unwrap();
    fixture.store.remove_contact(&act(), (lead, contact.id)).await.unwrap();
    fixture.store.remove_institution(&act(), lead).await.unwrap().unwrap();
    for action in ["institution", "contact", "note"] {
        for what in ["add", "edit", "remove"] {
            let count: &str = format!("SELECT count(*) FROM audit_log WHERE action = '{action}.{what}'").leak();
            assert_eq!(fixture.number(count).await, 1, "{action}.{what}");
        }
    }
    assert_eq!(fixture.store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn an_edit_of_an_older_state_is_refused() {
    let fixture = Fixture::new().await;
    let lead = fixture.lead(named("A", &[])).await;
    let edit = |name: &str| InstitutionEdit { name: Some(name.into()), ..InstitutionEdit::default() };
    let saw = |revision| Act { seen: Some(revision), ..act() };
    let edited = fixture.store.edit_institution(&saw(1), lead, edit("B")).await.unwrap().unwrap();
    assert_eq!(edited.revision, 2);
    let late = fixture.store.edit_institution(&saw(1), lead, edit("C")).await;
    assert!(matches!(late, Err(Error::Changed { revision: 2 })), "{late:?}");
    let late = fixture.store.remove_institution(&saw(1), lead).await;
    assert!(matches!(late, Err(Error::Changed { revision: 2 })), "{late:?}");
    assert_eq!(fixture.store.show_institution(lead).await.unwrap().name, "B");
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_name() {
    let fixture = Fixture::new().await;
    let lead = fixture.lead(named("A", &["x", " X ", "y"])).await;
    assert_eq!(fixture.store.show_institution(lead).await.unwrap().tags, ["x", "y"], "each once");
    let taken = fixture.store.add_institution(&act(), named(" A ", &[])).await;
    assert!(matches!(taken, Err(Error::Conflict { what: "institution with this name" })));
    let many: Vec<_> = (0..33).map(|number| number.to_string()).collect();
    let data: Map<_, _> = [("x".to_owned(), json!("y".repeat(17_000)))].into_iter().collect();
    for (what, new) in [
        ("name", named("", &[])),
        ("tags", named("B", &["a,b"])),
        ("tags", named("B", &[""])),
        ("tags", NewInstitution { tags: many, ..named("B", &[]) }),
        ("type", NewInstitution { kind: "x".repeat(501), ..named("B", &[]) }),
        ("address", NewInstitution { address: "a\u{7}".into(), ..named("B", &[]) }),
        ("metadata", NewInstitution { metadata: data, ..named("B", &[]) }),
    ] {
        let refused = fixture.store.add_institution(&act(), new).await;
        assert!(matches!(refused, Err(Error::Invalid { what: told, .. }) if told == what), "{what}: {refused:?}");
    }
    for email in ["john", "@", "a@b@c", "a @b"] {
        let new = NewContact { email: Some(email.into()), ..person("x", false) };
        let refused = fixture.store.add_contact(&act(), lead, new).await;
        assert!(matches!(refused, Err(Error::Invalid { what: "email", .. })), "{email}");
    }
    let empty = fixture.store.add_note(&act(), lead, NewNote::default()).await;
    assert!(matches!(empty, Err(Error::Invalid { what: "content", .. })));
    let nowhere = fixture.store.add_contact(&act(), 99, person("x", false)).await;
    assert!(matches!(nowhere, Err(Error::NotFound { what: "institution" })));
}
