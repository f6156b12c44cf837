/*
 * Attempts to get out of where this program runs: of the jail around QEMU, when it runs there in place of QEMU, or of a
 * guest. Harmless: each attempt reaches for a canary of the test (a listener, a file, a process), or asks for a right and
 * does nothing with it, and every bomb has an end.
 *
 * escape NAME [KEY=VALUE...]   makes one attempt and says `NAME escaped WHAT` (status 1) or `NAME contained WHY` (status 0)
 * escape every [KEY=VALUE...]  makes each in a process of its own, ten seconds at most
 * escape list                  lists the names
 *
 * Keys: tcp4 tcp6 udp4 udp6 (ports on the loopback), address (one of the host's own, with port tcp4), abstract (the name of
 * a Unix socket), socket (the path of one), file (a path whose contents begin with CANARY), folder (one that can be written
 * to outside), pid (a process outside), parent (that of this program).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What an attempt made: none when it was contained (then errno says why). */
typedef const char *outcome;

/* Bounds that keep an attempt harmless where nothing contains it. */
enum {
    PROCESSES_MAX = 200,
    THREADS_MAX = 300,
    DESCRIPTORS_MAX = 900,
    MEMORY_MIB_MAX = 768,
    SCRATCH_MIB_MAX = 64,
    FLOOD_MIB = 8,
    CONNECT_MS_MAX = 1500,
    ATTEMPT_S_MAX = 10,
};

static char said[256];

static const char *setting(const char *key);

static long number(const char *key)
{
    const char *value = setting(key);
    return value ? strtol(value, NULL, 10) : 0;
}

/* ---- the network ---- */

static outcome reach(const struct sockaddr *to, socklen_t bytes, int type)
{
    int s = socket(to->sa_family, type | SOCK_NONBLOCK, 0);
    if (s < 0)
        return NULL;
    if (connect(s, to, bytes) < 0) {
        if (errno != EINPROGRESS)
            return NULL;
        struct pollfd p = {.fd = s, .events = POLLOUT};
        if (poll(&p, 1, CONNECT_MS_MAX) != 1) {
            errno = ETIMEDOUT;
            return NULL;
        }
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
            return NULL;
        if (error) {
            errno = error;
            return NULL;
        }
    }
    /* A listener may hang up before anything is sent: it was reached all the same. */
    return send(s, "canary", 6, MSG_NOSIGNAL) == 6 || type == SOCK_STREAM ? "a canary was reached" : NULL;
}

static outcome reach4(const char *address, long port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (!address || inet_pton(AF_INET, address, &to.sin_addr) != 1) {
        errno = EINVAL;
        return NULL;
    }
    return reach((struct sockaddr *)&to, sizeof to, type);
}

static outcome reach6(const char *address, long port, int type)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    inet_pton(AF_INET6, address, &to.sin6_addr);
    return reach((struct sockaddr *)&to, sizeof to, type);
}

static outcome tcp_loopback4(void) { return reach4("127.0.0.1", number("tcp4"), SOCK_STREAM); }
static outcome tcp_loopback6(void) { return reach6("::1", number("tcp6"), SOCK_STREAM); }
static outcome udp_loopback4(void) { return reach4("127.0.0.1", number("udp4"), SOCK_DGRAM); }
static outcome udp_loopback6(void) { return reach6("::1", number("udp6"), SOCK_DGRAM); }
static outcome tcp_mapped(void) { return reach6("::ffff:127.0.0.1", number("tcp4"), SOCK_STREAM); }
static outcome host_address(void) { return reach4(setting("address"), number("tcp4"), SOCK_STREAM); }
static outcome metadata_address(void) { return reach4("169.254.169.254", 80, SOCK_STREAM); }
static outcome metadata_address6(void) { return reach6("fd00:ec2::254", 80, SOCK_STREAM); }
static outcome gateway_of_qemu(void) { return reach4("10.0.2.2", number("tcp4"), SOCK_STREAM); }

static outcome broadcast(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number("udp4")), .sin_addr = {INADDR_BROADCAST}};
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0)
        return NULL;
    return sendto(s, "canary", 6, 0, (struct sockaddr *)&to, sizeof to) == 6 ? "a broadcast was sent" : NULL;
}

static outcome open_socket(int family, int type, int protocol)
{
    return socket(family, type, protocol) >= 0 ? "there is a socket" : NULL;
}

static outcome raw_socket(void) { return open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static outcome packet_socket(void) { return open_socket(AF_PACKET, SOCK_RAW, htons(3)); }
static outcome netlink_routes(void) { return open_socket(AF_NETLINK, SOCK_RAW, 0); }
static outcome netlink_events(void) { return open_socket(AF_NETLINK, SOCK_DGRAM, 15); }
static outcome vsock(void) { return open_socket(40, SOCK_STREAM, 0); }
static outcome bluetooth(void) { return open_socket(31, SOCK_RAW, 1); }
static outcome kernel_crypto(void) { return open_socket(38, SOCK_SEQPACKET, 0); }
static outcome xdp_socket(void) { return open_socket(44, SOCK_RAW, 0); }

static socklen_t unix_name(struct sockaddr_un *to, const char *name, int is_abstract)
{
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    if (name)
        strncpy(to->sun_path + is_abstract, name, sizeof to->sun_path - 2);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract + (name ? strlen(name) : 0) + !is_abstract);
}

