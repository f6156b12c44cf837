//! What the mails say. One of each kind is kept in `docs/mails`, to be read in review; `KOMAINU_UPDATE_GOLDEN=1` writes
//! them anew.

use std::path::PathBuf;

use komainu_model::{BehaviorName, ReporterName, SightingWay, ViolationEventType};
use lettre::message::Mailbox;

use super::samples::*;
use super::*;
use crate::courier::letter::{Letter, html, text};

fn letter(delivery: &Delivery) -> Letter {
    letter_in(delivery, Language::English)
}

fn letter_in(delivery: &Delivery, language: Language) -> Letter {
    Letter::of(delivery, &Links::new(PUBLIC_URL), language)
}

fn from() -> Mailbox {
    "komainu@example.com".parse().unwrap()
}

/// The whole mail as it travels.
fn formatted(delivery: &Delivery) -> String {
    formatted_in(delivery, Language::English)
}

fn formatted_in(delivery: &Delivery, language: Language) -> String {
    let mail = mail::of_letter(delivery, &Links::new(PUBLIC_URL), &from(), language).unwrap();
    String::from_utf8(mail.formatted()).unwrap()
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
    headers.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn the_mails_in_the_docs_are_the_mails_that_are_sent() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/mails");
    let update = std::env::var_os("KOMAINU_UPDATE_GOLDEN").is_some();
    let digest = "20 mails went to you on this topic within an hour. To keep your inbox usable, Komainu held the \
                  following back and tells you about them here:\n\n- 01:41:07 UTC  [Komainu] camera-17: bytesOut out \
                  of bounds\n- 01:41:09 UTC  [Komainu] camera-18: bytesOut out of bounds";
    for (name, kind) in [
        ("confirmation", confirmation()),
        ("alarm", alarm()),
        ("alarm-ports", ports()),
        ("alarm-threat", threat(SightingWay::Report)),
        ("alarm-threat-before", threat(SightingWay::LookingBack)),
        ("cleared", cleared()),
        ("ended", invalidated()),
        (
            "message",
            message(Some("Maintenance on Sunday"), "The gateway restarts at 02:00 UTC.\n\nExpect a minute of silence."),
        ),
        ("digest", held_back(2, "[Komainu] 2 more messages on MisbehavingDevices", digest)),
        ("unsubscribed", farewell()),
    ] {
        for (language, suffix) in [(Language::English, ""), (Language::Japanese, ".ja")] {
            let letter = letter_in(&mail(kind.clone()), language);
            let plain = format!("Subject: {}\n\n{}", letter.subject, text::render(&letter));
            for (extension, rendered) in [("txt", plain), ("html", html::render(&letter) + "\n")] {
                let path = dir.join(format!("{name}{suffix}.{extension}"));
                if update {
                    std::fs::create_dir_all(&dir).unwrap();
                    std::fs::write(&path, &rendered).unwrap();
                }
                let kept = std::fs::read_to_string(&path).unwrap_or_default();
                assert!(
                    kept == rendered,
                    "{name}{suffix}.{extension} differs; look at the difference with KOMAINU_UPDATE_GOLDEN=1"
                );
            }
        }
    }
}

#[test]
fn an_alarm_says_what_people_need() {
    let plain = text::render(&letter(&mail(alarm())));
    for expected in [
        "ALARM: MyDevice is out of bounds",
        "52,480 bytes sent in 5 minutes. Normal is less than 10,000.",
        "Security profile:    CheckRogueDevices",
        "Groups:              allMyDevices, buildingSeven",
        "Out of bounds since: 23 November 2026, 02:13:20 UTC",
        "export AWS_ENDPOINT_URL=https://komainu.example:4433\n",
        "aws iot list-violation-events --thing-name=MyDevice --start-time 2026-11-23T01:13:20Z --end-time \
         2026-11-24T02:13:20Z\n",
        "aws iot list-thing-principals --thing-name=MyDevice\n",
        "aws iot update-certificate --new-status INACTIVE",
        "Unsubscribe: https://komainu.example:4433/?Action=Unsubscribe&SubscriptionArn=arn%3Aaws%3Asns%3Aus-east-1",
    ] {
        assert!(plain.contains(expected), "{expected:?} is not in\n{plain}");
    }
    let ports = text::render(&letter(&mail(ports())));
    assert!(ports.contains("Unexpected open TCP ports: 2323, 48101. Normal is only 22, 443, 8883."), "{ports}");
    let cleared = text::render(&letter(&mail(cleared())));
    assert!(cleared.contains("bytesOut was out of bounds for 25 minutes and is as it should be again."), "{cleared}");
}

