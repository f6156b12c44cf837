//! Lists in pages. A token is the key of the last item that was shown, so that pages stay right while items come and
//! go; it is encoded because clients must not read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::ApiError;

/// The largest page of AWS IoT's lists (`maxResults`, `pageSize`).
pub(crate) const PAGE_ITEMS_MAX: usize = 250;

/// How many items a page has when the client does not say.
pub(crate) const PAGE_ITEMS_DEFAULT: usize = 25;

/// The size of a page; `member` is what the client calls it.
pub(crate) fn page_limit(member: &str, given: Option<i32>) -> Result<usize, ApiError> {
    match given.map(usize::try_from) {
        None => Ok(PAGE_ITEMS_DEFAULT),
        Some(Ok(limit @ 1..=PAGE_ITEMS_MAX)) => Ok(limit),
        Some(_) => Err(ApiError::invalid(format!("{member} should be in range[1,{PAGE_ITEMS_MAX}]"))),
    }
}

/// The token for what follows `key`.
pub(crate) fn encode_token(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key in a token; `member` is what the client calls it.
pub(crate) fn decode_token(member: &str, token: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.map(Some).ok_or_else(|| ApiError::invalid(format!("{member} is not one that was given out")))
}

/// The page of `items`, which are in the order of their keys, that follows `after`, and the token for the next one.
pub(crate) fn page<T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> &str,
    after: Option<&str>,
    limit: usize,
) -> (Vec<T>, Option<String>) {
    let mut rest = items.skip_while(|item| after.is_some_and(|after| key(item) <= after));
    let page: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| page.last().map(|last| encode_token(key(last))));
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let names = ["a", "b", "c"];
        let check = |token: Option<&str>, expected: &[&str]| {
            let after = decode_token("nextToken", token).unwrap();
            let (items, next) = page(names.into_iter(), |name| name, after.as_deref(), 2);
            assert_eq!(items, expected);
            next
        };
        let next = check(None, &["a", "b"]).unwrap();
        assert_eq!(check(Some(&next), &["c"]), None);
        assert_eq!(check(Some(&encode_token("c")), &[]), None);
        assert!(decode_token("nextToken", Some("?")).is_err());
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(page_limit("maxResults", None).unwrap(), PAGE_ITEMS_DEFAULT);
        assert_eq!(page_limit("maxResults", Some(250)).unwrap(), 250);
        for wrong in [0, -1, 251] {
            let error = page_limit("maxResults", Some(wrong)).unwrap_err();
            assert_eq!(error.message, "maxResults should be in range[1,250]");
        }
    }
}
