/* Removes its own file, the logs and the history of the shell. */
#include "lab.h"

static const char *histories[] = {".ash_history", ".bash_history"};

int main(int count, char **words)
{
	only_in_a_guest();
	if (count > 0)
		unlink(words[0]);
	put("/var/log/messages", "", O_TRUNC, 0644);
	unlink("/var/log/messages");
	unlink("/var/log/wtmp");
	for (unsigned i = 0; i < sizeof histories / sizeof *histories; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/%s", "/root", histories[i]);
		unlink(path);
	}
	return 0;
}
