/* What is around fuzz_one(): the limit on its time, and what the targets take an input apart with.
 */
#include "fuzz.h"

#include <time.h>

void fuzz_fail(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

static int64_t processor_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_begin();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* In memory of just its size, so that one byte too far is seen by the sanitizer. */
	char *copy = malloc(size ? size : 1);
	int64_t begin_us;
	int64_t took_us;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	begin_us = processor_us();
	fuzz_one((struct slice){copy, size});
	took_us = processor_us() - begin_us;
	free(copy);
	if (took_us > FUZZ_HANG_US) {
		fprintf(stderr, "took %lld us of processor time, %d are allowed\n",
			(long long)took_us, FUZZ_HANG_US);
		abort();
	}
	return 0;
}

uint8_t fuzz_take_byte(struct slice *input)
{
	uint8_t byte = 0;

	if (input->len) {
		byte = (uint8_t)input->at[0];
		input->at++;
		input->len--;
	}
	return byte;
}

uint32_t fuzz_take_number(struct slice *input, uint32_t below)
{
	uint32_t number = fuzz_take_byte(input);

	number = number << 8 | fuzz_take_byte(input);
	number = number << 8 | fuzz_take_byte(input);
	return number % below;
}

struct slice fuzz_take_until(struct slice *input, char separator)
{
	const char *end = input->len ? memchr(input->at, separator, input->len) : NULL;
	struct slice taken = {input->at, end ? (size_t)(end - input->at) : input->len};
	size_t len = end ? taken.len + 1 : taken.len;

	input->at += len;
	input->len -= len;
	return taken;
}
