//! The words of facts: categories and fields. They are what rules are written in (docs/reports.md).

/// A word that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord;

macro_rules! words {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $word:ident = $text:literal),* $(,)? }) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $word),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// How it is written in rules.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$word => $text),* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok(Self::$word),)*
                    _ => Err(UnknownWord),
                }
            }
        }
    };
}

words! {
    /// What a fact is about.
    Category {
        /// What processes do to themselves and to each other.
        Process = "process_sandbox",
        /// Files.
        File = "file_sandbox",
        /// Sockets, connections and packets.
        Network = "network_sandbox",
        /// Questions for names.
        Dns = "dns_sandbox",
        /// Requests of HTTP.
        Http = "http_sandbox",
        /// Names and passwords that were tried.
        Login = "login_sandbox",
        /// Texts in the memory of processes.
        Memory = "memory_sandbox",
        /// What is known without running.
        Static = "static_sandbox",
        /// What was concluded of other facts.
        Finding = "finding_sandbox",
    }
}

words! {
    /// What a fact can say.
    Field {
        /// What was done: `exec`, `open`, `connect`, …
        Action = "Action",
        /// The laboratory's name of the processor.
        Isa = "Isa",
        /// `user` or `root`.
        RunAs = "RunAs",
        /// The program.
        Image = "Image",
        /// What the process is called.
        ProcessName = "ProcessName",
        /// The program of its parent.
        ParentImage = "ParentImage",
        /// The arguments, with spaces between them.
        CommandLine = "CommandLine",
        /// The name that a process gives itself, or that its child has.
        NewName = "NewName",
        /// The process that was made.
        ChildProcessId = "ChildProcessId",
        /// The status with which a process ended.
        ExitStatus = "ExitStatus",
        /// A signal.
        Signal = "Signal",
        /// The process that is meant.
        TargetProcessId = "TargetProcessId",
        /// Who that is: `self`, `sample`, `other`, `init`, `everybody`.
        Target = "Target",
        /// Its program, where it is one of the sample's.
        TargetImage = "TargetImage",
        /// The request of `ptrace`, in its number.
        Request = "Request",
        /// The operation of `prctl`, in its number.
        Operation = "Operation",
        /// The first argument of a call.
        Argument = "Argument",
        /// The command of `ioctl`, in the numbers of the guest's processor.
        DeviceCommand = "DeviceCommand",
        /// The name or the arguments of a kernel module.
        Module = "Module",
        /// The user that a process wants to be.
        TargetUser = "TargetUser",
        /// A time.
        Milliseconds = "Milliseconds",
        /// The name of a system call.
        SystemCall = "SystemCall",
        /// What it returned.
        Result = "Result",
        /// The file, absolute.
        TargetFilename = "TargetFilename",
        /// The file that it was before, absolute.
        SourceFilename = "SourceFilename",
        /// `read` or `write`.
        Access = "Access",
        /// Whether the file was to be made if it was not there.
        Created = "Created",
        /// Whether it went well, where that is known.
        Success = "Success",
        /// Permission bits, in octal digits.
        Mode = "Mode",
        /// Whether they let somebody run the file.
        Executable = "Executable",
        /// Whether the file is the sample itself, or the program that does it.
        OwnFile = "OwnFile",
        /// A length.
        Bytes = "Bytes",
        /// The beginning of what was written, sent or found.
        Content = "Content",
        /// The kind of a file system, of a text or of a file.
        Kind = "Kind",
        /// An address.
        DestinationIp = "DestinationIp",
        /// A port.
        DestinationPort = "DestinationPort",
        /// The name that was given this address.
        DestinationHostname = "DestinationHostname",
        /// Of an address: `public`, `private`, `loopback`, `link-local`, `multicast`, `unspecified`.
        Scope = "Scope",
        /// `tcp`, `udp`, …
        Protocol = "Protocol",
        /// `stream`, `datagram`, `raw`, `packet`, or a number.
        SocketKind = "SocketKind",
        /// The family of a socket, in Linux's numbers.
        Family = "Family",
        /// The address that a socket is bound to.
        LocalIp = "LocalIp",
        /// The port that a socket is bound to.
        LocalPort = "LocalPort",
        /// Whether somebody answered, or a password was right.
        Accepted = "Accepted",
        /// `telnet`, `ssh`, `ftp`, …
        Service = "Service",
        /// How many packets.
        Packets = "Packets",
        /// How many different addresses.
        Addresses = "Addresses",
        /// How many packets in a second.
        PacketsPerSecond = "PacketsPerSecond",
        /// Whether packets pretended to be from somebody else.
        ForgedSources = "ForgedSources",
        /// How much came back.
        ReceivedBytes = "ReceivedBytes",
        /// The name in a TLS handshake.
        ServerName = "ServerName",
        /// The fingerprint of a TLS handshake.
        Ja3 = "Ja3",
        /// The script of a player.
        Script = "Script",
        /// What a player told.
        Step = "Step",
        /// A digest.
        Sha256 = "Sha256",
        /// The number of a connection.
        Flow = "Flow",
        /// The name that was asked for.
        QueryName = "QueryName",
        /// The kind of record that was asked for.
        RecordType = "RecordType",
        /// `own` or `foreign`: the resolver that the device was given, or another.
        Resolver = "Resolver",
        /// Whether there was an answer.
        Answered = "Answered",
        /// The method of a request.
        Method = "Method",
        /// Its target.
        Url = "Url",
        /// The host that it names.
        Host = "Host",
        /// What the client says of itself.
        UserAgent = "UserAgent",
        /// The status that was answered.
        Status = "Status",
        /// A user's name.
        UserName = "UserName",
        /// A password.
        Password = "Password",
        /// Whether a text was encoded in the sample.
        Decoded = "Decoded",
        /// `none`, `suspected` or `packed`.
        Packing = "Packing",
        /// The verdict of the static triage.
        Level = "Level",
        /// A rule about contents.
        Rule = "Rule",
        /// How many.
        Count = "Count",
        /// The time between two beats.
        PeriodMs = "PeriodMs",
        /// How targets are chosen: `random`, `sequential`, `subnet`, `list`.
        Generator = "Generator",
        /// What an endpoint is to the sample.
        Role = "Role",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for field in Field::ALL {
            assert_eq!(field.name().parse(), Ok(*field));
        }
        for category in Category::ALL {
            assert_eq!(category.name().parse(), Ok(*category));
        }
        assert_eq!("Adresse".parse::<Field>(), Err(UnknownWord));
    }
}
