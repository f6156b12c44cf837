/* Offers itself as a proxy: it listens where SOCKS is, greets one caller and passes nothing on. */
#include "lab.h"

#define LISTEN_MS 10000

int main(void)
{
	struct sockaddr_in address = address_of("0.0.0.0", 1080);
	int one = 1;
	only_in_a_guest();
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4))
		return 1;
	struct pollfd wait = {fd, POLLIN, 0};
	if (poll(&wait, 1, LISTEN_MS) == 1) {
		int caller = accept(fd, NULL, NULL);
		if (caller >= 0)
			send(caller, "\5\377", 2, 0);
	}
	return 0;
}
