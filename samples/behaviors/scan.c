/* Looks for telnet at random addresses: one connection each to ports 23 and 2323, a bounded number. */
#include "lab.h"

#define TARGETS 60

static const unsigned nets[] = {0xc0000200, 0xc6336400, 0xcb007100};

int main(void)
{
	only_in_a_guest();
	srand(time(NULL) ^ getpid());
	for (int i = 0; i < TARGETS; i++) {
		struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(rand() % 10 ? 23 : 2323)};
		target.sin_addr.s_addr = htonl(nets[rand() % 3] | (rand() & 255));
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		connect(fd, (struct sockaddr *)&target, sizeof target);
		pause_ms(20);
		close(fd);
	}
	return 0;
}