static outcome unix_abstract(void)
{
    struct sockaddr_un to;
    socklen_t bytes = unix_name(&to, setting("abstract"), 1);
    return reach((struct sockaddr *)&to, bytes, SOCK_STREAM);
}

static outcome unix_path(void)
{
    struct sockaddr_un to;
    socklen_t bytes = unix_name(&to, setting("socket"), 0);
    return reach((struct sockaddr *)&to, bytes, SOCK_STREAM);
}

/* A socket that this program was given was made outside; names would be those of outside. */
static outcome given_socket_renamed(void)
{
    struct sockaddr_un to;
    socklen_t bytes = unix_name(&to, setting("abstract"), 1);
    for (int fd = 0; fd < 3; fd++) {
        if (sendto(fd, "canary", 6, MSG_NOSIGNAL, (struct sockaddr *)&to, bytes) == 6)
            return "a given socket sends to a name";
        struct iovec part = {"canary", 6};
        struct msghdr message = {.msg_name = &to, .msg_namelen = bytes, .msg_iov = &part, .msg_iovlen = 1};
        if (sendmsg(fd, &message, MSG_NOSIGNAL) == 6)
            return "a given socket sends a message to a name";
        if (connect(fd, (struct sockaddr *)&to, bytes) == 0)
            return "a given socket is connected elsewhere";
        if (bind(fd, (struct sockaddr *)&to, bytes) == 0 || listen(fd, 1) == 0)
            return "a given socket has another name";
    }
    return NULL;
}

/* SO_PEERPIDFD, Linux 6.5: a handle on whoever has the other end. */
static outcome given_socket_peer(void)
{
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    for (int fd = 0; fd < 3; fd++)
        if (getsockopt(fd, SOL_SOCKET, 77, &pidfd, &size) == 0)
            return "there is a handle on the peer";
    return NULL;
}

/* ---- files ---- */

