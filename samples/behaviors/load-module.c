/* Tries to load a file as a kernel module. It is none, and the kernel refuses it. */
#include "lab.h"
#include <sys/syscall.h>

int main(void)
{
	static char image[64] = "not a module";
	only_in_a_guest();
	put("/tmp/driver.ko", image, O_TRUNC, 0644);
	int fd = open("/tmp/driver.ko", O_RDONLY);
	syscall(SYS_finit_module, fd, "", 0);
	syscall(SYS_init_module, image, sizeof image, "");
	return 0;
}
