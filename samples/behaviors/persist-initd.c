/* Leaves a script among those that start with the device. */
#include "lab.h"
#include <sys/stat.h>

int main(void)
{
	only_in_a_guest();
	put("/etc/init.d/S99update", "#!/bin/sh\n/tmp/.update &\n", O_TRUNC, 0755);
	return chmod("/etc/init.d/S99update", 0755) ? 1 : 0;
}
