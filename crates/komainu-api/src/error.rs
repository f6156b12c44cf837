//! The one table from what went wrong to AWS's error codes and HTTP statuses.

use std::fmt;

use komainu_aws::{InputError, Protocol, Service};
use komainu_detect::ProfileError;
use komainu_model::{Arn, InvalidName};
use komainu_ports::{AuthorityError, BrokerError, StoreError};
use komainu_registry::RegistryError;

/// Why an operation was not done, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    /// A sentence for the client. Never shows our internals.
    pub(crate) message: String,
    /// The resource that is in the way: its id and its ARN.
    pub(crate) resource: Option<(String, Arn)>,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), resource: None }
    }

    /// The input is not acceptable; `message` names the member.
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// What the input names is not there.
    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// What is to be created is there, and is not the same.
    pub(crate) fn already_exists(message: impl fmt::Display, id: impl fmt::Display, arn: Arn) -> Self {
        Self { resource: Some((id.to_string(), arn)), ..Self::new(ErrorKind::AlreadyExists, message) }
    }

    /// We failed. The cause goes to the log, not to the client.
    pub(crate) fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(%cause, "operation failed");
        Self::new(ErrorKind::Internal, "An unexpected error has occurred.")
    }

    /// The error's code and HTTP status, as the service has them.
    pub(crate) fn code_and_status(&self, service: Service) -> (&'static str, u16) {
        self.kind.code_and_status(service)
    }
}

/// What went wrong, as clients tell errors apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    // Of any service.
    InvalidRequest,
    Unauthorized,
    /// The access key is right, and its role does not allow this.
    AccessDenied,
    NotFound,
    Throttled,
    TooLarge,
    Internal,
    Unavailable,
    // Of IoT.
    AlreadyExists,
    VersionConflict,
    DeleteConflict,
    LimitExceeded,
    VersionsLimitExceeded,
    MalformedPolicy,
    CertificateState,
    CertificateValidation,
    // Of SNS.
    TopicLimitExceeded,
    SubscriptionLimitExceeded,
    /// SNS says `NotFound` for topics and subscriptions, and this for the resource of tag operations.
    ResourceNotFound,
    TagLimitExceeded,
    EmptyBatchRequest,
    TooManyEntriesInBatchRequest,
    BatchEntryIdsNotDistinct,
    InvalidBatchEntryId,
    BatchRequestTooLong,
    // Of every request, before its operation.
    MissingAuthentication,
    IncompleteSignature,
    UnknownKey,
    BadSignature,
    UnknownOperation,
    NotAvailableYet,
}

impl ErrorKind {
    fn code_and_status(self, service: Service) -> (&'static str, u16) {
        use Protocol::{Query, RestJson};
        use Service::{Iot, IotData, Sns, Sts};
        match (self, service) {
            (Self::InvalidRequest, Iot | IotData) => ("InvalidRequestException", 400),
            (Self::InvalidRequest, Sns) => ("InvalidParameter", 400),
            (Self::InvalidRequest, Sts) => ("ValidationError", 400),
            (Self::Unauthorized, Iot | IotData) => ("UnauthorizedException", 401),
            (Self::Unauthorized, Sns) => ("AuthorizationError", 403),
            (Self::Unauthorized, Sts) => ("AccessDenied", 403),
            (Self::AccessDenied, Iot | IotData) => ("AccessDeniedException", 403),
            (Self::AccessDenied, Sns) => ("AuthorizationError", 403),
            (Self::AccessDenied, Sts) => ("AccessDenied", 403),
            (Self::NotFound, Iot | IotData) => ("ResourceNotFoundException", 404),
            (Self::NotFound, Sns | Sts) => ("NotFound", 404),
            (Self::Throttled, Iot) => ("ThrottlingException", 400),
            (Self::Throttled, IotData) => ("ThrottlingException", 429),
            (Self::Throttled, Sns) => ("Throttled", 429),
            (Self::Throttled, Sts) => ("Throttling", 400),
            (Self::TooLarge, Iot | IotData) => ("RequestEntityTooLargeException", 413),
            (Self::TooLarge, Sns) => ("InvalidParameter", 400),
            (Self::TooLarge, Sts) => ("RequestEntityTooLarge", 413),
            (Self::Internal, Iot | IotData) => ("InternalFailureException", 500),
            (Self::Internal, Sns) => ("InternalError", 500),
            (Self::Internal, Sts) => ("InternalFailure", 500),
            (Self::Unavailable, Iot | IotData) => ("ServiceUnavailableException", 503),
            (Self::Unavailable, Sns | Sts) => ("ServiceUnavailable", 503),
            (Self::AlreadyExists, _) => ("ResourceAlreadyExistsException", 409),
            (Self::VersionConflict, _) => ("VersionConflictException", 409),
            (Self::DeleteConflict, _) => ("DeleteConflictException", 409),
            (Self::LimitExceeded, _) => ("LimitExceededException", 410),
            (Self::VersionsLimitExceeded, _) => ("VersionsLimitExceededException", 409),
            (Self::MalformedPolicy, _) => ("MalformedPolicyException", 400),
            (Self::CertificateState, _) => ("CertificateStateException", 406),
            (Self::CertificateValidation, _) => ("CertificateValidationException", 400),
            (Self::TopicLimitExceeded, _) => ("TopicLimitExceeded", 403),
            (Self::SubscriptionLimitExceeded, _) => ("SubscriptionLimitExceeded", 403),
            (Self::ResourceNotFound, _) => ("ResourceNotFound", 404),
            (Self::TagLimitExceeded, _) => ("TagLimitExceeded", 400),
            (Self::EmptyBatchRequest, _) => ("EmptyBatchRequest", 400),
            (Self::TooManyEntriesInBatchRequest, _) => ("TooManyEntriesInBatchRequest", 400),
            (Self::BatchEntryIdsNotDistinct, _) => ("BatchEntryIdsNotDistinct", 400),
            (Self::InvalidBatchEntryId, _) => ("InvalidBatchEntryId", 400),
            (Self::BatchRequestTooLong, _) => ("BatchRequestTooLong", 400),
            (kind, service) => match (kind, service.protocol()) {
                (Self::MissingAuthentication, RestJson) => ("MissingAuthenticationTokenException", 403),
                (Self::MissingAuthentication, Query) => ("MissingAuthenticationToken", 403),
                (Self::IncompleteSignature, RestJson) => ("IncompleteSignatureException", 400),
                (Self::IncompleteSignature, Query) => ("IncompleteSignature", 400),
                (Self::UnknownKey, RestJson) => ("UnrecognizedClientException", 403),
                (Self::UnknownKey, Query) => ("InvalidClientTokenId", 403),
                (Self::BadSignature, RestJson) => ("InvalidSignatureException", 403),
                (Self::BadSignature, Query) => ("SignatureDoesNotMatch", 403),
                (Self::UnknownOperation, RestJson) => ("UnknownOperationException", 404),
                (Self::UnknownOperation, Query) => ("InvalidAction", 400),
                // No AWS client retries a 501, and each shows the code and the message.
                (_, RestJson) => ("NotImplementedException", 501),
                (_, Query) => ("NotImplemented", 501),
            },
        }
    }
}

