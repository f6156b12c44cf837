/* What all of our test programs share. They are harmless: each shows one thing, a bounded number of times, to addresses
 * that nobody has (RFC 5737: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24), and none of them runs outside a guest. */
#ifndef LAB_H
#define LAB_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* How long one of them waits for an answer. */
#define ANSWER_MS 5000
/* How long one of them may live, whatever it waits for. */
#define LIFE_S 120

/* Ends the program unless the root file system lies in memory (statfs(2): TMPFS_MAGIC, RAMFS_MAGIC), as it does in our
 * guests and on no machine that somebody works with. */
static inline void only_in_a_guest(void)
{
	struct statfs root;
	if (statfs("/", &root) || ((unsigned long)root.f_type != 0x01021994UL && (unsigned long)root.f_type != 0x858458f6UL)) {
		fputs("this test program runs only in a guest of the laboratory\n", stderr);
		exit(2);
	}
	signal(SIGPIPE, SIG_IGN);
	alarm(LIFE_S);
}

static inline void pause_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

static inline struct sockaddr_in address_of(const char *host, unsigned short port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = inet_addr(host);
	return address;
}

/* A connection, or -1 when there was none in time. */
static inline int connect_to(const char *host, unsigned short port)
{
	struct sockaddr_in address = address_of(host, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	struct pollfd wait = {fd, POLLOUT, 0};
	int error = 1;
	socklen_t bytes = sizeof error;
	if (poll(&wait, 1, ANSWER_MS) == 1)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	if (error) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), 0) < 0)
		exit(1);
}

/* What the peer says next, as text; its length, or 0 when there was nothing in time. */
static inline size_t hear(int fd, char *text, size_t bytes)
{
	struct pollfd wait = {fd, POLLIN, 0};
	ssize_t n = poll(&wait, 1, ANSWER_MS) == 1 ? recv(fd, text, bytes - 1, 0) : 0;
	text[n > 0 ? n : 0] = 0;
	return n > 0 ? n : 0;
}

/* Writes or appends a text to a file; whether it could. */
static inline int put(const char *path, const char *text, int flags, int mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, mode);
	if (fd < 0)
		return 0;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n >= 0;
}

#endif
