//! The engines behind the outward ports: what Komainu uses of the world.
//!
//! Each engine implements a port of `komainu-ports` and passes its conformance suite. Only the program depends on
//! this crate; everything else sees the ports.

mod authority;
mod courier;
mod folder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lookup;
mod oidc;
mod records;
mod sensor_captures;
mod sensor_records;
mod sqlite;

pub use authority::{LocalAuthority, OpenAuthorityError, ServerCertificate};
pub use courier::{CourierConfig, CourierConfigError, CourierSet, SmtpConfig, SmtpLogin, SmtpTls, WebhookConfig};
pub use folder::{DataFolder, DataFolderError};
pub use lookup::{ListProblem, ListRead, LookupConfig, LookupConfigError, RemoteLookup, SampleLookups, lookups};
pub use oidc::{OidcConfig, OidcConfigError, OidcProvider, check_issuer};
pub use sensor_captures::FolderCaptures;
pub use sensor_records::FolderRecords;
pub use sqlite::{SqliteAccountStore, SqliteSampleStore, SqliteSessionStore, SqliteStore};
