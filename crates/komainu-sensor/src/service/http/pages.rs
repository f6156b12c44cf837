//! The pages of a web server, and which of them a request is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::filling;
use super::form::FormText;
use super::request::Request;
use super::soap::Soap;
use crate::persona::{Accounts, Device, PersonaError};
use crate::service::gate::{Gate, GateText};

/// The pages of a server.
#[derive(Debug)]
pub(super) struct Pages {
    exact: BTreeMap<Vec<u8>, Vec<Arc<Page>>>,
    /// Those whose path has a `*`, in their order.
    patterns: Vec<(Vec<u8>, Arc<Page>)>,
    not_found: Page,
}

/// A page of a web server.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// None: each.
    method: Option<Vec<u8>>,
    /// The action of SOAP that it answers; none: each, and what is no SOAP.
    soap_action: Option<Vec<u8>>,
    /// An argument that the action must have.
    soap_argument: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<[u8]>,
    /// Whether something in the body is filled in.
    pub(super) has_gaps: bool,
    /// Shown only to those who log in.
    pub(super) gate: Option<Gate>,
    pub(super) form: Option<Form>,
}

/// A page that takes a login.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) fields: FormText,
    pub(super) accounts: Accounts,
    /// Shown when the login is wrong.
    pub(super) refused: Box<Page>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageText {
    #[serde(default)]
    path: String,
    #[serde(default)]
    aliases: Vec<String>,
    method: Option<String>,
    soap_action: Option<String>,
    soap_argument: Option<String>,
    #[serde(default = "status")]
    status: u16,
    #[serde(rename = "type", default = "content_type")]
    content_type: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    file: Option<String>,
    realm: Option<String>,
    #[serde(default)]
    auth: GateText,
    form: Option<FormText>,
    refused: Option<Box<PageText>>,
}

const fn status() -> u16 {
    200
}

fn content_type() -> String {
    "text/html".into()
}

impl Pages {
    pub(super) fn check(
        pages: Vec<PageText>,
        not_found: Option<PageText>,
        at: &str,
        device: &Device<'_>,
    ) -> Result<Self, PersonaError> {
        let not_found = match not_found {
            Some(page) => Page::check(page, &format!("{at}.not_found"), device)?,
            None => Page::plain(404),
        };
        let mut checked = Self { exact: BTreeMap::new(), patterns: Vec::new(), not_found };
        for (number, page) in pages.into_iter().enumerate() {
            let at = format!("{at}.page[{number}]");
            let paths: Vec<String> = std::iter::once(&page.path).chain(&page.aliases).cloned().collect();
            let page = Arc::new(Page::check(page, &at, device)?);
            for path in paths {
                if !path.starts_with('/') {
                    return Err(device.wrong(format!("{at}.path"), "must begin with /"));
                }
                if path.split('/').any(|segment| segment.matches('*').count() > 1 && segment != "**") {
                    return Err(device.wrong(format!("{at}.path"), "has more than one * between two /"));
                }
                if path.contains('*') {
                    checked.patterns.push((path.into_bytes(), page.clone()));
                } else {
                    checked.exact.entry(path.into_bytes()).or_default().push(page.clone());
                }
            }
        }
        Ok(checked)
    }

    /// The page for a request: of those with its path first, then of those with a pattern, the first that fits.
    ///
    /// Clients that mean to answer a challenge of Digest send no body before they have it: without one, `has_body`, a
    /// page that asks for a login is the one that was meant.
    pub(super) fn find(&self, request: &Request, has_body: bool, soap: Option<&Soap>) -> &Page {
        let action = request.soap_action.as_deref().or(soap.map(|soap| soap.action.as_slice()));
        let fits = |page: &Page| {
            page.method.as_ref().is_none_or(|its| its.eq_ignore_ascii_case(&request.method))
                && page.soap_action.as_ref().is_none_or(|its| {
                    Some(its.as_slice()) == action || action.is_none() && !has_body && page.gate.is_some()
                })
                && page
                    .soap_argument
                    .as_ref()
                    .is_none_or(|(name, value)| soap.is_some_and(|soap| soap.has_argument(name, value)))
        };
        let exact = self.exact.get(&request.path).map(Vec::as_slice).unwrap_or_default();
        let patterns = self.patterns.iter().filter(|(pattern, _)| matches(pattern, &request.path));
        exact.iter().chain(patterns.map(|(_, page)| page)).find(|page| fits(page)).map_or(&self.not_found, |page| page)
    }
}

