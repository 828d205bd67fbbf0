//! Which fields name somebody or something at the site, by what they are called.
//!
//! Apps call their attributes as they like (`userName`, `src_ip`, `machine-address`), so the rule is generous: a text that
//! need not have become a pseudonym can still be counted and compared, one that should have cannot be called back.

/// A field whose name has one of these anywhere in it, in whatever case, is one: `username`, `hostName`, `ip_address`,
/// `e-mail`, `machine_name`, `loginShell`.
const PARTS: [&str; 20] = [
    "account",
    "addr",
    "author",
    "caller",
    "computer",
    "contact",
    "employee",
    "host",
    "login",
    "machine",
    "mail",
    "name",
    "operator",
    "owner",
    "person",
    "phone",
    "server",
    "technician",
    "user",
    "workstation",
];
/// Those that have one of these as a word are too. They are too short to be looked for inside of words.
const WORDS: [&str; 13] =
    ["by", "client", "dns", "domain", "fqdn", "ip", "ips", "ipv4", "ipv6", "mac", "node", "uid", "who"];

/// Words behind which a whole number names somebody, and does not count something.
const NUMBERS: [&str; 8] = ["id", "ip", "ipv4", "mac", "nr", "number", "phone", "uid"];

/// Whether what stands in a field of this name becomes a pseudonym.
pub(super) fn identifies(name: &str) -> bool {
    let dense: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    PARTS.iter().any(|part| dense.contains(part)) || words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// Whether a whole number in a field of this name becomes one too: `user_id` does, `users` does not.
pub(super) fn numbers(name: &str) -> bool {
    let last = words(name).last().unwrap_or_default();
    identifies(name) && (NUMBERS.contains(&last.as_str()) || last.ends_with("id"))
}

/// The words of a name, in lower case: `srcIp`, `src_ip` and `src-ip` have the same two.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for character in name.chars() {
        let begins = !character.is_alphanumeric() || (after_small && character.is_uppercase());
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
        after_small = character.is_lowercase() || character.is_numeric();
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_name_somebody_are_told_from_those_that_do_not() {
        for name in [
            "user",
            "userName",
            "USER-ID",
            "login",
            "src_ip",
            "srcIp",
            "IP",
            "hostname",
            "e-mail",
            "mail_to",
            "by",
            "approved_by",
            "machine",
            "ip_address",
            "macAddress",
            "client",
            "operator",
            "Name",
            "dns.node",
        ] {
            assert!(identifies(name), "{name}");
        }
        for name in ["weight", "shift", "script", "zip", "recipe", "policy", "byte", "machining_shop", "", "ünit"] {
            assert!(!identifies(name), "{name}");
        }
    }

    #[test]
    fn a_number_counts_unless_it_names() {
        for name in ["user_id", "userid", "employee-number", "client_ip", "uid"] {
            assert!(numbers(name), "{name}");
        }
        for name in ["users", "user_count", "machines", "id", "order_id", "valid", "login_attempts"] {
            assert!(!numbers(name), "{name}");
        }
    }
}
