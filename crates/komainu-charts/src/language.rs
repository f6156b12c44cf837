//! The few words that charts bring themselves, in each language of the console.

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    pub(crate) fn no_data(self) -> &'static str {
        match self {
            Self::English => "No data in this period",
            Self::Japanese => "この期間のデータはありません",
        }
    }

    pub(crate) fn other(self) -> &'static str {
        match self {
            Self::English => "Other",
            Self::Japanese => "その他",
        }
    }

    /// A name without letters, such as a password that was not given.
    pub(crate) fn empty(self) -> &'static str {
        match self {
            Self::English => "(empty)",
            Self::Japanese => "（空）",
        }
    }

    pub(crate) fn total(self) -> &'static str {
        match self {
            Self::English => "Total",
            Self::Japanese => "合計",
        }
    }

    pub(crate) fn largest(self) -> &'static str {
        match self {
            Self::English => "largest value",
            Self::Japanese => "最大値",
        }
    }

    pub(crate) fn period(self) -> &'static str {
        match self {
            Self::English => "period",
            Self::Japanese => "期間",
        }
    }

    /// Between a label and what belongs to it.
    pub(crate) fn colon(self) -> &'static str {
        match self {
            Self::English => ": ",
            Self::Japanese => "：",
        }
    }

    /// How many lines of a list are not shown.
    pub(crate) fn and_more(self, count: &str) -> String {
        match self {
            Self::English => format!("and {count} more"),
            Self::Japanese => format!("ほか {count} 件"),
        }
    }

    /// From Monday on.
    pub(crate) fn weekdays(self) -> [&'static str; 7] {
        match self {
            Self::English => ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
            Self::Japanese => ["月", "火", "水", "木", "金", "土", "日"],
        }
    }

    /// A month of a year; months count from 1.
    pub(crate) fn month(self, month: u32) -> &'static str {
        const ENGLISH: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const JAPANESE: [&str; 12] =
            ["1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"];
        let index = (month.clamp(1, 12) - 1) as usize;
        match self {
            Self::English => ENGLISH[index],
            Self::Japanese => JAPANESE[index],
        }
    }

    /// A day of a month, short enough for an axis.
    pub(crate) fn day(self, month: u32, day: u32) -> String {
        match self {
            Self::English => format!("{day:02} {}", self.month(month)),
            Self::Japanese => format!("{month}/{day}"),
        }
    }

    pub(crate) fn year(self, year: i64) -> String {
        match self {
            Self::English => year.to_string(),
            Self::Japanese => format!("{year}年"),
        }
    }
}
