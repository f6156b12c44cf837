/* The program that `fetch` may be served: it says so and ends. */
#include "lab.h"

int main(void)
{
	only_in_a_guest();
	return put("/tmp/second-ran", "yes\n", O_TRUNC, 0644) ? 0 : 1;
}
