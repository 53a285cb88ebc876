//! The last net under secrets: values that are known to be secret are taken out of errors, events and logs, a server's own, too.
//!
//! A cloud's error message may repeat what it was sent. While a request runs, its secrets are registered here, and whatever
//! is about to be shown passes [`Redactor::clean`] first.

use crate::lock::lock;
use crate::wire::reply::LogLine;
use crate::wire::{ErrorObject, Request};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

const REDACTED: &str = "REDACTED";
/// Shorter values are common words and numbers; replacing them would tear up harmless text.
const SHORTEST: usize = 8;

/// The secrets of all requests that run; cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Each secret, and how many requests hold it.
    held: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// Holds secrets until it is dropped.
pub struct Held {
    redactor: Redactor,
    secrets: Vec<String>,
}

impl Redactor {
    /// Registers the secrets of a request: its credentials, and environment values whose names speak of secrets.
    #[must_use]
    pub fn hold(&self, request: &Request) -> Held {
        let mut secrets = Vec::new();
        let (config, credentials) = match request {
            Request::Start(p) => {
                for (name, value) in p.spec.env.expose() {
                    take(name, value, &mut secrets);
                }
                (&p.config, &p.credentials)
            }
            Request::Poll(p) => (&p.config, &p.credentials),
            Request::Stop(p) => (&p.config, &p.credentials),
            Request::Gc(p) => (&p.config, &p.credentials),
            Request::Check(p) => (&p.config, &p.credentials),
            Request::Share(p) => (&p.config, &p.credentials),
            Request::Options(p) => (&p.config, &p.credentials),
            Request::Logs(p) => (&p.config, &p.credentials),
            Request::List(p) => (&p.config, &p.credentials),
            Request::Stats(_) | Request::Cancel(_) => return self.hold_all(secrets),
        };
        collect(credentials.expose(), &mut secrets);
        collect(config, &mut secrets);
        self.hold_all(secrets)
    }

    fn hold_all(&self, secrets: Vec<String>) -> Held {
        let mut held = self.lock();
        for secret in &secrets {
            *held.entry(secret.clone()).or_default() += 1;
        }
        Held {
            redactor: self.clone(),
            secrets,
        }
    }

    /// The text without any secret that is held.
    #[must_use]
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in self.lock().keys().rev() {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), REDACTED));
            }
        }
        clean
    }

    /// The same for each text of an error.
    pub fn clean_error(&self, error: &mut ErrorObject) {
        let texts = [&mut error.message, &mut error.user_message]
            .into_iter()
            .chain(&mut error.causes);
        for text in texts {
            *text = self.clean(text).into_owned();
        }
    }

    /// The lines that a server wrote, without the secrets that stand in `description`, and without whatever a line itself calls a
    /// token: a server prints the address by which a browser may enter.
    #[must_use]
    pub fn clean_lines(description: &Value, lines: Vec<LogLine>) -> Vec<LogLine> {
        let mut secrets = Vec::new();
        collect(description, &mut secrets);
        let redactor = Self::default();
        let _held = redactor.hold_all(secrets);
        let clean = |line: LogLine| LogLine {
            message: without_tokens(&redactor.clean(&line.message)),
            ..line
        };
        lines.into_iter().map(clean).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        lock(&self.held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.redactor.lock();
        for secret in &self.secrets {
            if let Some(count) = held.get_mut(secret) {
                *count -= 1;
                if *count == 0 {
                    held.remove(secret);
                }
            }
        }
    }
}

/// Strings in fields, and values of {name, value} pairs, whose names speak of secrets.
fn collect(value: &Value, secrets: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Value::Object(fields) => {
            let text = |name| fields.get(name).and_then(Value::as_str);
            if let (Some(name), Some(value)) = (text("name"), text("value")) {
                take(name, value, secrets);
            }
            for (name, value) in fields {
                match value {
                    Value::String(text) => take(name, text, secrets),
                    other => collect(other, secrets),
                }
            }
        }
        _ => {}
    }
}

