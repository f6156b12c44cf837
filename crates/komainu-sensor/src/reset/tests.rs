//! Examinations of devices on this machine.

use std::io::{Read, Write};
use std::net::TcpListener;

use komainu_model::{ResetAction, ResetStep, ResetWebhook, WebhookMethod};

use super::*;
use crate::reset::baseline::{Page, Spoken};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A port that greets, or answers, each time, and keeps the connection until the other side ends it.
fn port(greeting: &'static str, answer: &'static str) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever only wanted to know whether it is open has gone.
            let _ = stream.write_all(greeting.as_bytes());
            if !answer.is_empty() && stream.read(&mut [0; 1000]).is_ok() {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    port
}

fn order(task: ExaminationTask, actions: Vec<ResetStep>) -> ExaminationOrder {
    let plan = ResetPlan { actions, baseline: false, ..ResetPlan::default() };
    ExaminationOrder { address: HERE, task, plan, secrets: BTreeMap::new(), baseline: None }
}

async fn examined(order: &ExaminationOrder) -> (Examined, Vec<String>) {
    let mut said = Vec::new();
    let examination = examine(order, &mut |finding| {
        said.push(finding.error.clone().or(finding.difference.clone()).unwrap_or_else(|| format!("{}", finding.ok)));
    })
    .await;
    (examination.examined, said)
}

fn command(words: &[&str], timeout_s: u32) -> ResetStep {
    ResetStep { action: ResetAction::Command(words.iter().map(|word| (*word).to_owned()).collect()), timeout_s }
}

#[tokio::test]
async fn ports_are_found_and_heard() {
    let greets = port("220 ready\r\n", "");
    let page = port("", "HTTP/1.0 200 OK\r\nServer: Cam\r\n\r\n<title>Door</title>");
    let closed = {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let survey = survey::survey(HERE, [greets, page, closed].into_iter()).await.unwrap();
    let expected = [
        (greets, Spoken::Greeting("220 ready".into())),
        (page, Spoken::Http(Page { status: 200, server: Some("Cam".into()), title: Some("Door".into()) })),
    ];
    assert_eq!(survey.ports, expected.into());
}

#[tokio::test]
async fn the_first_action_that_fails_is_the_last() {
    let order = order(ExaminationTask::Reset, vec![command(&["/bin/false"], 5), command(&["/bin/true"], 5)]);
    assert_eq!(examined(&order).await, (Examined::Failed, vec!["/bin/false ended with exit status: 1".into()]));
}

#[tokio::test]
async fn what_is_missing_fails() {
    let order = order(ExaminationTask::Reset, vec![command(&["/nowhere/at/all"], 5)]);
    let (examined, said) = examined(&order).await;
    assert_eq!(examined, Examined::Failed);
    assert!(said[0].starts_with("/nowhere/at/all cannot be run: "), "{said:?}");
}

/// A command that hangs is ended with all that it started: the pipe, which only they hold open, ends.
#[tokio::test]
async fn a_command_that_hangs_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reading = {
        let pipe = pipe.clone();
        tokio::task::spawn_blocking(move || std::fs::read(pipe).unwrap())
    };
    let line = format!("(sleep 600 & sleep 600) > {}", pipe.display());
    let order = order(ExaminationTask::Reset, vec![command(&["/bin/sh", "-c", &line], 1)]);
    assert_eq!(examined(&order).await, (Examined::Failed, vec!["not done within 1 s".into()]));
    assert_eq!(timeout(Duration::from_secs(10), reading).await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn a_webhook_must_answer_that_it_went_well() {
    let check = async |answer: &'static str, expected: &str| {
        let webhook = ResetWebhook {
            url: format!("http://127.0.0.1:{}/cycle?key=SECRET", port("", answer)),
            method: WebhookMethod::Post,
            body: Some("off".into()),
            headers: vec![("X-Socket".into(), "4".into())],
            bearer_token_file: None,
        };
        let action = ResetAction::Webhook(webhook);
        let order = order(ExaminationTask::Reset, vec![ResetStep { action, timeout_s: 2 }]);
        let (examined, said) = examined(&order).await;
        assert_eq!(examined == Examined::Clean, expected == "true", "{said:?}");
        assert!(said[0].contains(expected) && !said[0].contains("SECRET"), "{said:?}");
    };
    check("HTTP/1.1 204 No Content\r\n\r\n", "true").await;
    check("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n", "the answer has the status 500").await;
    check("HTTP/1.1 302 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302").await;
    check("nothing of HTTP\r\n\r\n", "error").await;
}

#[tokio::test]
async fn a_device_that_takes_no_connection_is_not_ready() {
    let plan = ResetPlan {
        ready: Some(ReadyProbe { port: 1, delay_s: 0, timeout_s: 1 }),
        ..order(ExaminationTask::Reset, Vec::new()).plan
    };
    let order = ExaminationOrder { plan, ..order(ExaminationTask::Reset, Vec::new()) };
    assert_eq!(examined(&order).await, (Examined::Failed, vec!["port 1 took no connection within 1 s".into()]));
}

#[tokio::test]
async fn without_a_baseline_nothing_is_as_it_should_be() {
    let order = order(ExaminationTask::Compare, Vec::new());
    assert_eq!(examined(&order).await, (Examined::Failed, vec!["there is no baseline".into()]));
}
