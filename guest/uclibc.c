/* What programs for uClibc ask of their C library and musl does not have.
 *
 * Debian has no uClibc. Its programs name the loader /lib/ld-uClibc.so.0 and start through __uClibc_main; nearly all
 * else they use is in musl under the same name. This file is compiled into our build of musl, whose loader also stands
 * under uClibc's names. What it cannot help: programs into which uClibc's macros compiled the inside of a FILE.
 */

#include <ctype.h>
#include <features.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void));
const unsigned short **__ctype_b_loc(void);
int __xpg_strerror_r(int, char *, size_t);

/* uClibc's tables of character classes begin at the character -128, like musl's, but are variables, and those of
 * lower and upper case hold 16 bits an entry. */
#define CHARACTERS 384
#define FIRST (-128)

const unsigned short *__ctype_b;
const int16_t *__ctype_tolower;
const int16_t *__ctype_toupper;
const unsigned short *__C_ctype_b;
const int16_t *__C_ctype_tolower;
const int16_t *__C_ctype_toupper;

static int16_t lower[CHARACTERS];
static int16_t upper[CHARACTERS];

static void fill_tables(void)
{
	for (int i = 0; i < CHARACTERS; i++) {
		int c = i + FIRST;
		lower[i] = c >= 0 ? tolower(c) : c;
		upper[i] = c >= 0 ? toupper(c) : c;
	}
	__ctype_b = __C_ctype_b = *__ctype_b_loc();
	__ctype_tolower = __C_ctype_tolower = lower - FIRST;
	__ctype_toupper = __C_ctype_toupper = upper - FIRST;
}

/* Where a program for uClibc starts. musl's loader has already run what the program wants to run before main. */
void __uClibc_main(int (*entry)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
	void (*loader_fini)(void), void *stack_end)
{
	(void)stack_end;
	fill_tables();
	__libc_start_main(entry, argc, argv, init, fini, loader_fini);
}

int __fgetc_unlocked(FILE *file)
{
	return getc_unlocked(file);
}

int __fputc_unlocked(int c, FILE *file)
{
	return putc_unlocked(c, file);
}

/* GNU's form returns the text. */
char *__glibc_strerror_r(int error, char *buffer, size_t bytes)
{
	__xpg_strerror_r(error, buffer, bytes);
	return buffer;
}
