/*
 * The first process of a guest: it prepares the kernel's trace, waits for a job, runs the sample and streams out what
 * the kernel tells of it. docs/guest-agent.md describes the frames, the keys of a job and the probes.
 *
 * It is static, allocates nothing after its start and trusts nothing that the sample can reach: the sample may be root.
 * What it cannot do it says in a note and goes on; the host decides what a run without it is worth.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <grp.h>

/* The longest payload of a frame in bytes; the host refuses longer ones. */
#define FRAME_BYTES_MAX (1024 * 1024)
/* The longest text of a job, and the pieces that it may name. */
#define JOB_BYTES_MAX (64 * 1024)
#define ARGUMENTS_MAX 64
#define ENVIRONMENT_MAX 64
/* The largest sample in bytes: it lies in the guest's memory, which is 64 MiB or more. */
#define SAMPLE_BYTES_MAX (32 * 1024 * 1024)
/* How often the trace is read while the sample runs, in milliseconds: the ring holds what comes meanwhile. */
#define DRAIN_EVERY_MS 50
/* The kernel's ring buffer in KiB. */
#define RING_KIB "1024"
/* Trace that is streamed without a brake, and what is allowed for each second after that, in bytes. Sixty seconds of a
 * flood stay below what a host records. */
#define TRACE_BURST_BYTES (6 * 1024 * 1024)
#define TRACE_BYTES_PER_S (384 * 1024)
/* Files: entries that are compared, depth of folders, bytes of one and of all contents, how many are told. */
#define ENTRIES_MAX 4096
#define ENTRY_NAMES_BYTES_MAX (192 * 1024)
#define WALK_ENTRIES_MAX 20000
#define WALK_DEPTH_MAX 12
#define PATH_BYTES_MAX 1024
#define FILE_BYTES_MAX (4 * 1024 * 1024)
#define FILES_BYTES_MAX (24 * 1024 * 1024)
#define FILES_MAX 512
/* Memory of processes: bytes of one and of all, how many processes. */
#define PROCESS_MEMORY_BYTES_MAX (8 * 1024 * 1024)
#define MEMORY_BYTES_MAX (32 * 1024 * 1024)
#define MEMORY_PROCESSES_MAX 64
/* One piece of a file or of memory in bytes. */
#define PIECE_BYTES (64 * 1024)
/* How long the port may take to appear, in milliseconds: the driver is built in, so it is there at once or never. */
#define PORT_WAIT_MS 10000
/* Processes that the sample may have at once: more than any program needs, less than what makes the guest stand still. */
#define SAMPLE_PROCESSES_MAX 256
/* The same for a sample that is root, whom the limit of a user does not bind; the kernel's own threads count as well. */
#define THREADS_MAX "400"
/* The user of a job that is not root, and that user's group. */
#define SAMPLE_UID 1000

enum {
	TO_GUEST_JOB = 0x01, TO_GUEST_SAMPLE = 0x02, TO_GUEST_RUN = 0x03, TO_GUEST_DUMP = 0x04, TO_GUEST_STOP = 0x05,
	TO_HOST_HELLO = 0x81, TO_HOST_FORMAT = 0x82, TO_HOST_READY = 0x83, TO_HOST_STARTED = 0x84, TO_HOST_TRACE = 0x85,
	TO_HOST_FILE = 0x86, TO_HOST_MEMORY = 0x87, TO_HOST_EXITED = 0x88, TO_HOST_FINISHED = 0x89, TO_HOST_NOTE = 0x8a,
};

/* The name of the kit, and the registers with the first four arguments of a kernel function in the words of a probe. */
#if defined(__x86_64__)
#define ISA "x86_64"
static const char *const argument[] = {"%di", "%si", "%dx", "%cx"};
#elif defined(__i386__)
/* The kernel is built for three arguments in registers. */
#define ISA "x86"
static const char *const argument[] = {"%ax", "%dx", "%cx", "$stack1"};
#elif defined(__aarch64__)
#define ISA "arm64"
static const char *const argument[] = {"%x0", "%x1", "%x2", "%x3"};
#elif defined(__arm__)
#define ISA "arm"
static const char *const argument[] = {"%r0", "%r1", "%r2", "%r3"};
#elif defined(__mips__) && defined(__MIPSEB__)
#define ISA "mips"
static const char *const argument[] = {"%r4", "%r5", "%r6", "%r7"};
#elif defined(__mips__)
#define ISA "mipsel"
static const char *const argument[] = {"%r4", "%r5", "%r6", "%r7"};
#elif defined(__powerpc__)
#define ISA "powerpc"
static const char *const argument[] = {"%gpr3", "%gpr4", "%gpr5", "%gpr6"};
#elif defined(__sh__)
#define ISA "sh4"
static const char *const argument[] = {"%r4", "%r5", "%r6", "%r7"};
#elif defined(__riscv)
#define ISA "riscv64"
static const char *const argument[] = {"%a0", "%a1", "%a2", "%a3"};
#elif defined(__sparc__)
/* A probe stands before the function turns its register window, so its arguments are in the window's out registers,
 * which pt_regs calls by the names of the in registers of the caller's frame. */
#define ISA "sparc64"
static const char *const argument[] = {"%i0", "%i1", "%i2", "%i3"};
#elif defined(__m68k__)
/* No probes on this processor: only what the kernel's own tracepoints tell. */
#define ISA "m68k"
static const char *const argument[] = {"%d0", "%d0", "%d0", "%d0"};
#else
#error "no kit has this processor"
#endif

static int port = -1;
static int trace_folder = -1;
static int trace_pipe = -1, trace_stats = -1, trace_on = -1, trace_pids = -1;

static unsigned char frame_in[FRAME_BYTES_MAX];
static unsigned char page[64 * 1024];
static unsigned char piece[PIECE_BYTES];
static char job_text[JOB_BYTES_MAX + 1];

/* ---- text without a library that allocates ---- */

struct text {
	char bytes[8192];
	size_t used;
};

static void add(struct text *text, const char *more)
{
	while (*more && text->used < sizeof text->bytes - 1)
		text->bytes[text->used++] = *more++;
	text->bytes[text->used] = 0;
}

static void add_number(struct text *text, unsigned long long number)
{
	char digits[24];
	int at = sizeof digits;
	digits[--at] = 0;
	do
		digits[--at] = '0' + number % 10;
	while (number /= 10);
	add(text, digits + at);
}

static void add_line(struct text *text, const char *key, unsigned long long number)
{
	add(text, key);
	add(text, "=");
	add_number(text, number);
	add(text, "\n");
}

static unsigned long long number_of(const char *text)
{
	unsigned long long number = 0;
	while (*text >= '0' && *text <= '9')
		number = number * 10 + (*text++ - '0');
	return number;
}

/* ---- frames ---- */

static void put_le(unsigned char *to, unsigned long long number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = number >> (8 * i);
}

