/* Takes the name of a system program, in the kernel and in its arguments. */
#include "lab.h"
#include <sys/prctl.h>

int main(int count, char **words)
{
	only_in_a_guest();
	prctl(PR_SET_NAME, "sshd");
	if (count > 0) {
		size_t bytes = strlen(words[0]);
		memset(words[0], 0, bytes);
		strncpy(words[0], "sshd", bytes);
	}
	pause_ms(3000);
	return 0;
}
