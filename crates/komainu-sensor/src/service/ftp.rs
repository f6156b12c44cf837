//! FTP as BusyBox' ftpd speaks it (RFC 959), over the files of the device that the shell shows, too.
//!
//! [`Dialogue`](dialogue::Dialogue) is the control connection without sockets. Data connections are passive only, since a
//! persona opens none; each has a record of its own that names the session it belongs to.

mod dialogue;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::ftp::{DataReader, Direction};
use komainu_decode::{Conversation, Transport};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

#[cfg(fuzzing)]
pub(crate) use self::dialogue::check_bytes;
use self::dialogue::{Act, Content, Dialogue, Step, Transfer, reply};
use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;
use crate::shell::Machine;

/// How long a client may take to open a data connection.
const DATA_WAIT: Duration = Duration::from_secs(30);

/// Connections of somebody else to the port of a data connection that are closed before it is given up.
const STRANGERS_MAX: u32 = 8;

/// Bytes that are sent at once.
const DATA_PART_BYTES: usize = 64 * 1024;

/// A login, and files.
#[derive(Debug)]
pub(crate) struct Ftp {
    banner: String,
    anonymous: bool,
    accounts: Accounts,
    /// The try of a connection that is accepted whatever it says; 0 for none.
    accept_after: u32,
    /// The try of a connection after which it is closed.
    tries_max: u32,
    refusal_delay: Duration,
    /// Where a session begins.
    folder: Vec<u8>,
    machine: Arc<Machine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FtpText {
    pub(crate) ports: Vec<u16>,
    #[serde(default = "banner")]
    banner: String,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    accept_after: u32,
    #[serde(default = "tries_max")]
    tries_max: u32,
    #[serde(default = "refusal_delay_ms")]
    refusal_delay_ms: u64,
    #[serde(default = "folder")]
    folder: String,
}

fn banner() -> String {
    "Operation successful".into()
}

const fn tries_max() -> u32 {
    3
}

const fn refusal_delay_ms() -> u64 {
    3_000
}

fn folder() -> String {
    "/tmp".into()
}

impl Ftp {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: FtpText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if text.tries_max == 0 {
            return Err(device.wrong(format!("{at}.tries_max"), "must be at least 1"));
        }
        if !text.folder.starts_with('/') {
            return Err(device.wrong(format!("{at}.folder"), "must begin with /"));
        }
        Ok(Self {
            banner: text.banner,
            anonymous: text.anonymous,
            accounts: device.accounts.clone(),
            accept_after: text.accept_after,
            tries_max: text.tries_max,
            refusal_delay: Duration::from_millis(text.refusal_delay_ms),
            folder: text.folder.into(),
            machine: device.machine.clone(),
        })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Ftp>, seed: u64) -> Ending {
    let mut dialogue = Box::new(Dialogue::new(persona.clone(), seed));
    let ending = match converse(link, &mut dialogue).await {
        Ok(()) => Ending::Closed,
        Err(ending) => ending,
    };
    for record in dialogue.close() {
        record.write(link);
    }
    ending
}

async fn converse(link: &mut Link, dialogue: &mut Dialogue) -> Result<(), Ending> {
    link.write(&dialogue.opening()).await?;
    let mut listener = None;
    loop {
        let bytes = link.read().await?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (step, after) = dialogue.take(rest, link.age());
            rest = after;
            let Some(Step { delay, reply, act, records }) = step else { continue };
            for record in records {
                record.write(link);
            }
            if !delay.is_zero() {
                link.pause(delay).await?;
            }
            link.write(&reply).await?;
            match act {
                Act::Nothing => {}
                Act::Close => return Ok(()),
                Act::Listen { is_extended } => listener = listen(link, is_extended).await?,
                Act::Transfer(transfer) => transfer_over(link, dialogue, listener.take(), transfer).await?,
            }
        }
    }
}

/// Opens a port for a data connection at the address that the client reached, and tells which.
async fn listen(link: &mut Link, is_extended: bool) -> Result<Option<TcpListener>, Ending> {
    let opened = link.ends().and_then(|(_, server)| {
        let address = SocketAddr::new(server.ip(), 0);
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(address)?;
        let listener = socket.listen(1)?;
        Ok((listener.local_addr()?, listener))
    });
    let Ok((address, listener)) = opened else {
        link.write(&reply(425, "Error")).await?;
        return Ok(None);
    };
    let port = address.port();
    let text = match address.ip().to_canonical() {
        _ if is_extended => reply(229, &format!("EPSV ok (|||{port}|)")),
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            reply(227, &format!("PASV ok ({a},{b},{c},{d},{},{})", port >> 8, port & 0xFF))
        }
        // It has no way to say such an address (RFC 2428, 1).
        IpAddr::V6(_) => {
            link.write(&reply(425, "Error")).await?;
            return Ok(None);
        }
    };
    link.write(&text).await?;
    Ok(Some(listener))
}

async fn transfer_over(
    link: &mut Link,
    dialogue: &mut Dialogue,
    listener: Option<TcpListener>,
    transfer: Transfer,
) -> Result<(), Ending> {
    let Some(listener) = listener else { return link.write(&reply(425, "Use PORT/PASV first")).await };
    let Some(stream) = accept(link, &listener).await? else { return link.write(&reply(425, "Error")).await };
    drop(listener);
    // What goes on where an earlier upload stopped is an artifact of its own: its beginning is not on this connection.
    let begin = if transfer.direction == Some(Direction::Upload) { 0 } else { transfer.offset };
    let conversation = match transfer.direction {
        Some(direction) => Conversation::of_ftp_data(DataReader::new(&transfer.path, direction, true, begin)),
        None => Conversation::new(Transport::Tcp, 0),
    };
    let Ok(mut data) = link.beside(stream, conversation) else { return link.write(&reply(425, "Error")).await };
    let ending = match transfer.content {
        Content::Send(bytes) => send(&mut data, &bytes).await,
        Content::Receive { upload, mut at } => loop {
            match data.read().await {
                Ok(bytes) => dialogue.write(&upload, &mut at, &bytes, link.age()),
                Err(ending) => break ending,
            }
        },
    };
    link.end_beside(data, ending)?;
    match ending {
        Ending::Closed => link.write(&reply(226, "Operation successful")).await,
        Ending::Idle => link.write(&reply(426, "Error")).await,
        Ending::Bound | Ending::Stopped => Err(ending),
    }
}

async fn send(data: &mut Link, bytes: &[u8]) -> Ending {
    for part in bytes.chunks(DATA_PART_BYTES) {
        if let Err(ending) = data.write(part).await {
            return ending;
        }
    }
    data.finish();
    Ending::Closed
}

/// Waits for a data connection. Only the client may open it: somebody else would get, or give, what is the client's
/// (RFC 2577, 4).
async fn accept(link: &mut Link, listener: &TcpListener) -> Result<Option<TcpStream>, Ending> {
    let Ok((client, _)) = link.ends() else { return Err(Ending::Closed) };
    let deadline = Instant::now() + DATA_WAIT;
    for _ in 0..=STRANGERS_MAX {
        let accepted = tokio::select! {
            biased;
            ending = link.stopped() => return Err(ending),
            accepted = timeout_at(deadline, listener.accept()) => accepted,
        };
        match accepted {
            Ok(Ok((stream, from))) if from.ip() == client.ip() => return Ok(Some(stream)),
            Ok(Ok(_) | Err(_)) => {}
            Err(_elapsed) => return Ok(None),
        }
    }
    Ok(None)
}
