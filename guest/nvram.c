/* The settings that firmware keeps in flash, for programs that were made for a device with them.
 *
 * Programs of an appliance read what they serve out of "NVRAM" and do not start without. This library answers from
 * /etc/nvram.conf (lines of key=value). A program finds it because it names libnvram.so, or because the job sets
 * LD_PRELOAD=/lib/libnvram.so. What is set lives as long as the process.
 *
 * It is linked with nothing, so that it serves programs of glibc, musl and uClibc alike.
 */

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define PATH "/etc/nvram.conf"
/* Bytes read of the file: flash partitions for settings have 32 to 64 KiB. */
#define FILE_BYTES_MAX 32768
/* Settings held; a router has some hundreds. */
#define SETTINGS_MAX 1024
/* Bytes for values that the program sets. When they are used up, nvram_set fails. */
#define SET_BYTES_MAX 16384

struct setting {
	const char *key;
	const char *value;
};

static char file[FILE_BYTES_MAX + 1];
static char set[SET_BYTES_MAX];
static size_t set_bytes;
static struct setting settings[SETTINGS_MAX];
static int count;
static int loaded;

static void load(void)
{
	if (loaded)
		return;
	loaded = 1;
	int fd = open(PATH, O_RDONLY);
	if (fd < 0)
		return;
	size_t bytes = 0;
	while (bytes < FILE_BYTES_MAX) {
		ssize_t n = read(fd, file + bytes, FILE_BYTES_MAX - bytes);
		if (n <= 0)
			break;
		bytes += n;
	}
	close(fd);
	file[bytes] = 0;
	for (char *line = file; *line && count < SETTINGS_MAX;) {
		char *end = strchr(line, '\n');
		if (end)
			*end = 0;
		char *equals = strchr(line, '=');
		if (*line != '#' && equals) {
			*equals = 0;
			settings[count].key = line;
			settings[count].value = equals + 1;
			count++;
		}
		if (!end)
			break;
		line = end + 1;
	}
}

static struct setting *find(const char *key)
{
	load();
	for (int i = 0; key && i < count; i++)
		if (!strcmp(settings[i].key, key))
			return &settings[i];
	return NULL;
}

static const char *keep(const char *text)
{
	size_t bytes = strlen(text) + 1;
	if (bytes > SET_BYTES_MAX - set_bytes)
		return NULL;
	char *kept = memcpy(set + set_bytes, text, bytes);
	set_bytes += bytes;
	return kept;
}

int nvram_init(void)
{
	load();
	return 0;
}

int nvram_close(void)
{
	return 0;
}

char *nvram_get(const char *key)
{
	struct setting *found = find(key);
	return found ? (char *)found->value : NULL;
}

char *nvram_safe_get(const char *key)
{
	char *value = nvram_get(key);
	return value ? value : "";
}

int nvram_set(const char *key, const char *value)
{
	if (!key || !value)
		return -1;
	struct setting *setting = find(key);
	if (!setting) {
		if (count == SETTINGS_MAX)
			return -1;
		const char *name = keep(key);
		if (!name)
			return -1;
		setting = &settings[count];
		setting->key = name;
		setting->value = "";
		count++;
	}
	const char *kept = keep(value);
	if (!kept)
		return -1;
	setting->value = kept;
	return 0;
}

int nvram_unset(const char *key)
{
	struct setting *found = find(key);
	if (found)
		*found = settings[--count];
	return 0;
}

int nvram_commit(void)
{
	return 0;
}

int nvram_match(const char *key, const char *value)
{
	const char *there = nvram_get(key);
	return there && value && !strcmp(there, value);
}

int nvram_invmatch(const char *key, const char *value)
{
	const char *there = nvram_get(key);
	return there && value && strcmp(there, value);
}

int nvram_getall(char *out, int bytes)
{
	load();
	size_t used = 0;
	size_t room = bytes > 0 ? bytes : 0;
	for (int i = 0; i < count; i++) {
		size_t key = strlen(settings[i].key);
		size_t value = strlen(settings[i].value);
		/* An entry is key=value with a zero, and one more zero ends the list. */
		if (used + key + value + 3 > room)
			break;
		memcpy(out + used, settings[i].key, key);
		out[used + key] = '=';
		memcpy(out + used + key + 1, settings[i].value, value + 1);
		used += key + value + 2;
	}
	if (used < room)
		out[used] = 0;
	return 0;
}

/* The same by the number of a partition, as other makers' programs ask. */
char *nvram_bufget(int partition, const char *key)
{
	(void)partition;
	return nvram_safe_get(key);
}

int nvram_bufset(int partition, const char *key, const char *value)
{
	(void)partition;
	return nvram_set(key, value);
}
