//! Signed tokens, as Entra ID issues them, and who they are for. One RSA key, known to everybody: no secret rests on it.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

/// PKCS#8. Made once with openssl, because ring makes no RSA keys.
const SIGNING_KEY: &[u8] = include_bytes!("signing-key.der");
pub const MANAGEMENT: &str = "https://management.azure.com";
/// The client id of Microsoft Graph.
pub const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// A person or an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub object_id: String,
    pub client_id: String,
    /// The user principal name; None for an application that acts as itself.
    pub user: Option<String>,
}

impl Principal {
    pub fn application(client_id: &str) -> Self {
        Self {
            object_id: id_of(&["application", client_id]),
            client_id: client_id.to_owned(),
            user: None,
        }
    }

    /// A user by name; one without a domain gets the tenant's.
    pub fn user(name: &str, client_id: &str) -> Self {
        let user = user_principal_name(name);
        Self {
            object_id: id_of(&["user", &user]),
            client_id: client_id.to_owned(),
            user: Some(user),
        }
    }

    /// Every name by which an option may mean it.
    pub fn names(&self) -> Vec<&str> {
        let mut names = vec![self.object_id.as_str()];
        match &self.user {
            Some(user) => {
                names.push(user);
                names.extend(user.split_once('@').map(|(name, _)| name));
            }
            None => names.push(&self.client_id),
        }
        names
    }

    /// Whether this list of user names has it.
    pub fn is_in(&self, list: &[String]) -> bool {
        self.user.is_some()
            && self
                .names()
                .iter()
                .any(|name| list.iter().any(|listed| listed.eq_ignore_ascii_case(name)))
    }
}

fn user_principal_name(name: &str) -> String {
    let name = name.trim().to_lowercase();
    if name.contains('@') {
        name
    } else {
        format!("{name}@emulator.onmicrosoft.com")
    }
}

/// A GUID that is always the same for the same words.
pub fn id_of(words: &[&str]) -> String {
    let hash = digest(&SHA256, words.join("\0").as_bytes());
    guid(&data_encoding::HEXLOWER.encode(&hash.as_ref()[..16]))
}

pub fn random_guid() -> String {
    guid(&crate::identity::random_hex(32))
}

fn guid(hex: &str) -> String {
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..32]
    )
}

/// Why a token was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    Signature,
}

#[derive(Debug)]
pub struct Signer {
    key: KeyPair,
    key_id: String,
    random: SystemRandom,
}

impl Signer {
    /// # Errors
    /// If the key of this program is broken.
    pub fn new() -> std::io::Result<Self> {
        let key = KeyPair::from_pkcs8(SIGNING_KEY)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let key_id = BASE64URL_NOPAD.encode(&digest(&SHA256, key.public().as_ref()).as_ref()[..20]);
        Ok(Self {
            key,
            key_id,
            random: SystemRandom::new(),
        })
    }

    /// `/discovery/v2.0/keys`
    pub fn key_set(&self, issuer: &str) -> Value {
        let parts: PublicKeyComponents<Vec<u8>> = self.key.public().into();
        json!({ "keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": BASE64URL_NOPAD.encode(&parts.n),
            "e": BASE64URL_NOPAD.encode(&parts.e),
            "issuer": issuer,
        }] })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header =
            json!({ "typ": "JWT", "alg": "RS256", "kid": self.key_id, "x5t": self.key_id });
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        if let Err(error) = self.key.sign(
            &RSA_PKCS1_SHA256,
            &self.random,
            signed.as_bytes(),
            &mut signature,
        ) {
            tracing::error!(%error, "a token could not be signed");
        }
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// The claims of a token that this emulator signed.
    pub fn check(&self, token: &str) -> Result<Value, Fault> {
        let claims = claims(token).ok_or(Fault::Malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| Fault::Malformed)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| Fault::Signature)?;
        Ok(claims)
    }
}

