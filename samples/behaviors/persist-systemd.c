/* Leaves a unit for systemd. */
#include "lab.h"
#include <sys/stat.h>

int main(void)
{
	only_in_a_guest();
	mkdir("/etc/systemd", 0755);
	mkdir("/etc/systemd/system", 0755);
	return !put("/etc/systemd/system/update.service",
		"[Service]\nExecStart=/tmp/.update\nRestart=always\n[Install]\nWantedBy=multi-user.target\n", O_TRUNC, 0644);
}
