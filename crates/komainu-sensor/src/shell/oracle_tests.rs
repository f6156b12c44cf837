//! The same lines in our shell and in a real `busybox ash`: what they print and how they end must be equal.
//!
//! Needs Debian's package `busybox` (1.35). The real one runs in an empty folder that is removed afterwards, with a
//! `PATH` of links to it and nothing else; no line here reaches out of that folder or asks for a network.
//!
//! What a real device must have otherwise is made equal first: the version in banners, and the folders of programs.
//! Host names, processors, times and sizes of memory are asked for in `tests.rs` only.

use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// Every line is run on each of them.
const CPUS: [Cpu; 6] = [Cpu::Armv5, Cpu::Armv7, Cpu::Mips, Cpu::Mipsel, Cpu::Sh4, Cpu::X86];

pub(super) const PROBES: &[&str] = &[
    // How loaders find out whether somebody answers.
    "enable; system; shell; linuxshell; echo $?",
    "busybox KOMAINU; echo $?",
    "busybox echo hi; busybox busybox echo ho; busybox ls nope; busybox /x/y/echo a",
    "foo; ./foo; /tmp/nofoo; echo $?",
    "type echo; type ls; type foo; type if; type cd; echo $?",
    "command -v ls; command -v echo; command -v nope; echo $?; command -V ls; which ls nope; echo $?",
    "> .x && cd . && echo writable; rm .x; > nope/x && echo no; echo $?",
    "echo -e '\\x6b\\x6f\\x6d\\x61'; echo -ne '\\x7f\\x45\\x4c\\x46' > f; echo -ne '\\x01\\x00' >> f; hexdump -C f; wc -c f",
    "printf '\\177\\105\\114\\106' > f; printf '\\0\\1' >> f; od -t x1 f; md5sum f",
    "echo -e 'a\\tb\\x41\\0101\\cz'; echo; echo -E 'a\\n'; echo -n -e '\\x4' | od -c; echo '\\x41'; echo -e '\\101 \\xZZ \\8 \\e' | od -c",
    "echo -x; echo -- a; echo -en; echo -; echo -nn a; echo -ne1 b",
    "cp /bin/busybox x; > x; chmod 777 x; ls -l x | cut -c1-10; ./x; echo $?",
    "echo 'echo hi; nope' > f; ./f; chmod 755 f; ./f; echo $?; sh f a; sh ./f; echo '#!/nope' > f; ./f; echo $?",
    "mkdir d; ./d; echo $?; d; cat d; > d; cat < nope; . nope",
    "printf '\\177ELF\\001\\001\\001\\000\\000\\000\\000\\000\\000\\000\\000\\000\\002\\000\\363\\000\\001\\000\\000\\000' > a; chmod 755 a; ./a; echo $?",
    "dd if=/dev/zero bs=52 count=1 2>/dev/null | wc -c; dd if=/dev/zero of=z bs=1k count=3; wc -c z; dd if=z bs=1000 2>/dev/null | wc -c; dd if=nope; dd foo",
    "echo abcdef | dd bs=2 count=2; echo 12345 > f; dd if=f of=g bs=1 skip=2; cat g; echo XX | dd of=f conv=notrunc bs=1 seek=1; cat f",
    "echo YWJj | base64 -d; echo 'a b c' | base64; echo abc | md5sum; echo abc | sha1sum; echo abc | sha256sum; echo abc | sha512sum",
    "cat <<E > f\n\u{7}x $((1+2)) `echo b` $HOME \\$x\nE\ncat f; cat <<'E'\na $((1+2)) $x\nE\ncat <<-E\n\ttab\n\tE\n",
    "head -c 3 nope; echo abcdef | head -c 3; echo; seq 20 | head -n 2; seq 20 | tail -n 2; seq 5 | head -2; seq 5 | tail -n +4; seq 5 | head -n -3",
    "hexdump -e '16/1 \"%c\"' -n 4 /bin/busybox; hexdump -n 4 -e '1/1 \"%02x\"' /bin/busybox; od -An -tx1 -N4 /bin/busybox; echo abcd > f; od -b -N 3 f; od -t d1 -N3 f; od -t u1 -N3 f; od -t x2 -N4 f; od -tx4 -N4 f; od -A x -t x1 -N 4 f; od -A d -t x1 f",
    "head -c 4 /bin/busybox | od -c; tail -c +3 /bin/busybox | head -c 1; dd if=/bin/busybox bs=52 count=1 status=none | wc -c; dd if=/bin/busybox of=o bs=20 count=2 skip=1",
    "/bin/busybox cat nope; /bin/busybox KOMAINU x; echo $?; cp /bin/busybox k; ./k; echo $?; cp /bin/busybox busybox; ./busybox echo hi; ./busybox ls nope",
    // Mistakes.
    "cat nope; ls nope; rm nope; rm; echo $?",
    "rm -z; ls -z; cp; mv a; echo $?",
    "mkdir a; mkdir a; rmdir a; rmdir a; mkdir x/y; mkdir; rmdir; mkdir -p q/w/e; rmdir q; rm q; rm -r q; ls",
    "cp a b; mv a b; touch c; mkdir d; cp d e; cp c nope/; rm d; mv d c; cp c c; cp c d; ls d; cp x y nope; mv nope d; mv c d/e; ls d",
    "chmod 777; chmod zz a; chmod 777 nope; touch f; chmod zz f; chmod u+x f; ls -l f | cut -c1-10; chmod 4755 f; ls -l f | cut -c1-10; chmod a-x,g=w f; ls -l f | cut -c1-10",
    "head -q; head nope; tail nope; tail -c 2 nope; wc nope; wc a b; sort nope; uniq nope; cut -c1 nope",
    "grep; echo $?; grep a nope; echo $?; echo b | grep a; echo $?; sed; sed s/a nope; echo $?; grep '[' nope",
    "wget; tftp; tftp 192.0.2.1; tftp -g 192.0.2.1; ftpget; ftpget a; nc; telnet; echo $?",
    "wget -z; wget http://a -O; wget foo://x; echo $?",
    "touch a; ln -s a; ln a b; ln; ln -s nope l; ls -l l | cut -c1-10; cat l; readlink l; ln -s a s; cat s; rm s l; ls",
    "tar xf nope; gunzip nope; touch f; gunzip f; tar; echo $?",
    "echo abc | cut x; tr; tr a; xargs foo < /dev/null; find nope; basename; dirname; expr 1 +; expr; seq a; seq; echo $?",
    "sort -z1; tee nope/x < /dev/null; env foo; uname -z; date -d zz; date foo; cat -z; echo $?",
    "kill; kill abc; kill -0 4194303; killall; killall nope; echo $?; kill -l | head -3; pidof nope; echo $?",
    "id -z; hostname -z; whoami a; df nope; umount; umount nope; mount -z; echo $?",
    "ifconfig nope; route -z; ip; netstat -z; ping; echo $?",
    "sleep abc; sleep; sleep 0; base64 -d zz; md5sum nope; stat nope; du nope; more nope; cmp; cmp a b",
    "wget --help; busybox tftp --help; ls --help; echo $?",
    // The language.
    "echo ${HOME}x ${n:-d} ${n-e} ${n:+f} ${#HOME}; v=abcabc; echo ${v%b*} ${v%%b*} ${v#*b} ${v##*b} ${v/b/X} ${v//b/X} ${v:1:2} ${v:2}",
    "echo $((0x10 + 010)) $((1<<3)) $((5%3)) $((2>1)) $((v=3)) $v $((v++)) $v $((1?2:3)) $((-7/2)) $((!0)) $((~1)) $(( (1+2)*3 )) $((1&&0)) $((1||0))",
    "i=0; while [ $i -lt 5 ]; do i=$((i+1)); [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done; echo $?",
    "for x in a 'b c' d; do echo \"<$x>\"; done; for x in; do echo no; done; set -- p q; for x do echo $x; done; until true; do :; done",
    "case abc in a*) echo y;; *) echo n;; esac; case x in (y) echo 1;; x|z) echo 2;; esac; case a in b) ;; esac; echo $?; case '*' in \\*) echo star;; esac",
    "f() { echo $# $1 $@ \"$*\"; return 3; }; f a 'b c'; echo $?; g() { local v=1; v=2; }; v=5; g; echo $v; f2() ( exit 4 ); f2; echo $?",
    "set -- x y z; echo $2 $#; shift; echo $1 $#; shift 5; echo $?; eval 'echo $1'; IFS=:; w=a:b::c; for x in $w; do echo [$x]; done",
    "echo *; touch a1 a2 b .h; echo * a? [ab]* z* .h*; echo '*' \"*\" \\*; echo [!a]*; mkdir d; touch d/e; echo */e ./*/ d/*",
    "echo ~ ~nope ~/x; echo a{b,c}; echo \"a'b\" 'a\"b' a\\ b; echo \"\\$x \\a \\\\\"; echo a#b # c",
    "echo a >&2; ls nope 2>/dev/null; ls nope >/dev/null 2>&1; echo $?; echo b 1>&2 2>/dev/null; { echo a; echo b; } > g; cat g; ( echo c ) >> g; cat < g; exec 8>&-; echo x >&8; echo $?",
    "exec 3>f; echo a >&3; exec 3>&-; cat f; echo b >&3; echo $?; echo z | cat - f; cat nope f; cat < f > h; cat h",
    "true && echo t || echo f; false || echo f; ! true; echo $?; echo a | cat | cat; false | true; echo $?; echo a; sleep 0 & wait; (exit 7); echo $?",
    "read a b <<X\n1 2 3\nX\necho \"$a|$b\"; echo 'x y' | while read q r; do echo $r $q; done; read -r z < /dev/null; echo $?; printf 'a\\nb' | while read l; do echo [$l]; done; printf 'a\\\\b\\n' | { read l; echo $l; }",
    "unset a; echo $a; export q=1; env | grep q=; q=2 env | grep q=; x=1 sh -c 'echo $x'; echo $x; y=3; sh -c 'echo [$y]'; readonly r=1; r=2; echo no",
    "test a -eq 1; [ a; echo $?; test 1 -foo 2; test a b; [ -z '' ] && echo z; [ -n a -a b = b ] && echo and; [ ! -f nope ] && echo nf; test; echo $?; [ 1 -lt 2 -o 1 = 2 ]; echo $?; [ -d . ] && echo d",
    "printf '%s|%5d|%-5s|%x|%c|%b|%%|%03d\\n' a 3 b 255 hello 'a\\tb' 7; printf '%s\\n' a b; printf '%d %s\\n' abc; printf; printf '%d' 0x1f; printf '%o %X %u\\n' 8 255 3; printf 'a\\c b'; printf '%5.2s|\\n' abcd",
    "cd nope; cd; pwd; cd /; pwd; cd -; echo $OLDPWD; cd /usr/../bin; pwd; cd ./..; pwd",
    "if true; then echo a; elif true; then echo b; else echo c; fi; if false; then echo a; elif true; then echo b; fi; if false; then :; fi; echo $?",
    "x=$(echo a; echo b); echo \"$x\"; echo $(echo $(echo deep)); echo `echo \\`echo bq\\``; y=$(exit 3); echo $?; echo \"$(echo 'q  r')\"; echo $( (echo sub) )",
    "umask; umask 077; umask; touch f; ls -l f | cut -c1-10; umask 22; umask -S; trap 'echo bye' EXIT; echo x",
    "sh -c 'echo $0 $1' a b; sh -z; echo $?; sh nope; sh -c; echo 'echo piped' | sh; echo 'exit 3' | sh; echo $?; sh -c 'nope'; ash -c 'echo $0'",
    "echo one; exit 5; echo no",
    "echo ${x?}; echo hi",
    "echo ${x:?oops}",
    "echo ${}",
    "echo $((1/0)); echo no",
    "echo $((1+)); echo no",
    "set -z; echo no",
    "exit abc",
    "export 1a; echo no",
    "1a=3; a=(1)",
    "if",
    "fi",
    "echo a; )",
    "; a",
    "| a",
    "&",
    "echo a &&",
    "for i in 1 2",
    "echo 'abc",
    "echo a\necho b\nfi\necho c",
    "local x",
    "break; echo a; return 3",
    "hash foo; wait 99; echo $?; bg; echo no",
    "wait foo; echo no",
    "kill %1; echo no",
    "function foo { echo a; }; foo; let 1+1; echo $?; let x=3; echo $x; let 0; echo $?",
    "case $- in *i*) echo i;; *) echo n;; esac; echo $- $LINENO $OPTIND $PS1; echo \"$IFS\" | od -c; echo [$TERM$UID]",
    "cat <<< hi",
    "{ echo a",
    "(echo a",
    "while true; do echo a",
    "case a in a) echo",
    "select x in a; do echo; done",
    "rm -v nope; touch f; rm -v f; chmod +x nope; touch g; chmod +x g && ./g; echo $?; chmod -x g; ./g; echo $?; ls --nope; ls --color=never",
    "true | read x; echo [$x]; echo a | { read x; echo $x; }; f() { echo f; } > o; f; cat o; f 2>&1 | cat; sh -c 'exit 3'; echo $?",
    "while read i; do echo $i; done < /dev/null; for i in `seq 3`; do echo -n $i; done; echo; i=5; until [ $i -le 3 ]; do i=$(expr $i - 1); done; echo $i",
    "echo $'a\\x41\\n\\tb'; echo \"$'a'\"",
    // Texts.
    "printf 'b\\na\\nb\\n' > f; sort f | uniq -c; sort -r f; sort -u f; uniq f; printf '3\\n10\\n2\\n' | sort -n; printf 'x 2\\ny 1\\n' | sort -k2; printf 'b:2\\na:1\\n' | sort -t: -k2",
    "printf 'a b\\n' | tr a-z A-Z; echo abc | tr -d b; echo aabb | tr -s a; echo hello | tr el ip; echo 'a,b' | tr , '\\n'; echo abc | tr -cd 'ab\\n'; echo Ab | tr '[:upper:]' '[:lower:]'",
    "echo a:b:c | cut -d: -f2; echo a:b:c | cut -d: -f1,3; echo abcdef | cut -c2-4; echo abc | cut -d: -f2; echo a:b:c | cut -d: -f2-",
    "echo a b | awk '{print $2}'; echo a:b | awk -F: '{print $1,$2}'; printf 'a\\nb\\n' | awk '/b/{print NR}'; printf 'a b c\\n' | awk '{print $NF}'; printf 'a\\nb\\n' | awk 'NR==2'",
    "printf 'a\\nb\\nc\\n' > f; sed s/b/X/ f; sed -n 2p f; sed 2d f; sed -n '/b/,$p' f; sed '1!d' f; sed -e s/a/1/ -e s/b/2/ f; echo aaa | sed s/a/b/g; echo aaa | sed s/a/b/2; echo ab | sed 's/\\(a\\)\\(b\\)/\\2\\1/'; echo ab | sed -r 's/(a)(b)/\\2\\1/'; echo a/b | sed 's|/|-|'; echo abc | sed 's/b/[&]/'; sed -i s/c/d/ f; cat f",
    "printf 'abc\\nxbz\\n' > f; grep b f; grep -c b f; grep -v a f; grep -n z f; grep -o 'b.' f; grep -q a f; echo $?; grep -i ABC f; grep -E 'a|z' f; grep '^x' f; grep 'c$' f; egrep '(a|x)b' f; grep -l b f; cat f | grep -w abc; grep -e abc -e xbz f; grep -F . f; echo $?; grep '[x-z]b' f f",
    "echo a b c | wc; printf 'a\\nb' | wc -l; echo abc > f; wc f; wc -c f; wc f f; wc -l < f",
    "echo a b | xargs; echo a b | xargs -n 1 echo; echo a | xargs -I{} echo x{}y; echo | xargs echo; xargs < /dev/null; echo \"'a b' c\" | xargs -n1; echo a | xargs -r nope; echo $?",
    "seq 3; seq 2 4; seq 1 2 5; seq 3 -1 1; expr 1 + 2; expr 3 \\* 4; expr abc : 'a\\(.\\)'; expr abc : ab; expr length abc; expr 1 = 2; echo $?; expr 5 / 0; expr a '<' b; expr substr abcd 2 2; expr \\( 1 + 2 \\) \\* 3",
    "basename /a/b.c .c; basename /a/b/; dirname /a/b; dirname a; dirname /; basename /",
    "echo hello | hexdump; echo hello | hexdump -C; echo hello | od; echo hello | od -c; echo hello | od -t x1; echo hello | od -x; hexdump -C /dev/null; echo 0123456789abcdefXYZ | hexdump -C; dd if=/dev/zero bs=64 count=1 2>/dev/null | hexdump -C",
    "printf 'abc\\0defgh\\n' | strings; echo abc | tee f g; cat f g; echo d | tee -a f; cat f; printf 'a\\nb\\n' | cat -n; yes | head -2; yes a b | head -1",
    "mkdir d; touch d/f; ln -s f d/l; chmod 755 d/f; ls d; ls -F d; ls d d/f; ls -R; ls -1 d; ls -ld d | cut -c1-10; ls -l d | cut -c1-10; ls -a d; ls -A d; ls nope d",
    "find .; mkdir -p a/b; touch a/b/c; find . -name c; find . -type d; find . -name c -exec echo {} \\;; find a -maxdepth 1; find . -type f -name 'c*'; find . ! -type d",
    "touch a b; mv a c; ls; mkdir d; mv b c d; ls d; mv d e; ls e; cp -r e g; ls g; rm -rf e nope; ls; rm -f; rm .; echo $?",
    "timeout 1 echo b; time true; env -i x=1 env; env x=2 sh -c 'echo $x'; echo $?",
    "hash -r; history -c; jobs; alias; true; false; echo $?; :; echo $?; wait; ulimit",
    "date +abc; date -d @0 '+%Y-%m-%d %H:%M:%S %a %b %e %j %u'; date -d @1700000000 '+%F %T %A %B %y'; date -u -d @951782400",
    "sleep 0 & sleep 0; echo $?; (sleep 0; echo late) & wait; echo ok",
    "x='a  b'; echo $x; echo \"$x\"; y=\"*\"; echo \"$y\"; z='$x'; echo $z; echo ${x}c; echo \"${nope}\"; set -- '' b; echo $#; set -- $nope b; echo $#; set -- \"\"; echo $#",
    "echo line1 \\\nline2; echo a;echo b;\n\necho c # d\n  # e\necho 'f\ng'",
    "> f; echo $?; >> f; : > g; wc -c f g; ls; echo x > /dev/null; cat /dev/null; echo y > /dev/full; echo $?",
    "a=1 b=2; echo $a$b; a=$b c=$a; echo $c; c=x:~; echo $a; x=$(printf 'a\\n\\n'); echo \"[$x]\"; let 1; echo ${#x}",
];

