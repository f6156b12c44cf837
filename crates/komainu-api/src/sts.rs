//! The operations of the Security Token Service.

use komainu_aws::sts;

use crate::dispatch::{Operations, blocking};
use crate::error::ApiError;
use crate::{Api, Caller};

pub(crate) fn operations() -> Operations {
    vec![("GetCallerIdentity", blocking(get_caller_identity))]
}

/// Who the caller is: a user of the account, named by the access key.
fn get_caller_identity(
    _: &Api,
    caller: &Caller,
    _: sts::GetCallerIdentityRequest,
) -> Result<sts::GetCallerIdentityResponse, ApiError> {
    let (account, key) = (&caller.scope.account, &caller.key);
    Ok(sts::GetCallerIdentityResponse {
        user_id: Some(key.to_string()),
        account: Some(account.to_string()),
        arn: Some(format!("arn:aws:iam::{account}:user/{key}")),
    })
}
