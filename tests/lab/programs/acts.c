/*
 * What the guest's trace is checked with: one harmless act of each kind, on files of its own, loopback and addresses that
 * documents use. It ends by itself within a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void files(void)
{
	int file = open("/tmp/dropped.txt", O_CREAT | O_RDWR | O_TRUNC, 0600);
	write(file, "left behind by acts\n", 20);
	close(file);
	mkdir("/tmp/folder", 0700);
	rename("/tmp/dropped.txt", "/tmp/folder/kept.txt");
	chmod("/tmp/folder/kept.txt", 0755);
	file = open("/tmp/gone.txt", O_CREAT | O_WRONLY, 0600);
	close(file);
	unlink("/tmp/gone.txt");
	access("/etc/passwd", R_OK);
	open("/nowhere", O_RDONLY);
	chdir("/tmp");
}

static void network(void)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(23)};
	struct sockaddr_in6 there6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(48101)};
	inet_pton(AF_INET, "203.0.113.7", &there.sin_addr);
	inet_pton(AF_INET6, "2001:db8::7", &there6.sin6_addr);
	inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
	connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&there, sizeof there);
	connect(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&there6, sizeof there6);
	int lone = socket(AF_INET, SOCK_STREAM, 0);
	bind(lone, (struct sockaddr *)&here, sizeof here);
	listen(lone, 1);
	there.sin_port = htons(5353);
	sendto(socket(AF_INET, SOCK_DGRAM, 0), "a datagram of acts", 18, 0, (struct sockaddr *)&there, sizeof there);
}

/* Where programs have two kinds of time, the one that every kernel has. */
static void sleep_20_ms(void)
{
#ifdef SYS_clock_nanosleep_time64
	long long short_time[2] = {0, 20 * 1000 * 1000};
	syscall(SYS_clock_nanosleep_time64, CLOCK_MONOTONIC, 0, short_time, 0);
#else
	struct timespec short_time = {0, 20 * 1000 * 1000};
	nanosleep(&short_time, 0);
#endif
}

static void processes(void)
{
	prctl(PR_SET_NAME, "other-name");
	int child = fork();
	if (child == 0) {
		execl("/bin/busybox", "echo", "from", "a child", (char *)0);
		_exit(1);
	}
	waitpid(child, 0, 0);
	sleep_20_ms();
	kill(getpid(), 0);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	mount("tracefs", "/mnt", "tracefs", 0, 0);
}

int main(void)
{
	files();
	network();
	processes();
	return 7;
}
