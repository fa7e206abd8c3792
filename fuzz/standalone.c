/*
 * standalone.c
 *	  Calls a fuzz target for each file that it is given: where there is no
 *	  libFuzzer, what is kept of its work is run all the same.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static int inputs;

/*
 * Runs the target on a file's bytes.
 */
static void
run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t len = 0;
	size_t n = 1;

	if (!file)
	{
		perror(path);
		exit(1);
	}
	while (n > 0)
	{
		data = realloc(data, len + 65536);
		n = fread(data + len, 1, 65536, file);
		len += n;
	}
	fclose(file);
	uint8_t *copy = exact_copy(data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	free(data);
	inputs++;
}

/*
 * Runs the target on a file, or on all that a directory holds.
 */
static void
run_path(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char name[4096];

	if (!directory)
	{
		run_file(path);
		return;
	}
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
		{
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			run_file(name);
		}
	closedir(directory);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')
			run_path(argv[i]);
	printf("%s: %d inputs kept their properties\n", argv[0], inputs);
	return 0;
}
