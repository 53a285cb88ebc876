//! What is taken out of an exchange before it is written down.
//!
//! Values of fields whose names speak of secrets, every environment value of a container override, access keys, and
//! account numbers. A value that was taken out once is taken out wherever else it stands in the same exchange, so that an
//! error message that repeats it does not give it away.

use serde_json::Value;

const REDACTED: &str = "REDACTED";
/// What stands on a tape for every account number.
pub const NO_ACCOUNT: &str = "000000000000";
/// Shorter values are not hunted for elsewhere: "8888" or "http" would tear up harmless text.
const SHORTEST_HUNTED: usize = 8;

/// Remembers what it took out, for the rest of the exchange.
#[derive(Default)]
pub struct Scrubber {
    taken: Vec<String>,
    keeps_accounts: bool,
}

impl Scrubber {
    /// One that leaves account numbers as they are, for whoever owns the account.
    pub fn with_accounts() -> Self {
        Self {
            keeps_accounts: true,
            ..Self::default()
        }
    }

    /// A JSON value without secrets.
    pub fn json(&mut self, mut value: Value) -> Value {
        self.take_secrets("", &mut value);
        self.rewrite(&mut value);
        value
    }

    /// Path and query without secrets; a signed URL has its signature in `sig`.
    pub fn path(&mut self, uri: &http::Uri) -> String {
        let path = self.text(uri.path());
        let Some(query) = uri.query() else {
            return path;
        };
        let pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| {
                let mut value = value.into_owned();
                if name == "sig" || is_secret_name(&name) {
                    self.take(&mut value);
                }
                format!("{name}={}", self.text(&value))
            })
            .collect();
        format!("{path}?{}", pairs.join("&"))
    }

    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.taken {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        if self.keeps_accounts {
            return text;
        }
        without_keys_and_accounts(&text)
    }

    fn take_secrets(&mut self, name: &str, value: &mut Value) {
        match value {
            Value::String(text) if is_secret_name(name) => {
                self.take(text);
            }
            Value::Array(items) if name == "environment" => {
                for value in items.iter_mut().filter_map(|item| item.get_mut("value")) {
                    if let Value::String(text) = value {
                        self.take(text);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.take_secrets(name, item);
                }
            }
            // A datastore's, in Azure Machine Learning; elsewhere a "key" is half of a tag.
            Value::Object(fields) if name == "secrets" => {
                if let Some(Value::String(key)) = fields.get_mut("key") {
                    self.take(key);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.take_secrets(name, value);
                }
            }
            _ => {}
        }
    }

    /// Takes a secret out wherever else it stands.
    pub fn hunt(&mut self, secret: &str) {
        self.take(&mut secret.to_owned());
    }

    fn take(&mut self, text: &mut String) {
        let secret = std::mem::replace(text, REDACTED.to_owned());
        if secret.len() >= SHORTEST_HUNTED && secret != REDACTED {
            self.taken.push(secret);
            // A value that contains another one must go first.
            self.taken.sort_by_key(|s| std::cmp::Reverse(s.len()));
        }
    }

    fn rewrite(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            Value::Object(fields) => fields.values_mut().for_each(|item| self.rewrite(item)),
            _ => {}
        }
    }
}

/// Field names as the clouds spell them. `clientToken`, `nextToken` and `SecretId` name a request, a page and a secret, and open nothing;
/// `computeInstanceAuthorizationType` is "personal".
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !matches!(
        name.as_str(),
        "clienttoken"
            | "clientrequesttoken"
            | "nexttoken"
            | "secretid"
            | "computeinstanceauthorizationtype"
    ) && [
        "token",
        "secret",
        "password",
        "signature",
        "accesskey",
        "assertion",
        "authorization",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// The first account number in a text.
pub fn account_in(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| is_account(word))
}

fn is_account(word: &str) -> bool {
    word.len() == 12 && word.bytes().all(|b| b.is_ascii_digit())
}

/// Replaces account numbers (12 digits that stand alone) and access key ids.
fn without_keys_and_accounts(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if is_account(word) {
            clean.push_str(NO_ACCOUNT);
        } else if word.len() >= 16 && (word.starts_with("AKIA") || word.starts_with("ASIA")) {
            clean.push_str(REDACTED);
        } else {
            clean.push_str(word);
        }
        let mut following = rest[end..].chars();
        if let Some(separator) = following.next() {
            clean.push(separator);
        }
        rest = following.as_str();
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_sounds_like_a_secret_stays() {
        let body = serde_json::json!({
            "clientToken": "attempt-1-1", "computeInstanceAuthorizationType": "personal", "accessToken": "canary-token"});
        let clean = Scrubber::default().json(body);
        assert_eq!(clean["clientToken"], "attempt-1-1");
        assert_eq!(clean["computeInstanceAuthorizationType"], "personal");
        assert_eq!(clean["accessToken"], REDACTED);
    }

    #[test]
    fn a_query_stays_and_its_signature_goes() {
        let uri = "https://x/share/a?sig=canary%2Bsignature&$skip=2"
            .parse()
            .unwrap();
        assert_eq!(
            Scrubber::default().path(&uri),
            "/share/a?sig=REDACTED&$skip=2"
        );
    }

    #[test]
    fn account_numbers_and_access_keys_go_and_other_numbers_stay() {
        assert_eq!(
            without_keys_and_accounts("123456789012.dkr AKIAIOSFODNN7EXAMPLE 1795309200000 é"),
            "000000000000.dkr REDACTED 1795309200000 é"
        );
    }
}