fn take(name: &str, value: &str, secrets: &mut Vec<String>) {
    let name = name.to_ascii_lowercase();
    let speaks = [
        "secret", "token", "password", "passwd", "credential", "assertion", "private", "apikey", "api_key", "access_key",
        "sas", "conn_str",
    ]
    .iter()
    .any(|word| name.contains(word))
        // It names a request and opens nothing.
        && name != "clienttoken";
    if speaks && value.len() >= SHORTEST {
        secrets.push(value.to_owned());
    }
    // A connection string, whose secrets go on their way alone.
    for (part, value) in value.split(';').filter_map(|part| part.split_once('=')) {
        if matches!(part, "AccountKey" | "SharedAccessSignature") && value.len() >= SHORTEST {
            secrets.push(value.to_owned());
        }
    }
}

/// What stands before a secret in what servers print: an address with a token or a shared access signature, a header.
const INTRODUCTIONS: [&str; 5] = [
    "token=",
    "sig=",
    "password=",
    "authorization: bearer ",
    "authorization: token ",
];

/// The text without the words that follow an introduction.
fn without_tokens(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while let Some((found, word)) = INTRODUCTIONS
        .iter()
        .filter_map(|word| Some((lower[at..].find(word)? + at, *word)))
        .min()
    {
        let begins = found + word.len();
        let of_a_secret = |c: char| c.is_ascii_alphanumeric() || "-._~+/=%".contains(c);
        let length = text[begins..].find(|c| !of_a_secret(c));
        let ends = length.map_or(text.len(), |length| begins + length);
        clean.push_str(&text[at..begins]);
        // "token=none": too short for a secret.
        if ends - begins >= SHORTEST {
            clean.push_str(REDACTED);
        } else {
            clean.push_str(&text[begins..ends]);
        }
        at = ends;
    }
    clean.push_str(&text[at..]);
    clean
}

/// serde's message without the value that it found: `invalid type: string "…", expected a map` repeats the string.
#[must_use]
pub fn without_value(message: &str) -> String {
    let Some((before, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let kind = before
        .split(['"', '`'])
        .next()
        .unwrap_or_default()
        .trim_end();
    format!("{kind}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_out_as_long_as_its_request_runs() {
        let redactor = Redactor::default();
        let held = redactor.hold_all(vec!["canary-1".to_owned(), "canary-12".to_owned()]);
        assert_eq!(
            redactor.clean("a canary-12 b canary-1"),
            "a REDACTED b REDACTED"
        );
        drop(held);
        assert_eq!(redactor.clean("canary-1"), "canary-1");
    }

    #[test]
    fn what_a_line_calls_a_token_goes_and_the_rest_stays() {
        assert_eq!(
            without_tokens(
                "http://h:8888/lab?token=0123456789abcdef&x=1 and é Authorization: Bearer eyJhbGciOi.x-y"
            ),
            "http://h:8888/lab?token=REDACTED&x=1 and é Authorization: Bearer REDACTED"
        );
        for harmless in ["the token is harmless", "token=none&", "TOKEN=", ""] {
            assert_eq!(without_tokens(harmless), harmless);
        }
    }

    #[test]
    fn the_secret_parts_of_a_connection_string_are_secrets() {
        let mut secrets = Vec::new();
        let text =
            "AccountName=homes-of-all;AccountKey=Y2FuYXJ5LTE=;EndpointSuffix=core.windows.net";
        collect(
            &serde_json::json!({"storage": {"connection_string": text}}),
            &mut secrets,
        );
        assert_eq!(secrets, ["Y2FuYXJ5LTE="]);
    }

    #[test]
    fn a_type_error_does_not_repeat_the_value() {
        let error = serde_json::from_str::<u64>("\"can, expected ary\"").unwrap_err();
        let text = without_value(&error.to_string());
        assert!(!text.contains("ary"), "{text}");
        assert!(
            text.starts_with("invalid type: string, expected u64"),
            "{text}"
        );
    }
}
