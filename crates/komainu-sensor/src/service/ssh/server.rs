//! Joins russh to a [`Visit`](super::visit::Visit): what a client asks for goes to whoever keeps the visit, and what is
//! answered is done.

use std::time::Duration;

use russh::keys::HashAlg;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session};
use russh::{Channel, ChannelId, ChannelOpenFailure, Error, Pty};

use super::visit::{Act, Answer, Asked};
use super::wire::Wire;

/// Bytes that are said because of one message, and bytes that wait because the client does not take them. A client that
/// makes a persona say more is sent away.
const SAID_BYTES_MAX: usize = 1024 * 1024;

/// Hands on what russh understood.
pub(super) struct Messenger {
    wire: Wire,
    /// What waits because the client does not take it, in bytes, at most.
    waiting: usize,
}

impl Messenger {
    pub(super) const fn new(wire: Wire) -> Self {
        Self { wire, waiting: 0 }
    }

    fn ask(&self, asked: Asked) -> Result<Answer, Error> {
        self.wire.ask(asked).ok_or(Error::Disconnect)
    }

    async fn pause(&self, delay: Duration) -> Result<(), Error> {
        if self.wire.pause(delay).await { Ok(()) } else { Err(Error::Disconnect) }
    }

    /// Does what was answered; how much that said, in bytes.
    async fn act(&mut self, channel: ChannelId, acts: Vec<Act>, session: &mut Session) -> Result<usize, Error> {
        let mut said = 0;
        for act in acts {
            match act {
                Act::Say(bytes) => {
                    said += bytes.len();
                    self.waiting = if session.has_pending_data(channel) { self.waiting + bytes.len() } else { 0 };
                    if self.waiting > SAID_BYTES_MAX {
                        return Err(Error::Disconnect);
                    }
                    session.data(channel, bytes)?;
                }
                Act::Wait(delay) => self.pause(delay).await?,
                Act::Exit(status) => {
                    session.exit_status_request(channel, status.into())?;
                    session.eof(channel)?;
                    session.close(channel)?;
                }
            }
        }
        Ok(said)
    }

    /// Asks for something that a channel is to do, and says whether it does.
    async fn request(&mut self, channel: ChannelId, asked: Asked, session: &mut Session) -> Result<(), Error> {
        let answer = self.ask(asked)?;
        if answer.accepted {
            session.channel_success(channel)?;
        } else {
            session.channel_failure(channel)?;
        }
        self.act(channel, answer.acts, session).await.map(drop)
    }

    async fn refuse_forward(&self, what: &'static str, host: &str, port: u32) -> Result<(), Error> {
        self.ask(Asked::Forward { what, host: host.to_owned(), port }).map(drop)
    }
}

impl Handler for Messenger {
    type Error = Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Error> {
        let asked = Asked::Password { user: user.to_owned(), password: password.to_owned() };
        Ok(if self.ask(asked)?.accepted { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        let fingerprint = offer.public_key.fingerprint(HashAlg::Sha256).to_string();
        self.ask(Asked::PublicKey { user: user.to_owned(), fingerprint })?;
        Ok(Auth::reject())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        if self.ask(Asked::Open(channel.id().number()))?.accepted {
            reply.accept().await;
        } else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse_forward("proxy_request", host_to_connect, port_to_connect).await?;
        reply.reject(ChannelOpenFailure::ConnectFailed).await;
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _: &mut Session) -> Result<bool, Error> {
        self.refuse_forward("listen_request", address, *port).await?;
        Ok(false)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        self.request(channel, Asked::Terminal(channel.number()), session).await
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        let asked = Asked::Variable { name: name.to_owned(), value: value.to_owned() };
        self.request(channel, asked, session).await
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.request(channel, Asked::Shell(channel.number()), session).await
    }

    async fn exec_request(&mut self, channel: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Error> {
        self.request(channel, Asked::Run(channel.number(), command.to_vec()), session).await
    }

    async fn subsystem_request(&mut self, channel: ChannelId, name: &str, session: &mut Session) -> Result<(), Error> {
        self.request(channel, Asked::Subsystem(channel.number(), name.to_owned()), session).await
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Error> {
        let (mut rest, mut said) = (data.to_vec(), 0);
        loop {
            // A program that goes on and on lets others have their turn.
            tokio::task::consume_budget().await;
            let answer = self.ask(Asked::Data(channel.number(), rest))?;
            said += self.act(channel, answer.acts, session).await?;
            rest = answer.rest;
            if rest.is_empty() && !answer.goes_on {
                return Ok(());
            }
            if said > SAID_BYTES_MAX {
                return Err(Error::Disconnect);
            }
        }
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        let answer = self.ask(Asked::End(channel.number()))?;
        self.act(channel, answer.acts, session).await.map(drop)
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        // Nobody is there any more who could be told anything.
        self.ask(Asked::Close(channel.number())).map(drop)
    }
}
