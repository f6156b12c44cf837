//! What a sample is: how suspicious, for which devices, of which family. Each answer has its reasons.

use crate::machine;
use crate::report::{Sample, Verdict};
use crate::said::{Said, apart, said};

/// Points from which a sample is called suspicious and malicious. One sign alone is never the latter, except a rule of an
/// operator that names a family.
const SUSPICIOUS_POINTS: u32 = 30;
const MALICIOUS_POINTS: u32 = 70;

/// What others say of a sample, which the bytes do not.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Families of samples known to be alike, with how alike they are in percent.
    pub neighbours: Vec<(String, u8)>,
    /// Labels of other vendors' scanners, such as `Linux.Mirai.123`.
    pub vendor_labels: Vec<String>,
}

/// Families and the names that vendors and rules have for them. Source: AVClass's and Malpedia's lists of aliases, looked
/// up by hand for families that run on connected devices.
const FAMILIES: &[(&str, &[&str])] = &[
    ("mirai", &["mirai", "miori", "satori", "okiru", "masuta", "sora", "owari", "moobot", "masjesu"]),
    ("gafgyt", &["gafgyt", "bashlite", "qbot", "lizkebab", "lizardstresser", "torlus", "bashdoor"]),
    ("tsunami", &["tsunami", "kaiten", "muhstik", "amnesia"]),
    ("mozi", &["mozi"]),
    ("hajime", &["hajime"]),
    ("xorddos", &["xorddos", "xor_ddos", "xor.ddos"]),
    ("dofloo", &["dofloo", "aesddos", "spike", "mrblack"]),
    ("hidenseek", &["hidenseek", "hns", "hideandseek"]),
    ("vpnfilter", &["vpnfilter"]),
    ("coinminer", &["coinminer", "xmrig", "bitcoinminer"]),
    ("dark_nexus", &["darknexus", "dark_nexus"]),
    ("rapperbot", &["rapperbot"]),
    ("brickerbot", &["brickerbot"]),
    ("persirai", &["persirai"]),
    ("luabot", &["luabot"]),
    ("torii", &["torii"]),
];

/// What configurations of families say, plain or decoded, out of public descriptions: so many of them are a vote.
const SCHEMAS: &[(&str, usize, &[&str])] = &[
    (
        "mirai",
        4,
        &[
            "/dev/watchdog",
            "/dev/misc/watchdog",
            "/proc/",
            "/maps",
            "/exe",
            "ncorrect",
            "assword",
            "enable",
            "system",
            "shell",
            "TSource Engine Query",
            "applet not found",
            "/bin/busybox",
        ],
    ),
    ("gafgyt", 3, &["PONG", "KILLATTK", "LOLNOGTFO", "JUNK", "HOLD", "GETLOCALIP", "SCANNER"]),
    ("tsunami", 3, &["PRIVMSG", "NOTICE %s", "TSUNAMI", "NICK %s", "JOIN %s", "UNKNOWN <target>"]),
    ("coinminer", 2, &["stratum+tcp", "stratum+ssl", "cryptonight", "randomx", "donate-level"]),
];

/// Words that only one class of devices has, and the class.
const CLASSES: &[(&str, &str)] = &[
    ("/dev/mtd", "router"),
    ("nvram", "router"),
    ("dnsmasq", "router"),
    ("/etc/config/network", "router"),
    ("HNAP1", "router"),
    ("GponForm", "router"),
    ("/cgi-bin/luci", "router"),
    ("UPnP/1.", "router"),
    ("TR-069", "router"),
    ("onvif", "camera"),
    ("/dev/video", "camera"),
    ("ipcam", "camera"),
    ("rtsp://", "camera"),
    ("/mnt/mtd/Config", "dvr"),
    ("dvrHelper", "dvr"),
    ("DVRHelper", "dvr"),
    ("/usr/bin/Sofia", "dvr"),
    ("hi3520", "dvr"),
    ("hi3518", "camera"),
    ("QNAP", "nas"),
    ("synology", "nas"),
    ("/share/CACHEDEV", "nas"),
    ("/mnt/HD/HD_a2", "nas"),
    ("/data/local/tmp", "android"),
    ("/system/bin/", "android"),
    ("/var/run/docker.sock", "server"),
    ("redis-server", "server"),
    (".ssh/authorized_keys", "server"),
    ("systemctl", "server"),
];

