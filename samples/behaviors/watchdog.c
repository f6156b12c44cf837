/* Switches off the watchdog that would restart the device. */
#include "lab.h"
#include <linux/watchdog.h>
#include <sys/ioctl.h>

int main(void)
{
	int off = WDIOS_DISABLECARD;
	only_in_a_guest();
	int fd = open("/dev/watchdog", O_RDWR);
	if (fd < 0)
		fd = open("/dev/misc/watchdog", O_RDWR);
	if (fd < 0)
		return 1;
	ioctl(fd, WDIOC_SETOPTIONS, &off);
	/* Closing with this byte ends the watch, should the order have been refused. */
	if (write(fd, "V", 1) < 0)
		return 1;
	return 0;
}
