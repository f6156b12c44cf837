//! A reason in both languages.

/// What a report says, as it stands in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) en: String,
    pub(crate) ja: String,
}

/// In English and in Japanese.
pub(crate) fn said(en: impl Into<String>, ja: impl Into<String>) -> Said {
    Said { en: en.into(), ja: ja.into() }
}

/// All English ones, and all Japanese ones, in their order.
pub(crate) fn apart(all: Vec<Said>) -> (Vec<String>, Vec<String>) {
    all.into_iter().map(|one| (one.en, one.ja)).unzip()
}
