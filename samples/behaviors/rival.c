/* Looks through /proc for a process of a certain name and kills it. The process is its own child. */
#include "lab.h"
#include <ctype.h>
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int main(void)
{
	only_in_a_guest();
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "rivalbot");
		pause_ms(LIFE_S * 1000L);
		_exit(0);
	}
	pause_ms(200);
	DIR *proc = opendir("/proc");
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		char path[300], name[32] = "";
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
		if (fd >= 0)
			close(fd);
		if (n > 0 && !strncmp(name, "rivalbot", 8))
			kill(atoi(entry->d_name), SIGKILL);
	}
	waitpid(child, NULL, 0);
	return 0;
}
