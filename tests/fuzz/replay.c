/*
 * The plain driver: runs every file of a corpus once, without libFuzzer. Usage: fuzz_NAME DIR...;
 * status 1 when a directory has no file, so that a corpus that went missing is no success. An input
 * that never ends is stopped: fuzz.c can only time one that does.
 */
#include <dirent.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fuzz.h"

/* Of processor time, for one input; SIGPROF then ends the process. */
#define STOP_S 5

static int run_file(const char *path)
{
	static const struct itimerval stop = {.it_value = {.tv_sec = STOP_S}};
	FILE *file = fopen(path, "rb");
	struct stat status;
	uint8_t *bytes;

	if (!file || fstat(fileno(file), &status) < 0) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(2);
	}
	if (!S_ISREG(status.st_mode)) {
		fclose(file);
		return 0;
	}
	bytes = malloc((size_t)status.st_size + 1);
	if (!bytes || fread(bytes, 1, (size_t)status.st_size, file) != (size_t)status.st_size)
		exit(2);
	fclose(file);
	/* A crash ends the process: this line says in which file. */
	fprintf(stderr, "%s\n", path);
	setitimer(ITIMER_PROF, &stop, NULL);
	LLVMFuzzerTestOneInput(bytes, (size_t)status.st_size);
	free(bytes);
	return 1;
}

static int run_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int n = 0;

	if (!directory) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(2);
	}
	while ((entry = readdir(directory))) {
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		n += run_file(name);
	}
	closedir(directory);
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		n += run_directory(argv[i]);
	printf("%d inputs\n", n);
	return n ? 0 : 1;
}