static void nap(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static void write_all(const void *bytes, size_t length)
{
	const char *at = bytes;
	while (length) {
		ssize_t wrote = write(port, at, length);
		if (wrote > 0) {
			at += wrote;
			length -= wrote;
		} else if (errno != EINTR) {
			/* No host listens yet, or its buffer is full: there is nobody else to tell. */
			nap(5);
		}
	}
}

static void send_parts(int kind, const void *head, size_t head_length, const void *body, size_t body_length)
{
	unsigned char start[5] = {kind};
	put_le(start + 1, head_length + body_length, 4);
	write_all(start, sizeof start);
	write_all(head, head_length);
	write_all(body, body_length);
}

static void send_frame(int kind, const void *payload, size_t length)
{
	send_parts(kind, payload, length, 0, 0);
}

static void send_text(int kind, const struct text *text)
{
	send_frame(kind, text->bytes, text->used);
}

static void note(const char *what, const char *subject, int error)
{
	struct text text = {.used = 0};
	add(&text, what);
	if (subject) {
		add(&text, " ");
		add(&text, subject);
	}
	if (error) {
		add(&text, ": error ");
		add_number(&text, error);
	}
	send_text(TO_HOST_NOTE, &text);
}

static void read_all(void *to, size_t length)
{
	char *at = to;
	while (length) {
		ssize_t got = read(port, at, length);
		if (got > 0) {
			at += got;
			length -= got;
		} else if (got == 0 || errno != EINTR) {
			/* The host is not there yet; after a snapshot it is another one. */
			nap(5);
		}
	}
}

/* Reads one frame into `frame_in`. A frame that is too long is read to its end and counts as empty. */
static int read_frame(size_t *length)
{
	unsigned char start[5];
	read_all(start, sizeof start);
	size_t left = start[1] | start[2] << 8 | start[3] << 16 | (size_t)start[4] << 24;
	*length = left <= FRAME_BYTES_MAX ? left : 0;
	if (left > FRAME_BYTES_MAX)
		note("refused a frame that is too long", 0, 0);
	for (size_t at = 0; left;) {
		size_t part = left < sizeof frame_in ? left : sizeof frame_in;
		read_all(frame_in + at, part);
		left -= part;
	}
	return start[0];
}

/* ---- files by path ---- */

static ssize_t read_file(int folder, const char *path, void *to, size_t max)
{
	int file = openat(folder, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	size_t used = 0;
	ssize_t got;
	while (used < max && (got = read(file, (char *)to + used, max - used)) > 0)
		used += got;
	close(file);
	return used;
}

static int write_file(int folder, const char *path, int flags, const void *bytes, size_t length)
{
	int file = openat(folder, path, flags | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file < 0)
		return errno;
	ssize_t wrote = write(file, bytes, length);
	int error = wrote == (ssize_t)length ? 0 : wrote < 0 ? errno : ENOSPC;
	close(file);
	return error;
}

static int set_trace(const char *path, const char *value)
{
	return write_file(trace_folder, path, O_APPEND, value, strlen(value));
}

static void make_folders_for(const char *path)
{
	char folder[PATH_BYTES_MAX];
	for (size_t i = 1; path[i] && i < sizeof folder - 1; i++)
		if (path[i] == '/') {
			memcpy(folder, path, i);
			folder[i] = 0;
			mkdir(folder, 0755);
		}
}

/* ---- the machine, before the snapshot ---- */

static void mount_all(void)
{
	static const struct {
		const char *kind, *where, *data;
		unsigned long flags;
		mode_t mode;
	} mounts[] = {
		{"proc", "/proc", 0, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
		{"sysfs", "/sys", 0, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
		{"devtmpfs", "/dev", "mode=0755", MS_NOSUID, 0755},
		{"devpts", "/dev/pts", "mode=0620", MS_NOSUID | MS_NOEXEC, 0755},
		/* Sizes in parts of the guest's memory, so that a full one leaves the agent enough. */
		{"tmpfs", "/dev/shm", "size=10%,mode=1777", MS_NOSUID | MS_NODEV, 0755},
		{"tmpfs", "/tmp", "size=25%,nr_inodes=8192,mode=1777", MS_NOSUID | MS_NODEV, 01777},
		{"tmpfs", "/run", "size=10%,nr_inodes=4096,mode=0755", MS_NOSUID | MS_NODEV, 0755},
	};
	for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
		mkdir(mounts[i].where, mounts[i].mode);
		mount(mounts[i].kind, mounts[i].where, mounts[i].kind, mounts[i].flags, mounts[i].data);
	}
}

/* Finds the port by its name; the number that the kernel gives it depends on the order of devices. */
static int open_port(void)
{
	for (int waited = 0; waited < PORT_WAIT_MS; waited += 20) {
		DIR *ports = opendir("/sys/class/virtio-ports");
		struct dirent *entry;
		while (ports && (entry = readdir(ports))) {
			struct text path = {.used = 0};
			char name[64] = "";
			add(&path, "/sys/class/virtio-ports/");
			add(&path, entry->d_name);
			add(&path, "/name");
			if (read_file(AT_FDCWD, path.bytes, name, sizeof name - 1) <= 0 || strncmp(name, "komainu.agent", 13))
				continue;
			path.used = 0;
			add(&path, "/dev/");
			add(&path, entry->d_name);
			int opened = open(path.bytes, O_RDWR | O_CLOEXEC);
			if (opened >= 0) {
				unlink(path.bytes);
				closedir(ports);
				return opened;
			}
		}
		if (ports)
			closedir(ports);
		nap(20);
	}
	return -1;
}

static void interface_up(const char *name)
{
	struct ifreq request = {0};
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(socket_, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		ioctl(socket_, SIOCSIFFLAGS, &request);
	}
	close(socket_);
}

/* ---- probes ---- */

#define L (sizeof(long))

static void add_argument_words(struct text *text, char name, const char *address_before, int words, const char *address_after)
{
	for (int i = 0; i < words; i++) {
		char letter[3] = {' ', name, 0};
		add(text, letter);
		add_number(text, i);
		add(text, "=");
		add(text, address_before);
		add_number(text, 8 * i);
		add(text, address_after);
		add(text, ":x64");
	}
}

static void add_offset(struct text *text, size_t offset)
{
	add(text, "+");
	add_number(text, offset);
	add(text, "(");
}

/* Defines one probe; the trace shows it as komainu/NAME. */
static int define(const char *name, const struct text *definition)
{
	int error = trace_folder < 0 ? ENOENT : set_trace("kprobe_events", definition->bytes);
	if (error)
		note("no probe", name, error);
	return !error;
}

static void begin(struct text *text, const char *kind, const char *name, const char *function)
{
	text->used = 0;
	add(text, kind);
	add(text, ":komainu/");
	add(text, name);
	add(text, " ");
	add(text, function);
}

static void add_argument(struct text *text, const char *name, int number, const char *type)
{
	add(text, " ");
	add(text, name);
	add(text, "=");
	add(text, argument[number]);
	add(text, type);
}

/* A socket address that the kernel has copied already; its length is the third argument. */
static int define_address(const char *name, const char *function)
{
	struct text text, end = {.used = 0};
	begin(&text, "p", name, function);
	add_argument(&text, "length", 2, ":s32");
	add(&end, "(");
	add(&end, argument[1]);
	add(&end, ")");
	add_argument_words(&text, 'a', "+", 4, end.bytes);
	return define(name, &text);
}

/* The beginning of the kernel's struct msghdr with its iov_iter (include/linux/socket.h and uio.h of Linux 6.1), for where
 * the vector is: we are compiled for the same processor, so padding is the same. */
struct message {
	void *name;
	int name_length, in_queue;
	struct {
		unsigned char kind[4];
		unsigned long offset, count;
		void *vector;
		union {
			unsigned long pieces;
			long long start;
		} end;
	} iterator;
};

/* A message: where to, how long, and its beginning. The address is a copy in the kernel, the vector's first piece is
 * the program's. */
static int define_message(const char *name, const char *function)
{
	struct text text, address = {.used = 0}, head = {.used = 0};
	begin(&text, "p", name, function);
	add_argument(&text, "bytes", 2, sizeof(long) == 8 ? ":u64" : ":u32");
	add(&text, " name=+0(");
	add(&text, argument[1]);
	add(&text, sizeof(long) == 8 ? "):x64" : "):x32");
	add(&address, "(+0(");
	add(&address, argument[1]);
	add(&address, "))");
	add_argument_words(&text, 'a', "+", 4, address.bytes);
	add(&head, "(+0(");
	add_offset(&head, offsetof(struct message, iterator.vector));
	add(&head, argument[1]);
	add(&head, ")))");
	add_argument_words(&text, 'h', "+u", 8, head.bytes);
	return define(name, &text);
}

static int have_exit, have_connect;

static void define_probes(void)
{
	struct text text, place = {.used = 0};

	/* Every path that a system call names, after the kernel has copied it; `user` says which argument it was. */
	begin(&text, "r", "path", "getname_flags");
	add(&text, " name=+0(+0($retval)):string user=");
	add_offset(&text, L);
	add(&text, "$retval)");
	add(&text, L == 8 ? ":x64" : ":x32");
	define("path", &text);

	/* The arguments, out of the new program's own stack, which has just been written. On ARM the function begins with a
	 * read of a coprocessor, which cannot be probed; the one after it still has the argument. */
	begin(&text, "p", "exec", !strcmp(ISA, "arm") ? "finalize_exec+4" : "finalize_exec");
	add(&text, " argc=+u0(");
	add_offset(&text, 3 * L);
	add(&text, argument[0]);
	add(&text, L == 8 ? ")):u64" : ")):u32");
	add(&place, "(+u");
	add_number(&place, L);
	add(&place, "(");
	add_offset(&place, 3 * L);
	add(&place, argument[0]);
	add(&place, ")))");
	add_argument_words(&text, 'a', "+u", 24, place.bytes);
	define("exec", &text);

	have_connect = define_address("connect", "inet_stream_connect");
	define_address("connect_datagram", "inet_dgram_connect");
	define_address("bind", "inet_bind");
	define_address("bind6", "inet6_bind");
	define_message("send", "inet_sendmsg");
	define_message("send6", "inet6_sendmsg");

	begin(&text, "p", "write", "vfs_write");
	add_argument(&text, "bytes", 2, L == 8 ? ":u64" : ":u32");
	place.used = 0;
	add(&place, "(");
	add(&place, argument[1]);
	add(&place, ")");
	add_argument_words(&text, 'h', "+u", 8, place.bytes);
	define("write", &text);

	begin(&text, "p", "socket", "__sys_socket");
	add_argument(&text, "family", 0, ":s32");
	add_argument(&text, "kind", 1, ":s32");
	add_argument(&text, "protocol", 2, ":s32");
	define("socket", &text);

	begin(&text, "p", "listen", "__sys_listen");
	add_argument(&text, "descriptor", 0, ":s32");
	define("listen", &text);

	/* The time is one argument of 64 bits; where registers have 32 it is in the first two. */
	begin(&text, "p", "sleep", "hrtimer_nanosleep");
	if (L == 8) {
		add_argument(&text, "ns", 0, ":u64");
	} else {
		add_argument(&text, "first", 0, ":u32");
		add_argument(&text, "second", 1, ":u32");
	}
	define("sleep", &text);

	begin(&text, "p", "mount", "path_mount");
	add(&text, " source=+0(");
	add(&text, argument[0]);
	add(&text, "):string kind=+0(");
	add(&text, argument[2]);
	add(&text, "):string");
	define("mount", &text);

	begin(&text, "p", "exit", "do_exit");
	add_argument(&text, "code", 0, ":x32");
	have_exit = define("exit", &text);
}

/* System calls that say nothing about what a program is after, or whose probe says it better. */
static void set_filters(void)
{
	static const short ignored[] = {
		SYS_read, SYS_readv, SYS_pread64, SYS_munmap, SYS_brk, SYS_close, SYS_lseek, SYS_futex, SYS_rt_sigprocmask,
		SYS_rt_sigaction, SYS_rt_sigreturn, SYS_sched_yield, SYS_madvise, SYS_fcntl, SYS_fstat, SYS_set_tid_address,
		SYS_set_robust_list, SYS_getrandom, SYS_restart_syscall, SYS_exit, SYS_exit_group, SYS_ppoll, SYS_dup, SYS_wait4,
		SYS_prlimit64, SYS_gettimeofday, SYS_clock_gettime, SYS_getrusage, SYS_times, SYS_epoll_pwait,
#ifdef SYS_pselect6
		SYS_pselect6,
#endif
#ifdef SYS_rseq
		SYS_rseq,
#endif
#ifdef SYS_mmap
		SYS_mmap,
#endif
#ifdef SYS_mmap2
		SYS_mmap2,
#endif
#ifdef SYS__llseek
		SYS__llseek,
#endif
#ifdef SYS_fstat64
		SYS_fstat64,
#endif
#ifdef SYS_fcntl64
		SYS_fcntl64,
#endif
#ifdef SYS_poll
		SYS_poll,
#endif
#ifdef SYS_select
		SYS_select,
#endif
#ifdef SYS__newselect
		SYS__newselect,
#endif
#ifdef SYS_epoll_wait
		SYS_epoll_wait,
#endif
#ifdef SYS_waitpid
		SYS_waitpid,
#endif
#ifdef SYS_time
		SYS_time,
#endif
#ifdef SYS_sigreturn
		SYS_sigreturn,
#endif
#ifdef SYS_clock_gettime64
		SYS_clock_gettime64,
#endif
#ifdef SYS_futex_time64
		SYS_futex_time64,
#endif
#ifdef SYS_ppoll_time64
		SYS_ppoll_time64,
#endif
#ifdef SYS_pselect6_time64
		SYS_pselect6_time64,
#endif
#ifdef SYS_set_thread_area
		SYS_set_thread_area,
#endif
#ifdef SYS_arch_prctl
		SYS_arch_prctl,
#endif
#ifdef SYS_recvfrom
		SYS_recvfrom,
#endif
#ifdef SYS_recv
		SYS_recv,
#endif
#ifdef SYS_recvmsg
		SYS_recvmsg,
#endif
#ifdef SYS_dup2
		SYS_dup2,
#endif
	};
	static const short answered[] = {
		SYS_openat, SYS_execve, SYS_ptrace, SYS_mount,
#ifdef SYS_open
		SYS_open,
#endif
#ifdef SYS_creat
		SYS_creat,
#endif
#ifdef SYS_openat2
		SYS_openat2,
#endif
#ifdef SYS_execveat
		SYS_execveat,
#endif
#ifdef SYS_init_module
		SYS_init_module,
#endif
#ifdef SYS_finit_module
		SYS_finit_module,
#endif
	};
	struct text text = {.used = 0};
	add(&text, "id >= 0");
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
		add(&text, " && id != ");
		add_number(&text, ignored[i]);
	}
	int error = set_trace("events/raw_syscalls/sys_enter/filter", text.bytes);
	if (error)
		note("no filter", "sys_enter", error);
	text.used = 0;
	for (size_t i = 0; i < sizeof answered / sizeof *answered; i++) {
		add(&text, i ? " || id == " : "id == ");
		add_number(&text, answered[i]);
	}
	error = set_trace("events/raw_syscalls/sys_exit/filter", text.bytes);
	if (error)
		note("no filter", "sys_exit", error);
}

/* What is switched off while a sample tells more than is streamed: the loud half. */
static const char *const loud[] = {
	"events/raw_syscalls/enable", "events/komainu/send/enable", "events/komainu/send6/enable",
	"events/komainu/write/enable", "events/komainu/sleep/enable",
};
static int loud_switch[sizeof loud / sizeof *loud];

static void send_format(const char *name, const char *path)
{
	static char text[8192];
	size_t length = strlen(name);
	memcpy(text, name, length);
	text[length++] = '\n';
	ssize_t got = read_file(trace_folder, path, text + length, sizeof text - length);
	if (got > 0)
		send_frame(TO_HOST_FORMAT, text, length + got);
}

/* Switches one event on and tells its format; an event that the kernel lacks is told in a note. */
static void enable(const char *group, const char *event)
{
	struct text path = {.used = 0}, name = {.used = 0};
	add(&name, group);
	add(&name, "/");
	add(&name, event);
	add(&path, "events/");
	add(&path, name.bytes);
	size_t folder = path.used;
	add(&path, "/enable");
	int error = set_trace(path.bytes, "1");
	if (error) {
		note("no event", name.bytes, error);
		return;
	}
	path.used = folder;
	add(&path, "/format");
	send_format(name.bytes, path.bytes);
}

static void prepare_trace(void)
{
	static const char *const probes[] = {
		"path", "exec", "connect", "connect_datagram", "bind", "bind6", "send", "send6", "write", "socket", "listen",
		"sleep", "mount", "exit",
	};
	mkdir("/sys/kernel/tracing", 0700);
	if (mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0)) {
		note("no tracefs", 0, errno);
		return;
	}
	trace_folder = open("/sys/kernel/tracing", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	set_trace("tracing_on", "0");
	set_trace("trace_clock", "mono");
	set_trace("buffer_size_kb", RING_KIB);
	set_trace("options/event-fork", "1");
	set_trace("options/record-cmd", "0");
	send_format("header_page", "events/header_page");
	define_probes();
	set_filters();
	enable("sched", "sched_process_fork");
	enable("sched", "sched_process_exec");
	if (!have_exit)
		enable("sched", "sched_process_exit");
	enable("task", "task_rename");
	enable("raw_syscalls", "sys_enter");
	enable("raw_syscalls", "sys_exit");
	if (!have_connect)
		enable("sock", "inet_sock_set_state");
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		struct text path = {.used = 0};
		add(&path, "events/komainu/");
		add(&path, probes[i]);
		if (faccessat(trace_folder, path.bytes, F_OK, 0) == 0)
			enable("komainu", probes[i]);
	}
	trace_pipe = openat(trace_folder, "per_cpu/cpu0/trace_pipe_raw", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	trace_stats = openat(trace_folder, "per_cpu/cpu0/stats", O_RDONLY | O_CLOEXEC);
	trace_on = openat(trace_folder, "tracing_on", O_WRONLY | O_CLOEXEC);
	trace_pids = openat(trace_folder, "set_event_pid", O_WRONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof loud / sizeof *loud; i++)
		loud_switch[i] = openat(trace_folder, loud[i], O_WRONLY | O_CLOEXEC);
	if (trace_pipe < 0 || trace_on < 0 || trace_pids < 0)
		note("no trace", 0, errno);
	close(trace_folder);
	trace_folder = -1;
	/* From here on the trace lives only in our descriptors; who wants to see it has to mount it, which is traced. */
	if (umount2("/sys/kernel/tracing", MNT_DETACH))
		note("tracefs stays visible", 0, errno);
}

static void say_hello(void)
{
	struct utsname system = {0};
	struct text text = {.used = 0};
	const union { uint16_t number; unsigned char first; } order = {1};
	uname(&system);
	add(&text, "protocol=1\nisa=" ISA "\nkernel=");
	add(&text, system.release);
	add(&text, order.first ? "\norder=little\n" : "\norder=big\n");
	add_line(&text, "long", L);
	add_line(&text, "page", sysconf(_SC_PAGESIZE));
	send_text(TO_HOST_HELLO, &text);
}

/* ---- the job ---- */

struct job {
	int as_root;
	const char *name, *folder;
	char *arguments[ARGUMENTS_MAX + 1];
	char *environment[ENVIRONMENT_MAX + 1];
	int argument_count, environment_count;
};
static struct job job;
static int sample_file = -1;
static size_t sample_bytes;

/* Undoes \xNN and \\ in place, as the host writes bytes that are no plain text. Returns the length. */
static size_t unescape(char *text)
{
	char *to = text, *from = text;
	while (*from) {
		if (from[0] == '\\' && from[1] == '\\') {
			*to++ = '\\';
			from += 2;
		} else if (from[0] == '\\' && from[1] == 'x' && from[2] && from[3]) {
			int value = 0;
			for (int i = 2; i < 4; i++)
				value = value * 16 + (from[i] <= '9' ? from[i] - '0' : (from[i] | 32) - 'a' + 10);
			*to++ = value;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
	return to - text;
}

/*
 * Lets the timer tick again. After a snapshot is restored, the timer of some machines waits for nothing (QEMU's MIPS does not
 * set it from the registers that it restored), and the kernel does not set it anew as long as the event that it waits for
 * is the earliest one. A time that is over is earlier.
 */
static void wake_timer(void)
{
	struct timespec over = { 0, 1 };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &over, 0);
}

static void set_clock(const char *value)
{
	struct timespec time = {.tv_sec = number_of(value)};
	if (clock_settime(CLOCK_REALTIME, &time))
		note("cannot set the clock", 0, errno);
}

/* The seed becomes entropy; without it all runs from one snapshot would draw the same random numbers. */
static void set_entropy(const char *value, size_t length)
{
	struct {
		struct rand_pool_info info;
		char bytes[64];
	} pool = {.info = {.entropy_count = 256}};
	int random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	pool.info.buf_size = length < sizeof pool.bytes ? length : sizeof pool.bytes;
	memcpy(pool.info.buf, value, pool.info.buf_size);
	if (random < 0 || ioctl(random, RNDADDENTROPY, &pool))
		note("cannot add entropy", 0, errno);
#ifdef RNDRESEEDCRNG
	if (ioctl(random, RNDRESEEDCRNG))
		note("cannot reseed", 0, errno);
#endif
	close(random);
}

static void set_mac(const char *value)
{
	struct ifreq request = {.ifr_name = "eth0"};
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_hwaddr.sa_family = 1;
	for (int i = 0; i < 6; i++, value += 3) {
		unsigned char byte = 0;
		for (int digit = 0; digit < 2 && value[digit]; digit++)
			byte = byte << 4 | (value[digit] <= '9' ? value[digit] - '0' : (value[digit] | 32) - 'a' + 10);
		request.ifr_hwaddr.sa_data[i] = byte;
		if (!value[0] || !value[1] || !value[2])
			break;
	}
	if (ioctl(socket_, SIOCSIFHWADDR, &request))
		note("cannot set the hardware address", 0, errno);
	close(socket_);
}

/* Cuts "ADDRESS/BITS" and returns the bits. */
static int prefix_of(char *value, int otherwise)
{
	char *slash = strchr(value, '/');
	if (!slash)
		return otherwise;
	*slash = 0;
	return number_of(slash + 1);
}

static void set_address(char *value)
{
	struct ifreq request = {.ifr_name = "eth0"};
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int bits = prefix_of(value, 24);
	address->sin_family = AF_INET;
	inet_pton(AF_INET, value, &address->sin_addr);
	int error = ioctl(socket_, SIOCSIFADDR, &request) ? errno : 0;
	address->sin_addr.s_addr = htonl(bits <= 0 ? 0 : bits >= 32 ? ~0u : ~0u << (32 - bits));
	if (ioctl(socket_, SIOCSIFNETMASK, &request) && !error)
		error = errno;
	if (error)
		note("cannot set the address", value, error);
	close(socket_);
	interface_up("eth0");
}

static void set_gateway(const char *value)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	int socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in *gateway = (struct sockaddr_in *)&route.rt_gateway;
	gateway->sin_family = AF_INET;
	inet_pton(AF_INET, value, &gateway->sin_addr);
	route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
	if (ioctl(socket_, SIOCADDRT, &route))
		note("cannot set the gateway", value, errno);
	close(socket_);
}

/* As the kernel defines them; the C library's header has the second one only in a private form. */
struct address6 {
	struct in6_addr address;
	uint32_t prefix;
	int interface;
};
struct route6 {
	struct in6_addr to, from, gateway;
	uint32_t kind;
	uint16_t to_bits, from_bits;
	uint32_t metric;
	unsigned long info;
	uint32_t flags;
	int interface;
};

static void set_address6(char *value)
{
	int bits = prefix_of(value, 64);
	struct address6 request = {.prefix = bits, .interface = if_nametoindex("eth0")};
	int socket_ = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET6, value, &request.address);
	if (socket_ < 0 || ioctl(socket_, SIOCSIFADDR, &request))
		note("cannot set the address", value, errno);
	close(socket_);
}

static void set_gateway6(const char *value)
{
	struct route6 route = {.metric = 1, .flags = RTF_UP | RTF_GATEWAY, .interface = if_nametoindex("eth0")};
	int socket_ = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET6, value, &route.gateway);
	if (socket_ < 0 || ioctl(socket_, SIOCADDRT, &route))
		note("cannot set the gateway", value, errno);
	close(socket_);
}

