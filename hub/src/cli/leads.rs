//! `institution`, `contact` and `note`.

use super::{
    Client, Failure, Output,
    output::{field, pairs, table},
};
use clap::{ArgAction, ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

/// Where leads are served.
const INSTITUTIONS: &str = "/api/institutions";

/// What can be done with institutions.
#[derive(Debug, Subcommand)]
pub(super) enum InstitutionCommand {
    /// Add an institution: who may become a customer.
    Add {
        /// Its name, unique.
        name: String,
        #[command(flatten)]
        details: Details,
    },
    /// List institutions, all or those that are looked for.
    List {
        /// Each word begins a word of the institution or of its contacts.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
        /// It has this tag; may be given several times, and then it has all of them.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Show an institution with its contacts.
    Show {
        /// Its number.
        id: i64,
    },
    /// Change an institution; what is not given stays as it is.
    #[command(group(ArgGroup::new("change").required(true).multiple(true).args(["name", "type", "address", "tags", "metadata"])))]
    Edit {
        /// Its number.
        id: i64,
        /// Its name, unique.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        details: Details,
    },
    /// Make an institution a customer; it stays, with its contacts and notes.
    Convert {
        /// Its number.
        id: i64,
        /// The customer's name [default: the institution's].
        #[arg(long)]
        name: Option<String>,
        /// Where to write to [default: the primary contact's address].
        #[arg(long)]
        email: Option<String>,
    },
    /// Remove an institution with its contacts and notes; one that is a customer stays.
    Remove {
        /// Its number.
        id: i64,
    },
}

/// What is known of an institution beside its name.
#[derive(Debug, Args)]
pub(super) struct Details {
    /// What it is, such as university.
    #[arg(id = "type", long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Where it is.
    #[arg(long)]
    address: Option<String>,
    /// A tag; may be given several times, and then these are all.
    #[arg(id = "tags", long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Data of your own, a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Map<String, Value>>,
}

/// What can be done with the people at an institution.
#[derive(Debug, Subcommand)]
pub(super) enum ContactCommand {
    /// Add a contact.
    Add {
        /// The institution's number.
        #[arg(long, value_name = "ID")]
        institution: i64,
        /// The person's name.
        name: String,
        #[command(flatten)]
        person: Person,
    },
    /// List the contacts of an institution.
    List {
        /// The institution's number.
        #[arg(long, value_name = "ID")]
        institution: i64,
    },
    /// Show a contact.
    Show(Of),
    /// Change a contact; what is not given stays as it is.
    #[command(group(ArgGroup::new("change").required(true).multiple(true).args(["name", "email", "phone", "position", "primary"])))]
    Edit {
        #[command(flatten)]
        of: Of,
        /// The person's name.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        person: Person,
    },
    /// Remove a contact.
    Remove(Of),
}

/// What is known of a person beside the name. An empty text takes away what was there.
#[derive(Debug, Args)]
pub(super) struct Person {
    /// Where to write to.
    #[arg(long)]
    email: Option<String>,
    /// Where to call.
    #[arg(long)]
    phone: Option<String>,
    /// What the person does there.
    #[arg(long)]
    position: Option<String>,
    /// Whether it is whom to ask first; whoever was so far is no more.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    primary: Option<bool>,
}

/// What can be done with notes.
#[derive(Debug, Subcommand)]
pub(super) enum NoteCommand {
    /// Add a note about an institution.
    Add {
        /// The institution's number.
        #[arg(long, value_name = "ID")]
        institution: i64,
        /// What was said.
        content: String,
        /// What it was, such as meeting.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// A tag; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// List the notes about an institution, the newest first.
    List {
        /// The institution's number.
        #[arg(long, value_name = "ID")]
        institution: i64,
    },
    /// Show a note, whole.
    Show(Of),
    /// Change a note; what is not given stays as it is.
    #[command(group(ArgGroup::new("change").required(true).multiple(true).args(["content", "type", "tags"])))]
    Edit {
        #[command(flatten)]
        of: Of,
        /// What was said.
        #[arg(long)]
        content: Option<String>,
        /// What it was, such as meeting.
        #[arg(id = "type", long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// A tag; may be given several times, and then these are all.
        #[arg(id = "tags", long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Remove a note.
    Remove(Of),
}

/// Something of an institution.
#[derive(Debug, Args)]
pub(super) struct Of {
    /// The institution's number.
    #[arg(long, value_name = "ID")]
    institution: i64,
    /// Its own number.
    id: i64,
}

impl Of {
    fn path(&self, what: &str) -> String {
        format!("{INSTITUTIONS}/{}/{what}/{}", self.institution, self.id)
    }
}

pub(super) async fn institutions(client: &Client, command: InstitutionCommand, output: Output) -> Result<(), Failure> {
    let path = |id: i64| format!("{INSTITUTIONS}/{id}");
    match command {
        InstitutionCommand::Add { name, details } => {
            output.print(&client.post(INSTITUTIONS, &details.body(Some(name))).await?, institution)?;
        }
        InstitutionCommand::List { search, tags } => {
            let tags = Some(tags.join(",")).filter(|tags| !tags.is_empty());
            let found = client.pages(INSTITUTIONS, "institutions", &[("search", search), ("tags", tags)]).await?;
            output.print(&found, many_institutions)?;
        }
        InstitutionCommand::Show { id } => {
            let mut shown = client.get(&path(id), &[]).await?;
            shown["contacts"] = client.pages(&format!("{}/contacts", path(id)), "contacts", &[]).await?;
            output.print(&shown, |shown| format!("{}\n\n{}", institution(shown), many_contacts(&shown["contacts"])))?;
        }
        InstitutionCommand::Edit { id, name, details } => {
            output.print(&client.put(&path(id), &details.body(name)).await?, institution)?;
        }
        InstitutionCommand::Convert { id, name, email } => {
            let request = json!({ "name": name, "email": email });
            let became = client.post(&format!("{}/convert", path(id)), &request).await?;
            output.print(&became, |became| {
                let shown = |name| field(became, name);
                pairs(&[
                    ("customer", shown("id")),
                    ("name", shown("name")),
                    ("email", shown("email")),
                    ("institution", shown("institution_id")),
                ])
            })?;
        }
        InstitutionCommand::Remove { id } => output.print(&client.delete(&path(id)).await?, message)?,
    }
    Ok(())
}

pub(super) async fn contacts(client: &Client, command: ContactCommand, output: Output) -> Result<(), Failure> {
    let path = |institution: i64| format!("{INSTITUTIONS}/{institution}/contacts");
    match command {
        ContactCommand::Add { institution, name, person } => {
            output.print(&client.post(&path(institution), &person.body(Some(name))).await?, contact)?;
        }
        ContactCommand::List { institution } => {
            output.print(&client.pages(&path(institution), "contacts", &[]).await?, many_contacts)?;
        }
        ContactCommand::Show(of) => output.print(&client.get(&of.path("contacts"), &[]).await?, contact)?,
        ContactCommand::Edit { of, name, person } => {
            output.print(&client.put(&of.path("contacts"), &person.body(name)).await?, contact)?;
        }
        ContactCommand::Remove(of) => output.print(&client.delete(&of.path("contacts")).await?, message)?,
    }
    Ok(())
}

pub(super) async fn notes(client: &Client, command: NoteCommand, output: Output) -> Result<(), Failure> {
    let path = |institution: i64| format!("{INSTITUTIONS}/{institution}/notes");
    match command {
        NoteCommand::Add { institution, content, kind, tags } => {
            let request = json!({ "content": content, "type": kind, "tags": tags });
            output.print(&client.post(&path(institution), &request).await?, note)?;
        }
        NoteCommand::List { institution } => {
            output.print(&client.pages(&path(institution), "notes", &[]).await?, many_notes)?;
        }
        NoteCommand::Show(of) => output.print(&client.get(&of.path("notes"), &[]).await?, note)?,
        NoteCommand::Edit { of, content, kind, tags } => {
            let request = json!({ "content": content, "type": kind, "tags": given(tags) });
            output.print(&client.put(&of.path("notes"), &request).await?, note)?;
        }
        NoteCommand::Remove(of) => output.print(&client.delete(&of.path("notes")).await?, message)?,
    }
    Ok(())
}

impl Details {
    fn body(self, name: Option<String>) -> Value {
        json!({
            "name": name, "type": self.kind, "address": self.address, "tags": given(self.tags), "metadata": self.metadata,
        })
    }
}

impl Person {
    fn body(self, name: Option<String>) -> Value {
        json!({
            "name": name, "email": self.email, "phone": self.phone, "position": self.position,
            "is_primary": self.primary,
        })
    }
}

/// Tags that were named; none says nothing.
fn given(tags: Vec<String>) -> Option<Vec<String>> {
    Some(tags).filter(|tags| !tags.is_empty())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|_| "it must be a JSON object, such as {\"student_count\": 5000}".to_owned())
}

fn message(answer: &Value) -> String {
    field(answer, "message")
}

fn institution(institution: &Value) -> String {
    let shown = |name| field(institution, name);
    let data = &institution["metadata"];
    pairs(&[
        ("institution", shown("id")),
        ("name", shown("name")),
        ("type", shown("type")),
        ("address", shown("address")),
        ("tags", shown("tags")),
        (
            "metadata",
            if data.as_object().is_some_and(|data| !data.is_empty()) { shown("metadata") } else { String::new() },
        ),
        ("customer", shown("customer_id")),
        ("added", shown("created_at")),
        ("edited", shown("updated_at")),
    ])
}

fn many_institutions(institutions: &Value) -> String {
    let columns = ["id", "name", "type", "tags", "customer_id", "created_at"];
    table(&["ID", "NAME", "TYPE", "TAGS", "CUSTOMER", "ADDED"], &rows(institutions, &columns))
}

fn contact(contact: &Value) -> String {
    let shown = |name| field(contact, name);
    pairs(&[
        ("contact", shown("id")),
        ("institution", shown("institution_id")),
        ("name", shown("name")),
        ("email", shown("email")),
        ("phone", shown("phone")),
        ("position", shown("position")),
        ("primary", shown("is_primary")),
        ("added", shown("created_at")),
        ("edited", shown("updated_at")),
    ])
}

fn many_contacts(contacts: &Value) -> String {
    let columns = ["id", "name", "email", "phone", "position", "is_primary"];
    table(&["ID", "NAME", "EMAIL", "PHONE", "POSITION", "PRIMARY"], &rows(contacts, &columns))
}

fn note(note: &Value) -> String {
    let shown = |name| field(note, name);
    // Line by line: what is no line end stays away from the terminal, as everywhere.
    let content = note["content"].as_str().unwrap_or_default();
    let lines: Vec<_> = content.lines().map(|line| super::output::shown(&line.into())).collect();
    let head = pairs(&[
        ("note", shown("id")),
        ("institution", shown("institution_id")),
        ("type", shown("type")),
        ("tags", shown("tags")),
        ("author", shown("author")),
        ("added", shown("created_at")),
        ("edited", shown("updated_at")),
    ]);
    format!("{head}\n\n{}", lines.join("\n"))
}

fn many_notes(notes: &Value) -> String {
    const SHOWN: usize = 60;
    let row = |note: &Value| {
        let content = note["content"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
        let short: String = content.chars().take(SHOWN).collect();
        let mut row = ["id", "created_at", "author", "type", "tags"].map(|name| field(note, name)).to_vec();
        row.push(super::output::shown(&short.into()));
        row
    };
    let rows: Vec<_> = notes.as_array().into_iter().flatten().map(row).collect();
    table(&["ID", "ADDED", "AUTHOR", "TYPE", "TAGS", "NOTE"], &rows)
}

fn rows(items: &Value, columns: &[&str]) -> Vec<Vec<String>> {
    let row = |item| columns.iter().map(|name| field(item, name)).collect();
    items.as_array().into_iter().flatten().map(row).collect()
}
