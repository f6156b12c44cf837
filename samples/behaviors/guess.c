/* Tries the passwords that devices are sold with, at one telnet server. */
#include "lab.h"

static const char *pairs[][2] = {
	{"root", "root"}, {"admin", "admin"}, {"root", "12345"}, {"admin", "password"}, {"support", "support"}, {"user", "user"},
};

/* Reads until the server asks for something that ends so. */
static int asked(int fd, const char *what)
{
	char text[256];
	for (int reads = 0; reads < 8; reads++) {
		if (!hear(fd, text, sizeof text))
			return 0;
		if (strstr(text, what))
			return 1;
	}
	return 0;
}

int main(void)
{
	only_in_a_guest();
	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		char line[64];
		int fd = connect_to("192.0.2.10", 23);
		if (fd < 0)
			return 1;
		if (asked(fd, "ogin:")) {
			snprintf(line, sizeof line, "%s\r\n", pairs[i][0]);
			say(fd, line);
			if (asked(fd, "assword:")) {
				snprintf(line, sizeof line, "%s\r\n", pairs[i][1]);
				say(fd, line);
				hear(fd, line, sizeof line);
			}
		}
		close(fd);
	}
	return 0;
}
