//! Countries by their codes, and their names.

use crate::Language;

/// A country or territory of ISO 3166-1, or Kosovo under the code that is used for it (`XK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country {
    /// Where it stands in [`NAMES`]; always within.
    index: u8,
}

impl Country {
    /// The country of a code of two letters, whichever case they have. Codes of ISO 3166 that stand for no country,
    /// such as `EU` and `AP`, are none.
    pub fn parse(code: &str) -> Option<Self> {
        let upper = code.to_ascii_uppercase();
        let index = NAMES.binary_search_by(|(code, _, _)| code.cmp(&upper.as_str())).ok()?;
        u8::try_from(index).ok().map(|index| Self { index })
    }

    /// Every country, in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(NAMES.len()).map(|index| Self { index })
    }

    /// Two capital letters.
    pub fn code(self) -> &'static str {
        NAMES[usize::from(self.index)].0
    }

    /// The short name under which people know it.
    pub fn name(self, language: Language) -> &'static str {
        let (_, english, japanese) = NAMES[usize::from(self.index)];
        match language {
            Language::English => english,
            Language::Japanese => japanese,
        }
    }
}

/// Code, English and Japanese, in the order of the codes.
#[rustfmt::skip]
const NAMES: [(&str, &str, &str); 250] = [
    ("AD", "Andorra", "アンドラ"),
    ("AE", "United Arab Emirates", "アラブ首長国連邦"),
    ("AF", "Afghanistan", "アフガニスタン"),
    ("AG", "Antigua and Barbuda", "アンティグア・バーブーダ"),
    ("AI", "Anguilla", "アンギラ"),
    ("AL", "Albania", "アルバニア"),
    ("AM", "Armenia", "アルメニア"),
    ("AO", "Angola", "アンゴラ"),
    ("AQ", "Antarctica", "南極"),
    ("AR", "Argentina", "アルゼンチン"),
    ("AS", "American Samoa", "米領サモア"),
    ("AT", "Austria", "オーストリア"),
    ("AU", "Australia", "オーストラリア"),
    ("AW", "Aruba", "アルバ"),
    ("AX", "Åland Islands", "オーランド諸島"),
    ("AZ", "Azerbaijan", "アゼルバイジャン"),
    ("BA", "Bosnia and Herzegovina", "ボスニア・ヘルツェゴビナ"),
    ("BB", "Barbados", "バルバドス"),
    ("BD", "Bangladesh", "バングラデシュ"),
    ("BE", "Belgium", "ベルギー"),
    ("BF", "Burkina Faso", "ブルキナファソ"),
    ("BG", "Bulgaria", "ブルガリア"),
    ("BH", "Bahrain", "バーレーン"),
    ("BI", "Burundi", "ブルンジ"),
    ("BJ", "Benin", "ベナン"),
    ("BL", "Saint Barthélemy", "サン・バルテルミー"),
    ("BM", "Bermuda", "バミューダ"),
    ("BN", "Brunei", "ブルネイ"),
    ("BO", "Bolivia", "ボリビア"),
    ("BQ", "Caribbean Netherlands", "カリブ・オランダ"),
    ("BR", "Brazil", "ブラジル"),
    ("BS", "Bahamas", "バハマ"),
    ("BT", "Bhutan", "ブータン"),
    ("BV", "Bouvet Island", "ブーベ島"),
    ("BW", "Botswana", "ボツワナ"),
    ("BY", "Belarus", "ベラルーシ"),
    ("BZ", "Belize", "ベリーズ"),
    ("CA", "Canada", "カナダ"),
    ("CC", "Cocos Islands", "ココス諸島"),
    ("CD", "DR Congo", "コンゴ民主共和国"),
    ("CF", "Central African Republic", "中央アフリカ共和国"),
    ("CG", "Congo", "コンゴ共和国"),
    ("CH", "Switzerland", "スイス"),
    ("CI", "Côte d’Ivoire", "コートジボワール"),
    ("CK", "Cook Islands", "クック諸島"),
    ("CL", "Chile", "チリ"),
    ("CM", "Cameroon", "カメルーン"),
    ("CN", "China", "中国"),
    ("CO", "Colombia", "コロンビア"),
    ("CR", "Costa Rica", "コスタリカ"),
    ("CU", "Cuba", "キューバ"),
    ("CV", "Cabo Verde", "カーボベルデ"),
    ("CW", "Curaçao", "キュラソー"),
    ("CX", "Christmas Island", "クリスマス島"),
    ("CY", "Cyprus", "キプロス"),
    ("CZ", "Czechia", "チェコ"),
    ("DE", "Germany", "ドイツ"),
    ("DJ", "Djibouti", "ジブチ"),
    ("DK", "Denmark", "デンマーク"),
    ("DM", "Dominica", "ドミニカ国"),
    ("DO", "Dominican Republic", "ドミニカ共和国"),
    ("DZ", "Algeria", "アルジェリア"),
    ("EC", "Ecuador", "エクアドル"),
    ("EE", "Estonia", "エストニア"),
    ("EG", "Egypt", "エジプト"),
    ("EH", "Western Sahara", "西サハラ"),
    ("ER", "Eritrea", "エリトリア"),
    ("ES", "Spain", "スペイン"),
    ("ET", "Ethiopia", "エチオピア"),
    ("FI", "Finland", "フィンランド"),
    ("FJ", "Fiji", "フィジー"),
    ("FK", "Falkland Islands", "フォークランド諸島"),
    ("FM", "Micronesia", "ミクロネシア"),
    ("FO", "Faroe Islands", "フェロー諸島"),
    ("FR", "France", "フランス"),
    ("GA", "Gabon", "ガボン"),
    ("GB", "United Kingdom", "イギリス"),
    ("GD", "Grenada", "グレナダ"),
    ("GE", "Georgia", "ジョージア"),
    ("GF", "French Guiana", "フランス領ギアナ"),
    ("GG", "Guernsey", "ガーンジー"),
    ("GH", "Ghana", "ガーナ"),
    ("GI", "Gibraltar", "ジブラルタル"),
    ("GL", "Greenland", "グリーンランド"),
    ("GM", "Gambia", "ガンビア"),
    ("GN", "Guinea", "ギニア"),
    ("GP", "Guadeloupe", "グアドループ"),
    ("GQ", "Equatorial Guinea", "赤道ギニア"),
    ("GR", "Greece", "ギリシャ"),
    ("GS", "South Georgia", "サウスジョージア"),
    ("GT", "Guatemala", "グアテマラ"),
    ("GU", "Guam", "グアム"),
    ("GW", "Guinea-Bissau", "ギニアビサウ"),
    ("GY", "Guyana", "ガイアナ"),
    ("HK", "Hong Kong", "香港"),
    ("HM", "Heard and McDonald Islands", "ハード島・マクドナルド諸島"),
    ("HN", "Honduras", "ホンジュラス"),
    ("HR", "Croatia", "クロアチア"),
    ("HT", "Haiti", "ハイチ"),
    ("HU", "Hungary", "ハンガリー"),
    ("ID", "Indonesia", "インドネシア"),
    ("IE", "Ireland", "アイルランド"),
    ("IL", "Israel", "イスラエル"),
    ("IM", "Isle of Man", "マン島"),
    ("IN", "India", "インド"),
    ("IO", "British Indian Ocean Territory", "イギリス領インド洋地域"),
    ("IQ", "Iraq", "イラク"),
    ("IR", "Iran", "イラン"),
    ("IS", "Iceland", "アイスランド"),
    ("IT", "Italy", "イタリア"),
    ("JE", "Jersey", "ジャージー"),
    ("JM", "Jamaica", "ジャマイカ"),
    ("JO", "Jordan", "ヨルダン"),
    ("JP", "Japan", "日本"),
    ("KE", "Kenya", "ケニア"),
    ("KG", "Kyrgyzstan", "キルギス"),
    ("KH", "Cambodia", "カンボジア"),
    ("KI", "Kiribati", "キリバス"),
    ("KM", "Comoros", "コモロ"),
    ("KN", "Saint Kitts and Nevis", "セントクリストファー・ネービス"),
    ("KP", "North Korea", "北朝鮮"),
    ("KR", "South Korea", "韓国"),
    ("KW", "Kuwait", "クウェート"),
    ("KY", "Cayman Islands", "ケイマン諸島"),
    ("KZ", "Kazakhstan", "カザフスタン"),
    ("LA", "Laos", "ラオス"),
    ("LB", "Lebanon", "レバノン"),
    ("LC", "Saint Lucia", "セントルシア"),
    ("LI", "Liechtenstein", "リヒテンシュタイン"),
    ("LK", "Sri Lanka", "スリランカ"),
    ("LR", "Liberia", "リベリア"),
    ("LS", "Lesotho", "レソト"),
    ("LT", "Lithuania", "リトアニア"),
    ("LU", "Luxembourg", "ルクセンブルク"),
    ("LV", "Latvia", "ラトビア"),
    ("LY", "Libya", "リビア"),
    ("MA", "Morocco", "モロッコ"),
    ("MC", "Monaco", "モナコ"),
    ("MD", "Moldova", "モルドバ"),
    ("ME", "Montenegro", "モンテネグロ"),
    ("MF", "Saint Martin", "サン・マルタン"),
    ("MG", "Madagascar", "マダガスカル"),
    ("MH", "Marshall Islands", "マーシャル諸島"),
    ("MK", "North Macedonia", "北マケドニア"),
    ("ML", "Mali", "マリ"),
    ("MM", "Myanmar", "ミャンマー"),
    ("MN", "Mongolia", "モンゴル"),
    ("MO", "Macao", "マカオ"),
    ("MP", "Northern Mariana Islands", "北マリアナ諸島"),
    ("MQ", "Martinique", "マルティニーク"),
    ("MR", "Mauritania", "モーリタニア"),
    ("MS", "Montserrat", "モントセラト"),
    ("MT", "Malta", "マルタ"),
    ("MU", "Mauritius", "モーリシャス"),
    ("MV", "Maldives", "モルディブ"),
    ("MW", "Malawi", "マラウイ"),
    ("MX", "Mexico", "メキシコ"),
    ("MY", "Malaysia", "マレーシア"),
    ("MZ", "Mozambique", "モザンビーク"),
    ("NA", "Namibia", "ナミビア"),
    ("NC", "New Caledonia", "ニューカレドニア"),
    ("NE", "Niger", "ニジェール"),
    ("NF", "Norfolk Island", "ノーフォーク島"),
    ("NG", "Nigeria", "ナイジェリア"),
    ("NI", "Nicaragua", "ニカラグア"),
    ("NL", "Netherlands", "オランダ"),
    ("NO", "Norway", "ノルウェー"),
    ("NP", "Nepal", "ネパール"),
    ("NR", "Nauru", "ナウル"),
    ("NU", "Niue", "ニウエ"),
    ("NZ", "New Zealand", "ニュージーランド"),
    ("OM", "Oman", "オマーン"),
    ("PA", "Panama", "パナマ"),
    ("PE", "Peru", "ペルー"),
    ("PF", "French Polynesia", "フランス領ポリネシア"),
    ("PG", "Papua New Guinea", "パプアニューギニア"),
    ("PH", "Philippines", "フィリピン"),
    ("PK", "Pakistan", "パキスタン"),
    ("PL", "Poland", "ポーランド"),
    ("PM", "Saint Pierre and Miquelon", "サンピエール・ミクロン"),
    ("PN", "Pitcairn", "ピトケアン"),
    ("PR", "Puerto Rico", "プエルトリコ"),
    ("PS", "Palestine", "パレスチナ"),
    ("PT", "Portugal", "ポルトガル"),
    ("PW", "Palau", "パラオ"),
    ("PY", "Paraguay", "パラグアイ"),
    ("QA", "Qatar", "カタール"),
    ("RE", "Réunion", "レユニオン"),
    ("RO", "Romania", "ルーマニア"),
    ("RS", "Serbia", "セルビア"),
    ("RU", "Russia", "ロシア"),
    ("RW", "Rwanda", "ルワンダ"),
    ("SA", "Saudi Arabia", "サウジアラビア"),
    ("SB", "Solomon Islands", "ソロモン諸島"),
    ("SC", "Seychelles", "セーシェル"),
    ("SD", "Sudan", "スーダン"),
    ("SE", "Sweden", "スウェーデン"),
    ("SG", "Singapore", "シンガポール"),
    ("SH", "Saint Helena", "セントヘレナ"),
    ("SI", "Slovenia", "スロベニア"),
    ("SJ", "Svalbard and Jan Mayen", "スバールバル・ヤンマイエン"),
    ("SK", "Slovakia", "スロバキア"),
    ("SL", "Sierra Leone", "シエラレオネ"),
    ("SM", "San Marino", "サンマリノ"),
    ("SN", "Senegal", "セネガル"),
    ("SO", "Somalia", "ソマリア"),
    ("SR", "Suriname", "スリナム"),
    ("SS", "South Sudan", "南スーダン"),
    ("ST", "São Tomé and Príncipe", "サントメ・プリンシペ"),
    ("SV", "El Salvador", "エルサルバドル"),
    ("SX", "Sint Maarten", "シント・マールテン"),
    ("SY", "Syria", "シリア"),
    ("SZ", "Eswatini", "エスワティニ"),
    ("TC", "Turks and Caicos Islands", "タークス・カイコス諸島"),
    ("TD", "Chad", "チャド"),
    ("TF", "French Southern Territories", "フランス領南方地域"),
    ("TG", "Togo", "トーゴ"),
    ("TH", "Thailand", "タイ"),
    ("TJ", "Tajikistan", "タジキスタン"),
    ("TK", "Tokelau", "トケラウ"),
    ("TL", "Timor-Leste", "東ティモール"),
    ("TM", "Turkmenistan", "トルクメニスタン"),
    ("TN", "Tunisia", "チュニジア"),
    ("TO", "Tonga", "トンガ"),
    ("TR", "Türkiye", "トルコ"),
    ("TT", "Trinidad and Tobago", "トリニダード・トバゴ"),
    ("TV", "Tuvalu", "ツバル"),
    ("TW", "Taiwan", "台湾"),
    ("TZ", "Tanzania", "タンザニア"),
    ("UA", "Ukraine", "ウクライナ"),
    ("UG", "Uganda", "ウガンダ"),
    ("UM", "US Outlying Islands", "米領小離島"),
    ("US", "United States", "アメリカ合衆国"),
    ("UY", "Uruguay", "ウルグアイ"),
    ("UZ", "Uzbekistan", "ウズベキスタン"),
    ("VA", "Vatican City", "バチカン"),
    ("VC", "Saint Vincent and the Grenadines", "セントビンセント・グレナディーン"),
    ("VE", "Venezuela", "ベネズエラ"),
    ("VG", "British Virgin Islands", "英領バージン諸島"),
    ("VI", "US Virgin Islands", "米領バージン諸島"),
    ("VN", "Vietnam", "ベトナム"),
    ("VU", "Vanuatu", "バヌアツ"),
    ("WF", "Wallis and Futuna", "ウォリス・フツナ"),
    ("WS", "Samoa", "サモア"),
    ("XK", "Kosovo", "コソボ"),
    ("YE", "Yemen", "イエメン"),
    ("YT", "Mayotte", "マヨット"),
    ("ZA", "South Africa", "南アフリカ"),
    ("ZM", "Zambia", "ザンビア"),
    ("ZW", "Zimbabwe", "ジンバブエ"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// All codes of ISO 3166-1, written apart from the table, so that neither can lose one unseen.
    const ISO_3166: &str = "\
        AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
        BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES \
        ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE \
        IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY \
        MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU \
        NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM \
        SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE \
        VG VI VN VU WF WS YE YT ZA ZM ZW";

    #[test]
    fn every_code_of_iso_3166_has_a_name_in_both_languages() {
        let codes: Vec<&str> = ISO_3166.split_whitespace().collect();
        assert_eq!(codes.len(), 249);
        for code in &codes {
            let country = Country::parse(code).unwrap();
            assert_eq!(country.code(), *code);
            assert!(country.name(Language::English).is_ascii() || country.name(Language::English).len() > 3);
            assert!(!country.name(Language::Japanese).is_ascii(), "{code}");
        }
        let ours: Vec<&str> = Country::all().map(Country::code).filter(|code| *code != "XK").collect();
        assert_eq!(ours, codes);
    }

    #[test]
    fn no_two_countries_share_a_name() {
        for language in [Language::English, Language::Japanese] {
            let names: std::collections::BTreeSet<&str> =
                Country::all().map(|country| country.name(language)).collect();
            assert_eq!(names.len(), NAMES.len());
        }
    }

    #[test]
    fn what_is_no_code_is_no_country() {
        let check = |code: &str, expected: Option<&str>| {
            assert_eq!(Country::parse(code).map(Country::code), expected, "{code}");
        };
        check("jp", Some("JP"));
        check("EU", None);
        check("", None);
        check("JPN", None);
        check("日本", None);
    }
}
