/*
 * Programs that make trouble for whoever runs them, one chosen by the first argument. None does anything outside of the
 * guest, and each is bounded: the checks of tests/lab/sandbox.py run them inside the sandbox only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char bytes[64 * 1024];

static void early(void)
{
}

/* Processes that make processes, ten seconds long. */
static void forks(void)
{
	time_t begin = time(0);
	signal(SIGCHLD, SIG_IGN);
	while (time(0) - begin < 10)
		fork();
}

/* Everybody but itself. */
static void kills(void)
{
	kill(-1, SIGKILL);
	sleep(1);
}

static void reboots(void)
{
	sync();
	reboot(RB_AUTOBOOT);
}

static void fills(void)
{
	int file = open("/tmp/full", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	memset(bytes, 'x', sizeof bytes);
	for (int i = 0; i < 65536 && write(file, bytes, sizeof bytes) > 0; i++)
		;
}

static void closes(void)
{
	for (int i = 0; i < 1024; i++)
		close(i);
	int file = open("/tmp/closed", O_WRONLY | O_CREAT, 0644);
	if (write(file, "still here\n", 11) < 0)
		_exit(1);
}

static void allocates(void)
{
	for (int i = 0; i < 1024; i++) {
		char *more = malloc(1 << 20);
		if (more)
			memset(more, i, 1 << 20);
	}
}

/* Asks its resolver for a name by hand: a static program has no resolver of its own. */
static in_addr_t resolve(const char *name)
{
	unsigned char question[128] = {0x12, 0x34, 1, 0, 0, 1}, answer[512];
	size_t length = 12;
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct timeval wait = {.tv_sec = 5};
	int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, "192.168.1.1", &server.sin_addr);
	for (const char *label = name; *label;) {
		size_t letters = strcspn(label, ".");
		question[length++] = letters;
		memcpy(question + length, label, letters);
		length += letters;
		label += letters + (label[letters] == '.');
	}
	length++;
	memcpy(question + length, "\0\1\0\1", 4);
	length += 4;
	setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	sendto(socket_, question, length, 0, (struct sockaddr *)&server, sizeof server);
	ssize_t got = recv(socket_, answer, sizeof answer, 0);
	close(socket_);
	in_addr_t address = 0;
	if (got >= 16)
		memcpy(&address, answer + got - 4, 4);
	return address;
}

static void speaks(void)
{
	static const char request[] = "GET /hello HTTP/1.0\r\nHost: files.example\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	int socket_ = socket(AF_INET, SOCK_STREAM, 0);
	to.sin_addr.s_addr = resolve("files.example");
	if (connect(socket_, (struct sockaddr *)&to, sizeof to) == 0 && write(socket_, request, sizeof request - 1) > 0)
		while (read(socket_, bytes, sizeof bytes) > 0)
			;
	close(socket_);
}

static void drops(void)
{
	int file = open("/tmp/dropped", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	if (write(file, "#!/bin/sh\nexit 0\n", 17) < 0)
		_exit(1);
	close(file);
	mkdir("/tmp/folder", 0755);
}

static void unlinks(void)
{
	char path[256] = {0};
	if (readlink("/proc/self/exe", path, sizeof path - 1) > 0)
		unlink(path);
}

static void spins(void)
{
	for (volatile unsigned long i = 0;; i++)
		;
}

static void waits(void)
{
	sleep(600);
}

int main(int count, char **words)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{"early", early}, {"forks", forks}, {"kills", kills}, {"reboots", reboots}, {"fills", fills},
		{"closes", closes}, {"allocates", allocates}, {"speaks", speaks}, {"drops", drops},
		{"unlinks", unlinks}, {"spins", spins}, {"waits", waits},
	};
	for (size_t i = 0; count > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(words[1], all[i].name))
			all[i].run();
	return 0;
}
