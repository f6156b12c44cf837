/* Overwrites files of its own with zeros and removes them. */
#include "lab.h"
#include <sys/stat.h>

#define FILES 8
#define FILE_BYTES 4096

int main(void)
{
	static char content[FILE_BYTES];
	char path[64];
	only_in_a_guest();
	mkdir("/tmp/scratch", 0755);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof path, "/tmp/scratch/data-%d", i);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
		memset(content, 'a' + i, sizeof content);
		if (fd < 0 || write(fd, content, sizeof content) < 0)
			return 1;
		memset(content, 0, sizeof content);
		if (lseek(fd, 0, SEEK_SET) || write(fd, content, sizeof content) < 0)
			return 1;
		fsync(fd);
		close(fd);
		unlink(path);
	}
	return 0;
}
