/*
 * A program that stays until it is ended, with a text in its memory that is nowhere in its file. For checks of dumps, of
 * stopping, and of what a program that is too busy does to the agent. Its first argument says how it spends its time.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char decoded[64];

static void flood(void)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(9)};
	int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
	inet_pton(AF_INET, "127.0.0.1", &there.sin_addr);
	for (;;)
		sendto(socket_, decoded, 8, 0, (struct sockaddr *)&there, sizeof there);
}

static void fork_without_end(void)
{
	for (;;)
		fork();
}

static void fill_the_disk(void)
{
	static char block[65536];
	int file = open("/tmp/full", O_CREAT | O_WRONLY, 0600);
	while (write(file, block, sizeof block) > 0)
		;
}

static void take_memory(void)
{
	char *block;
	while ((block = malloc(1 << 20)))
		memset(block, 1, 1 << 20);
}

int main(int count, char **words)
{
	/* The text "decoded in memory" with every bit of its bytes turned round. */
	static const unsigned char hidden[] = {0x9b, 0x9a, 0x9c, 0x90, 0x9b, 0x9a, 0x9b, 0xdf, 0x96, 0x91, 0xdf, 0x92, 0x9a, 0x92, 0x90, 0x8d, 0x86};
	const char *way = count > 1 ? words[1] : "";
	for (size_t i = 0; i < sizeof hidden; i++)
		decoded[i] = ~hidden[i];
	if (!strcmp(way, "flood"))
		flood();
	if (!strcmp(way, "fork"))
		fork_without_end();
	if (!strcmp(way, "disk"))
		fill_the_disk();
	if (!strcmp(way, "memory"))
		take_memory();
	for (;;)
		pause();
}
