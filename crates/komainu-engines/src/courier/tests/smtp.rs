use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::samples::*;
use super::*;

/// What the server answers to a command; everything else gets the ordinary answer.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// This line.
    Line(&'static str),
    /// The connection is closed.
    Drop,
    /// None, for as long as the test runs.
    Silence,
}

/// A mail server that answers `answer` to commands that begin with `command`. It hands out the mails it took.
struct MailServer {
    address: SocketAddr,
    mails: mpsc::UnboundedReceiver<String>,
}

impl MailServer {
    async fn start(command: &'static str, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mail_sender, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, command, answer, mail_sender.clone()));
            }
        });
        Self { address, mails }
    }

    fn config(&self) -> SmtpConfig {
        SmtpConfig {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            tls: SmtpTls::None,
            login: None,
            from: "komainu@example.com".to_owned(),
            language: Language::English,
            extra_roots_file: None,
            timeout: Duration::from_secs(20),
        }
    }
}

async fn converse(
    stream: TcpStream,
    command: &'static str,
    answer: Answer,
    mails: mpsc::UnboundedSender<String>,
) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut said = "(greeting)".to_owned();
    loop {
        let ordinary = match said.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "(GREETING)" => "220 test ESMTP",
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN",
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        let scripted = said.to_ascii_uppercase().starts_with(command).then_some(answer);
        let line = match scripted {
            None => ordinary,
            Some(Answer::Line(line)) => line,
            Some(Answer::Drop) => return None,
            Some(Answer::Silence) => std::future::pending().await,
        };
        writer.write_all(format!("{line}\r\n").as_bytes()).await.ok()?;
        if said == "DATA" && line.starts_with("354") {
            let mut mail = String::new();
            loop {
                let line = lines.next_line().await.ok()??;
                if line == "." {
                    break;
                }
                mail.push_str(&line);
                mail.push('\n');
            }
            mails.send(mail).ok();
            said = "(mail)".to_owned();
            continue;
        }
        said = lines.next_line().await.ok()??;
    }
}

async fn deliver(command: &'static str, answer: Answer) -> DeliveryOutcome {
    let server = MailServer::start(command, answer).await;
    couriers(Some(server.config())).deliver(&mail(alarm())).await
}

#[tokio::test]
async fn a_mail_arrives() {
    let mut server = MailServer::start("(never)", Answer::Drop).await;
    let couriers = couriers(Some(server.config()));
    assert_eq!(couriers.deliver(&mail(alarm())).await, DeliveryOutcome::Done);
    let first = server.mails.recv().await.unwrap();
    assert!(first.contains("Subject: [Komainu] MyDevice: bytesOut out of bounds\n"), "{first}");
    // The same delivery again is the same mail, byte for byte.
    assert_eq!(couriers.deliver(&mail(alarm())).await, DeliveryOutcome::Done);
    assert_eq!(server.mails.recv().await.unwrap(), first);
    let json = delivery(Protocol::EmailJson, "siem@example.com", message(Some("s"), "hello"));
    assert_eq!(couriers.deliver(&json).await, DeliveryOutcome::Done);
    assert!(server.mails.recv().await.unwrap().contains("\"Message\": \"hello\""));
}

#[tokio::test]
async fn a_line_with_a_dot_does_not_end_the_mail() {
    let mut server = MailServer::start("(never)", Answer::Drop).await;
    let text = "first\n.\nQUIT\nlast";
    let couriers = couriers(Some(server.config()));
    assert_eq!(couriers.deliver(&mail(message(None, text))).await, DeliveryOutcome::Done);
    assert!(server.mails.recv().await.unwrap().contains("first\n..\nQUIT\nlast"));
}

#[tokio::test]
async fn a_temporary_refusal_is_worth_another_try() {
    for (command, line) in [
        ("(GREETING)", "421 busy"),
        ("MAIL", "451 local error"),
        ("RCPT", "450 greylisted, come back"),
        ("RCPT", "452 mailbox full"),
        ("(MAIL)", "452 disk full"),
        // Permanent, but about us: an operator may set it right.
        ("EHLO", "502 not implemented"),
        ("MAIL", "530 authentication required"),
        ("RCPT", "552 mailbox full"),
    ] {
        assert_retry(deliver(command, Answer::Line(line)).await, &line[..3]);
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_final() {
    for (command, line) in [
        ("RCPT", "550 no such user here"),
        ("RCPT", "553 mailbox name not allowed"),
        ("RCPT", "556 domain does not accept mail"),
        ("(MAIL)", "554 looks like spam"),
    ] {
        assert_gone(deliver(command, Answer::Line(line)).await, &line[4..]);
    }
}

#[tokio::test]
async fn a_broken_connection_is_worth_another_try() {
    for command in ["(GREETING)", "EHLO", "MAIL", "DATA", "(MAIL)"] {
        assert_retry(deliver(command, Answer::Drop).await, "");
    }
    assert_retry(deliver("RCPT", Answer::Line("nonsense")).await, "");
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut config = MailServer::start("(never)", Answer::Drop).await.config();
    config.port = unused.port();
    assert_retry(couriers(Some(config)).deliver(&mail(alarm())).await, "refused");
    assert_retry(couriers(None).deliver(&mail(alarm())).await, "no mail server is configured");
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_us_up() {
    for command in ["(GREETING)", "DATA", "(MAIL)"] {
        let server = MailServer::start(command, Answer::Silence).await;
        let config = SmtpConfig { timeout: Duration::from_millis(200), ..server.config() };
        assert_retry(couriers(Some(config)).deliver(&mail(alarm())).await, "");
    }
}

#[tokio::test]
async fn we_say_who_we_are() {
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "s3cret\n").unwrap();
    let login = || Some(SmtpLogin { user: "komainu".to_owned(), password_file: password_file.clone() });
    // The answer is given to the right user and password only: base64 of NUL komainu NUL s3cret.
    let server = MailServer::start("AUTH PLAIN AGTVBWFPBNUACZNJCMV0", Answer::Line("235 welcome")).await;
    let config = SmtpConfig { login: login(), ..server.config() };
    assert_eq!(couriers(Some(config)).deliver(&mail(alarm())).await, DeliveryOutcome::Done);
    let server = MailServer::start("AUTH", Answer::Line("535 wrong password")).await;
    let config = SmtpConfig { login: login(), ..server.config() };
    assert_retry(couriers(Some(config)).deliver(&mail(alarm())).await, "wrong password");
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_when_tls_is_asked_for() {
    for tls in [SmtpTls::StartTls, SmtpTls::Tls] {
        let mut server = MailServer::start("(never)", Answer::Drop).await;
        let config =
            SmtpConfig { tls, host: "localhost".to_owned(), timeout: Duration::from_secs(2), ..server.config() };
        assert_retry(couriers(Some(config)).deliver(&mail(alarm())).await, "");
        assert!(server.mails.try_recv().is_err());
    }
}
