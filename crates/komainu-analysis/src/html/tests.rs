use komainu_model::Timestamp;

use super::*;
use crate::behaviour::RuleSet;
use crate::evidence::{Evidence, StaticText};
use crate::report::analyse;
use crate::trace::evidence_of;

fn page_of(evidence: &Evidence, language: Language) -> String {
    page(&analyse(evidence, &RuleSet::own(), Timestamp::from_unix_seconds(0)), language)
}

/// What a sample might write to break out of a text or an attribute.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;{{7*7}}</style>\u{202e}";

#[test]
fn texts_of_a_sample_are_texts() {
    let escaped = komainu_trace::RawText::from(HOSTILE).to_string().replace(' ', "\\x20");
    let mut evidence = evidence_of(&format!(
        "guest 0 100 exec /tmp/{escaped} {escaped}\nguest 0.1 100 open /etc/rc.local 1 4\nguest 0.2 100 write 4 9 {escaped}\n\
         net 1 connect 1 203.0.113.7:80 name={escaped}\nnet 1.1 http 1 GET /{escaped} {escaped} 200\n\
         net 2 login 1 telnet {escaped} {escaped} no\n"
    ));
    evidence.sample.name = Some(HOSTILE.into());
    evidence.sample.description = HOSTILE.into();
    evidence.sample.rules = vec![HOSTILE.into()];
    evidence.sample.texts = vec![StaticText { kind: HOSTILE.into(), value: HOSTILE.into(), decoded: true }];
    evidence.runs[0].cut = vec![HOSTILE.into()];
    for language in [Language::English, Language::Japanese] {
        let page = page_of(&evidence, language);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("onerror=alert(1)>\""), "{page}");
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.contains("&lt;script&gt;"));
    }
}

#[test]
fn a_page_needs_nothing_else() {
    let page = page_of(&evidence_of("guest 0 100 exec /tmp/sample s\n"), Language::English);
    for word in ["src=", "url(", "@import", "<link", "http-equiv=\"refresh\""] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn both_languages_say_the_sentence() {
    let evidence = evidence_of("guest 0 100 exec /tmp/sample s\n");
    assert!(page_of(&evidence, Language::English).contains("Showed nothing harmful"));
    let japanese = page_of(&evidence, Language::Japanese);
    assert!(japanese.contains("有害な動作は見られません") && japanese.contains("lang=\"ja\""));
}

#[test]
fn words_of_closed_lists_are_japanese_too() {
    let japanese = page_of(&evidence_of("guest 0 100 exec /tmp/sample s\n"), Language::Japanese);
    let words = Words { language: Language::Japanese };
    assert_eq!((words.word("time_over"), words.word("someday")), ("時間切れ", "someday"));
    assert!(!japanese.contains(">not_run<") && !japanese.contains(">informational<"), "{japanese}");
}
