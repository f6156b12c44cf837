//! The bounds of a detonation. What happens at each stands with it.

use std::time::Duration;

/// Bytes of a sample: what an artifact has at most. A larger one is refused.
pub const SAMPLE_BYTES_MAX: usize = 32 << 20;

/// Bytes of the name that a sample gets in the guest. A longer one is refused.
pub const FILE_NAME_BYTES_MAX: usize = 64;

/// Arguments of a sample, and bytes of one. More are refused.
pub const ARGUMENTS_MAX: usize = 8;
/// Bytes of one argument of a sample.
pub const ARGUMENT_BYTES_MAX: usize = 128;

/// The longest that a sample runs. Who asks for more is refused.
pub const RUNS_FOR_MAX: Duration = Duration::from_secs(15 * 60);

/// Bytes that the agent in the guest sends: two minutes of a sample that does nothing but system calls. At the bound the
/// run ends, and says so.
pub const GUEST_BYTES_MAX: usize = 64 << 20;

/// Bytes of packets that are kept of a run; the simulated Internet keeps the first ones and counts the others.
pub const PACKETS_BYTES_MAX: usize = 32 << 20;

/// Contents that the guest hands over to the network, bytes of one and of all. What is beyond is told as cut.
pub const CONTENTS_MAX: usize = 64;
/// Bytes of one content.
pub const CONTENT_BYTES_MAX: usize = 8 << 20;
/// Bytes of all contents of one run.
pub const CONTENTS_BYTES_MAX: usize = 64 << 20;

/// Events of the network that are kept of a run. What is beyond is counted and told as cut.
pub const NETWORK_EVENTS_MAX: usize = 200_000;

/// Bytes of one line of QEMU, and of all that it says in its life. Its longest known answer has 4 KiB, and a run has some
/// dozen messages. Beyond, QEMU is taken for taken over, and ended.
pub(crate) const QMP_LINE_BYTES_MAX: usize = 64 << 10;
/// See above.
pub(crate) const QMP_BYTES_MAX: usize = 1 << 20;

/// How long QEMU may take for its first word, and for each command. It takes some 50 ms on an idle machine; on a busy one
/// with many runs at once, seconds.
pub(crate) const QEMU_ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long a guest may take from cold until its agent is ready; 1 to 4 s on an idle core.
pub(crate) const BOOT_TIME_MAX: Duration = Duration::from_secs(180);

/// Bytes of a snapshot: more than the memory of the largest guest.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 512 << 20;

/// Bytes that an agent says before it is ready: the forms of the trace, some 200 KiB.
pub(crate) const PRELUDE_BYTES_MAX: usize = 4 << 20;

/// How long one waits for another process that builds the same snapshot: it boots, and writes.
pub(crate) const SNAPSHOT_WAIT_MAX: Duration = Duration::from_secs(240);

/// From the job until the agent says that the sample is started: it takes the sample in, which may have 32 MiB.
pub(crate) const START_TIME_MAX: Duration = Duration::from_secs(30);

/// From the word that the run is over until the agent has handed in files and memory, each bounded by the agent.
pub(crate) const FINISH_TIME_MAX: Duration = Duration::from_secs(20);

/// How long QEMU may take to leave when told. Then it is killed.
pub(crate) const QUIT_TIME_MAX: Duration = Duration::from_secs(2);

/// What is added to the time of a machine until its jail ends it: it starts, hands in and leaves. It should never be needed.
pub(crate) const MACHINE_GRACE: Duration = Duration::from_secs(90);

/// What is added to a run's time until the process of the run is ended from outside: the sum of the above, and a
/// snapshot built on the way. It should never be needed.
pub(crate) const RUN_GRACE: Duration = Duration::from_secs(480);

/// Bytes of `kit.json`.
pub(crate) const KIT_JSON_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a kernel, and of a root filesystem.
pub(crate) const KIT_FILE_BYTES_MAX: u64 = 128 << 20;
