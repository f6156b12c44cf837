/* Asks whether it is being debugged: a process that is traced already cannot ask to be. */
#include "lab.h"
#include <sys/ptrace.h>

int main(void)
{
	char text[2048] = "";
	only_in_a_guest();
	int traced = 0;
	int fd = open("/proc/self/status", O_RDONLY);
	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strstr(text, "TracerPid:\t") && !strstr(text, "TracerPid:\t0"))
		traced = 1;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		traced = 1;
	return traced;
}