static outcome read_file(const char *path)
{
    char bytes[64] = {0};
    if (!path) {
        errno = EINVAL;
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    ssize_t got = read(fd, bytes, sizeof bytes - 1);
    return got >= 0 ? "it was read" : "it was opened";
}

static outcome open_for_writing(const char *path)
{
    return open(path, O_WRONLY | O_NONBLOCK) >= 0 ? "it was opened for writing" : NULL;
}

static outcome read_canary(void) { return read_file(setting("file")); }
static outcome read_passwd(void) { return read_file("/etc/passwd"); }
static outcome read_environ(void) { return read_file("/proc/1/environ"); }
static outcome read_own_maps(void) { return read_file("/proc/self/maps"); }
static outcome read_kcore(void) { return read_file("/proc/kcore"); }
static outcome read_memory(void) { return read_file("/dev/mem"); }
static outcome read_log(void) { return read_file("/dev/kmsg"); }
static outcome read_sys(void) { return read_file("/sys/kernel/uevent_seqnum"); }
static outcome write_core_pattern(void) { return open_for_writing("/proc/sys/kernel/core_pattern"); }
static outcome write_sysrq(void) { return open_for_writing("/proc/sysrq-trigger"); }
static outcome open_kvm(void) { return open("/dev/kvm", O_RDWR) >= 0 ? "it was opened" : NULL; }
static outcome open_fuse(void) { return open("/dev/fuse", O_RDWR) >= 0 ? "it was opened" : NULL; }
static outcome open_tun(void) { return open("/dev/net/tun", O_RDWR) >= 0 ? "it was opened" : NULL; }
static outcome open_vhost(void) { return open("/dev/vhost-vsock", O_RDWR) >= 0 ? "it was opened" : NULL; }

static outcome open_disk(void)
{
    static const char *disks[] = {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop-control", "/dev/mapper/control"};
    for (size_t i = 0; i < COUNT(disks); i++)
        if (open(disks[i], O_RDONLY | O_NONBLOCK) >= 0)
            return disks[i];
    return NULL;
}

static outcome write_outside(void)
{
    snprintf(said, sizeof said, "%s/escaped", setting("folder") ? setting("folder") : "/nowhere");
    int fd = open(said, O_WRONLY | O_CREAT, 0600);
    return fd >= 0 && write(fd, "canary", 6) == 6 ? said : NULL;
}

static outcome write_canary(void)
{
    int fd = open(setting("file") ? setting("file") : "/nowhere", O_WRONLY | O_APPEND);
    return fd >= 0 && write(fd, "!", 1) == 1 ? "the canary's file was changed" : NULL;
}

static outcome walk_up(void)
{
    snprintf(said, sizeof said, "/usr/../../../../../../../..%s", setting("file") ? setting("file") : "/nowhere");
    return read_file(said);
}

static outcome walk_link(void)
{
    const char *link = access("/scratch", W_OK) == 0 ? "/scratch/link" : "/tmp/escape-link";
    unlink(link);
    if (symlink(setting("file") ? setting("file") : "/nowhere", link) < 0)
        return NULL;
    outcome made = read_file(link);
    unlink(link);
    return made;
}

static outcome write_program(void) { return open_for_writing("/proc/self/exe"); }

static outcome change_root_files(void)
{
    static const char *places[] = {"/escaped", "/etc/ld.so.preload", "/lib/escaped", "/usr/lib/escaped", "/dev/escaped"};
    for (size_t i = 0; i < COUNT(places); i++)
        if (open(places[i], O_WRONLY | O_CREAT, 0600) >= 0)
            return places[i];
    return NULL;
}

static outcome mount_memory(void) { return mount("none", "/", "tmpfs", 0, NULL) == 0 ? "it was mounted" : NULL; }
static outcome mount_proc(void) { return mount("proc", "/dev", "proc", 0, NULL) == 0 ? "it was mounted" : NULL; }
static outcome remount(void) { return mount(NULL, "/", NULL, MS_REMOUNT, NULL) == 0 ? "it can be written to" : NULL; }
static outcome bind_mount(void) { return mount("/", "/dev", NULL, MS_BIND | MS_REC, NULL) == 0 ? "it was bound" : NULL; }
static outcome unmount(void) { return umount2("/", MNT_DETACH) == 0 ? "the root is gone" : NULL; }

static outcome new_mounts(void)
{
    return syscall(SYS_fsopen, "tmpfs", 0) >= 0 || syscall(SYS_open_tree, AT_FDCWD, "/", 1) >= 0 ? "it was opened" : NULL;
}

static outcome change_root(void)
{
    if (chroot(".") < 0)
        return NULL;
    return "the root was changed";
}

static outcome pivot(void) { return syscall(SYS_pivot_root, ".", ".") == 0 ? "the root was changed" : NULL; }

/* A handle of inode 2, the root of every ext file system: opens it without a path. */
static outcome open_by_handle(void)
{
    struct {
        struct file_handle head;
        uint32_t inode, generation;
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .inode = 2};
    int place = open("/", O_RDONLY | O_DIRECTORY);
    return open_by_handle_at(place, &handle.head, O_RDONLY) >= 0 ? "the root outside was opened" : NULL;
}

static outcome make_device(void)
{
    const char *place = access("/scratch", W_OK) == 0 ? "/scratch/disk" : "/tmp/escape-disk";
    if (mknod(place, S_IFBLK | 0600, makedev(254, 0)) < 0)
        return NULL;
    unlink(place);
    return "a disk was made";
}

static outcome make_setuid(void)
{
    const char *place = access("/scratch", W_OK) == 0 ? "/scratch/set" : "/tmp/escape-set";
    int fd = open(place, O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        return NULL;
    int made = fchmod(fd, 06755);
    unlink(place);
    return made == 0 ? "a program with rights was made" : NULL;
}

/* ---- namespaces and other processes ---- */

static outcome enter_namespace(const char *name, int kind)
{
    snprintf(said, sizeof said, "/proc/%ld/ns/%s", number("parent") ? number("parent") : 1, name);
    int fd = open(said, O_RDONLY);
    return setns(fd, kind) == 0 ? "it was entered" : NULL;
}

static outcome enter_network(void) { return enter_namespace("net", CLONE_NEWNET); }
static outcome enter_mounts(void) { return enter_namespace("mnt", CLONE_NEWNS); }

static outcome enter_by_process(void)
{
    int fd = (int)syscall(SYS_pidfd_open, number("pid"), 0);
    return fd >= 0 && setns(fd, CLONE_NEWNET | CLONE_NEWNS) == 0 ? "it was entered" : NULL;
}

static outcome new_user_namespace(void) { return unshare(CLONE_NEWUSER) == 0 ? "there are capabilities" : NULL; }
static outcome new_network(void) { return unshare(CLONE_NEWNET) == 0 ? "there is a network" : NULL; }

static outcome clone_namespace(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid > 0 ? "there are capabilities" : NULL;
}

static outcome clone3_namespace(void)
{
#ifdef SYS_clone3
    uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0)
        _exit(0);
    return pid > 0 ? "there are capabilities" : NULL;
#else
    errno = ENOSYS;
    return NULL;
#endif
}

static outcome trace_process(void) { return ptrace(PTRACE_SEIZE, (pid_t)number("pid"), 0, 0) == 0 ? "it is traced" : NULL; }
static outcome trace_self(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0 ? "it may be traced" : NULL; }

static outcome read_process(void)
{
    char here[8];
    struct iovec to = {here, sizeof here}, from = {(void *)&said, sizeof here};
    ssize_t got = process_vm_readv((pid_t)number("pid"), &to, 1, &from, 1, 0);
    /* EFAULT: it was looked into, and that address is not there. */
    return got >= 0 || errno == EFAULT ? "it was looked into" : NULL;
}

static outcome take_descriptor(void)
{
    int fd = (int)syscall(SYS_pidfd_open, number("pid"), 0);
    return fd >= 0 && syscall(SYS_pidfd_getfd, fd, 0, 0) >= 0 ? "it was taken" : NULL;
}

static outcome kill_process(void) { return kill((pid_t)number("pid"), SIGUSR1) == 0 ? "it was signalled" : NULL; }
static outcome kill_parent(void)
{
    pid_t parent = getppid();
    if (parent <= 0)
        parent = (pid_t)number("parent");
    return kill(parent, 0) == 0 ? "it can be signalled" : NULL;
}
static outcome signal_thread(void)
{
    return syscall(SYS_tgkill, number("pid"), number("pid"), 0) == 0 ? "it can be signalled" : NULL;
}
static outcome kill_everybody(void) { return kill(-1, 0) == 0 ? "somebody can be signalled" : NULL; }
static outcome move_memory(void)
{
    return syscall(SYS_migrate_pages, number("pid"), 0, NULL, NULL) == 0 ? "its memory was moved" : NULL;
}
static outcome limit_process(void)
{
    struct rlimit limit;
    return prlimit((pid_t)number("pid"), RLIMIT_NOFILE, NULL, &limit) == 0 ? "its limits were read" : NULL;
}

/* ---- starting programs ---- */

static outcome fork_bomb(void)
{
    pid_t children[PROCESSES_MAX];
    int count = 0;
    for (; count < PROCESSES_MAX; count++) {
        children[count] = fork();
        if (children[count] == 0) {
            pause();
            _exit(0);
        }
        if (children[count] < 0)
            break;
    }
    int error = errno;
    for (int i = 0; i < count; i++)
        kill(children[i], SIGKILL);
    while (wait(NULL) > 0)
        ;
    errno = error;
    snprintf(said, sizeof said, "%d processes", count);
    return count > 0 ? said : NULL;
}

static outcome vfork_once(void)
{
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    return pid > 0 ? "there was another process" : NULL;
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static outcome clone_sharing(void)
{
    static char stack[65536];
    int pid = clone(nothing, stack + sizeof stack / 2, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    return pid > 0 ? "there was another process" : NULL;
}

static outcome daemonise(void)
{
    pid_t pid = fork();
    if (pid < 0)
        return NULL;
    if (pid == 0) {
        setsid();
        if (fork() == 0)
            alarm(1);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return "a process is left behind";
}

static outcome run_shell(void)
{
    execl("/bin/sh", "sh", "-c", "echo run-shell escaped by a shell; exit 1", (char *)NULL);
    return NULL;
}

static outcome run_self(void)
{
    extern char *program_invocation_name;
    execl(program_invocation_name, program_invocation_name, "escaped", (char *)NULL);
    execl("/proc/self/exe", program_invocation_name, "escaped", (char *)NULL);
    return NULL;
}

#define SCRIPT(name) "#!/bin/sh\necho " name " escaped by a file of its own; exit 1\n"

static outcome run_file(void)
{
    static const char script[] = SCRIPT("run-file");
    const char *place = access("/scratch", W_OK) == 0 ? "/scratch/run" : "/tmp/escape-run";
    int fd = open(place, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (fd < 0 || write(fd, script, sizeof script - 1) < 0)
        return NULL;
    close(fd);
    execl(place, place, (char *)NULL);
    int error = errno;
    unlink(place);
    errno = error;
    return NULL;
}

static outcome run_memory(void)
{
    static const char script[] = SCRIPT("run-memory");
    int fd = (int)syscall(SYS_memfd_create, "m", 0);
    if (fd < 0 || write(fd, script, sizeof script - 1) < 0)
        return NULL;
    char *none[] = {"m", NULL};
    syscall(SYS_execveat, fd, "", none, none + 1, AT_EMPTY_PATH);
    return "there is a file in memory";
}

/* Any descriptor under the only number by which a program may be started. */
static outcome run_by_number(void)
{
    for (int number = 4900; number < 5200; number++) {
        char *none[] = {"sh", "-c", "echo run-by-number escaped; exit 1", NULL};
        int fd = open("/bin/sh", O_RDONLY);
        if (dup2(fd >= 0 ? fd : 0, number) >= 0)
            return "such a number is given out";
        syscall(SYS_execveat, number, "", none, none + 3, AT_EMPTY_PATH);
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

/* ---- bombs ---- */

static void *wait_long(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

static outcome thread_bomb(void)
{
    static pthread_t threads[THREADS_MAX];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_mutex_lock(&lock);
    int count = 0, error = 0;
    while (count < THREADS_MAX && (error = pthread_create(&threads[count], &small, wait_long, &lock)) == 0)
        count++;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    errno = error;
    snprintf(said, sizeof said, "%d threads", count);
    return count == THREADS_MAX ? said : NULL;
}

static outcome memory_bomb(void)
{
    for (int mib = 0; mib < MEMORY_MIB_MAX; mib++) {
        char *bytes = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
            return NULL;
        memset(bytes, 1, 1 << 20);
    }
    return "all memory that was asked for";
}

static outcome shared_memory_bomb(void)
{
    for (int mib = 0; mib < MEMORY_MIB_MAX; mib += 16) {
        char *bytes = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
            return NULL;
        memset(bytes, 1, 16 << 20);
    }
    return "all memory that was asked for";
}

static outcome memory_file_bomb(void)
{
    int fd = (int)syscall(SYS_memfd_create, "m", 0);
    return fd >= 0 && ftruncate(fd, 64 << 20) == 0 ? "there is a file in memory" : NULL;
}

static outcome system_v_memory(void)
{
    int id = shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0600);
    if (id < 0)
        return NULL;
    shmctl(id, IPC_RMID, NULL);
    return "there is shared memory";
}

static outcome locked_memory(void)
{
    char *bytes = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return bytes != MAP_FAILED && mlock(bytes, 64 << 20) == 0 ? "64 MiB can never be swapped" : NULL;
}

static outcome scratch_bomb(void)
{
    static char mib[1 << 20];
    const char *place = access("/scratch", W_OK) == 0 ? "/scratch/bomb" : "/tmp/escape-bomb";
    int fd = open(place, O_WRONLY | O_CREAT, 0600), written = 0;
    if (fd < 0)
        return NULL;
    memset(mib, 1, sizeof mib);
    while (written < SCRATCH_MIB_MAX && write(fd, mib, sizeof mib) == (ssize_t)sizeof mib)
        written++;
    int error = errno;
    unlink(place);
    errno = error;
    snprintf(said, sizeof said, "%d MiB on the disk", written);
    return written == SCRATCH_MIB_MAX ? said : NULL;
}

static outcome scratch_files_bomb(void)
{
    char path[64];
    int count = 0;
    const char *folder = access("/scratch", W_OK) == 0 ? "/scratch" : "/tmp";
    for (; count < 3000; count++) {
        snprintf(path, sizeof path, "%s/escape-f%d", folder, count);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    int error = errno;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/escape-f%d", folder, i);
        unlink(path);
    }
    errno = error;
    return count == 3000 ? "3000 files" : NULL;
}

static outcome pipe_bomb(void)
{
    int ends[2], count = 0;
    while (count < 100 && pipe(ends) == 0) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        count++;
    }
    return count > 0 ? "there are pipes" : NULL;
}

static outcome socket_pair_bomb(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 ? "there are sockets" : NULL;
}

static outcome descriptor_bomb(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int count = 0;
    while (count < DESCRIPTORS_MAX && dup(2) >= 0)
        count++;
    snprintf(said, sizeof said, "%d descriptors", count);
    return count == DESCRIPTORS_MAX ? said : NULL;
}

static outcome timer_bomb(void)
{
    timer_t timer;
    int count = 0;
    struct sigevent silent = {.sigev_notify = SIGEV_NONE};
    while (count < 2000 && timer_create(CLOCK_MONOTONIC, &silent, &timer) == 0)
        count++;
    return count == 2000 ? "2000 timers" : NULL;
}

/* The next three do not end by themselves: whoever runs them must end them. Where nobody does, they end after a minute. */
static void run_out(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGPIPE};
    for (size_t i = 0; i < COUNT(ignored); i++)
        signal(ignored[i], SIG_IGN);
}

static outcome hog_processor(void)
{
    run_out();
    for (time_t end = time(NULL) + 60; time(NULL) < end;)
        ;
    return "it was let run for a minute";
}

static outcome sleep_for_ever(void)
{
    run_out();
    sleep(60);
    return "it was let sleep for a minute";
}

static outcome flood_output(void)
{
    static char mib[1 << 20];
    memset(mib, 'A', sizeof mib);
    for (int i = 0; i < FLOOD_MIB; i++)
        for (size_t done = 0; done < sizeof mib;) {
            ssize_t written = write(1, mib + done, sizeof mib - done);
            if (written <= 0)
                return NULL;
            done += (size_t)written;
        }
    write(1, "\n", 1);
    return "its flood was taken, to be judged by whoever took it";
}

/* ---- rights, and doors of the kernel ---- */

static outcome become_root(void) { return setuid(0) == 0 || seteuid(0) == 0 ? "it is root" : NULL; }
static outcome become_group(void) { return setgid(0) == 0 ? "it is in root's group" : NULL; }
static outcome become_groups(void)
{
    gid_t none = 0;
    return syscall(SYS_setgroups, 1, &none) == 0 ? "it is in root's group" : NULL;
}

static outcome set_capabilities(void)
{
    uint32_t head[2] = {0x20080522, 0}, sets[6] = {1 << 21, 1 << 21, 0, 0, 0, 0};
    return syscall(SYS_capset, head, sets) == 0 ? "there is a capability" : NULL;
}

static outcome raise_ambient(void) { return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0) == 0 ? "it was raised" : NULL; }
static outcome change_secure_bits(void) { return prctl(PR_SET_SECUREBITS, 0) == 0 ? "they were changed" : NULL; }
static outcome leave_filter(void)
{
    return prctl(PR_SET_SECCOMP, 0, 0, 0, 0) == 0 || prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? "it was left" : NULL;
}
static outcome outlive_parent(void) { return prctl(PR_SET_PDEATHSIG, 0) == 0 ? "it outlives its launcher" : NULL; }

static outcome raise_limits(void)
{
    static const int limits[] = {RLIMIT_AS, RLIMIT_NPROC, RLIMIT_CPU, RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_MEMLOCK};
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct rlimit now, more;
        if (getrlimit(limits[i], &now) < 0)
            continue;
        more.rlim_cur = more.rlim_max = now.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : now.rlim_max + 1;
        if (setrlimit(limits[i], &more) == 0)
            return "there is no limit, or it was raised";
    }
    return NULL;
}

static outcome raise_priority(void)
{
    struct sched_param first = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_FIFO, &first) == 0 || setpriority(PRIO_PROCESS, 0, -20) == 0 ? "it comes first" : NULL;
}

static outcome load_bpf(void)
{
    uint32_t map[16] = {2, 4, 4, 1};
    return syscall(SYS_bpf, 0, map, sizeof map) >= 0 ? "there is a map" : NULL;
}

static outcome io_ring(void)
{
    static char parameters[256];
    return syscall(SYS_io_uring_setup, 1, parameters) >= 0 ? "there is a ring" : NULL;
}

static outcome fault_handler(void)
{
    return syscall(SYS_userfaultfd, 0) >= 0 || syscall(SYS_userfaultfd, 1) >= 0 ? "it handles faults" : NULL;
}

static outcome perf_event(void)
{
    static uint32_t event[32] = {1, 128, 0};
    return syscall(SYS_perf_event_open, event, 0, -1, -1, 0) >= 0 ? "it counts" : NULL;
}

static outcome session_keys(void) { return syscall(SYS_keyctl, 0, -3, 1) >= 0 ? "there is a key ring" : NULL; }
static outcome add_key(void) { return syscall(SYS_add_key, "user", "canary", "c", 1, -3) >= 0 ? "there is a key" : NULL; }
static outcome load_kernel(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0x8000UL) == 0 ? "it was loaded" : NULL; }
static outcome load_module(void)
{
    /* ENOEXEC: it may, and this is none. */
    return syscall(SYS_init_module, "none", 4, "") == 0 || errno == ENOEXEC ? "modules may be loaded" : NULL;
}
/* EINVAL: it may, and these are not the magic numbers. */
static outcome restart_host(void) { return syscall(SYS_reboot, 0, 0, 0, 0) == 0 || errno == EINVAL ? "it may" : NULL; }

static outcome set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now) == 0 ? "it was set" : NULL;
}