/* "PATH:CONTENT" */
static void put_file(char *value)
{
	char *colon = strchr(value, ':');
	if (!colon)
		return;
	*colon = 0;
	size_t length = unescape(colon + 1);
	make_folders_for(value);
	int error = write_file(AT_FDCWD, value, O_CREAT | O_TRUNC, colon + 1, length);
	if (error)
		note("cannot write", value, error);
}

static void add_resolver(const char *value)
{
	struct text text = {.used = 0};
	add(&text, "nameserver ");
	add(&text, value);
	add(&text, "\n");
	int error = write_file(AT_FDCWD, "/etc/resolv.conf", O_CREAT | O_APPEND, text.bytes, text.used);
	if (error)
		note("cannot write", "/etc/resolv.conf", error);
}

static void take_key(char *key, char *value)
{
	if (!strcmp(key, "mode"))
		job.as_root = !strcmp(value, "root");
	else if (!strcmp(key, "name"))
		unescape(value), job.name = value;
	else if (!strcmp(key, "folder"))
		unescape(value), job.folder = value;
	else if (!strcmp(key, "argv") && job.argument_count < ARGUMENTS_MAX)
		unescape(value), job.arguments[job.argument_count++] = value;
	else if (!strcmp(key, "env") && job.environment_count < ENVIRONMENT_MAX)
		unescape(value), job.environment[job.environment_count++] = value;
	else if (!strcmp(key, "clock"))
		set_clock(value);
	else if (!strcmp(key, "seed"))
		set_entropy(value, strlen(value));
	else if (!strcmp(key, "hostname"))
		sethostname(value, strlen(value));
	else if (!strcmp(key, "mac"))
		set_mac(value);
	else if (!strcmp(key, "address"))
		set_address(value);
	else if (!strcmp(key, "gateway"))
		set_gateway(value);
	else if (!strcmp(key, "address6"))
		set_address6(value);
	else if (!strcmp(key, "gateway6"))
		set_gateway6(value);
	else if (!strcmp(key, "dns"))
		add_resolver(value);
	else if (!strcmp(key, "file"))
		put_file(value);
	else
		note("ignored the key", key, 0);
}