impl From<InputError> for ApiError {
    fn from(error: InputError) -> Self {
        Self::invalid(error)
    }
}

impl From<InvalidName> for ApiError {
    fn from(error: InvalidName) -> Self {
        Self::invalid(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadPageToken => Self::invalid("nextToken is not one that was given out"),
            StoreError::Damaged { .. } => Self::internal(error),
            StoreError::Unavailable { .. } => {
                tracing::error!(%error, "store is unavailable");
                Self::new(ErrorKind::Unavailable, "The service is temporarily unavailable.")
            }
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let kind = match &error {
            RegistryError::NotFound { .. } => ErrorKind::NotFound,
            RegistryError::AlreadyExists { id, arn, .. } => {
                return Self::already_exists(&error, id, arn.clone());
            }
            RegistryError::Invalid { .. } => ErrorKind::InvalidRequest,
            RegistryError::VersionConflict { .. } => ErrorKind::VersionConflict,
            RegistryError::LimitExceeded { .. } => ErrorKind::LimitExceeded,
            RegistryError::VersionsLimitExceeded { .. } => ErrorKind::VersionsLimitExceeded,
            RegistryError::DeleteConflict { .. } => ErrorKind::DeleteConflict,
            RegistryError::MalformedPolicy(_) => ErrorKind::MalformedPolicy,
            RegistryError::CertificateState { .. } => ErrorKind::CertificateState,
        };
        Self::new(kind, error)
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        let kind = match &error {
            ProfileError::Invalid { .. } => ErrorKind::InvalidRequest,
            ProfileError::NotFound { .. } => ErrorKind::NotFound,
            ProfileError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            ProfileError::VersionConflict { .. } => ErrorKind::VersionConflict,
            ProfileError::LimitExceeded { .. } => ErrorKind::LimitExceeded,
        };
        Self::new(kind, error)
    }
}

impl From<BrokerError> for ApiError {
    fn from(error: BrokerError) -> Self {
        match &error {
            BrokerError::BadTopic { .. } => Self::invalid(error),
            BrokerError::PayloadTooLarge { .. } => Self::new(ErrorKind::TooLarge, error),
            BrokerError::NotAuthorized { .. } => Self::new(ErrorKind::Unauthorized, error),
            BrokerError::Unavailable { .. } => Self::new(ErrorKind::Unavailable, error),
        }
    }
}

impl From<AuthorityError> for ApiError {
    fn from(error: AuthorityError) -> Self {
        match &error {
            AuthorityError::BadRequest { .. } => Self::invalid(error),
            AuthorityError::Failed { .. } => Self::internal(error),
        }
    }
}