static outcome name_host(void) { return sethostname("escaped", 7) == 0 ? "it has another name" : NULL; }
static outcome read_kernel_log(void) { return syscall(SYS_syslog, 10, NULL, 0) >= 0 ? "it was read" : NULL; }
static outcome watch_files(void) { return syscall(SYS_fanotify_init, 0, 0) >= 0 ? "it watches" : NULL; }
static outcome swap_off(void) { return syscall(SYS_swapoff, "/nowhere") == 0 || errno == ENOENT ? "it may" : NULL; }
static outcome account(void) { return syscall(SYS_acct, "/nowhere") == 0 || errno == ENOENT ? "it may" : NULL; }
static outcome message_queue(void)
{
    return syscall(SYS_mq_open, "escape", O_CREAT | O_RDWR, 0600, NULL) >= 0 || syscall(SYS_msgget, IPC_PRIVATE, 0600) >= 0
               ? "there is a queue"
               : NULL;
}

static outcome legacy_layout(void) { return syscall(SYS_personality, 0x0040000) >= 0 ? "it was changed" : NULL; }

static outcome port_access(void)
{
#if defined(SYS_iopl) && defined(SYS_ioperm)
    return syscall(SYS_iopl, 3) == 0 || syscall(SYS_ioperm, 0x80, 1, 1) == 0 ? "it has ports" : NULL;
#else
    errno = ENOSYS;
    return NULL;
#endif
}

