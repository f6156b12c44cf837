//! What a provider says of itself (OpenID Connect Discovery 1.0, section 3).

use serde::Deserialize;

use super::check_address;

/// Endpoints, and what is done there. All addresses are ones that nobody reads along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    /// Whether our secret is sent as a header, and not in the form.
    pub(super) takes_basic: bool,
    /// Whether answers say from which issuer they come (RFC 9207).
    pub(super) says_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    jwks_uri: Option<String>,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Reads it; it must be that of `issuer`, to the letter (section 4.3).
    pub(super) fn read(json: &[u8], issuer: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json)
            .map_err(|error| format!("what is at its address is no description of a provider: {error}"))?;
        if document.issuer != issuer {
            let theirs: String = document.issuer.chars().take(200).collect();
            return Err(format!("it calls itself {theirs:?}, and console.oidc.issuer is {issuer:?}"));
        }
        let needed = |name: &str, endpoint: Option<String>| {
            let endpoint = endpoint.ok_or_else(|| format!("it says nothing of its {name}"))?;
            checked(name, endpoint)
        };
        let optional = |name, endpoint: Option<String>| endpoint.map(|endpoint| checked(name, endpoint)).transpose();
        // Without a word about it, it is the header (section 3).
        let methods = document.token_endpoint_auth_methods_supported;
        let takes_basic = methods.is_none_or(|methods| {
            methods.iter().any(|method| method == "client_secret_basic")
                || !methods.iter().any(|method| method == "client_secret_post")
        });
        Ok(Self {
            authorization_endpoint: needed("authorization_endpoint", document.authorization_endpoint)?,
            token_endpoint: needed("token_endpoint", document.token_endpoint)?,
            jwks_uri: needed("jwks_uri", document.jwks_uri)?,
            userinfo_endpoint: optional("userinfo_endpoint", document.userinfo_endpoint)?,
            end_session_endpoint: optional("end_session_endpoint", document.end_session_endpoint)?,
            takes_basic,
            says_issuer: document.authorization_response_iss_parameter_supported,
        })
    }
}

fn checked(name: &str, endpoint: String) -> Result<String, String> {
    check_address(&endpoint).map_err(|reason| format!("its {name} is not usable: {reason}"))?;
    // What browsers are sent to is a header of ours, in which nothing is escaped.
    if !endpoint.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("its {name} is not usable: it has other characters than addresses have"));
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example/realm";

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> Result<Metadata, String> {
        let mut document = serde_json::json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/authorize?tenant=a",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/jwks",
        });
        change(&mut document);
        Metadata::read(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn reads_what_providers_say() {
        let metadata = read(|_| ()).unwrap();
        assert_eq!(metadata.jwks_uri, "https://keys.example/jwks");
        assert!(metadata.takes_basic && !metadata.says_issuer && metadata.userinfo_endpoint.is_none());
        let basic = |methods: &[&str]| {
            read(|document| document["token_endpoint_auth_methods_supported"] = methods.into()).unwrap().takes_basic
        };
        assert!(basic(&["client_secret_post", "client_secret_basic"]));
        assert!(!basic(&["client_secret_post"]));
        assert!(basic(&["private_key_jwt"]));
        assert!(read(|one| one["authorization_response_iss_parameter_supported"] = true.into()).unwrap().says_issuer);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let check = |key: &str, value: serde_json::Value, expected: &str| {
            let error = read(|document| document[key] = value).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        };
        check("issuer", "https://id.example/realm/".into(), "calls itself");
        check("issuer", serde_json::Value::Null, "no description");
        check("token_endpoint", serde_json::Value::Null, "nothing of its token_endpoint");
        check("token_endpoint", "http://id.example/token".into(), "not encrypted");
        check("jwks_uri", "file:///etc/passwd".into(), "not a https URL");
        check("end_session_endpoint", "javascript:alert(1)".into(), "not a https URL");
        check("authorization_endpoint", "https://id.example/ü".into(), "other characters");
        check("authorization_endpoint", "https://a:b@id.example/".into(), "a user");
        assert!(Metadata::read(b"[]", ISSUER).is_err());
    }
}