static void take_job(size_t length)
{
	static char preset[][40] = {"PATH=/sbin:/usr/sbin:/bin:/usr/bin", "HOME=/", "SHELL=/bin/sh", "TERM=vt102"};
	if (length > JOB_BYTES_MAX) {
		note("refused a job that is too long", 0, 0);
		return;
	}
	memcpy(job_text, frame_in, length);
	job_text[length] = 0;
	memset(&job, 0, sizeof job);
	job.name = "/tmp/sample";
	job.folder = "/";
	write_file(AT_FDCWD, "/etc/resolv.conf", O_CREAT | O_TRUNC, "", 0);
	for (char *line = job_text, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		char *value = strchr(line, '=');
		if (value) {
			*value++ = 0;
			take_key(line, value);
		}
	}
	if (!job.argument_count)
		job.arguments[job.argument_count++] = (char *)job.name;
	if (!job.environment_count)
		for (size_t i = 0; i < sizeof preset / sizeof *preset; i++)
			job.environment[job.environment_count++] = preset[i];
}

static void take_sample(size_t length)
{
	if (sample_file < 0) {
		make_folders_for(job.name);
		unlink(job.name);
		sample_file = open(job.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
		if (sample_file < 0) {
			note("cannot write", job.name, errno);
			return;
		}
		fchmod(sample_file, 0755);
		if (!job.as_root && fchown(sample_file, SAMPLE_UID, SAMPLE_UID))
			note("cannot give away", job.name, errno);
	}
	if (sample_bytes + length > SAMPLE_BYTES_MAX) {
		note("the sample is too long", 0, 0);
		return;
	}
	for (size_t at = 0; at < length;) {
		ssize_t wrote = write(sample_file, frame_in + at, length - at);
		if (wrote <= 0) {
			note("cannot write", job.name, errno);
			return;
		}
		at += wrote;
		sample_bytes += wrote;
	}
}

/* ---- files: a list at the start, and what differs at the end ---- */

struct entry {
	uint64_t inode;
	int64_t size;
	struct timespec changed;
	uint32_t device, name;
	uint8_t seen;
};
static struct entry entries[ENTRIES_MAX];
static char entry_names[ENTRY_NAMES_BYTES_MAX];
static uint16_t entry_slots[2 * ENTRIES_MAX];
static size_t entry_count, entry_names_used;
static unsigned long walked, files_told, files_omitted;
static unsigned long long files_bytes;
static int listing;

static struct entry *find_entry(const char *path, int make)
{
	uint32_t hash = 2166136261u;
	for (const char *at = path; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	size_t slot = hash % (2 * ENTRIES_MAX);
	/* Half of the slots stay empty, so that each search ends. */
	for (; entry_slots[slot]; slot = (slot + 1) % (2 * ENTRIES_MAX)) {
		struct entry *entry = &entries[entry_slots[slot] - 1];
		if (!strcmp(entry_names + entry->name, path))
			return entry;
	}
	size_t length = strlen(path) + 1;
	if (!make || entry_count == ENTRIES_MAX || entry_names_used + length > ENTRY_NAMES_BYTES_MAX)
		return 0;
	struct entry *entry = &entries[entry_count++];
	entry_slots[slot] = entry_count;
	entry->name = entry_names_used;
	memcpy(entry_names + entry_names_used, path, length);
	entry_names_used += length;
	return entry;
}

enum { FILE_CREATED = 0, FILE_CHANGED = 1, FILE_REMOVED = 2 };

static void send_file_piece(int what, const struct stat *about, const char *path, uint64_t offset, const void *bytes, size_t length)
{
	static unsigned char head[24 + PATH_BYTES_MAX];
	size_t path_length = strnlen(path, PATH_BYTES_MAX);
	head[0] = what;
	put_le(head + 1, about->st_mode, 4);
	put_le(head + 5, about->st_size, 8);
	put_le(head + 13, offset, 8);
	put_le(head + 21, path_length, 2);
	memcpy(head + 23, path, path_length);
	send_parts(TO_HOST_FILE, head, 23 + path_length, bytes, length);
}

static void send_file(int what, const struct stat *about, const char *path)
{
	if (files_told == FILES_MAX) {
		files_omitted++;
		return;
	}
	files_told++;
	int file = -1;
	if (S_ISREG(about->st_mode) && about->st_size > 0 && about->st_size <= FILE_BYTES_MAX &&
	    files_bytes + about->st_size <= FILES_BYTES_MAX)
		file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0) {
		/* Its size says that there is more than is told. */
		if (S_ISREG(about->st_mode) && about->st_size > 0)
			files_omitted++;
		ssize_t length = S_ISLNK(about->st_mode) ? readlink(path, (char *)piece, sizeof piece) : 0;
		send_file_piece(what, about, path, 0, piece, length > 0 ? length : 0);
		return;
	}
	uint64_t offset = 0;
	ssize_t got;
	while (offset < FILE_BYTES_MAX && (got = read(file, piece, sizeof piece)) > 0) {
		send_file_piece(what, about, path, offset, piece, got);
		offset += got;
	}
	files_bytes += offset;
	close(file);
}

static void visit(const char *path, const struct stat *about)
{
	struct entry *entry = find_entry(path, listing);
	if (listing) {
		if (entry) {
			entry->inode = about->st_ino;
			entry->device = about->st_dev;
			entry->size = about->st_size;
			entry->changed = about->st_ctim;
		} else {
			files_omitted++;
		}
		return;
	}
	if (!entry) {
		send_file(FILE_CREATED, about, path);
		return;
	}
	entry->seen = 1;
	if (S_ISDIR(about->st_mode) || S_ISCHR(about->st_mode) || S_ISBLK(about->st_mode))
		return;
	if (entry->inode != about->st_ino || entry->device != (uint32_t)about->st_dev || entry->size != about->st_size ||
	    entry->changed.tv_sec != about->st_ctim.tv_sec || entry->changed.tv_nsec != about->st_ctim.tv_nsec)
		send_file(FILE_CHANGED, about, path);
}

struct listed {
	uint64_t inode;
	int64_t next;
	unsigned short length;
	unsigned char kind;
	char name[];
};

static void walk(int parent, const char *name, char *path, size_t length, int depth)
{
	static unsigned char room[WALK_DEPTH_MAX][2048] __attribute__((aligned(8)));
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs system;
	if (folder < 0)
		return;
	/* Only what keeps files in memory; what the kernel makes up on reading is no work of the sample. */
	if (fstatfs(folder, &system) || ((unsigned long)system.f_type != TMPFS_MAGIC && (unsigned long)system.f_type != RAMFS_MAGIC)) {
		close(folder);
		return;
	}
	long got;
	while ((got = syscall(SYS_getdents64, folder, room[depth], sizeof room[depth])) > 0) {
		for (long at = 0; at < got;) {
			struct listed *listed = (struct listed *)(room[depth] + at);
			struct stat about;
			at += listed->length;
			size_t name_length = strlen(listed->name);
			if (!strcmp(listed->name, ".") || !strcmp(listed->name, ".."))
				continue;
			if (++walked > WALK_ENTRIES_MAX || length + 1 + name_length >= PATH_BYTES_MAX) {
				files_omitted++;
				continue;
			}
			path[length] = '/';
			memcpy(path + length + 1, listed->name, name_length + 1);
			if (fstatat(folder, listed->name, &about, AT_SYMLINK_NOFOLLOW))
				continue;
			visit(path, &about);
			if (S_ISDIR(about.st_mode)) {
				if (depth + 1 < WALK_DEPTH_MAX)
					walk(folder, listed->name, path, length + 1 + name_length, depth + 1);
				else
					files_omitted++;
			}
		}
	}
	close(folder);
}

static void list_files(void)
{
	static char path[PATH_BYTES_MAX];
	listing = 1;
	walked = 0;
	walk(AT_FDCWD, "/", path, 0, 0);
}

static void send_files(void)
{
	static char path[PATH_BYTES_MAX];
	listing = 0;
	walked = 0;
	walk(AT_FDCWD, "/", path, 0, 0);
	/* A walk that was cut off has not seen everything, so it cannot say what is gone. */
	if (walked > WALK_ENTRIES_MAX)
		return;
	for (size_t i = 0; i < entry_count && files_told < FILES_MAX; i++)
		if (!entries[i].seen) {
			struct stat gone = {.st_size = entries[i].size};
			send_file(FILE_REMOVED, &gone, entry_names + entries[i].name);
		}
}

/* ---- memory ---- */

static unsigned long long memory_bytes;

static int all_zero(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return 0;
	return 1;
}

static void send_memory_run(int pid, uint64_t address, int rights, const void *bytes, size_t length)
{
	unsigned char head[13];
	put_le(head, pid, 4);
	put_le(head + 4, address, 8);
	head[12] = rights;
	send_parts(TO_HOST_MEMORY, head, sizeof head, bytes, length);
}

/* Sends one mapping without its empty pages; pages that lie together make one frame of at most PIECE_BYTES. */
static void send_mapping(int memory, int pid, uint64_t from, uint64_t to, int rights, unsigned long long *left)
{
	size_t page_bytes = sysconf(_SC_PAGESIZE);
	size_t used = 0;
	uint64_t run = from;
	for (uint64_t at = from; at < to && *left >= page_bytes; at += page_bytes) {
		int there = pread64(memory, piece + used, page_bytes, at) == (ssize_t)page_bytes && !all_zero(piece + used, page_bytes);
		if (there) {
			if (!used)
				run = at;
			used += page_bytes;
			*left -= page_bytes;
			memory_bytes += page_bytes;
		}
		if (used && (!there || used + page_bytes > sizeof piece)) {
			send_memory_run(pid, run, rights, piece, used);
			used = 0;
		}
	}
	if (used)
		send_memory_run(pid, run, rights, piece, used);
}

static uint64_t hex_of(const char **text)
{
	uint64_t value = 0;
	for (;; ++*text) {
		char c = **text;
		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (c - 'a' + 10);
		else
			return value;
	}
}

static void dump_process(int pid)
{
	static char maps[32 * 1024];
	struct text path = {.used = 0};
	add(&path, "/proc/");
	add_number(&path, pid);
	size_t folder = path.used;
	add(&path, "/maps");
	ssize_t length = read_file(AT_FDCWD, path.bytes, maps, sizeof maps - 1);
	if (length <= 0)
		return;
	maps[length] = 0;
	path.used = folder;
	add(&path, "/mem");
	int memory = open(path.bytes, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return;
	unsigned long long left = MEMORY_BYTES_MAX - memory_bytes;
	if (left > PROCESS_MEMORY_BYTES_MAX)
		left = PROCESS_MEMORY_BYTES_MAX;
	for (const char *line = maps; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : 0) {
		const char *at = line;
		uint64_t from = hex_of(&at);
		if (*at++ != '-')
			break;
		uint64_t to = hex_of(&at);
		if (*at++ != ' ' || strnlen(at, 5) < 5)
			break;
		int rights = (at[0] == 'r') | (at[1] == 'w') << 1 | (at[2] == 'x') << 2;
		const char *end = strchr(at, '\n');
		/* After rights, offset and device stands the inode: none means that no file is behind it. */
		int field = 0, anonymous = 0;
		for (const char *in = at; in && *in && in != end; in++)
			if (*in == ' ' && in[1] != ' ' && ++field == 3)
				anonymous = in[1] == '0' && in[2] == ' ';
		const char *mark = strchr(at, '[');
		int kernels = mark && (!end || mark < end) && mark[1] == 'v';
		if (rights & 1 && !kernels && (anonymous || rights & 2))
			send_mapping(memory, pid, from, to, rights, &left);
	}
	close(memory);
}

static void dump_memory(void)
{
	int told = 0;
	DIR *processes;
	struct dirent *entry;
	kill(-1, SIGSTOP);
	processes = opendir("/proc");
	while (processes && (entry = readdir(processes)) && told < MEMORY_PROCESSES_MAX && memory_bytes < MEMORY_BYTES_MAX) {
		int pid = number_of(entry->d_name);
		if (pid > 1) {
			dump_process(pid);
			told++;
		}
	}
	if (processes)
		closedir(processes);
	kill(-1, SIGCONT);
	struct text text = {.used = 0};
	add(&text, "dumped bytes=");
	add_number(&text, memory_bytes);
	send_text(TO_HOST_NOTE, &text);
	memory_bytes = 0;
}

/* ---- running ---- */

static unsigned long long now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static unsigned long long trace_bytes, trace_allowed = TRACE_BURST_BYTES, allowed_at;
static unsigned long quiet_times;
static int quiet;

static void be_quiet(int now)
{
	quiet = now;
	quiet_times += now;
	for (size_t i = 0; i < sizeof loud / sizeof *loud; i++)
		if (loud_switch[i] >= 0 && write(loud_switch[i], now ? "0" : "1", 1) < 0)
			note("cannot switch", loud[i], errno);
	note(now ? "quiet" : "loud", 0, 0);
}

/* Gives the allowance of the time that went by, and switches the loud half off and on. */
static void brake(void)
{
	unsigned long long now = now_ns();
	trace_allowed += (now - allowed_at) / 1000 * TRACE_BYTES_PER_S / 1000000;
	allowed_at = now;
	if (trace_allowed > TRACE_BURST_BYTES)
		trace_allowed = TRACE_BURST_BYTES;
	if (!quiet && trace_allowed < TRACE_BYTES_PER_S / 4)
		be_quiet(1);
	else if (quiet && trace_allowed > 4 * TRACE_BYTES_PER_S)
		be_quiet(0);
}

/* Sends what the ring holds. The rounds are bounded, so that a sample that never rests does not keep us from orders. */
static void drain(int rounds)
{
	size_t page_bytes = sysconf(_SC_PAGESIZE);
	while (trace_pipe >= 0 && rounds--) {
		ssize_t got = read(trace_pipe, page, page_bytes);
		if (got <= 16)
			return;
		/* Behind the timestamp: how much of the page is used, with two marks in its highest bits. */
		unsigned long used;
		memcpy(&used, page + 8, sizeof used);
		size_t length = 8 + L + (used & 0xfffff) + (used & 0x40000000 ? L : 0);
		if (length > (size_t)got)
			length = got;
		send_frame(TO_HOST_TRACE, page, length);
		trace_bytes += length;
		trace_allowed -= trace_allowed < length ? trace_allowed : length;
	}
}

/* Becomes the sample. Says a zero when it is prepared, and the error if there is one. */
static void child_of_sample(int go, int said)
{
	static const struct {
		int what;
		rlim_t bound;
	} limits[] = {
		{RLIMIT_NPROC, SAMPLE_PROCESSES_MAX}, {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 1024}, {RLIMIT_MEMLOCK, 65536},
	};
	char start, *shell[ARGUMENTS_MAX + 3] = {"/bin/sh", (char *)job.name};
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, 0);
	signal(SIGCHLD, SIG_DFL);
	setsid();
	int null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	write_file(AT_FDCWD, "/proc/self/oom_score_adj", 0, "500", 3);
	setpriority(PRIO_PROCESS, 0, 0);
	struct sched_param ordinary = {0};
	sched_setscheduler(0, SCHED_OTHER, &ordinary);
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct rlimit limit = {limits[i].bound, limits[i].bound};
		setrlimit(limits[i].what, &limit);
	}
	if (chdir(job.folder))
		chdir("/");
	if (!job.as_root && (setgroups(0, 0) || setgid(SAMPLE_UID) || setuid(SAMPLE_UID)))
		_exit(126);
	for (int i = 3; i < 64; i++)
		if (i != go && i != said)
			close(i);
	int error = 0;
	write(said, &error, sizeof error);
	/* The kernel follows this process from the moment the byte arrives. */
	while (read(go, &start, 1) < 0 && errno == EINTR)
		;
	close(go);
	execve(job.name, job.arguments, job.environment);
	if (errno == ENOEXEC) {
		for (int i = 1; i < job.argument_count; i++)
			shell[i + 1] = job.arguments[i];
		execve("/bin/sh", shell, job.environment);
	}
	error = errno;
	write(said, &error, sizeof error);
	_exit(127);
}