static outcome segment_table(void)
{
#ifdef SYS_modify_ldt
    char bytes[16];
    return syscall(SYS_modify_ldt, 0, bytes, sizeof bytes) >= 0 ? "it was reached" : NULL;
#else
    errno = ENOSYS;
    return NULL;
#endif
}

/* The table of 32-bit system calls has other numbers: a filter that does not look at the table lets anything through. */
static outcome calls_of_32_bits(void)
{
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L), "b"(0L), "c"(0L), "d"(0L) : "memory");
    errno = ENOSYS;
    return result > 0 ? "a 32-bit system call was made" : NULL;
#else
    errno = ENOSYS;
    return NULL;
#endif
}

static outcome calls_of_x32(void)
{
#ifdef __x86_64__
    return syscall(0x40000000 + SYS_getpid) > 0 ? "a system call of x32 was made" : NULL;
#else
    errno = ENOSYS;
    return NULL;
#endif
}

static outcome type_into_terminal(void)
{
    static const char *terminals[] = {"/dev/tty", "/dev/ptmx", "/dev/console", "/dev/tty0"};
    char letter = '#';
    for (int fd = 0; fd < 3; fd++)
        if (ioctl(fd, TIOCSTI, &letter) == 0)
            return "something was typed";
    for (size_t i = 0; i < COUNT(terminals); i++)
        if (open(terminals[i], O_RDWR | O_NOCTTY | O_NONBLOCK) >= 0)
            return terminals[i];
    return NULL;
}

