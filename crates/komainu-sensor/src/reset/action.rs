//! What brings a device back: a request, a switch, a program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use komainu_model::{ResetAction, ResetStep, ResetWebhook, Secret, WebhookMethod};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use reqwest::{Client, Method};
use tokio::process::Command;
use tokio::time::timeout;

use super::poe;

/// Carries out an action within its time.
pub(super) async fn carry_out(step: &ResetStep, secrets: &BTreeMap<PathBuf, Secret>) -> Result<(), String> {
    let time = Duration::from_secs(step.timeout_s.into());
    let action = async {
        match &step.action {
            ResetAction::Webhook(webhook) => send(webhook, secrets).await,
            // It has to bring the power back when its time is over.
            ResetAction::SnmpPoe(port) => return poe::cycle(port, secret(secrets, &port.community_file)?, time).await,
            ResetAction::Command(words) => run(words).await,
        }
    };
    match &step.action {
        ResetAction::SnmpPoe(_) => action.await,
        ResetAction::Webhook(_) | ResetAction::Command(_) => {
            timeout(time, action).await.map_err(|_elapsed| format!("not done within {} s", step.timeout_s))?
        }
    }
}

fn secret<'a>(secrets: &'a BTreeMap<PathBuf, Secret>, path: &Path) -> Result<&'a Secret, String> {
    secrets.get(path).ok_or_else(|| format!("{} was not handed on", path.display()))
}

async fn send(webhook: &ResetWebhook, secrets: &BTreeMap<PathBuf, Secret>) -> Result<(), String> {
    // What a URL holds may be secret.
    let said = |error: reqwest::Error| with_causes(&error.without_url());
    let client = Client::builder()
        .user_agent(concat!("Komainu/", env!("CARGO_PKG_VERSION")))
        // A redirect would lead where the owner did not say.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .build()
        .map_err(said)?;
    let method = match webhook.method {
        WebhookMethod::Get => Method::GET,
        WebhookMethod::Post => Method::POST,
        WebhookMethod::Put => Method::PUT,
    };
    let mut request = client.request(method, &webhook.url);
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    if let Some(path) = &webhook.bearer_token_file {
        request = request.bearer_auth(secret(secrets, path)?.expose());
    }
    if let Some(body) = &webhook.body {
        request = request.body(body.clone());
    }
    // The status says it all; what follows is not read.
    let status = request.send().await.map_err(said)?.status();
    if status.is_success() { Ok(()) } else { Err(format!("the answer has the status {}", status.as_u16())) }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Ends a program and what it started when it is dropped.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // It may have ended.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

async fn run(words: &[String]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("there is no program")?;
    // What it complains about goes where our own log goes.
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn();
    let mut child = child.map_err(|error| format!("{program} cannot be run: {error}"))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let _group = pid.map(|pid| Group(Pid::from_raw(pid)));
    let status = child.wait().await.map_err(|error| format!("{program} cannot be waited for: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}