static int start_sample(void)
{
	int go[2], said[2], error = 0;
	if (sample_file >= 0)
		close(sample_file);
	sample_file = -1;
	list_files();
	if (pipe2(go, O_CLOEXEC) || pipe2(said, O_CLOEXEC)) {
		note("cannot start", job.name, errno);
		return 0;
	}
	int child = fork();
	if (child == 0)
		child_of_sample(go[0], said[1]);
	close(go[0]);
	close(said[1]);
	if (child < 0) {
		note("cannot start", job.name, errno);
		return 0;
	}
	/* What it does to prepare itself is not the sample's doing: only then it is followed. */
	read(said[0], &error, sizeof error);
	struct text pid = {.used = 0}, text = {.used = 0};
	add_number(&pid, child);
	if (trace_pids >= 0 && write(trace_pids, pid.bytes, pid.used) < 0)
		note("cannot follow", pid.bytes, errno);
	if (trace_on >= 0 && write(trace_on, "1", 1) < 0)
		note("cannot trace", 0, errno);
	allowed_at = now_ns();
	add_line(&text, "pid", child);
	add_line(&text, "at_ns", allowed_at);
	send_text(TO_HOST_STARTED, &text);
	write(go[1], "", 1);
	close(go[1]);
	if (read(said[0], &error, sizeof error) == sizeof error)
		note("cannot run", job.name, error);
	close(said[0]);
	return child;
}