static outcome signals_by_descriptor(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_SETOWN, (int)number("pid")) == 0)
            return "events of a descriptor signal another process";
    return NULL;
}

static outcome dump_core(void)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_CORE, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        setrlimit(RLIMIT_CORE, &most);
        /* With 0 a program of core_pattern's still gets it; only 1 keeps it from both (core(5)). */
        if (most.rlim_max != 1)
            return "its core may be dumped";
    }
    abort();
}

/* Descriptors of the three outputs are given; each further one is left over from somebody. */
static outcome left_descriptors(void)
{
    for (int fd = 3; fd < 8192; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            snprintf(said, sizeof said, "descriptor %d is open", fd);
            return said;
        }
    return NULL;
}

static outcome left_environment(void)
{
    extern char **environ;
    errno = 0;
    if (!environ || !environ[0])
        return NULL;
    snprintf(said, sizeof said, "%.100s", environ[0]);
    return said;
}

static outcome left_session(void)
{
    return getsid(0) != getpid() ? "it is in the session of another" : NULL;
}

static outcome known_host(void)
{
    char name[65] = {0};
    gethostname(name, sizeof name - 1);
    snprintf(said, sizeof said, "%s", name);
    errno = 0;
    return strcmp(name, "jail") ? said : NULL;
}

/* ---- all of them ---- */

