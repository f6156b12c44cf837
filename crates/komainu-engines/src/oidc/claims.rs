//! What a provider says of somebody, and whether it counts (OpenID Connect Core 1.0, section 3.1.3.7).

use std::time::Duration;

use komainu_model::Timestamp;
use komainu_ports::{ProviderIdentity, SUBJECT_BYTES_MAX, TokenFault, VOUCHED_VALUES_MAX};
use serde_json::{Map, Value};

use super::OidcConfig;

/// By how much clocks may differ.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// How old a token may be that was just asked for, whatever it says of its end.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// Bytes of a name, and of a value by which a role is given; the port's bounds.
const VALUE_BYTES_MAX: usize = 256;

/// Claims, as they came.
#[derive(Debug, Clone)]
pub(super) struct Claims(Map<String, Value>);

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

impl Claims {
    /// Reads a JSON object.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// Whether there is something under this name.
    pub(super) fn has(&self, claim: &str) -> bool {
        self.found(claim).is_some_and(|value| !value.is_null())
    }

    /// A claim that is a text.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.0.get(claim)?.as_str()
    }

    /// Whose token it is, if it is for us, for this question, and counts now.
    pub(super) fn identity(
        &self,
        config: &OidcConfig,
        nonce: &str,
        now: Timestamp,
    ) -> Result<ProviderIdentity, TokenFault> {
        if self.text("iss") != Some(config.issuer.as_str()) {
            return Err(TokenFault::Issuer);
        }
        let us = config.client_id.as_str();
        let (is_for_us, is_for_others) = match self.0.get("aud") {
            Some(Value::String(one)) => (one == us, false),
            Some(Value::Array(all)) => (all.iter().any(|one| one == us), all.iter().any(|one| one != us)),
            _ => (false, false),
        };
        if !is_for_us {
            return Err(TokenFault::Audience);
        }
        // A token for several says who asked; one that somebody else asked for is theirs.
        match self.0.get("azp") {
            Some(party) if party == us => {}
            None if !is_for_others => {}
            Some(_) | None => return Err(TokenFault::Party),
        }
        let (issued_at, expires_at) = (self.time("iat"), self.time("exp"));
        let (issued_at, expires_at) = issued_at.zip(expires_at).ok_or(TokenFault::Malformed)?;
        let begins_at = self.time("nbf").unwrap_or(issued_at);
        let is_over = now >= expires_at.plus(SKEW_MAX) || now >= issued_at.plus(AGE_MAX + SKEW_MAX);
        if is_over || now.plus(SKEW_MAX) < issued_at || now.plus(SKEW_MAX) < begins_at {
            return Err(TokenFault::Time);
        }
        if self.text("nonce") != Some(nonce) {
            return Err(TokenFault::Nonce);
        }
        let subject = self.text("sub").filter(|subject| !subject.is_empty() && subject.len() <= SUBJECT_BYTES_MAX);
        let subject = subject.ok_or(TokenFault::Malformed)?.to_owned();
        Ok(ProviderIdentity { issuer: config.issuer.clone(), subject })
    }

    /// The name under this claim, if it can be one.
    pub(super) fn name(&self, claim: &str) -> Option<String> {
        let name = self.found(claim)?.as_str()?;
        (name.len() <= VALUE_BYTES_MAX).then(|| name.to_owned())
    }

    /// The values under this claim: a text, or several. What is no text or too long is none that anybody configured.
    pub(super) fn values(&self, claim: &str) -> Vec<String> {
        let texts: Vec<&str> = match self.found(claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let fitting = texts.into_iter().filter(|text| text.len() <= VALUE_BYTES_MAX);
        fitting.take(VOUCHED_VALUES_MAX).map(str::to_owned).collect()
    }

    /// A claim by its name; or by a path, as `realm_access.roles` of Keycloak, when none has the whole name.
    fn found(&self, claim: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(claim) {
            return Some(value);
        }
        let (first, rest) = claim.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |value, part| value.get(part))
    }

    /// A time in seconds since 1970, of which providers also write fractions.
    fn time(&self, claim: &str) -> Option<Timestamp> {
        /// The year 9999; later ones are none.
        const SECONDS_MAX: f64 = 253_402_300_799.0;
        let seconds = self.0.get(claim)?.as_f64()?;
        let is_time = (0.0..=SECONDS_MAX).contains(&seconds);
        is_time.then(|| Timestamp::from_unix_seconds(seconds as i64))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://id.example".to_owned(),
            client_id: "komainu".to_owned(),
            client_secret_file: None,
            scopes: Vec::new(),
            username_claim: "preferred_username".to_owned(),
            roles_claim: "groups".to_owned(),
            ca_file: None,
        }
    }

    /// A token that counts, with this claim instead.
    fn with(claim: &str, value: Value) -> Claims {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "komainu", "sub": "1", "nonce": "n",
            "iat": 1_700_000_000, "exp": 1_700_000_300,
        });
        claims[claim] = value;
        Claims::read(claims.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_claim_is_checked() {
        let check = |claim: &str, value: Value, expected: Result<&str, TokenFault>| {
            let found = with(claim, value.clone()).identity(&config(), "n", NOW).map(|identity| identity.subject);
            assert_eq!(found, expected.map(str::to_owned), "{claim} {value}");
        };
        check("sub", json!("1"), Ok("1"));
        check("iss", json!("https://id.example/"), Err(TokenFault::Issuer));
        check("iss", json!(null), Err(TokenFault::Issuer));
        check("aud", json!(["komainu"]), Ok("1"));
        check("aud", json!("other"), Err(TokenFault::Audience));
        check("aud", json!([]), Err(TokenFault::Audience));
        check("aud", json!({"komainu": 1}), Err(TokenFault::Audience));
        check("aud", json!(["komainu", "other"]), Err(TokenFault::Party));
        check("azp", json!("komainu"), Ok("1"));
        check("azp", json!("other"), Err(TokenFault::Party));
        check("exp", json!(1_699_999_941), Ok("1"));
        check("exp", json!(1_699_999_940), Err(TokenFault::Time));
        check("exp", json!("soon"), Err(TokenFault::Malformed));
        check("exp", json!(1e300), Err(TokenFault::Malformed));
        check("exp", json!(-1), Err(TokenFault::Malformed));
        check("iat", json!(1_700_000_060.5), Ok("1"));
        check("iat", json!(1_700_000_061), Err(TokenFault::Time));
        check("iat", json!(1_699_999_340), Err(TokenFault::Time));
        check("iat", json!(null), Err(TokenFault::Malformed));
        check("nbf", json!(1_700_000_061), Err(TokenFault::Time));
        check("nonce", json!("m"), Err(TokenFault::Nonce));
        check("nonce", json!(null), Err(TokenFault::Nonce));
        check("sub", json!(""), Err(TokenFault::Malformed));
        check("sub", json!(7), Err(TokenFault::Malformed));
        check("sub", json!("a".repeat(256)), Err(TokenFault::Malformed));
    }

    #[test]
    fn names_and_roles_are_where_providers_put_them() {
        let check = |claim: &str, value: Value, asked: &str, expected: &[&str]| {
            assert_eq!(with(claim, value.clone()).values(asked), expected, "{value} {asked}");
        };
        check("groups", json!(["a", "b", 7, {}]), "groups", &["a", "b"]);
        check("groups", json!("a"), "groups", &["a"]);
        check("groups", json!("a".repeat(257)), "groups", &[]);
        check("groups", json!(vec!["a"; 2_000]), "groups", &["a"; 1_024]);
        check("realm_access", json!({"roles": ["a"]}), "realm_access.roles", &["a"]);
        check("https://example.com/roles", json!(["a"]), "https://example.com/roles", &["a"]);
        check("realm_access", json!([]), "realm_access.roles", &[]);
        check("groups", json!(null), "groups", &[]);
        assert!(!with("groups", json!(null)).has("groups"));
        assert_eq!(with("preferred_username", json!("mei")).name("preferred_username").as_deref(), Some("mei"));
        assert_eq!(with("preferred_username", json!(["mei"])).name("preferred_username"), None);
    }
}
