//! A file that somebody hands in, as a form.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue};
use komainu_model::{AccessKeyId, Confidentiality, SampleDigest};
use komainu_ports::{ArtifactRefused, NewSample, SampleOrigin, SamplePriority, SampleSubmitted, SamplesError};
use multer::{Constraints, Multipart, SizeLimit};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{error, info};

use super::{Refusal, blocking, turn};
use crate::digests::Digesting;
use crate::{Api, events};

/// The largest file in bytes, as sensors bring them.
const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The largest form in bytes: the file, and what may be around it, such as names of fields, or the password of an archive.
const FORM_BYTES_MAX: u64 = FILE_BYTES_MAX as u64 + 64 * 1024;

/// The field with the file.
const FILE_FIELD: &str = "file";

/// A file must be there after this time: 32 MiB over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// A form that is refused is read and let go up to so many bytes: what VirusTotal's clients send at most.
const LET_GO_BYTES_MAX: usize = 650 * 1024 * 1024;

/// A client that sends nothing more for so long has heard the answer, or will not.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(5);

/// What a file is called is kept up to so many bytes.
const NAME_BYTES_MAX: usize = 255;

/// A file that came.
#[derive(Debug, PartialEq, Eq)]
struct Uploaded {
    name: String,
    contents: Vec<u8>,
}

/// Takes the file of a form into the laboratory.
pub(super) async fn take_in(
    api: &Arc<Api>,
    key: &AccessKeyId,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<SampleDigest, Refusal> {
    let bytes = body.size_hint().lower();
    let mut body = body.into_data_stream();
    let read = read_in_time(api, headers, &mut body, bytes).await;
    // An answer that overtakes the body may be lost on the way. Who waits for a word before sending it gets the answer.
    if read.is_err() && !headers.contains_key(EXPECT) {
        let _ = timeout(UPLOAD_TIMEOUT, let_go(&mut body)).await;
    }
    let (uploaded, _turn) = read?;
    let (api, by) = (api.clone(), key.clone());
    blocking(move || keep(&api, &by, uploaded)).await?
}

/// The file, and the right to have it in memory.
async fn read_in_time(
    api: &Api,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<Bytes, hyper::Error>> + Send,
    bytes: u64,
) -> Result<(Uploaded, OwnedSemaphorePermit), Refusal> {
    let boundary = boundary(headers)?;
    if bytes > FORM_BYTES_MAX {
        return Err(Refusal::TooLarge { bytes_max: FILE_BYTES_MAX });
    }
    let turn = turn(&api.desk.uploads).await?;
    let read = timeout(UPLOAD_TIMEOUT, read_form(boundary, body, bytes)).await;
    let uploaded = read.map_err(|_| Refusal::Malformed("the file did not come in time".to_owned()))??;
    Ok((uploaded, turn))
}

/// Reads what is left of a body.
async fn let_go(body: &mut (impl Stream<Item = Result<Bytes, hyper::Error>> + Unpin)) {
    let mut bytes = 0;
    while let Ok(Some(Ok(piece))) = timeout(LET_GO_TIMEOUT, body.next()).await {
        bytes += piece.len();
        if bytes > LET_GO_BYTES_MAX {
            return;
        }
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| HeaderValue::to_str(value).ok());
    let boundary = content_type.and_then(|content_type| multer::parse_boundary(content_type).ok());
    let no_form = || Refusal::Malformed("the file must come as multipart/form-data, in the field `file`".to_owned());
    boundary.ok_or_else(no_form)
}

/// The file in a form of some `bytes`. Other fields are passed over.
async fn read_form(
    boundary: String,
    body: impl Stream<Item = Result<Bytes, hyper::Error>> + Send,
    bytes: u64,
) -> Result<Uploaded, Refusal> {
    let limits = SizeLimit::new().whole_stream(FORM_BYTES_MAX).per_field(FILE_BYTES_MAX as u64);
    let mut form = Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
    let mut uploaded = None;
    while let Some(mut field) = form.next_field().await.map_err(refusal)? {
        if field.name() != Some(FILE_FIELD) {
            while field.chunk().await.map_err(refusal)?.is_some() {}
            continue;
        }
        if uploaded.is_some() {
            return Err(Refusal::Malformed("the form has more than one field `file`".to_owned()));
        }
        let name = field.file_name().map(printable).unwrap_or_default();
        let mut contents = Vec::with_capacity(usize::try_from(bytes).unwrap_or(FILE_BYTES_MAX).min(FILE_BYTES_MAX));
        while let Some(chunk) = field.chunk().await.map_err(refusal)? {
            contents.extend_from_slice(&chunk);
        }
        uploaded = Some(Uploaded { name, contents });
    }
    uploaded.ok_or_else(|| Refusal::Malformed("the form has no field `file`".to_owned()))
}

fn refusal(error: multer::Error) -> Refusal {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            Refusal::TooLarge { bytes_max: FILE_BYTES_MAX }
        }
        error => Refusal::Malformed(format!("the form cannot be read: {error}")),
    }
}

