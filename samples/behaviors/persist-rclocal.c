/* Has itself started by /etc/rc.local. */
#include "lab.h"

int main(void)
{
	only_in_a_guest();
	return !put("/etc/rc.local", "/tmp/.update &\n", O_APPEND, 0755);
}
