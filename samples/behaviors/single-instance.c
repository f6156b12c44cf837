/* Makes sure that it runs once, by a port of its own; its second copy gives up. */
#include "lab.h"
#include <sys/wait.h>

static int hold(void)
{
	struct sockaddr_in address = address_of("127.0.0.1", 48101);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 1);
}

int main(void)
{
	only_in_a_guest();
	if (!hold())
		return 1;
	if (fork() == 0)
		_exit(hold() ? 1 : 0);
	wait(NULL);
	return 0;
}