#[test]
fn a_japanese_mail_is_japanese() {
    let japanese = |kind| letter_in(&mail(kind), Language::Japanese);
    let alarm_letter = japanese(alarm());
    assert_eq!(alarm_letter.subject, "[Komainu] MyDevice：bytesOut が正常な範囲を外れました");
    let plain = text::render(&alarm_letter);
    for expected in [
        "【アラーム】MyDevice が正常な範囲を外れました\n",
        "直近 5 分の送信バイト数は 52,480 です。正常な範囲は 10,000 未満です。",
        "発生日時:                 2026年11月23日 02:13:20 UTC",
        "aws iot list-thing-principals --thing-name=MyDevice\n",
    ] {
        assert!(plain.contains(expected), "{expected:?} is not in\n{plain}");
    }
    assert!(html::render(&alarm_letter).contains("<html lang=\"ja\">"));
    let mail = formatted_in(&super::samples::mail(alarm()), Language::Japanese);
    assert_eq!(header(&mail, "Content-Language"), Some("ja"));
    assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 78 || line.starts_with("List-")), "{mail}");
    // Names as long as they may be still give a subject as short as it must be.
    let mut event = event(ViolationEventType::InAlarm);
    event.reporter = ReporterName::parse(&"d".repeat(128)).unwrap();
    event.behavior.name = BehaviorName::parse(&"b".repeat(128)).unwrap();
    for language in Language::ALL {
        let subject = letter_in(&super::samples::mail(alert(event.clone(), "")), language).subject;
        assert!(subject.chars().count() <= 100, "{subject}");
    }
    // What was held back is said anew, line by line.
    let digest =
        japanese(held_back(51, "", "20 mails went.\n\n- 02:13:20 UTC  [Komainu] a: b out of bounds\n… and 50 more."));
    assert_eq!(digest.subject, "[Komainu] MisbehavingDevices：まとめてお知らせするメッセージ 51 件");
    assert_eq!(
        digest.message.as_deref(),
        Some("- 02:13:20 UTC  [Komainu] a：b が正常な範囲を外れました\n… ほか 50 件")
    );
}

#[test]
fn headers() {
    let mail = formatted(&mail(alarm()));
    for (name, expected) in [
        ("From", "Komainu <komainu@example.com>"),
        ("To", "operator@example.com"),
        ("Subject", "[Komainu] MyDevice: bytesOut out of bounds"),
        ("Date", "Mon, 23 Nov 2026 02:13:20 +0000"),
        ("Message-ID", "<0a1b2c3d-4e5f-5a6b-8c7d-9e0f1a2b3c4d@example.com>"),
        ("References", "<6d3c4c1e-6a26-5f2f-9b7e-0123456789ab@example.com>"),
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", "en"),
        (
            "List-Unsubscribe",
            "<https://komainu.example:4433/?Action=Unsubscribe&SubscriptionArn=arn%3Aaws%3Asns%3Aus-east-1%3A\
             123456789012%3AMisbehavingDevices%3A6f5e4d3c-2b1a-4098-8765-43210fedcba9&Token=0123456789abcdef\
             0123456789abcdef0123456789abcdef0123456789abcdef>",
        ),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(header(&mail, name), Some(expected), "{name} in\n{mail}");
    }
    assert!(mail.contains("Content-Type: multipart/alternative"));
    assert!(mail.contains("Content-Type: text/plain; charset=utf-8"));
    assert!(mail.contains("Content-Type: text/html; charset=utf-8"));
    assert!(mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
    assert_eq!(header(&formatted(&super::samples::mail(confirmation())), "List-Unsubscribe"), None);
}

#[test]
fn the_topic_names_the_sender_and_cannot_do_more() {
    let mut delivery = mail(alarm());
    for (name, expected) in [
        ("Fleet alarms", "\"Fleet alarms\" <komainu@example.com>"),
        ("Bob <bob@example.com>", "=?utf-8?b?Qm9iIDxib2JAZXhhbXBsZS5jb20+?= <komainu@example.com>"),
        ("Alarms ✓", "=?utf-8?b?QWxhcm1zIOKckw==?= <komainu@example.com>"),
    ] {
        delivery.notification.sender_name = Some(name.to_owned());
        assert_eq!(header(&formatted(&delivery), "From"), Some(expected), "{name}");
    }
    delivery.notification.sender_name = Some("a\r\nBcc: victim@example.com\r\n\r\n".to_owned());
    assert_eq!(header(&formatted(&delivery), "Bcc"), None);
}

#[test]
fn hostile_text_stays_text() {
    let delivery = mail(hostile());
    let letter = letter(&delivery);
    let html = html::render(&letter);
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(html.contains("&lt;/td&gt;&lt;script&gt;"));
    let plain = text::render(&letter);
    assert!(!plain.contains("\nBcc:") && !plain.contains('\u{202e}') && !plain.contains('\r'), "{plain}");
    // A name that does not look as it is gets no commands to paste.
    assert!(!plain.contains("list-thing-principals"), "{plain}");
    let mail = formatted(&delivery);
    assert_eq!(header(&mail, "Bcc"), None);
    assert!(!mail.contains("onerror=alert(1)>"));

    let subject = "a\r\nBcc: victim@example.com\r\n\r\nbody";
    let mail = formatted(&super::samples::mail(message(Some(subject), "x\r\n.\r\nRSET\r\n")));
    assert_eq!(header(&mail, "Bcc"), None);
    let html = html::render(&letter_in(&super::samples::mail(message(None, "</div><h1>x")), Language::English));
    assert!(html.contains("&lt;/div&gt;&lt;h1&gt;x") && html.contains("[Komainu] Message on MisbehavingDevices"));
}

#[test]
fn programs_get_json() {
    let delivery = delivery(Protocol::EmailJson, "siem@example.com", message(None, "hello"));
    let json = envelope::json(&delivery, &Links::new(PUBLIC_URL), &NoAuthority).unwrap();
    let mail = mail::of_json(&delivery, &json, &from()).unwrap();
    let mail = String::from_utf8(mail.formatted()).unwrap();
    assert_eq!(header(&mail, "Subject"), Some("AWS Notification Message"));
    assert_eq!(header(&mail, "Content-Type"), Some("text/plain; charset=utf-8"));
}