/* Tells of children that ended. Returns 0 when none is left: orphans become ours, so then nothing of the sample runs. */
static int reap(void)
{
	int status, pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct text text = {.used = 0};
		add_line(&text, "pid", pid);
		add_line(&text, "status", status);
		add_line(&text, "at_ns", now_ns());
		send_text(TO_HOST_EXITED, &text);
	}
	return pid == 0;
}

static unsigned long long statistic(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? number_of(at + strlen(name)) : 0;
}

static void finish(const char *why)
{
	static char stats[1024];
	struct text text = {.used = 0};
	kill(-1, SIGSTOP);
	drain(1 << 20);
	if (trace_on >= 0)
		write(trace_on, "0", 1);
	drain(1 << 20);
	send_files();
	ssize_t length = trace_stats >= 0 ? pread(trace_stats, stats, sizeof stats - 1, 0) : 0;
	stats[length > 0 ? length : 0] = 0;
	add(&text, "why=");
	add(&text, why);
	add(&text, "\n");
	add_line(&text, "at_ns", now_ns());
	add_line(&text, "trace_bytes", trace_bytes);
	add_line(&text, "events_overwritten", statistic(stats, "\noverrun: "));
	add_line(&text, "events_dropped", statistic(stats, "dropped events: "));
	add_line(&text, "quiet_times", quiet_times);
	add_line(&text, "files", files_told);
	add_line(&text, "files_omitted", files_omitted);
	send_text(TO_HOST_FINISHED, &text);
}