/// Whether a path fits a pattern, in which `*` stands for anything without `/`, and `**` at the end for anything.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut segments = path.split(|byte| *byte == b'/');
    for wanted in pattern.split(|byte| *byte == b'/') {
        if wanted == b"**" {
            return segments.next().is_some();
        }
        let Some(segment) = segments.next() else { return false };
        let fits = match wanted.iter().position(|byte| *byte == b'*') {
            None => segment == wanted,
            Some(star) => {
                let (begin, end) = (&wanted[..star], &wanted[star + 1..]);
                segment.len() >= begin.len() + end.len() && segment.starts_with(begin) && segment.ends_with(end)
            }
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

impl Page {
    /// A page of the server's own, as small servers word it.
    pub(super) fn plain(status: u16) -> Self {
        let reason = super::reason(status);
        let said = match status {
            401 => "Authorization required.\n",
            404 => "File not found.\n",
            _ => "",
        };
        let body = format!(
            "<HTML><HEAD><TITLE>{status} {reason}</TITLE></HEAD>\n<BODY><H4>{status} {reason}</H4>\n{said}</BODY></HTML>\n"
        );
        Self {
            method: None,
            soap_action: None,
            soap_argument: None,
            status,
            content_type: content_type(),
            headers: Vec::new(),
            body: body.into_bytes().into(),
            has_gaps: false,
            gate: None,
            form: None,
        }
    }

    fn check(page: PageText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if !(200..=599).contains(&page.status) {
            return Err(device.wrong(format!("{at}.status"), "must be from 200 to 599"));
        }
        let body = match (page.body, page.file) {
            (Some(_), Some(_)) => return Err(device.wrong(at, "has both body and file")),
            (Some(body), None) => body.into_bytes(),
            (None, Some(file)) => device.file(&file)?,
            (None, None) => Vec::new(),
        };
        if !is_header_value(&page.content_type) || page.content_type.contains('"') {
            return Err(device.wrong(format!("{at}.type"), "must be printable and without quotes"));
        }
        let soap_argument = match page.soap_argument {
            None => None,
            Some(argument) => match argument.split_once('=') {
                Some((name, value)) => Some((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
                None => return Err(device.wrong(format!("{at}.soap_argument"), "must be NAME=VALUE")),
            },
        };
        let gate = page.realm.map(|realm| Gate::of_web(realm, page.auth, at, device)).transpose()?;
        let form = match (page.form, page.refused) {
            (None, None) => None,
            (Some(fields), Some(refused)) => {
                let refused = Box::new(Self::check(*refused, &format!("{at}.refused"), device)?);
                Some(Form { fields, accounts: device.accounts.clone(), refused })
            }
            (Some(_), None) | (None, Some(_)) => return Err(device.wrong(at, "needs both form and refused")),
        };
        Ok(Self {
            method: page.method.map(String::into_bytes),
            soap_action: page.soap_action.map(String::into_bytes),
            soap_argument,
            status: page.status,
            content_type: page.content_type,
            headers: headers(page.headers, at, device)?,
            has_gaps: filling::has_gaps(&body),
            body: body.into(),
            gate,
            form,
        })
    }
}

/// Header fields that a persona gives.
pub(super) fn headers(
    headers: BTreeMap<String, String>,
    at: &str,
    device: &Device<'_>,
) -> Result<Vec<(String, String)>, PersonaError> {
    for (name, value) in &headers {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_name) || !is_header_value(value) {
            return Err(device.wrong(format!("{at}.headers.{name}"), "cannot be a header of HTTP"));
        }
    }
    Ok(headers.into_iter().collect())
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, path: &str, expected| {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        };
        check("/v*/info", "/v1.24/info", true);
        check("/v*/info", "/v/info", true);
        check("/v*/info", "/1/info", false);
        check("/v*/info", "/v1/x/info", false);
        check("/v*/info", "/v1/info/", false);
        check("/cgi-bin/**", "/cgi-bin/a/b", true);
        check("/cgi-bin/**", "/cgi-bin/", true);
        check("/cgi-bin/**", "/cgi-bin", false);
        check("/a*b", "/ab", true);
        check("/a*a", "/a", false);
        check("/*", "/x", true);
    }
}
