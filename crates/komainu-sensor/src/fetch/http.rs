//! Fetching by HTTP, with and without TLS.

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::dial::{Dialer, Place};
use super::location::{Host, Location, Scheme};
use super::{Said, Trace, WhyNot, accepting_any_certificate};
use crate::http_answer::{Answer, AnswerReader, Progress};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// Asks a server for a file. Servers of droppers look at who asks: this is what BusyBox' wget says (networking/wget.c).
pub(super) async fn get(
    dialer: &Dialer,
    place: &Place,
    location: &Location,
    bytes_max: usize,
    trace: &mut Trace,
) -> Result<Said, WhyNot> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n",
        location.path,
        location.host_header()
    );
    let mut stream = dialer.connect(place).await?;
    let answer = if location.scheme == Scheme::Https {
        let (config, certificate) = accepting_any_certificate();
        let name = match &location.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| WhyNot::HostName)?,
        };
        let connected = TlsConnector::from(config).connect(name, stream).await;
        trace.certificate = certificate.shown();
        let mut stream = connected.map_err(|_| WhyNot::Tls)?;
        ask(&mut stream, request.as_bytes(), bytes_max, trace).await?
    } else {
        ask(&mut stream, request.as_bytes(), bytes_max, trace).await?
    };
    match answer.status {
        200 => Ok(Said::File(answer.body)),
        301 | 302 | 303 | 307 | 308 => match answer.header("Location") {
            Some(to) => Ok(Said::Redirect(to.to_owned())),
            None => Err(WhyNot::Protocol),
        },
        _ => Err(WhyNot::Status),
    }
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    bytes_max: usize,
    trace: &mut Trace,
) -> Result<Answer, WhyNot> {
    stream.write_all(request).await.map_err(|_| WhyNot::Closed)?;
    let mut reader = AnswerReader::new(bytes_max);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // Many servers of droppers end TLS without a word: what counts is whether the answer is whole.
        let bytes = stream.read(&mut buffer).await.unwrap_or(0);
        let progress = if bytes == 0 { reader.finish() } else { reader.take(&buffer[..bytes]) };
        trace.bytes = reader.body_bytes() as u64;
        if progress == Progress::Open {
            continue;
        }
        let is_closed = bytes == 0;
        let answer = reader.into_answer();
        trace.status = (answer.status != 0).then_some(answer.status);
        return match progress {
            Progress::TooLarge if answer.status == 200 => Err(WhyNot::TooLarge),
            Progress::Whole | Progress::TooLarge => Ok(answer),
            Progress::Broken | Progress::Open if is_closed => Err(WhyNot::Closed),
            Progress::Broken | Progress::Open => Err(WhyNot::Protocol),
        };
    }
}