static void run_sample(void)
{
	struct pollfd order = {.fd = port, .events = POLLIN};
	if (!start_sample()) {
		finish("failed");
		return;
	}
	for (;;) {
		int ready = poll(&order, 1, DRAIN_EVERY_MS);
		/* The sample may have ended between the last read and the wait: first the children, then what they did. */
		int running = reap();
		drain(64);
		brake();
		if (!running) {
			finish("ended");
			return;
		}
		if (ready > 0 && order.revents & POLLIN) {
			size_t length;
			int kind = read_frame(&length);
			if (kind == TO_GUEST_DUMP) {
				dump_memory();
			} else if (kind == TO_GUEST_STOP) {
				finish("stopped");
				return;
			}
		} else if (ready > 0) {
			nap(DRAIN_EVERY_MS);
		}
	}
}

static void on_child(int signal_)
{
	(void)signal_;
}

int main(int count, char **words)
{
	struct sigaction action = {.sa_handler = on_child};
	struct sched_param first = {.sched_priority = 1};
	if (getpid() != 1)
		return 1;
	mount_all();
	/* Only this wakes the wait for orders; everything else that can be sent to us is ignored by the kernel. */
	sigaction(SIGCHLD, &action, 0);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++)
		memset(words[i], 0, strlen(words[i]));
	strcpy(words[0], "init");
	prctl(PR_SET_NAME, "init");
	write_file(AT_FDCWD, "/proc/self/oom_score_adj", 0, "-1000", 5);
	write_file(AT_FDCWD, "/proc/sys/kernel/printk", 0, "1", 1);
	write_file(AT_FDCWD, "/proc/sys/kernel/threads-max", 0, THREADS_MAX, sizeof THREADS_MAX - 1);
	/* A sample that spins must not keep us from reading its trace. */
	sched_setscheduler(0, SCHED_FIFO, &first);
	interface_up("lo");
	port = open_port();
	if (port < 0) {
		reboot(RB_POWER_OFF);
		return 1;
	}
	say_hello();
	prepare_trace();
	mlockall(MCL_CURRENT | MCL_FUTURE);
	send_frame(TO_HOST_READY, "", 0);
	for (;;) {
		/* The snapshot is taken in here: whoever restores it goes on with a job. */
		size_t length;
		switch (read_frame(&length)) {
		case TO_GUEST_JOB:
			wake_timer();
			take_job(length);
			break;
		case TO_GUEST_SAMPLE:
			take_sample(length);
			break;
		case TO_GUEST_RUN:
			run_sample();
			break;
		case TO_GUEST_STOP:
			sync();
			reboot(RB_POWER_OFF);
			break;
		}
	}
}