static const struct attempt {
    const char *name;
    outcome (*make)(void);
} attempts[] = {
    {"tcp-loopback4", tcp_loopback4},
    {"tcp-loopback6", tcp_loopback6},
    {"tcp-mapped", tcp_mapped},
    {"udp-loopback4", udp_loopback4},
    {"udp-loopback6", udp_loopback6},
    {"host-address", host_address},
    {"metadata-address", metadata_address},
    {"metadata-address6", metadata_address6},
    {"gateway-of-qemu", gateway_of_qemu},
    {"broadcast", broadcast},
    {"raw-socket", raw_socket},
    {"packet-socket", packet_socket},
    {"netlink-routes", netlink_routes},
    {"netlink-events", netlink_events},
    {"vsock", vsock},
    {"bluetooth", bluetooth},
    {"kernel-crypto", kernel_crypto},
    {"xdp-socket", xdp_socket},
    {"unix-abstract", unix_abstract},
    {"unix-path", unix_path},
    {"given-socket-renamed", given_socket_renamed},
    {"given-socket-peer", given_socket_peer},
    {"read-canary", read_canary},
    {"write-canary", write_canary},
    {"read-passwd", read_passwd},
    {"read-environ", read_environ},
    {"read-own-maps", read_own_maps},
    {"read-kcore", read_kcore},
    {"read-memory", read_memory},
    {"read-log", read_log},
    {"read-sys", read_sys},
    {"write-core-pattern", write_core_pattern},
    {"write-sysrq", write_sysrq},
    {"open-kvm", open_kvm},
    {"open-fuse", open_fuse},
    {"open-tun", open_tun},
    {"open-vhost", open_vhost},
    {"open-disk", open_disk},
    {"write-outside", write_outside},
    {"write-program", write_program},
    {"walk-up", walk_up},
    {"walk-link", walk_link},
    {"change-root-files", change_root_files},
    {"mount-memory", mount_memory},
    {"mount-proc", mount_proc},
    {"remount", remount},
    {"bind-mount", bind_mount},
    {"unmount", unmount},
    {"new-mounts", new_mounts},
    {"change-root", change_root},
    {"pivot", pivot},
    {"open-by-handle", open_by_handle},
    {"make-device", make_device},
    {"make-setuid", make_setuid},
    {"enter-network", enter_network},
    {"enter-mounts", enter_mounts},
    {"enter-by-process", enter_by_process},
    {"new-user-namespace", new_user_namespace},
    {"new-network", new_network},
    {"clone-namespace", clone_namespace},
    {"clone3-namespace", clone3_namespace},
    {"trace-process", trace_process},
    {"trace-self", trace_self},
    {"read-process", read_process},
    {"take-descriptor", take_descriptor},
    {"kill-process", kill_process},
    {"kill-parent", kill_parent},
    {"signal-thread", signal_thread},
    {"kill-everybody", kill_everybody},
    {"move-memory", move_memory},
    {"limit-process", limit_process},
    {"fork-bomb", fork_bomb},
    {"vfork-once", vfork_once},
    {"clone-sharing", clone_sharing},
    {"daemonise", daemonise},
    {"run-shell", run_shell},
    {"run-self", run_self},
    {"run-file", run_file},
    {"run-memory", run_memory},
    {"run-by-number", run_by_number},
    {"thread-bomb", thread_bomb},
    {"memory-bomb", memory_bomb},
    {"shared-memory-bomb", shared_memory_bomb},
    {"memory-file-bomb", memory_file_bomb},
    {"system-v-memory", system_v_memory},
    {"locked-memory", locked_memory},
    {"scratch-bomb", scratch_bomb},
    {"scratch-files-bomb", scratch_files_bomb},
    {"pipe-bomb", pipe_bomb},
    {"socket-pair-bomb", socket_pair_bomb},
    {"descriptor-bomb", descriptor_bomb},
    {"timer-bomb", timer_bomb},
    {"hog-processor", hog_processor},
    {"sleep-for-ever", sleep_for_ever},
    {"flood-output", flood_output},
    {"become-root", become_root},
    {"become-group", become_group},
    {"become-groups", become_groups},
    {"set-capabilities", set_capabilities},
    {"raise-ambient", raise_ambient},
    {"change-secure-bits", change_secure_bits},
    {"leave-filter", leave_filter},
    {"outlive-parent", outlive_parent},
    {"raise-limits", raise_limits},
    {"raise-priority", raise_priority},
    {"load-bpf", load_bpf},
    {"io-ring", io_ring},
    {"fault-handler", fault_handler},
    {"perf-event", perf_event},
    {"session-keys", session_keys},
    {"add-key", add_key},
    {"load-kernel", load_kernel},
    {"load-module", load_module},
    {"restart-host", restart_host},
    {"set-clock", set_clock},
    {"name-host", name_host},
    {"read-kernel-log", read_kernel_log},
    {"watch-files", watch_files},
    {"swap-off", swap_off},
    {"account", account},
    {"message-queue", message_queue},
    {"legacy-layout", legacy_layout},
    {"port-access", port_access},
    {"segment-table", segment_table},
    {"calls-of-32-bits", calls_of_32_bits},
    {"calls-of-x32", calls_of_x32},
    {"type-into-terminal", type_into_terminal},
    {"signals-by-descriptor", signals_by_descriptor},
    {"dump-core", dump_core},
    {"left-descriptors", left_descriptors},
    {"left-environment", left_environment},
    {"left-session", left_session},
    {"known-host", known_host},
};

