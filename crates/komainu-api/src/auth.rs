//! Who asks: the signature of a request, and the access key that made it.

use hyper::header::{HeaderMap, HeaderName};
use komainu_aws::sigv4::{Claim, SignatureError, SignedParts, Verified};
use komainu_model::{AccessKey, AccessKeyId, AccessKeyStatus, Region, Scope};

use crate::error::{ApiError, ErrorKind};
use crate::{Api, Caller};

/// What a signed request says of itself, and the key it names. Nothing is proven yet.
pub(crate) struct Claimed {
    claim: Claim,
    key: AccessKey,
    scope: Scope,
}

impl Claimed {
    /// Reads the claim and finds its key. The body is not looked at: who names no key of ours is refused before the
    /// server takes a body from him.
    pub(crate) fn read(api: &Api, parts: &SignedParts<'_>) -> Result<Self, ApiError> {
        let claim = Claim::parse(parts)?;
        let unknown = || ApiError::from(SignatureError::SessionToken);
        let id = AccessKeyId::parse(&claim.key_id).map_err(|_| unknown())?;
        let key = api.control.access_key(&id).ok_or_else(unknown)?;
        if key.status == AccessKeyStatus::Revoked {
            return Err(unknown());
        }
        let region = Region::parse(&claim.region).map_err(|_| {
            let message = format!("Credential should be scoped to a valid region, not {:?}.", claim.region);
            ApiError::new(ErrorKind::BadSignature, message)
        })?;
        let scope = Scope { account: api.control.account().clone(), region };
        Ok(Self { claim, key, scope })
    }

    /// The service of the credential scope, as it is spelled there.
    pub(crate) fn service(&self) -> &str {
        &self.claim.service
    }

    /// Checks time and signature over the whole request, and that it is no late copy of another.
    pub(crate) fn verify(&self, api: &Api, parts: &SignedParts<'_>) -> Result<(Caller, Verified), ApiError> {
        let now_s = api.clock.now().unix_seconds();
        let verified = self.claim.verify(parts, self.key.secret.expose(), now_s)?;
        if !verified.is_presigned && !api.replay_guard.lock().admit(verified.signature, now_s) {
            return Err(ApiError::new(
                ErrorKind::BadSignature,
                "A request with this signature has been carried out already.",
            ));
        }
        api.control.note_use_of_access_key(&self.key.id);
        Ok((Caller { scope: self.scope.clone(), key: self.key.id.clone(), role: self.key.role }, verified))
    }
}

/// Where clients put their key that do not sign.
const API_KEY: HeaderName = HeaderName::from_static("x-apikey");

/// Why a key in a header opens nothing.
pub(crate) enum HeaderKeyProblem {
    /// There is none.
    Missing,
    /// There is no such key, or it is not active.
    Wrong {
        /// Which one it was, if it could be one.
        key: Option<AccessKeyId>,
        /// How many refusals were not logged since the last one; none when this one is not to be logged either.
        suppressed: Option<u64>,
    },
}

/// The key in the header `x-apikey`, as `ID:SECRET`, when it is one of ours and active.
pub(crate) fn by_header(api: &Api, headers: &HeaderMap) -> Result<AccessKey, HeaderKeyProblem> {
    let given = headers.get(API_KEY).ok_or(HeaderKeyProblem::Missing)?;
    let (id, secret) = given.to_str().ok().and_then(|text| text.split_once(':')).unwrap_or_default();
    let id = AccessKeyId::parse(id).ok();
    let key = id.as_ref().and_then(|id| api.control.access_key(id));
    let key = key.filter(|key| match key.status {
        AccessKeyStatus::Active => {
            let (right, given) = (key.secret.expose().as_bytes(), secret.as_bytes());
            aws_lc_rs::constant_time::verify_slices_are_equal(right, given).is_ok()
        }
        AccessKeyStatus::Revoked => false,
    });
    let Some(key) = key else {
        return Err(HeaderKeyProblem::Wrong { key: id, suppressed: api.refused_keys.take_now() });
    };
    api.control.note_use_of_access_key(&key.id);
    Ok(key)
}

impl From<SignatureError> for ApiError {
    fn from(error: SignatureError) -> Self {
        let kind = match error {
            SignatureError::Missing => ErrorKind::MissingAuthentication,
            SignatureError::Incomplete(_) => ErrorKind::IncompleteSignature,
            SignatureError::SessionToken => ErrorKind::UnknownKey,
            SignatureError::Time(_) | SignatureError::Mismatch | SignatureError::NotSigned(_) => {
                ErrorKind::BadSignature
            }
        };
        Self::new(kind, error)
    }
}
