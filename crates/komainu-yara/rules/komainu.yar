// What is left on connected devices, by what such things have in common. Written for Komainu from general facts: file
// formats, the words of shells, and what each technique of ATT&CK is about.
//
// `komainu_label`, `komainu_confidence` and `mitre_technique_id` go into the verdict of the session (docs/yara.md). A rule
// without a label is evidence only. Each rule has examples of what it holds for and what it does not in tests/it/rules.rs.

import "elf"

rule program_for_devices : program
{
    meta:
        description = "A program for a processor that is usual in connected devices and unusual elsewhere"
        komainu_label = "dropper"
        komainu_confidence = 80
        mitre_technique_id = "T1105"
    condition:
        uint32be(0) == 0x7f454c46 and
        (
            elf.machine == elf.EM_MIPS or elf.machine == elf.EM_MIPS_RS3_LE or elf.machine == elf.EM_ARM or
            elf.machine == elf.EM_PPC or elf.machine == elf.EM_68K or elf.machine == elf.EM_SPARC or
            // The last one is ARCv2, which has no name in the module.
            elf.machine == elf.EM_SH or elf.machine == elf.EM_ARC_COMPACT or elf.machine == 195
        )
}

rule program_packed_with_upx : program packed
{
    meta:
        description = "A program that UPX has packed: the mark of its header in the file"
        komainu_label = "dropper"
        komainu_confidence = 88
        mitre_technique_id = "T1027.002"
    strings:
        $mark = "UPX!"
    condition:
        uint32be(0) == 0x7f454c46 and $mark
}

rule program_without_sections : program
{
    meta:
        description = "A program with segments and without a table of sections, as compilers do not make it"
        mitre_technique_id = "T1027.008"
    condition:
        uint32be(0) == 0x7f454c46 and elf.number_of_segments > 0 and elf.number_of_sections == 0
}

rule script_fetches_and_runs : script dropper
{
    meta:
        description = "A script that fetches with more than one program, makes the file executable and runs it"
        komainu_label = "dropper"
        komainu_confidence = 92
        mitre_technique_id = "T1105,T1059.004"
    strings:
        $wget = /\bwget[ \t]+[^\r\n]{0,60}(https?|ftp):\/\// nocase
        $curl = /\bcurl[ \t]+[^\r\n]{0,60}(https?|ftp):\/\// nocase
        $tftp = /\btftp[ \t]+[^\r\n]{0,60}-[a-z]{0,3}[glr]/ nocase
        $ftpget = /\bftpget[ \t]+-/
        $chmod = /\bchmod[ \t]+(-R[ \t]+)?([0-7]{3,4}|[ugoa]*\+[rwst]*x)/
        $run = /(^|[;&|\r\n \t])(\.\/|(ba|a|da)?sh[ \t]+)[A-Za-z0-9_.$\/-]/
    condition:
        filesize < 256KB and 2 of ($wget, $curl, $tftp, $ftpget) and $chmod and $run
}

rule script_tries_processors : script dropper
{
    meta:
        description = "A script that fetches the same program for one processor after the other"
        komainu_label = "dropper"
        komainu_confidence = 94
        mitre_technique_id = "T1105,T1059.004"
    strings:
        $fetches = /\b(wget|curl|tftp|ftpget)[ \t]/
        $arm = /\barm(v?[4-8][a-z]{0,2})?\b/ nocase
        $mips = /\bmips\b/ nocase
        $mipsel = /\b(mipsel|mpsl)\b/ nocase
        $powerpc = /\b(powerpc|ppc)[a-z0-9-]{0,6}\b/ nocase
        $superh = /\bsh4\b/ nocase
        $m68k = /\bm68k\b/ nocase
        $sparc = /\b(sparc|spc)\b/ nocase
        $x86 = /\b(x86(_64)?|i[3-6]86)\b/ nocase
    condition:
        filesize < 256KB and $fetches and
        4 of ($arm, $mips, $mipsel, $powerpc, $superh, $m68k, $sparc, $x86)
}

rule script_probes_busybox : script
{
    meta:
        description = "Commands that ask BusyBox for a program that does not exist, to learn from its answer whether this is a shell"
        komainu_confidence = 70
        mitre_technique_id = "T1082"
    strings:
        // Programs of BusyBox have names in lower case.
        $probe = /\bbusybox[ \t]+[A-Z]{4,16}\b/
    condition:
        filesize < 256KB and $probe
}

rule script_kills_others : script
{
    meta:
        description = "A script that looks through the list of processes and kills what runs from certain places"
        komainu_label = "dropper"
        komainu_confidence = 75
        mitre_technique_id = "T1489"
    strings:
        $processes = /\/proc\/(\*|\$|\[0-9\])/
        $where = /\/(exe|maps|cmdline)\b/
        $kill = /\bkill[ \t]+-(9|KILL)\b/
    condition:
        filesize < 256KB and all of them
}

