//! Who asks: the signature of a request, and the access key that made it.

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
        Ok((Caller { scope: self.scope.clone(), key: self.key.id.clone() }, verified))
    }
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