/// Marks of a sample's texts: their number in the tables above.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    schema: Vec<(usize, &'static str)>,
    /// Those of texts that were encoded.
    hidden: Vec<(usize, &'static str)>,
    class: Vec<(&'static str, &'static str)>,
}

impl Marks {
    /// Looks at a text that was encoded.
    pub(crate) fn look_at_hidden(&mut self, text: &[u8]) {
        for found in SEARCH.find_overlapping_iter(text) {
            let (number, word, class) = MARKS[found.pattern().as_usize()];
            if class.is_none() && !self.hidden.contains(&(number, word)) {
                self.hidden.push((number, word));
            }
        }
        self.look(text);
    }

    /// Looks at one text.
    pub(crate) fn look(&mut self, text: &[u8]) {
        if text.len() < 4 {
            return;
        }
        for found in SEARCH.find_overlapping_iter(text) {
            let (number, word, class) = MARKS[found.pattern().as_usize()];
            match class {
                Some(class) if !self.class.contains(&(word, class)) => self.class.push((word, class)),
                None if !self.schema.contains(&(number, word)) => self.schema.push((number, word)),
                _ => {}
            }
        }
    }
}

/// The words of all schemas, each with the number of its schema, then those of classes, each with its class.
static MARKS: std::sync::LazyLock<Vec<(usize, &'static str, Option<&'static str>)>> = std::sync::LazyLock::new(|| {
    let schemas = SCHEMAS.iter().enumerate();
    let of_schemas = schemas.flat_map(|(number, (.., words))| words.iter().map(move |word| (number, *word, None)));
    of_schemas.chain(CLASSES.iter().map(|(word, class)| (0, *word, Some(*class)))).collect()
});

static SEARCH: std::sync::LazyLock<aho_corasick::AhoCorasick> = std::sync::LazyLock::new(|| {
    let words = MARKS.iter().map(|(_, word, _)| *word);
    aho_corasick::AhoCorasick::new(words).expect("a few short texts are an automaton, as a test shows")
});

/// The family that a name of a rule or a vendor's label is about.
fn family_of(label: &str) -> Option<&'static str> {
    let label = label.to_ascii_lowercase();
    let words: Vec<&str> = label.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let is_about = |alias: &&str| {
        // A short name could be a part of another word.
        if alias.len() < 5 { words.contains(alias) } else { label.contains(*alias) }
    };
    FAMILIES.iter().find(|(_, aliases)| aliases.iter().any(&is_about)).map(|(family, _)| *family)
}

/// Everything that is known of one sample, weighed. `outside` is about the file, not about its members.
pub(crate) fn of(sample: &Sample, marks: &Marks, outside: Option<&Outside>) -> Verdict {
    let mut verdict = Verdict::default();
    let mut reasons: Vec<(u32, Said)> = Vec::new();
    vote(&mut verdict, sample, marks, outside);
    weigh(&mut reasons, sample, &verdict);
    let points: u32 = reasons.iter().map(|(points, _)| points).sum();
    verdict.level = match points {
        MALICIOUS_POINTS.. => "malicious",
        SUSPICIOUS_POINTS.. => "suspicious",
        _ => "unremarkable",
    }
    .into();
    reasons.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
    (verdict.reasons, verdict.reasons_ja) = apart(reasons.into_iter().map(|(_, reason)| reason).collect());
    say_for_what(&mut verdict, sample, marks);
    verdict
}