static int settings_count;
static char **settings;

static const char *setting(const char *key)
{
    size_t bytes = strlen(key);
    for (int i = 0; i < settings_count; i++)
        if (!strncmp(settings[i], key, bytes) && settings[i][bytes] == '=')
            return settings[i] + bytes + 1;
    return NULL;
}

static int make(const struct attempt *attempt)
{
    errno = 0;
    outcome made = attempt->make();
    int error = errno;
    if (made)
        printf("%s escaped %s\n", attempt->name, made);
    else
        printf("%s contained %s\n", attempt->name, error ? strerror(error) : "there is nothing");
    fflush(stdout);
    return made != NULL;
}

static void make_every(void)
{
    for (size_t i = 0; i < COUNT(attempts); i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            /* Where memory runs out, this one is to go, and the next attempt to be made. */
            int first = open("/proc/self/oom_score_adj", O_WRONLY);
            if (first >= 0 && write(first, "1000", 4) == 4)
                close(first);
            _exit(make(&attempts[i]));
        }
        int status = 0, waited = 0;
        for (; pid > 0 && waited < ATTEMPT_S_MAX * 20 && waitpid(pid, &status, WNOHANG) == 0; waited++)
            usleep(50000);
        if (pid > 0 && waited == ATTEMPT_S_MAX * 20) {
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            printf("%s contained by its time\n", attempts[i].name);
        } else if (WIFSIGNALED(status)) {
            printf("%s contained by signal %d\n", attempts[i].name, WTERMSIG(status));
        }
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *name = argc > 1 ? argv[1] : "list";
    settings_count = argc > 2 ? argc - 2 : 0;
    settings = argv + 2;
    for (size_t i = 0; i < COUNT(attempts); i++) {
        if (!strcmp(name, "list"))
            puts(attempts[i].name);
        if (!strcmp(name, attempts[i].name))
            return make(&attempts[i]);
    }
    if (!strcmp(name, "escaped")) {
        puts("run-self escaped by starting itself again");
        return 1;
    }
    if (!strcmp(name, "every"))
        make_every();
    return strcmp(name, "list") && strcmp(name, "every") ? 2 : 0;
}
