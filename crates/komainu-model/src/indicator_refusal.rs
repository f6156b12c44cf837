//! Why something did not become an indicator.

use std::fmt;

/// Why something is no indicator. Displays in English, which is how it is stored; pages say it in the words of their readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndicatorRefusal {
    /// No stranger on the internet has this address.
    Address(SpecialAddress),
    /// It is in one of the operator's own networks.
    OwnNetwork,
    /// It is an address of the fleet, of sensors, of the server.
    OwnFleet,
    /// The address belongs to what many share, of this name.
    Shared(String),
    /// The name only counts in one network.
    LocalName,
    /// The name is one for documentation.
    DocumentationName,
    /// The name is the operator's own.
    OwnName,
    /// The name takes another with it, which many share.
    TakesShared(String),
    /// An operator took it back.
    Revoked,
    /// There are as many indicators as may be.
    TooMany(usize),
    /// Only a person who has looked at it may add it.
    NeedsReview(Box<Self>),
    /// It can only be added with a port.
    NeedsPort(Box<Self>),
    /// Of a record that says something else.
    Other(String),
}

/// A kind of address that nobody on the internet has (IANA's registries of special addresses).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants display what they are")]
pub enum SpecialAddress {
    Unspecified,
    Loopback,
    Private,
    UniqueLocal,
    CarrierTranslation,
    LinkLocal,
    Documentation,
    DocumentationV6,
    DocumentationV6Long,
    Measurements,
    Protocol,
    Relay,
    Multicast,
    Broadcast,
    Reserved,
}

const NEEDS_REVIEW: &str = "; an operator may add it, with --reviewed";
const NEEDS_PORT: &str = "; it can only be added with a port";
const SHARED: &str = "belongs to what many share: ";
const TAKES: &str = "takes ";
const WITH_IT: &str = " with it, which many share";
const TOO_MANY: &str = "there are already ";
const INDICATORS: &str = " indicators";

impl IndicatorRefusal {
    /// What a stored sentence says.
    pub fn of_sentence(sentence: &str) -> Self {
        let boxed = |rest: &str| Box::new(Self::of_sentence(rest));
        if let Some(rest) = sentence.strip_suffix(NEEDS_REVIEW) {
            return Self::NeedsReview(boxed(rest));
        }
        if let Some(rest) = sentence.strip_suffix(NEEDS_PORT) {
            return Self::NeedsPort(boxed(rest));
        }
        if let Some(name) = sentence.strip_prefix(SHARED) {
            return Self::Shared(name.to_owned());
        }
        if let Some(name) = sentence.strip_prefix(TAKES).and_then(|rest| rest.strip_suffix(WITH_IT)) {
            return Self::TakesShared(name.to_owned());
        }
        let count = sentence.strip_prefix(TOO_MANY).and_then(|rest| rest.strip_suffix(INDICATORS));
        if let Some(count) = count.and_then(|count| count.parse().ok()) {
            return Self::TooMany(count);
        }
        let fixed =
            [Self::OwnNetwork, Self::OwnFleet, Self::LocalName, Self::DocumentationName, Self::OwnName, Self::Revoked];
        let addresses = SpecialAddress::ALL.into_iter().map(Self::Address);
        let found = fixed.into_iter().chain(addresses).find(|refusal| refusal.to_string() == sentence);
        found.unwrap_or_else(|| Self::Other(sentence.to_owned()))
    }
}

impl fmt::Display for IndicatorRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(kind) => write!(f, "is {kind}"),
            Self::OwnNetwork => f.write_str("is in one of the operator's own networks (intel.own_networks)"),
            Self::OwnFleet => f.write_str("is an address of the operator's own fleet, sensors or server"),
            Self::Shared(name) => write!(f, "{SHARED}{name}"),
            Self::LocalName => f.write_str("is a name that only counts in one network"),
            Self::DocumentationName => f.write_str("is a name for documentation (RFC 2606)"),
            Self::OwnName => f.write_str("is the operator's own name"),
            Self::TakesShared(name) => write!(f, "{TAKES}{name}{WITH_IT}"),
            Self::Revoked => f.write_str("was revoked by an operator"),
            Self::TooMany(count) => write!(f, "{TOO_MANY}{count}{INDICATORS}"),
            Self::NeedsReview(why) => write!(f, "{why}{NEEDS_REVIEW}"),
            Self::NeedsPort(why) => write!(f, "{why}{NEEDS_PORT}"),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl SpecialAddress {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Unspecified,
        Self::Loopback,
        Self::Private,
        Self::UniqueLocal,
        Self::CarrierTranslation,
        Self::LinkLocal,
        Self::Documentation,
        Self::DocumentationV6,
        Self::DocumentationV6Long,
        Self::Measurements,
        Self::Protocol,
        Self::Relay,
        Self::Multicast,
        Self::Broadcast,
        Self::Reserved,
    ];
}

impl fmt::Display for SpecialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address (RFC 1918)",
            Self::UniqueLocal => "a private address (RFC 4193)",
            Self::CarrierTranslation => "an address behind a carrier's translation (RFC 6598)",
            Self::LinkLocal => "a link-local address",
            Self::Documentation => "an address for documentation (RFC 5737)",
            Self::DocumentationV6 => "an address for documentation (RFC 3849)",
            Self::DocumentationV6Long => "an address for documentation (RFC 9637)",
            Self::Measurements => "an address for measurements (RFC 2544)",
            Self::Protocol => "an address of a protocol (RFC 6890)",
            Self::Relay => "an address of a protocol (RFC 7526)",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast or reserved address",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let check = |refusal: IndicatorRefusal| {
            let sentence = refusal.to_string();
            assert_eq!(IndicatorRefusal::of_sentence(&sentence), refusal, "{sentence}");
        };
        SpecialAddress::ALL.into_iter().map(IndicatorRefusal::Address).for_each(check);
        check(IndicatorRefusal::OwnNetwork);
        check(IndicatorRefusal::LocalName);
        check(IndicatorRefusal::DocumentationName);
        check(IndicatorRefusal::OwnName);
        check(IndicatorRefusal::Revoked);
        check(IndicatorRefusal::TooMany(100_000));
        check(IndicatorRefusal::TakesShared("github.com".to_owned()));
        check(IndicatorRefusal::NeedsReview(Box::new(IndicatorRefusal::OwnFleet)));
        check(IndicatorRefusal::NeedsPort(Box::new(IndicatorRefusal::Shared("Example Cloud".to_owned()))));
        check(IndicatorRefusal::Other("something of old".to_owned()));
    }
}