/// What somebody calls a file: without folders, which are nobody's business, and as text that harms nobody.
fn printable(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let letters = name.chars().map(|letter| if matches!(letter, ' '..='~') { letter } else { '?' });
    letters.take(NAME_BYTES_MAX).collect()
}

/// Keeps the contents, then lets the sample wait. In this order: a sample that waits has contents. It is open, for whoever
/// has it can give it to anybody. Blocks.
fn keep(api: &Api, by: &AccessKeyId, uploaded: Uploaded) -> Result<Result<SampleDigest, Refusal>, SamplesError> {
    let Uploaded { name, contents } = uploaded;
    let mut digesting = Digesting::new();
    digesting.update(&contents);
    let digests = digesting.finish();
    let (sha256, bytes) = (digests.sha256, contents.len() as u64);
    let kept = api.artifacts.keep(sha256.sha256(), &contents, Confidentiality::Open);
    if let Err(ArtifactRefused) = kept {
        error!(event = events::VIRUSTOTAL_NOT_KEPT, key = %by, %sha256, bytes, "a file is not kept");
        return Ok(Err(Refusal::Unavailable));
    }
    let sample = NewSample {
        digests,
        bytes,
        origin: SampleOrigin::Upload { by: by.to_string(), name },
        confidentiality: Confidentiality::Open,
        priority: SamplePriority::Urgent,
    };
    match api.intake.submit(&sample)? {
        SampleSubmitted::New | SampleSubmitted::Known => {
            info!(event = events::VIRUSTOTAL_TAKEN_IN, key = %by, %sha256, bytes, "a file was handed in");
            Ok(Ok(sha256))
        }
        SampleSubmitted::Full => Ok(Err(Refusal::Full)),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read(form: &[u8], piece_bytes: usize) -> Result<Uploaded, Refusal> {
        let pieces: Vec<_> = form.chunks(piece_bytes).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        read_form("b".to_owned(), stream::iter(pieces), form.len() as u64).await
    }

    #[tokio::test]
    async fn a_form_has_one_file() {
        let check = async |form: &str, expected: Result<(&str, &str), &str>| {
            for piece_bytes in [1, 7, 10_000] {
                match (read(form.as_bytes(), piece_bytes).await, expected) {
                    (Ok(seen), Ok((name, contents))) => {
                        assert_eq!(
                            (seen.name.as_str(), seen.contents.as_slice()),
                            (name, contents.as_bytes()),
                            "{form:?}"
                        );
                    }
                    (Err(Refusal::Malformed(message)), Err(expected)) => {
                        assert!(message.contains(expected), "{form:?}: {message}");
                    }
                    (seen, _) => panic!("{form:?}: {seen:?}"),
                }
            }
        };
        let part = |disposition: &str, contents: &str| {
            format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{contents}\r\n")
        };
        let file = part("name=\"file\"; filename=\"a.sh\"", "#!/bin/sh\r\n--a\r\n");
        let contents = "#!/bin/sh\r\n--a\r\n";
        check(&format!("{file}--b--\r\n"), Ok(("a.sh", contents))).await;
        check(&format!("preamble\r\n{file}--b--\r\nepilogue"), Ok(("a.sh", contents))).await;
        let password = part("name=\"password\"", "infected");
        check(&format!("{password}{file}{password}--b--\r\n"), Ok(("a.sh", contents))).await;
        check(&format!("{}--b--\r\n", part("name=file", "")), Ok(("", ""))).await;
        check(&format!("{password}--b--\r\n"), Err("has no field `file`")).await;
        check(&format!("{file}{file}--b--\r\n"), Err("more than one field `file`")).await;
        for broken in [file.as_str(), "--b\r\nA", "--b", "--c--\r\n", "", "--b\r\n\r\n\r\n"] {
            check(broken, Err("cannot be read")).await;
        }
        check(&format!("--b\r\n{}\r\n\r\nx\r\n--b--\r\n", "A: b\r\n".repeat(33)), Err("cannot be read")).await;
    }

    #[tokio::test]
    async fn a_file_is_bounded() {
        let form = |bytes: usize| {
            let head = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
            [head.as_slice(), &vec![b'a'; bytes], b"\r\n--b--\r\n"].concat()
        };
        assert_eq!(read(&form(FILE_BYTES_MAX), 1 << 20).await.unwrap().contents.len(), FILE_BYTES_MAX);
        let too_large = Err(Refusal::TooLarge { bytes_max: FILE_BYTES_MAX });
        assert_eq!(read(&form(FILE_BYTES_MAX + 1), 1 << 20).await, too_large);
        assert_eq!(read(&vec![b'a'; 33 << 20], 1 << 20).await, too_large, "before the first boundary");
    }

    #[test]
    fn names_are_printable() {
        let check = |name: &str, expected: &str| assert_eq!(printable(name), expected);
        check("a b.sh", "a b.sh");
        check("/srv/somebody/a.sh", "a.sh");
        check("C:\\temp\\a.exe", "a.exe");
        check("\u{202e}exe.\r\nä", "?exe.???");
        check("/", "");
        check(&"a".repeat(300), &"a".repeat(255));
    }
}
