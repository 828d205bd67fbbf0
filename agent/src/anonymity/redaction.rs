//! Free text without mail and IP addresses.
//!
//! The expression is matched by automata, in time that grows with the text and not with its square, and texts are bounded
//! by the size of a record. In doubt something is taken out: four small numbers with points between them are an address,
//! also where somebody meant a version.

use regex::{Captures, Regex};
use std::sync::LazyLock;

const EMAIL: &str = "[email]";
const IP: &str = "[ip]";

/// `mail`, or `ip`: IPv6 in full, IPv6 shortened, with IPv4 in it or not, with a zone or not; then IPv4.
const ADDRESSES: &str = r"(?x)
    (?<mail> [\w.!\#$%&'*+/=?^`{|}~-]+ @ (?: \[ [^\]\s]* \] | [\w-]+ (?: \. [\w-]+ )* ) )
  | (?<six> (?:
        (?: [0-9A-Fa-f]{1,4} : ){7} [0-9A-Fa-f]{1,4}
      | (?: [0-9A-Fa-f]{1,4} : ){6} [0-9]{1,3} (?: \. [0-9]{1,3} ){3}
      | [0-9A-Fa-f]{1,4} (?: : [0-9A-Fa-f]{1,4} ){0,6} ::
            (?: (?: [0-9A-Fa-f]{1,4} : ){0,5} (?: [0-9]{1,3} (?: \. [0-9]{1,3} ){3} | [0-9A-Fa-f]{1,4} ) )?
      | :: (?: [0-9A-Fa-f]{1,4} : ){0,6} (?: [0-9]{1,3} (?: \. [0-9]{1,3} ){3} | [0-9A-Fa-f]{1,4} )
    ) (?: % [\w-]+ )? )
  | (?<four> [0-9]{1,3} (?: \. [0-9]{1,3} ){3} )
";

/// A mistake in the expression is found by the tests; without it nothing would be taken out, so then nothing is let out.
static EXPRESSION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ADDRESSES).ok());

/// The text without mail and IP addresses.
pub(super) fn redact(text: &str) -> String {
    let Some(expression) = &*EXPRESSION else { return String::new() };
    let replacement = |found: &Captures<'_>| {
        let whole = found.get_match();
        if found.name("mail").is_some() {
            EMAIL.to_owned()
        } else if found.name("six").is_some() && is_path(text, whole.start(), whole.end()) {
            whole.as_str().to_owned()
        } else {
            IP.to_owned()
        }
    };
    expression.replace_all(text, replacement).into_owned()
}

/// Whether two colons stand inside of words without a digit, as in the name of a function: `add::bed` of `madd::bedside`.
fn is_path(text: &str, start: usize, end: usize) -> bool {
    let (before, rest) = text.split_at(start);
    let (matched, after) = rest.split_at(end - start);
    let letters = |character: Option<char>| character.is_some_and(char::is_alphabetic);
    !matched.contains(|c: char| c.is_ascii_digit())
        && (letters(before.chars().next_back()) || letters(after.chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_out_wherever_they_stand() {
        for (text, without) in [
            ("ask anna.meyer+plant@example.co.uk, now", "ask [email], now"),
            ("Größe: jürgen@müller.example.", "Größe: [email]."),
            ("root@plant-vm failed", "[email] failed"),
            ("anna@[10.0.0.5]", "[email]"),
            ("10.0.0.5", "[ip]"),
            ("from 192.168.1.20:4433 and 10.0.0.0/8.", "from [ip]:4433 and [ip]/8."),
            ("host10.1.2.3x", "host[ip]x"),
            ("fe80::1%eth0 is up", "[ip] is up"),
            ("[2001:db8::8a2e:370:7334]:443", "[[ip]]:443"),
            ("2001:0db8:0000:0000:0000:ff00:0042:8329", "[ip]"),
            ("::ffff:10.0.0.5", "[ip]"),
            ("to ::1", "to [ip]"),
            ("addr:2001:db8::", "addr:[ip]"),
            ("日本10.0.0.5日本", "日本[ip]日本"),
        ] {
            assert_eq!(redact(text), without, "{text}");
        }
    }

    #[test]
    fn what_is_none_stays() {
        for text in [
            "",
            "the line is cut",
            "at 12:34:56 on 2026-01-31",
            "version 1.2.3",
            "madd::bedside",
            "std::fmt",
            "::",
            "5 @ 3 bar",
            "aa:bb:cc:dd:ee:ff",
            "größer 🦀",
            "21.11.2026",
            "10.0.19045.3570",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_text_made_to_be_slow_is_not() {
        for unit in ["a", "1:", "a:", "1.", "a@", "::", "@", "1.1.1.", "ü"] {
            let text = unit.repeat(3_500 / unit.len());
            let begun = std::time::Instant::now();
            for _ in 0..20 {
                std::hint::black_box(redact(&text));
            }
            assert!(begun.elapsed().as_secs() < 10, "{unit}: {:?}", begun.elapsed());
        }
    }
}