fn vote(verdict: &mut Verdict, sample: &Sample, marks: &Marks, outside: Option<&Outside>) {
    let mut votes: Vec<(String, u32)> = Vec::new();
    let mut add = |family: &str, count: u32| {
        let family = family.to_ascii_lowercase();
        match votes.iter_mut().find(|(known, _)| *known == family) {
            Some((_, votes)) => *votes += count,
            None => votes.push((family, count)),
        }
    };
    for hit in &sample.rules {
        let stated = hit.meta.iter().find(|(name, _)| matches!(&**name, "family" | "malware_family" | "malware"));
        match stated {
            Some((_, family)) => add(family_of(family).unwrap_or(family), 3),
            None => {
                if let Some(family) = family_of(&hit.rule) {
                    add(family, 2);
                }
            }
        }
    }
    for (number, (family, least, _)) in SCHEMAS.iter().enumerate() {
        let count = |words: &[(usize, &str)]| words.iter().filter(|(of, _)| *of == number).count();
        if count(&marks.schema) >= *least {
            // Plain words are in honest tools for the same things; encoded ones are not.
            add(family, if count(&marks.hidden) >= 2 { 2 } else { 1 });
        }
    }
    if let Some(outside) = outside {
        for (family, percent) in &outside.neighbours {
            add(family_of(family).unwrap_or(family), if *percent >= 80 { 3 } else { 1 });
        }
        for label in &outside.vendor_labels {
            if let Some(family) = family_of(label) {
                add(family, 1);
            }
        }
    }
    votes.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    // One weak vote is a hint, not a name.
    verdict.family = votes.first().filter(|(_, count)| *count >= 2).map(|(family, _)| family.clone());
    verdict.votes = votes;
}

/// Whether something is hidden by more than a way to write bytes as letters.
fn has_cipher(sample: &Sample) -> bool {
    sample.decoded.iter().any(|one| !matches!(&*one.algorithm, "base64" | "hex"))
}

fn weigh(reasons: &mut Vec<(u32, Said)>, sample: &Sample, verdict: &Verdict) {
    if let Some(family) = &verdict.family {
        let votes = verdict.votes.first().map_or(0, |(_, count)| *count);
        let en = format!("it has what the family {family} has ({votes} votes)");
        let reason = said(en, format!("ファミリー {family} の特徴がある（{votes} 票）"));
        reasons.push((if votes >= 3 { 70 } else { 40 }, reason));
    }
    for hit in sample.rules.iter().take(8) {
        // The rules that only say for what processor a program is are for sensors, where nothing honest is left.
        if hit.tags.iter().any(|tag| tag == "program") {
            continue;
        }
        let confidence = hit.meta.iter().find(|(name, _)| name == "komainu_confidence");
        let confidence = confidence.and_then(|(_, value)| value.parse::<u32>().ok());
        let points = confidence.map_or(20, |confidence| confidence.min(100) / 2);
        let description = hit.meta.iter().find(|(name, _)| name == "description");
        let description = description.map(|(_, text)| format!(": {text}")).unwrap_or_default();
        let rule = &hit.rule;
        let reason = said(format!("the rule {rule} holds{description}"), format!("ルール {rule} に一致{description}"));
        reasons.push((points, reason));
    }
    let is_endpoint = |kind: &str| matches!(kind, "url" | "ipv4" | "domain" | "socket-address");
    let encoded: Vec<_> = sample
        .findings
        .iter()
        .filter(|finding| finding.source.starts_with("decoded") && is_endpoint(&finding.kind))
        .collect();
    let is_cipher = has_cipher(sample);
    if let Some(first) = encoded.first() {
        let points = if is_cipher { 50 } else { 25 };
        let (value, count) = (&first.value, encoded.len());
        let en = format!("an address is hidden by an encoding: {value} (of {count})");
        reasons.push((points, said(en, format!("アドレスが符号化で隠されている：{value}（全 {count} 件）"))));
    } else if is_cipher && sample.decoded.len() >= 2 {
        let one = &sample.decoded[0];
        let count = sample.decoded.len();
        let (algorithm, key, text) = (&one.algorithm, &one.key, &one.text);
        let en = format!("{count} texts are hidden by {algorithm} with the key {key}, such as `{text}`");
        let ja = format!("{count} 個の文字列が {algorithm}（鍵 {key}）で隠されている。例：`{text}`");
        reasons.push((35, said(en, ja)));
    }
    if let Some(list) = &sample.credentials {
        let first: Vec<_> = list.words.iter().take(4).map(String::as_str).collect();
        let (count, first) = (list.words.len(), first.join(", "));
        let en = format!("it has a list of {count} user names and passwords: {first}, …");
        reasons.push((40, said(en, format!("{count} 個のユーザー名とパスワードの一覧がある：{first}, …"))));
    }
    if let Some(packing) = &sample.packing {
        let points = match (&*packing.verdict, packing.packer.as_deref()) {
            ("packed", Some("upx-altered")) => 60,
            ("packed", _) => 30,
            ("suspected", _) => 10,
            _ => 0,
        };
        if points > 0 {
            let by = packing.packer.as_ref().map(|packer| format!(" by {packer}")).unwrap_or_default();
            let en = format!("it is {}{by}: {}", packing.verdict, packing.reasons.join("; "));
            let packer = packing.packer.as_ref().map(|packer| format!("（{packer}）")).unwrap_or_default();
            let ja = match &*packing.verdict {
                "packed" => format!("パッキングされている{packer}：{}", packing.reasons_ja.join("、")),
                _ => format!("パッキングの疑いがある{packer}：{}", packing.reasons_ja.join("、")),
            };
            reasons.push((points, said(en, ja)));
        }
    }
    let is_script = sample.kind.starts_with("script");
    let commands = sample.findings.iter().filter(|finding| finding.kind == "command");
    let has = |words: &[&str]| commands.clone().any(|finding| words.iter().any(|word| finding.value.contains(word)));
    if is_script && has(&["wget ", "curl ", "tftp ", "ftpget "]) && has(&["chmod ", "sh "]) {
        let en = "the script fetches a file and makes it a program";
        reasons.push((40, said(en, "スクリプトがファイルを取得し、実行できるようにする")));
    }
    if sample.findings.iter().any(|finding| finding.kind == "path" && finding.value.ends_with("/watchdog")) {
        reasons.push((10, said("it knows the watchdog of devices", "機器のウォッチドッグを知っている")));
    }
    if sample.findings.iter().any(|finding| finding.kind == "wallet") {
        reasons.push((25, said("it has the address of a wallet", "ウォレットのアドレスがある")));
    }
    let prompts = sample.findings.iter().filter(|finding| finding.kind == "prompt").count();
    if prompts >= 3 && sample.elf.is_some() {
        let en = format!("it knows {prompts} things that a login says");
        reasons.push((10, said(en, format!("ログイン時の表示を {prompts} 種類知っている"))));
    }
}

