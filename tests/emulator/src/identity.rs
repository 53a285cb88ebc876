//! Who may call: the access keys from the command line, the temporary ones that STS and the credentials endpoints hand out,
//! and the roles these stand for.

use std::collections::HashMap;

use crate::policy::{Ask, Policy, Verdict};

/// Letters and digits as in AWS's identifiers.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[derive(Clone, Debug)]
pub struct Key {
    pub access_key_id: String,
    pub secret: String,
    /// Temporary keys come with a token, which each call must carry.
    pub session_token: Option<String>,
    pub expires_ms: Option<u64>,
    /// The ARN of the user, or of the role's session.
    pub arn: String,
    /// GetCallerIdentity's `UserId`.
    pub user_id: String,
    /// None allows everything.
    pub policy: Option<Policy>,
}

impl Key {
    /// # Errors
    /// The sentence that AWS answers with.
    pub fn check(&self, ask: Ask<'_>) -> Result<(), String> {
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        let because = match policy.judge(ask) {
            Verdict::Allowed => return Ok(()),
            Verdict::NotAllowed => format!(
                "because no identity-based policy allows the {} action",
                ask.action
            ),
            Verdict::Denied => "with an explicit deny in an identity-based policy".to_owned(),
        };
        let (
            arn,
            Ask {
                action, resource, ..
            },
        ) = (&self.arn, ask);
        Err(format!(
            "User: {arn} is not authorized to perform: {action} on resource: {resource} {because}"
        ))
    }
}

#[derive(Debug)]
pub struct Keys {
    account: String,
    by_id: HashMap<String, Key>,
    roles: HashMap<String, Policy>,
}

impl Keys {
    pub fn new(account: &str, roles: HashMap<String, Policy>) -> Self {
        Self {
            account: account.to_owned(),
            by_id: HashMap::new(),
            roles,
        }
    }

    /// A long-lived key of an IAM user.
    pub fn add_user(&mut self, access_key_id: &str, secret: &str, policy: Option<Policy>) {
        let name = access_key_id.to_ascii_lowercase();
        self.insert(Key {
            access_key_id: access_key_id.to_owned(),
            secret: secret.to_owned(),
            session_token: None,
            expires_ms: None,
            arn: format!("arn:aws:iam::{}:user/{name}", self.account),
            user_id: format!("AIDA{}", random(17)),
            policy,
        });
    }

    /// A temporary key of a role; a role that the command line did not name may do everything.
    pub fn assume(&mut self, role: &str, session: &str, expires_ms: u64) -> Key {
        let key = Key {
            access_key_id: format!("ASIA{}", random(16)),
            secret: random(40),
            session_token: Some(random(200)),
            expires_ms: Some(expires_ms),
            arn: format!(
                "arn:aws:sts::{}:assumed-role/{role}/{session}",
                self.account
            ),
            user_id: format!("AROA{}:{session}", random(17)),
            policy: self.roles.get(role).cloned(),
        };
        self.insert(key.clone());
        key
    }

    fn insert(&mut self, key: Key) {
        self.by_id.insert(key.access_key_id.clone(), key);
    }

    /// What a role may do; None allows everything.
    pub fn role_policy(&self, role: &str) -> Option<&Policy> {
        self.roles.get(role)
    }

    /// For keys that the role gets from now on, and for its mounts.
    pub fn set_role_policy(&mut self, role: String, policy: Policy) {
        self.roles.insert(role, policy);
    }

    pub fn find(&self, access_key_id: &str) -> Option<&Key> {
        self.by_id.get(access_key_id)
    }
}

pub fn random(length: usize) -> String {
    (0..length)
        .map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]))
        .collect()
}

/// Lower-case hexadecimal, as in task ids.
pub fn random_hex(length: usize) -> String {
    (0..length).map(|_| fastrand::digit(16)).collect()
}