#[test]
fn our_shell_answers_as_the_real_one() {
    let world = World::new();
    let mut differences = Vec::new();
    for probe in PROBES {
        let real = world.real(probe);
        for cpu in CPUS {
            let ours = ours(cpu, probe);
            if ours != real {
                differences.push(format!(
                    "{cpu:?}: {probe}\n--- real ({})\n{}--- ours ({})\n{}",
                    real.1, real.0, ours.1, ours.0
                ));
                break;
            }
        }
    }
    const { assert!(PROBES.len() >= 60, "there is a lot to ask") };
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), PROBES.len(), differences.join("\n\n"));
}

struct World {
    folder: PathBuf,
    /// What this build of BusyBox says of its applets' use. The shell pretends to be a build without such texts.
    usages: Vec<String>,
}

impl World {
    fn new() -> Self {
        let list = Command::new("busybox").arg("--list").output();
        let Ok(list) = list else {
            panic!("this test compares with a real busybox, which is not there: apt-get install busybox");
        };
        let folder = std::env::temp_dir().join(format!("komainu-shell-oracle-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists()).unwrap();
        let known = Machine::new(Cpu::X86, "x").applets;
        // Only what both have, and what Debian leaves out but the shell finds by name.
        for applet in String::from_utf8(list.stdout).unwrap().lines().filter(|applet| known.contains(applet)) {
            symlink(busybox, folder.join("bin").join(applet)).unwrap();
        }
        symlink(busybox, folder.join("bin/busybox")).unwrap();
        let usages = known.iter().filter_map(|applet| usage(busybox, applet)).collect();
        Self { folder, usages }
    }

    fn real(&self, probe: &str) -> (String, u8) {
        let work = self.folder.join("w");
        // What an earlier line left behind is removed, whatever its permissions.
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir(&work).unwrap();
        let bin = self.folder.join("bin");
        let output = Command::new(bin.join("sh"))
            .args(["-c", "exec 2>&1; exec sh -c \"$1\"", "sh", probe])
            .env_clear()
            .env("PATH", &bin)
            .env("HOME", "/root")
            .current_dir(&work)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        for usage in &self.usages {
            text = text.replace(usage, "No help available.\n");
        }
        let text = text.replace(work.to_str().unwrap(), "/tmp/w").replace(&format!("{}/", bin.display()), "BIN/");
        let status = output.status.code().unwrap_or(128 + output.status.signal().unwrap_or(0));
        (normal(&text), status as u8)
    }
}

/// What stands behind the banner when an applet is asked for help.
fn usage(busybox: &str, applet: &str) -> Option<String> {
    let output = Command::new(busybox).args([applet, "--help"]).stdin(std::process::Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stderr).ok()?;
    let (banner, usage) = said.split_once('\n')?;
    (banner.ends_with("multi-call binary.") && usage.starts_with("\nUsage: ")).then(|| usage.to_owned())
}

impl Drop for World {
    fn drop(&mut self) {
        // A folder of our own in the folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn ours(cpu: Cpu, probe: &str) -> (String, u8) {
    let mut shell = Shell::new(Arc::new(Machine::new(cpu, "cam")), ShellLimits::default(), 1);
    shell.exec(b"mkdir /tmp/w; cd /tmp/w; unset OLDPWD", Vec::new(), Duration::ZERO);
    let reaction = shell.exec(probe.as_bytes(), Vec::new(), Duration::ZERO);
    let mut text = String::from_utf8_lossy(&reaction.output).into_owned();
    for folder in ["/usr/sbin/", "/usr/bin/", "/sbin/"] {
        text = text.replace(folder, "BIN/");
    }
    (normal(&text), reaction.status)
}

/// Makes equal what differs between one build of BusyBox and another.
fn normal(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("BusyBox v") {
        Some(rest) => format!("BusyBox v{}\n", rest.find(" multi-call").map_or(rest, |at| &rest[at..])),
        None => format!(
            "{}\n",
            line.replace(" /bin/", " BIN/")
                .strip_prefix("/bin/")
                .map_or_else(|| line.replace(" /bin/", " BIN/"), |rest| format!("BIN/{rest}"))
        ),
    };
    text.lines().map(line).collect()
}