fn say_for_what(verdict: &mut Verdict, sample: &Sample, marks: &Marks) {
    let mut iot = 50_i32;
    let mut reasons = Vec::new();
    let mut weigh = |points: i32, reason: Said| {
        iot += points;
        reasons.push(reason);
    };
    if let Some(elf) = &sample.elf {
        if machine::is_of_devices(&elf.isa) {
            let en = format!("it is for {}, which is in devices", elf.isa);
            weigh(30, said(en, format!("機器に使われる {} 用である", elf.isa)));
        } else if matches!(&*elf.isa, "x86" | "x86_64" | "s390x" | "ppc64le" | "sparc64") {
            let en = format!("it is for {}, which is in computers", elf.isa);
            weigh(-20, said(en, format!("コンピューターに使われる {} 用である", elf.isa)));
        }
        match elf.libc.as_deref() {
            Some(libc @ ("uclibc" | "musl" | "dietlibc")) => {
                let en = format!("its C library is {libc}, as in devices");
                weigh(25, said(en, format!("C ライブラリが、機器でよく使われる {libc} である")))
            }
            Some("glibc") if elf.linkage == "dynamic" => {
                weigh(-15, said("it needs glibc, as in computers", "コンピューターでよく使われる glibc を必要とする"))
            }
            _ => {}
        }
        if elf.linkage == "static" && elf.is_stripped {
            let en = "it is linked statically and stripped, so that it runs on any device";
            weigh(10, said(en, "静的にリンクされ、シンボルが削除されているため、どの機器でも動く"));
        }
    } else if sample.kind.starts_with("script") {
        let has = |word: &str| sample.findings.iter().any(|finding| finding.value.contains(word));
        if has("busybox") || has("tftp ") || has("ftpget ") {
            let en = "the script uses programs that devices have";
            weigh(25, said(en, "スクリプトが、機器にあるプログラムを使う"));
        }
    } else if matches!(
        &*sample.kind,
        "uimage" | "trx" | "squashfs" | "jffs2" | "ubi" | "cramfs" | "romfs" | "squashfs-vendor"
    ) {
        weigh(40, said("it is an image of a device's memory", "機器のメモリのイメージである"));
    } else if matches!(&*sample.kind, "pe" | "mach-o" | "dos" | "ole") {
        weigh(-45, said("it is for computers of people", "一般のコンピューター用である"));
    }
    let has_runnable = !reasons.is_empty();
    let mut best: Option<(&'static str, Vec<&'static str>)> = None;
    for (_, class) in &marks.class {
        let words: Vec<_> = marks.class.iter().filter(|(_, of)| of == class).map(|(word, _)| *word).collect();
        if best.as_ref().is_none_or(|(_, most)| words.len() > most.len()) {
            best = Some((class, words));
        }
    }
    verdict.device_class = "unknown".into();
    if sample.elf.as_ref().is_some_and(|elf| elf.libc.as_deref() == Some("bionic"))
        || matches!(&*sample.kind, "dex" | "android-boot")
    {
        verdict.device_class = "android".into();
        reasons.push(said("it is for Android", "Android 用である"));
    } else if let Some((class, words)) = best.filter(|_| has_runnable) {
        iot += if class == "server" { -10 } else { 10 };
        verdict.device_class = class.to_owned();
        let words = words.join(", ");
        let en = format!("it names what a {class} has: {words}");
        reasons.push(said(en, format!("{class} にあるものの名前がある：{words}")));
    } else if iot >= 70 {
        verdict.device_class = "device".into();
    } else if iot <= 25 && sample.elf.is_some() {
        verdict.device_class = "server".into();
    }
    let (word, confidence) = match iot {
        65.. => ("iot", iot),
        ..=35 => ("not-iot", 100 - iot),
        _ => ("unknown", 0),
    };
    verdict.iot = word.into();
    verdict.iot_confidence = u8::try_from(confidence.clamp(0, 95)).unwrap_or(95);
    let (reasons, reasons_ja) = apart(reasons);
    verdict.reasons.extend(reasons);
    verdict.reasons_ja.extend(reasons_ja);
}

