//! A client that signs as AWS's do and shows what came back.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::world::{KEY_ID, NOW_S, SECRET};

pub(crate) const HOST: &str = "komainu.example:8080";

/// A request, before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The region it is signed for.
    region: &'static str,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str, body: &[u8]) -> Self {
        let headers = vec![("host".to_owned(), HOST.to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: body.to_vec(), region: "eu-west-1" }
    }

    pub(crate) fn for_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    /// A request of a query service.
    pub(crate) fn form(body: &str) -> Self {
        Self::new("POST", "/", body.as_bytes())
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signs for a service, at the time the world's clock stands at first.
    pub(crate) fn signed(self, service: &str) -> Self {
        self.signed_with(service, KEY_ID, SECRET, NOW_S)
    }

    pub(crate) fn signed_with(mut self, service: &str, key: &str, secret: &str, at_s: i64) -> Self {
        let (headers, _) = self.sign(service, key, secret, at_s, SigningSettings::default());
        self.headers.extend(headers);
        self
    }

    pub(crate) fn presigned(mut self, service: &str) -> Self {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(900));
        let (_, parameters) = self.sign(service, KEY_ID, SECRET, NOW_S, settings);
        for (at, (name, value)) in parameters.iter().enumerate() {
            let value = percent_encoding::percent_encode(value.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
            self.target += &format!("{}{name}={value}", if at == 0 { '?' } else { '&' });
        }
        self
    }

    #[allow(clippy::type_complexity, reason = "headers and parameters")]
    fn sign(
        &self,
        service: &str,
        key: &str,
        secret: &str,
        at_s: i64,
        settings: SigningSettings,
    ) -> (Vec<(String, String)>, Vec<(String, String)>) {
        let identity = Credentials::new(key, secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(service)
            .time(UNIX_EPOCH + Duration::from_secs(at_s.try_into().unwrap()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://{HOST}{}", self.target);
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new(&self.method, uri, headers, SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let parameters = instructions.params().iter().map(|(name, value)| own((name, value.as_ref()))).collect();
        (instructions.headers().map(own).collect(), parameters)
    }

    /// The bytes on the wire; the connection stays open after them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n", self.body.len());
        [text.into_bytes(), self.body.clone()].concat()
    }

    /// Sends the request and reads the answer.
    pub(crate) async fn send(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Answer {
        stream.write_all(&self.bytes()).await.unwrap();
        Answer::read(stream).await
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or("0", |length| length);
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        Self { status, head, body: String::from_utf8(body).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The error's code: from the header of a JSON answer, else from the XML.
    pub(crate) fn code(&self) -> String {
        let of_xml = || self.body.split_once("<Code>")?.1.split_once("</Code>").map(|(code, _)| code);
        self.header("x-amzn-errortype").or_else(of_xml).unwrap_or_default().to_ascii_lowercase()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
