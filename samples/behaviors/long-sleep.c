/* Sleeps for longer than anybody watches, and would speak only then. */
#include "lab.h"

int main(void)
{
	only_in_a_guest();
	alarm(0);
	sleep(3600);
	int fd = connect_to("203.0.113.50", 8080);
	if (fd >= 0)
		say(fd, "awake\n");
	return 0;
}
