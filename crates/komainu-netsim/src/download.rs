//! What whoever downloads a program gets: never one.

use crate::settings::DownloadPolicy;

/// Words in the names of programs for devices, and the processor that they mean.
const PROCESSORS: &[(&str, &str)] = &[
    ("x86_64", "x86_64"),
    ("amd64", "x86_64"),
    ("x64", "x86_64"),
    ("aarch64", "arm64"),
    ("arm64", "arm64"),
    ("armv", "arm"),
    ("arm", "arm"),
    ("mipsel", "mipsel"),
    ("mpsl", "mipsel"),
    ("mips", "mips"),
    ("powerpc", "powerpc"),
    ("ppc", "powerpc"),
    ("riscv", "riscv64"),
    ("rv64", "riscv64"),
    ("sparc", "sparc64"),
    ("spc", "sparc64"),
    ("superh", "sh4"),
    ("sh4", "sh4"),
    ("m68k", "m68k"),
    ("68k", "m68k"),
    ("i586", "x86"),
    ("i686", "x86"),
    ("i486", "x86"),
    ("x86", "x86"),
    ("x32", "x86"),
];

/// What a file is that somebody asks for by its path; none if it does not look like a script or a program.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Script,
    Program(&'static str),
}

fn wanted(path: &[u8]) -> Option<Wanted> {
    let path = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let file = String::from_utf8_lossy(file).to_ascii_lowercase();
    if file.ends_with(".sh") {
        return Some(Wanted::Script);
    }
    let is_document = [".html", ".htm", ".php", ".txt", ".json", ".xml", ".js", ".css", ".png", ".jpg", ".gif", ".ico"];
    if is_document.iter().any(|end| file.ends_with(end)) {
        return None;
    }
    let found = PROCESSORS.iter().find(|(word, _)| file.contains(word));
    match found {
        Some((_, processor)) => Some(Wanted::Program(processor)),
        None if file.ends_with(".bin") || file.ends_with(".elf") => Some(Wanted::Program("unknown")),
        None => None,
    }
}

/// Whether a path is that of a script or a program.
pub(crate) fn is_download(path: &[u8]) -> bool {
    wanted(path).is_some()
}

/// The content of a file that somebody asks for; none if it is not there.
pub(crate) fn answer(policy: DownloadPolicy, path: &[u8]) -> Option<Vec<u8>> {
    let wanted = wanted(path)?;
    match policy {
        DownloadPolicy::NotFound => None,
        DownloadPolicy::EmptyScript => Some(b"#!/bin/sh\n".to_vec()),
        DownloadPolicy::Script => {
            let what = match wanted {
                Wanted::Script => "a script",
                Wanted::Program(processor) => processor,
            };
            Some(
                format!(
                    "#!/bin/sh\n# Simulated: the network of a laboratory has no programs.\necho \"asked for: {what}\"\n"
                )
                .into(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<Wanted>) {
        assert_eq!(wanted(path.as_bytes()), expected, "{path}");
    }

    #[test]
    fn programs_are_known_by_their_names() {
        check("/bins.sh", Some(Wanted::Script));
        check("/bins/bot.arm7", Some(Wanted::Program("arm")));
        check("/x/a.mpsl?x=mips", Some(Wanted::Program("mipsel")));
        check("/x86_64", Some(Wanted::Program("x86_64")));
        check("/fw.bin", Some(Wanted::Program("unknown")));
        check("/index.html", None);
        check("/arm/index.html", None);
        check("/", None);
    }

    #[test]
    fn policies() {
        assert_eq!(answer(DownloadPolicy::NotFound, b"/a.arm"), None);
        assert_eq!(answer(DownloadPolicy::EmptyScript, b"/a.arm"), Some(b"#!/bin/sh\n".to_vec()));
        let script = String::from_utf8(answer(DownloadPolicy::Script, b"/a.m68k").unwrap()).unwrap();
        assert!(script.starts_with("#!/bin/sh\n") && script.contains("asked for: m68k"), "{script}");
        assert_eq!(answer(DownloadPolicy::Script, b"/page"), None);
    }
}
