/* Says what a miner says first to its pool, and waits for an answer. It computes nothing. */
#include "lab.h"

int main(void)
{
	char text[512];
	only_in_a_guest();
	int fd = connect_to("203.0.113.40", 3333);
	if (fd < 0)
		return 1;
	say(fd, "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"test\",\"pass\":\"x\",\"agent\":\"test/1.0\"}}\n");
	hear(fd, text, sizeof text);
	return 0;
}
