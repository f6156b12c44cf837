use super::*;
use crate::trace::evidence_of;

/// The lines of a trace's facts of runs.
fn check(trace: &str, expected: &[&str]) {
    let facts = Facts::of(&evidence_of(trace));
    let lines: Vec<String> = facts.all().iter().filter(|fact| fact.run.is_some()).map(Fact::line).collect();
    assert_eq!(lines, expected, "{trace}");
}

#[test]
fn descriptors_become_names_and_paths_begin_at_the_root() {
    check(
        "guest 0 100 chdir /etc\nguest 1 100 open hosts 1 4\nguest 2 100 write 4 3 abc\nguest 3 100 write 9 1 x",
        &[
            "change-folder TargetFilename=/etc by /tmp/sample[100]",
            "open TargetFilename=/etc/hosts Access=write Created=false Success=true by /tmp/sample[100]",
            "write Bytes=3 Content=abc TargetFilename=/etc/hosts by /tmp/sample[100]",
            "write Bytes=1 Content=x by /tmp/sample[100]",
        ],
    );
}

#[test]
fn a_child_has_the_files_and_the_program_of_its_parent() {
    check(
        "guest 0 100 exec /tmp/sample s\nguest 1 100 open /etc/x 1 4\nguest 2 100 fork 101 s\nguest 3 101 write 4 1 a\nguest 4 101 kill 100 9",
        &[
            "exec CommandLine=s TargetFilename=/tmp/sample by sample[100]",
            "open TargetFilename=/etc/x Access=write Created=false Success=true by sample[100]",
            "fork ChildProcessId=101 NewName=s by sample[100]",
            "write Bytes=1 Content=a TargetFilename=/etc/x by s[101]",
            "kill TargetProcessId=100 Target=sample TargetImage=/tmp/sample Signal=9 by s[101]",
        ],
    );
}

#[test]
fn a_program_that_begins_did_not_rename_itself() {
    check(
        "guest 0 100 rename ls\nguest 1 100 exec /bin/ls ls",
        &["exec CommandLine=ls TargetFilename=/bin/ls by ls[100]"],
    );
    check(
        "guest 0 100 exec /bin/ls ls\nguest 1 100 rename ls",
        &["exec CommandLine=ls TargetFilename=/bin/ls by ls[100]"],
    );
    check("guest 0 100 rename sshd", &["rename NewName=sshd by /tmp/sample[100]"]);
}

#[test]
fn what_the_network_saw_has_the_name_and_the_other_end() {
    check(
        "net 1 connect 7 198.18.0.1:80 name=a.example\nnet 2 sent 7 \\x00\\x01\nnet 3 sent 8 x",
        &[
            "connect 198.18.0.1:80 DestinationHostname=a.example Protocol=tcp Accepted=true",
            "sent 198.18.0.1:80 DestinationHostname=a.example Bytes=2 Content=\\x00\\x01",
            "sent Bytes=1 Content=x",
        ],
    );
}

#[test]
fn what_is_lost_or_does_not_fit_is_counted() {
    let facts = Facts::of(&evidence_of("guest 0 100 lost 12\nnet 0 lost datagrams 3\n"));
    assert_eq!(facts.left_out.get("events of the guest's kernel"), Some(&12));
    assert_eq!(facts.left_out.get("simulated Internet: datagrams"), Some(&3));
    let facts = Facts::of(&evidence_of("repeat 20010 every 0 guest 0 100 look /x\nguest 1 100 unlink /y"));
    assert_eq!(facts.left_out.get("facts: file_sandbox look"), Some(&10));
    // One act did not crowd out the other.
    assert!(facts.all().iter().any(|fact| fact.action() == "delete"));
}

#[test]
fn texts_are_cut_between_characters_and_compared_in_small_letters() {
    let text = Text::new(&"Ä".repeat(TEXT_BYTES_MAX));
    assert_eq!(text.as_str().len(), TEXT_BYTES_MAX);
    assert!(text.folded().starts_with('ä'));
    let odd = Text::new(&format!("a{}", "Ä".repeat(TEXT_BYTES_MAX)));
    assert_eq!(odd.as_str().len(), TEXT_BYTES_MAX - 1);
}
