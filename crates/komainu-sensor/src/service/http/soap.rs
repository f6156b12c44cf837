//! What a SOAP request asks for, as far as a persona has to understand it: the action, its arguments, and who asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use sha1::{Digest, Sha1};

use crate::persona::Accounts;

/// Arguments that are kept. The largest action of a gateway has eight.
const ARGUMENTS_MAX: usize = 16;

/// Bytes of a value that are kept: one of an argument or of a token.
const VALUE_BYTES_MAX: usize = 256;

/// A request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Soap {
    /// The name of the first element in the body, without its namespace.
    pub(super) action: Vec<u8>,
    /// The elements in it, and what they say.
    pub(super) arguments: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) token: Option<Token>,
}

/// Who asks: the Username Token of WS-Security (OASIS, Username Token Profile 1.1.1, 3).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) user: Vec<u8>,
    /// In the clear, or the digest.
    pub(super) password: Vec<u8>,
    pub(super) is_digest: bool,
    nonce: Vec<u8>,
    created: Vec<u8>,
}

/// Where the text goes that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    User,
    Password,
    Nonce,
    Created,
    Argument,
}

impl Soap {
    /// Reads the beginning of a body; none when it shows no action. What is behind a mistake is not read.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body = String::from_utf8_lossy(body);
        let mut reader = Reader::from_str(&body);
        reader.config_mut().check_end_names = false;
        reader.config_mut().allow_unmatched_ends = true;
        let mut reading = Reading::default();
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    reading.begin(&start);
                    reading.depth += 1;
                }
                Ok(Event::Empty(start)) => {
                    reading.begin(&start);
                    reading.field = None;
                }
                Ok(Event::End(_)) => {
                    reading.depth = reading.depth.saturating_sub(1);
                    reading.field = None;
                }
                Ok(Event::Text(text)) => reading.text(&text),
                Ok(Event::CData(text)) => reading.text(&text),
                Ok(Event::GeneralRef(name)) => reading.text(match &*name {
                    "amp" => "&",
                    "lt" => "<",
                    "gt" => ">",
                    "quot" => "\"",
                    "apos" => "'",
                    _ => "",
                }),
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
        (!reading.soap.action.is_empty()).then_some(reading.soap)
    }

    pub(super) fn has_argument(&self, name: &[u8], value: &[u8]) -> bool {
        self.arguments.iter().any(|(known, its)| known == name && its.trim_ascii() == value)
    }
}

impl Token {
    /// Whether somebody is let in with it.
    pub(super) fn is_right(&self, accounts: &Accounts) -> bool {
        if !self.is_digest {
            return accounts.has(&self.user, &self.password);
        }
        // An old token is as good as a new one: whoever can repeat it was let in before.
        let Ok(nonce) = STANDARD.decode(&self.nonce) else { return false };
        accounts.passwords_of(&self.user).any(|password| {
            let digest = Sha1::new().chain_update(&nonce).chain_update(&self.created).chain_update(password).finalize();
            STANDARD.encode(digest).as_bytes() == self.password
        })
    }
}

#[derive(Debug, Default)]
struct Reading {
    soap: Soap,
    /// How many elements are open.
    depth: usize,
    /// How many were open at the body's beginning, behind it.
    body_depth: Option<usize>,
    field: Option<Field>,
}

impl Reading {
    fn begin(&mut self, start: &BytesStart<'_>) {
        let name = start.local_name();
        let name = name.as_ref();
        self.field = None;
        match self.body_depth {
            Some(depth) if self.depth == depth && self.soap.action.is_empty() => {
                self.soap.action = beginning(name, VALUE_BYTES_MAX).to_vec();
            }
            Some(depth) if self.depth == depth + 1 && self.soap.arguments.len() < ARGUMENTS_MAX => {
                self.soap.arguments.push((beginning(name, VALUE_BYTES_MAX).to_vec(), Vec::new()));
                self.field = Some(Field::Argument);
            }
            Some(_) => {}
            None if name == "Body" => self.body_depth = Some(self.depth + 1),
            None if name == "UsernameToken" => self.soap.token = Some(Token::default()),
            None => {
                let Some(token) = &mut self.soap.token else { return };
                self.field = match name {
                    "Username" => Some(Field::User),
                    "Password" => {
                        let mut attributes = start.attributes();
                        // Looking for names that are there twice would take quadratic time.
                        let attributes = attributes.with_checks(false).flatten();
                        let mut kinds = attributes.filter(|attribute| attribute.key.local_name().as_ref() == "Type");
                        token.is_digest = kinds.any(|kind| kind.value.ends_with("#PasswordDigest"));
                        Some(Field::Password)
                    }
                    "Nonce" => Some(Field::Nonce),
                    "Created" => Some(Field::Created),
                    _ => None,
                };
            }
        }
    }