/// The verdict about the whole file: that of its most telling member.
pub(crate) fn of_all(samples: &[Sample]) -> Verdict {
    let rank = |sample: &Sample| match &*sample.verdict.level {
        "malicious" => 2,
        "suspicious" => 1,
        _ => 0,
    };
    let Some(best) = samples.iter().map(rank).max() else { return Verdict::default() };
    // The first one of equals: the file itself, if it is no more than a shell around another.
    let mut telling = samples.iter().enumerate().filter(|(_, sample)| rank(sample) == best);
    let Some((number, sample)) =
        telling.find(|(_, sample)| best > 0 || sample.elf.is_some()).or_else(|| Some((0, samples.first()?)))
    else {
        return Verdict::default();
    };
    let mut verdict = sample.verdict.clone();
    if number > 0 && best > 0 {
        let name = sample.name.clone().unwrap_or_else(|| format!("number {number}"));
        verdict.reasons.insert(0, format!("this is about its member {name}"));
        verdict.reasons_ja.insert(0, format!("内部のファイル {name} についての判断である"));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_about_families() {
        let check = |label: &str, expected: Option<&str>| assert_eq!(family_of(label), expected, "{label}");
        check("Linux.Mirai.A!tr", Some("mirai"));
        check("ELF:Bashlite-X [Bot]", Some("gafgyt"));
        check("Backdoor.Linux.HNS.b", Some("hidenseek"));
        check("Linux_Trojan_Tsunami_1", Some("tsunami"));
        check("chnsomething", None);
        check("Trojan.Generic", None);
    }

    #[test]
    fn marks_are_counted_once() {
        let mut marks = Marks::default();
        for text in [&b"/dev/watchdog"[..], b"/dev/watchdog", b"/dev/mtd0 nvram"] {
            marks.look(text);
        }
        assert_eq!(marks.schema, [(0, "/dev/watchdog")]);
        assert_eq!(marks.class, [("/dev/mtd", "router"), ("nvram", "router")]);
    }
}
