/* The outside of a bot: it finds the address of its server, says a hello line, and repeats a beacon. It takes no orders.
 *
 * Bots of small devices keep what they must not show in a table whose entries are unlocked before use and locked
 * again (public descriptions of Mirai's source); others keep it as plain text, decode it by RC4, look a name up, or
 * make names from the date. table.h is generated for each build: WAY says which of these it is. */
#include "lab.h"
#include "table.h"

#define BEACONS 5
#define BEACON_MS 2000
#define NAMES_PER_DAY 8
#define NAME_LETTERS 12

enum { ENTRY_HOST, ENTRY_PORT, ENTRY_HELLO, ENTRY_BEACON, ENTRIES };

struct entry {
	unsigned char *value;
	unsigned short bytes;
};

static struct entry table[ENTRIES] = {
	{entry_host, sizeof entry_host},
	{entry_port, sizeof entry_port},
	{entry_hello, sizeof entry_hello},
	{entry_beacon, sizeof entry_beacon},
};

#if WAY == WAY_XOR || WAY == WAY_XOR4
/* Each byte is folded with each byte of the key. Doing it again undoes it. */
static void toggle(struct entry *entry)
{
	for (int i = 0; i < entry->bytes; i++)
		for (unsigned k = 0; k < sizeof key; k++)
			entry->value[i] ^= key[k];
}
#elif WAY == WAY_XOR4_STREAM
/* The key is repeated over the entry. */
static void toggle(struct entry *entry)
{
	for (int i = 0; i < entry->bytes; i++)
		entry->value[i] ^= key[i % sizeof key];
}
#elif WAY == WAY_RC4
static void toggle(struct entry *entry)
{
	unsigned char s[256], swap;
	unsigned i, j = 0;
	for (i = 0; i < 256; i++)
		s[i] = i;
	for (i = 0; i < 256; i++) {
		j = (j + s[i] + key[i % sizeof key]) & 255;
		swap = s[i], s[i] = s[j], s[j] = swap;
	}
	i = j = 0;
	for (int n = 0; n < entry->bytes; n++) {
		i = (i + 1) & 255;
		j = (j + s[i]) & 255;
		swap = s[i], s[i] = s[j], s[j] = swap;
		entry->value[n] ^= s[(s[i] + s[j]) & 255];
	}
}
#else
static void toggle(struct entry *entry)
{
	(void)entry;
}
#endif

static const char *unlocked(int id)
{
	toggle(&table[id]);
	return (const char *)table[id].value;
}

static void lock(int id)
{
	toggle(&table[id]);
}

#if WAY == WAY_NAME || WAY == WAY_GENERATED
/* The resolver of the device. */
static struct sockaddr_in resolver(void)
{
	char text[512] = "", server[64] = "192.168.1.1";
	int fd = open("/etc/resolv.conf", O_RDONLY);
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
		close(fd);
		char *line = strstr(text, "nameserver ");
		if (line)
			sscanf(line, "nameserver %63s", server);
	}
	return address_of(server, 53);
}

/* Asks for the address of a name (RFC 1035, section 4), as programs without a C library's resolver do. */
static int look_up(const char *name, char *host, size_t bytes)
{
	unsigned char ask[300] = {0x4b, 0x4d, 1, 0, 0, 1}, answer[512];
	size_t length = 12;
	for (const char *label = name; *label;) {
		size_t letters = strcspn(label, ".");
		if (letters > 63 || length + letters + 6 > sizeof ask)
			return 0;
		ask[length++] = letters;
		memcpy(ask + length, label, letters);
		length += letters;
		label += letters + (label[letters] == '.');
	}
	memcpy(ask + length, "\0\0\1\0\1", 5);
	length += 5;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in server = resolver();
	struct pollfd wait = {fd, POLLIN, 0};
	ssize_t n = 0;
	if (fd >= 0 && sendto(fd, ask, length, 0, (struct sockaddr *)&server, sizeof server) > 0 &&
		poll(&wait, 1, ANSWER_MS) == 1)
		n = recv(fd, answer, sizeof answer, 0);
	close(fd);
	/* The first record of four bytes that follows the question. */
	for (ssize_t i = length; i + 16 <= n; i++) {
		static const unsigned char head[] = {0, 1, 0, 1};
		if (!memcmp(answer + i + 2, head, 4) && answer[i + 10] == 0 && answer[i + 11] == 4) {
			snprintf(host, bytes, "%d.%d.%d.%d", answer[i + 12], answer[i + 13], answer[i + 14], answer[i + 15]);
			return 1;
		}
	}
	return 0;
}
#endif

#if WAY == WAY_GENERATED
/* The day's names in turn, until one has an address. */
static int find_server(char *host, size_t bytes)
{
	unsigned state = time(NULL) / 86400 * 2654435761u ^ GENERATED_SEED;
	for (int i = 0; i < NAMES_PER_DAY; i++) {
		char name[NAME_LETTERS + 10];
		for (int letter = 0; letter < NAME_LETTERS; letter++) {
			state = state * 1103515245u + 12345;
			name[letter] = 'a' + (state >> 16) % 26;
		}
		strcpy(name + NAME_LETTERS, i % 2 ? ".example" : ".test");
		if (look_up(name, host, bytes))
			return 1;
	}
	return 0;
}
#else
static int find_server(char *host, size_t bytes)
{
	int found = 1;
	const char *kept = unlocked(ENTRY_HOST);
#if WAY == WAY_NAME
	found = look_up(kept, host, bytes);
#else
	snprintf(host, bytes, "%s", kept);
#endif
	lock(ENTRY_HOST);
	return found;
}
#endif

int main(void)
{
	char host[64];
	only_in_a_guest();
	if (!find_server(host, sizeof host))
		return 1;
	const unsigned char *stored = (const unsigned char *)unlocked(ENTRY_PORT);
	unsigned short port = stored[0] << 8 | stored[1];
	lock(ENTRY_PORT);
	int fd = connect_to(host, port);
	if (fd < 0)
		return 1;
	say(fd, unlocked(ENTRY_HELLO));
	lock(ENTRY_HELLO);
	for (int i = 0; i < BEACONS; i++) {
		pause_ms(BEACON_MS);
		say(fd, unlocked(ENTRY_BEACON));
		lock(ENTRY_BEACON);
	}
	return 0;
}
