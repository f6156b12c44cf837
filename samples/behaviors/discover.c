/* Looks around: who it is, what the device is, and whether it is a virtual one. */
#include "lab.h"
#include <sys/utsname.h>

static const char *paths[] = {
	"/proc/cpuinfo", "/proc/meminfo", "/proc/mounts", "/proc/net/tcp", "/proc/net/route", "/etc/passwd",
	"/sys/class/dmi/id/product_name", "/sys/class/net/eth0/address",
};

int main(void)
{
	static char text[8192];
	struct utsname name;
	int virtual = 0;
	only_in_a_guest();
	getuid();
	uname(&name);
	for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
		int fd = open(paths[i], O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
		text[n > 0 ? n : 0] = 0;
		virtual |= strstr(text, "QEMU") || strstr(text, "52:54:00");
		close(fd);
	}
	return virtual;
}
