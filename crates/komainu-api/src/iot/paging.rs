//! Pages of lists whose cores know names, not texts.

use std::fmt;

use komainu_model::InvalidName;
use komainu_registry::Listed;

use crate::error::ApiError;
use crate::paging::{decode_token, encode_token, page_limit};

/// The page that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// At most so many items.
    pub(crate) limit: usize,
    /// What the client calls the token.
    member: &'static str,
    after: Option<String>,
}

impl PageRequest {
    /// Reads `maxResults` and `nextToken`.
    pub(crate) fn by_token(max_results: Option<i32>, next_token: Option<&str>) -> Result<Self, ApiError> {
        let member = "nextToken";
        let after = decode_token(member, next_token)?;
        Ok(Self { limit: page_limit("maxResults", max_results)?, member, after })
    }

    /// Reads `pageSize` and `marker`.
    pub(crate) fn by_marker(page_size: Option<i32>, marker: Option<&str>) -> Result<Self, ApiError> {
        let member = "marker";
        let after = decode_token(member, marker)?;
        Ok(Self { limit: page_limit("pageSize", page_size)?, member, after })
    }

    /// The name that the page follows, read by `parse`.
    pub(crate) fn after<T>(&self, parse: impl FnOnce(&str) -> Result<T, InvalidName>) -> Result<Option<T>, ApiError> {
        self.after_key(|text| parse(text).ok())
    }

    /// The key that the page follows, read by `parse`, which gives `None` for what was not given out.
    pub(crate) fn after_key<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
        let bad_token = || ApiError::invalid(format_args!("{} is not one that was given out", self.member));
        self.after.as_deref().map(|text| parse(text).ok_or_else(bad_token)).transpose()
    }
}

/// The token of the page that follows `listed`; `key` gives what an item is found by.
pub(crate) fn next_token<T, K: fmt::Display>(listed: &Listed<T>, key: impl FnOnce(&T) -> K) -> Option<String> {
    let last = listed.items.last().filter(|_| listed.more)?;
    Some(encode_token(&key(last).to_string()))
}

#[cfg(test)]
mod tests {
    use komainu_model::ThingName;

    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page() {
        let listed = Listed { items: vec!["a", "b:c"], more: true };
        let token = next_token(&listed, |name| *name).unwrap();
        let request = PageRequest::by_token(Some(7), Some(&token)).unwrap();
        assert_eq!(request.limit, 7);
        assert_eq!(request.after(ThingName::parse).unwrap(), Some(ThingName::parse("b:c").unwrap()));
        assert_eq!(next_token(&Listed { more: false, ..listed }, |name| *name), None);
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let request = PageRequest::by_marker(None, Some(&encode_token("no thing's name"))).unwrap();
        let error = request.after(ThingName::parse).unwrap_err();
        assert_eq!(error.message, "marker is not one that was given out");
    }
}