    fn text(&mut self, text: &str) {
        let Self { soap, field, .. } = self;
        let value = match (field, &mut soap.token) {
            (Some(Field::Argument), _) => soap.arguments.last_mut().map(|(_, value)| value),
            (Some(Field::User), Some(token)) => Some(&mut token.user),
            (Some(Field::Password), Some(token)) => Some(&mut token.password),
            (Some(Field::Nonce), Some(token)) => Some(&mut token.nonce),
            (Some(Field::Created), Some(token)) => Some(&mut token.created),
            (Some(_) | None, _) => None,
        };
        if let Some(value) = value {
            let room = VALUE_BYTES_MAX.saturating_sub(value.len());
            value.extend_from_slice(beginning(text, room));
        }
    }
}

fn beginning(text: &str, bytes_max: usize) -> &[u8] {
    &text.as_bytes()[..text.len().min(bytes_max)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, expected: Option<(&str, &[(&str, &str)])>) {
        let soap = Soap::read(body.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let soap = soap.map(|soap| {
            let arguments: Vec<_> = soap.arguments.iter().map(|(name, value)| (text(name), text(value))).collect();
            (text(&soap.action), arguments)
        });
        let expected = expected.map(|(action, arguments)| {
            (action.to_owned(), arguments.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
        });
        assert_eq!(soap, expected, "{body}");
    }

    #[test]
    fn actions_and_arguments() {
        check(
            "<?xml version=\"1.0\"?><s:Envelope><s:Body><u:Add xmlns:u=\"a\"><Port>80</Port><Empty/><C>a&amp;b</C>\
             </u:Add></s:Body></s:Envelope>",
            Some(("Add", &[("Port", "80"), ("Empty", ""), ("C", "a&b")])),
        );
        check("<Envelope><Header><Get/></Header><Body><GetUsers/></Body></Envelope>", Some(("GetUsers", &[])));
        check("<Envelope><Body><GetUsers>", Some(("GetUsers", &[])));
        check("<Envelope><Body><A><B>`x`;$(y)</B><B><", Some(("A", &[("B", "`x`;$(y)"), ("B", "")])));
        check("<Envelope><Body/></Envelope>", None);
        check("user=a&password=b", None);
        check("", None);
    }

    #[test]
    fn tokens() {
        let accounts = Accounts::of(&[("admin", "userpassword")]);
        let is_right = |password: &str| {
            let body = format!(
                "<Envelope><Header><Security><UsernameToken><Username>admin</Username>{password}\
                 <Nonce>LKqI6G/AikKCQrN0zqZFlg==</Nonce><Created>2010-09-16T07:50:45Z</Created></UsernameToken>\
                 </Security></Header><Body><GetUsers/></Body></Envelope>"
            );
            Soap::read(body.as_bytes()).unwrap().token.unwrap().is_right(&accounts)
        };
        // The example of the ONVIF Application Programmer's Guide, 6.1.1.3.
        assert!(is_right("<Password Type=\"a#PasswordDigest\">tuOSpGlFlIXsozq4HFNeeGeFLEI=</Password>"));
        assert!(!is_right("<Password Type=\"a#PasswordDigest\">tuOSpGlFlIXsozq4HFNeeGeFLEJ=</Password>"));
        assert!(is_right("<Password>userpassword</Password>"));
        assert!(!is_right("<Password>other</Password>"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_survived(body in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(&b"<>/&;\"=:Body"[..])], 0..200,
        )) {
            let body = [b"<a><Header><UsernameToken><Password>", &body[..]].concat();
            if let Some(soap) = Soap::read(&body) {
                prop_assert!(soap.arguments.len() <= ARGUMENTS_MAX);
            }
        }
    }
}