/// The claims of a token, whoever signed it.
pub fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, middle, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = BASE64URL_NOPAD
        .decode(middle.trim_end_matches('=').as_bytes())
        .ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    pub principal: &'a Principal,
    pub audience: &'a str,
    /// The delegated permissions; a token of an application has none.
    pub scopes: &'a str,
    pub tenant: &'a str,
    pub authority: &'a str,
    pub now_ms: u64,
    pub lifetime_ms: u64,
}

/// The claims of an access token: version 1 for Resource Manager and Graph, as these ask for, and 2 for the app's own.
pub fn access_claims(grant: Grant<'_>) -> Value {
    let Grant {
        principal,
        audience,
        scopes,
        tenant,
        authority,
        now_ms,
        lifetime_ms,
    } = grant;
    let now_s = now_ms / 1000;
    let mut claims = json!({
        "aud": audience,
        "iat": now_s,
        "nbf": now_s,
        "exp": (now_ms + lifetime_ms) / 1000,
        "oid": principal.object_id,
        "sub": principal.object_id,
        "tid": tenant,
        "uti": crate::identity::random(22),
    });
    let first_version = audience.starts_with("https://") || audience == GRAPH;
    if first_version {
        claims["iss"] = json!(format!("https://sts.windows.net/{tenant}/"));
        claims["ver"] = json!("1.0");
        claims["appid"] = json!(principal.client_id);
        claims["appidacr"] = json!("1");
        claims["idtyp"] = json!(if principal.user.is_some() {
            "user"
        } else {
            "app"
        });
    } else {
        claims["iss"] = json!(format!("{authority}/{tenant}/v2.0"));
        claims["ver"] = json!("2.0");
        claims["azp"] = json!(principal.client_id);
        claims["azpacr"] = json!("1");
    }
    match &principal.user {
        Some(user) => {
            claims["scp"] = json!(scopes);
            claims["name"] = json!(user.split('@').next().unwrap_or(user));
            if first_version {
                claims["upn"] = json!(user);
                claims["unique_name"] = json!(user);
            } else {
                claims["preferred_username"] = json!(user);
            }
        }
        None => claims["roles"] = json!([]),
    }
    claims
}

pub fn id_claims(grant: Grant<'_>, nonce: Option<&str>) -> Value {
    let mut claims = access_claims(Grant {
        audience: &grant.principal.client_id,
        ..grant
    });
    if let Some(claims) = claims.as_object_mut() {
        for name in ["scp", "azp", "azpacr", "roles"] {
            claims.remove(name);
        }
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
    }
    claims
}

/// Who an access token is for.
pub fn principal(claims: &Value) -> Option<Principal> {
    let text = |name: &str| claims[name].as_str().map(ToOwned::to_owned);
    Some(Principal {
        object_id: text("oid")?,
        client_id: text("appid").or_else(|| text("azp"))?,
        user: text("upn").or_else(|| text("preferred_username")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fault, Principal, Signer, id_of};

    #[test]
    fn a_token_that_was_changed_is_not_taken() {
        let signer = Signer::new().unwrap();
        let token = signer.sign(&json!({ "aud": "me" }));
        assert_eq!(signer.check(&token).unwrap()["aud"], "me");
        let parts: Vec<_> = token.split('.').collect();
        let forged = data_encoding::BASE64URL_NOPAD.encode(b"{\"aud\":\"you\"}");
        assert_eq!(
            signer.check(&format!("{}.{forged}.{}", parts[0], parts[2])),
            Err(Fault::Signature)
        );
        assert_eq!(signer.check("x"), Err(Fault::Malformed));
    }

    #[test]
    fn a_user_is_known_by_each_of_its_names() {
        let ada = Principal::user("Ada", "app");
        assert!(ada.is_in(&["ada".to_owned()]));
        assert!(ada.is_in(&["ADA@emulator.onmicrosoft.com".to_owned()]));
        assert!(!Principal::application("ada").is_in(&["ada".to_owned()]));
        assert_eq!(id_of(&["a"]).len(), 36);
    }
}