rule script_starts_by_cron : script persistence
{
    meta:
        description = "A script that puts a line into a table of cron"
        komainu_confidence = 80
        mitre_technique_id = "T1053.003"
    strings:
        $when = /([*]|\*\/[0-9]{1,2}|[0-9]{1,2}|@reboot)([ \t]+(\*|\*\/[0-9]{1,2}|[0-9]{1,2})){4}[ \t]+[^\r\n]{0,80}(\/tmp\/|\/var\/|\/dev\/|wget|curl|tftp)/
        $reboot = /@reboot[ \t]+[^\r\n]{0,80}(\/tmp\/|\/var\/|\/dev\/|wget|curl|tftp)/
        $table = /\bcrontab\b|\/etc\/cron|\/var\/spool\/cron/
    condition:
        filesize < 256KB and $table and ($when or $reboot)
}

rule script_starts_at_boot : script persistence
{
    meta:
        description = "A script that writes itself into what a device runs when it starts"
        komainu_confidence = 75
        mitre_technique_id = "T1037.004"
    strings:
        $into = /(>>?|\btee[ \t]+(-a[ \t]+)?|\b(cp|mv|ln)[ \t]+[^\r\n]{1,80}[ \t])[ \t]*\/etc\/(rc\.local|rc\.d\/|init\.d\/|inittab|profile|rcS)/
    condition:
        filesize < 256KB and $into
}

rule script_adds_ssh_key : script persistence
{
    meta:
        description = "A script that adds a key with which to log in over SSH"
        komainu_confidence = 85
        mitre_technique_id = "T1098.004"
    strings:
        $file = ".ssh/authorized_keys"
        $key = /\b(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp[0-9]{3})[ \t]+AAAA/
        $write = />>?|\btee\b/
    condition:
        filesize < 256KB and all of them
}

rule script_covers_tracks : script
{
    meta:
        description = "A script that removes logs or the history of the shell"
        komainu_confidence = 70
        mitre_technique_id = "T1070.003"
    strings:
        $history = /\bhistory[ \t]+-c\b|\bunset[ \t]+HISTFILE\b|\bHISTFILE=\/dev\/null\b|\bHISTSIZE=0\b/
        $logs = /\brm[ \t]+-[rf]{1,2}[ \t]+[^\r\n;&|]{0,40}\/var\/log\/(wtmp|btmp|lastlog|messages|auth\.log|syslog|\*)/
    condition:
        filesize < 256KB and any of them
}

rule web_shell_php : web_shell
{
    meta:
        description = "A page in PHP that runs what a request asks for"
        komainu_label = "dropper"
        komainu_confidence = 92
        mitre_technique_id = "T1505.003"
    strings:
        $page = /<\?(php|=)/ nocase
        $runs = /\b(system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec|eval|assert)[ \t\r\n]{0,8}\([^;]{0,120}\$_(GET|POST|REQUEST|COOKIE|SERVER|FILES)[ \t]{0,4}\[/ nocase
    condition:
        filesize < 1MB and all of them
}

rule web_shell_asp : web_shell
{
    meta:
        description = "A page in ASP that runs what a request asks for"
        komainu_label = "dropper"
        komainu_confidence = 90
        mitre_technique_id = "T1505.003"
    strings:
        $page = "<%"
        $runs = /\b(eval|execute|executeglobal)[ \t]{0,4}\(?[ \t]{0,4}request\b/ nocase
        $starts = /\bProcess\.Start\b|\bWScript\.Shell\b/ nocase
        $request = /\bRequest(\.(Item|Form|QueryString|Params))?[ \t]{0,4}[(\[]/ nocase
    condition:
        filesize < 1MB and $page and ($runs or ($starts and $request))
}

rule web_shell_jsp : web_shell
{
    meta:
        description = "A page in JSP that starts a program which a request names"
        komainu_label = "dropper"
        komainu_confidence = 90
        mitre_technique_id = "T1505.003"
    strings:
        $page = "<%"
        $starts = /\bgetRuntime[ \t]{0,4}\([ \t]{0,4}\)[ \t]{0,4}\.[ \t]{0,4}exec[ \t]{0,4}\(|\bnew[ \t]+ProcessBuilder\b/
        $request = /\brequest[ \t]{0,4}\.[ \t]{0,4}getParameter[ \t]{0,4}\(/
    condition:
        filesize < 1MB and all of them
}

rule private_key : secret
{
    meta:
        description = "A private key in PEM, which was taken or brought"
        komainu_confidence = 80
        mitre_technique_id = "T1552.004"
    strings:
        $key = /-----BEGIN ([A-Z0-9]{2,10} )?(ENCRYPTED )?PRIVATE KEY-----[A-Za-z0-9+\/=\r\n\t :,-]{32}/
    condition:
        filesize < 1MB and $key
}

rule mining_configuration : miner
{
    meta:
        description = "What a miner of coins is told: the protocol of a pool with an account"
        komainu_label = "dropper"
        komainu_confidence = 88
        mitre_technique_id = "T1496"
    strings:
        $pool = /\bstratum[12]?(\+(tcp|ssl|tls))?:\/\/[A-Za-z0-9.-]{3,}/ nocase
        $account = /\b(user|wallet|pass|rig-id|worker)\b/ nocase
    condition:
        filesize < 1MB and all of them
}
