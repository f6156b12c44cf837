//! The console of a server: where it listens, and what is said about it at the start.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use komainu_console::{Console, ConsoleParts, CookieScope, Server, TlsCertificate};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::oidc::OidcSection;

/// Where the console listens when nobody says otherwise: on this machine only, on a port of its own that ordinary users may
/// open, no service is registered for, and that reminds of 8443.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8460);

/// Proxies in front; each is compared with the address of every connection.
const PROXIES_MAX: usize = 64;

/// The console of `komainu serve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConsoleSection {
    /// Whether the server has one.
    pub(crate) run: bool,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Whether it speaks TLS, with the server's own certificate.
    pub(crate) tls: bool,
    /// Where people reach it, when that is another address than the one where it listens.
    pub(crate) url: Option<String>,
    /// Addresses of proxies in front of it.
    pub(crate) proxies: Vec<IpAddr>,
    /// Through whom operators sign in, besides passwords.
    pub(crate) oidc: OidcSection,
}

impl Default for ConsoleSection {
    fn default() -> Self {
        Self {
            run: true,
            listen: DEFAULT_LISTEN,
            tls: false,
            url: None,
            proxies: Vec::new(),
            oidc: OidcSection::default(),
        }
    }
}

impl ConsoleSection {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(url) = &self.url {
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
            if host.is_empty() || host.contains('/') || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
                bail!("console.url is {url:?}: it must be http://HOST or https://HOST, without a path");
            }
        }
        if self.proxies.len() > PROXIES_MAX {
            bail!("console.proxies has more than {PROXIES_MAX} addresses");
        }
        self.oidc.check()
    }

    /// Where people reach it; `host` is what this server is called.
    pub(crate) fn url(&self, host: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        match &self.url {
            Some(url) => url.clone(),
            None if self.listen.ip().is_unspecified() => format!("{scheme}://{host}:{}", self.listen.port()),
            None => format!("{scheme}://{}", self.listen),
        }
    }

    /// Browsers that come over TLS, here or to a proxy, keep cookies for it.
    pub(crate) fn cookies(&self) -> CookieScope {
        let is_proxied = self.url.as_ref().is_some_and(|url| url.starts_with("https://"));
        if self.tls || is_proxied { CookieScope::Tls } else { CookieScope::Any }
    }
}

/// A console that listens.
pub(crate) struct RunningConsole {
    pub(crate) address: SocketAddr,
    server: Arc<Server>,
    listening: JoinHandle<()>,
}

/// Opens the console. Also says for people where it is, and how the first operator comes in.
pub(crate) async fn open(
    section: &ConsoleSection,
    host: &str,
    parts: ConsoleParts,
    certificate: &TlsCertificate,
) -> anyhow::Result<Option<(RunningConsole, Vec<String>)>> {
    let listener = match TcpListener::bind(section.listen).await {
        Ok(listener) => listener,
        // Several servers may run on one machine, and nobody asked for this address.
        Err(error) if section.listen == DEFAULT_LISTEN => {
            tracing::warn!(
                address = %section.listen,
                %error,
                "no console: its address is taken; choose another with --console (docs/console.md)"
            );
            return Ok(None);
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot listen on {} for the console (--console)", section.listen));
        }
    };
    let of_link = parts.accounts.clone();
    let first_link =
        tokio::task::spawn_blocking(move || of_link.first_link()).await?.context("cannot read accounts")?;
    let console = tokio::task::spawn_blocking(move || Console::new(parts)).await?;
    let server = if section.tls {
        Server::tls(console, certificate).context("cannot use the server's certificate for the console")?
    } else {
        Server::plain(console)
    };
    let mut says = vec![format!("  console        {}", section.url(host))];
    if !section.tls && section.url.is_none() && !section.listen.ip().is_loopback() {
        says.push("  INSECURE       passwords travel without encryption: set console.tls (docs/console.md)".to_owned());
    }
    if let Some(issuer) = &section.oidc.issuer {
        says.push(format!(
            "  sign-in        {} ({issuer}), redirect URL {}/oidc/callback",
            section.oidc.name,
            section.url(host)
        ));
    }
    if let Some(link) = first_link {
        says.push(
            "no operator yet: whoever opens this link within a day becomes the first admin of the console".to_owned(),
        );
        says.push(format!("  {}", link.url));
    }
    let address = listener.local_addr().context("cannot tell where the console listens")?;
    let listening = tokio::spawn(server.clone().listen(listener));
    Ok(Some((RunningConsole { address, server, listening }, says)))
}

impl RunningConsole {
    /// Ends what is being answered, for `grace` at most.
    pub(crate) async fn shutdown(self, grace: Duration) {
        self.server.stop(grace).await;
        self.listening.abort();
    }
}
