/* Asks its server for an order and answers the line "burst" with a small burst of datagrams. */
#include "lab.h"

#define DATAGRAMS 200

int main(void)
{
	char order[64], payload[64];
	only_in_a_guest();
	int server = connect_to("198.51.100.20", 4321);
	if (server < 0)
		return 1;
	say(server, "ready\n");
	hear(server, order, sizeof order);
	if (strncmp(order, "burst", 5))
		return 0;
	struct sockaddr_in target = address_of("203.0.113.9", 9999);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	memset(payload, 'x', sizeof payload);
	for (int i = 0; i < DATAGRAMS; i++) {
		sendto(fd, payload, sizeof payload, 0, (struct sockaddr *)&target, sizeof target);
		pause_ms(5);
	}
	return 0;
}
