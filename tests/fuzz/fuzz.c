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

/* Its table 3-7: ranges of the first byte, of the second one, and how many follow the first. */
static const struct {
	uint8_t first_min;
	uint8_t first_max;
	uint8_t second_min;
	uint8_t second_max;
	uint8_t more;
} utf8_rows[] = {
	{0x00, 0x7f, 0x00, 0x00, 0}, {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
	{0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
	{0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
};

/* Bytes of the character at the front, 0 when it is none. */
static size_t utf8_len(const uint8_t *at, size_t len)
{
	size_t i = 0;

	while (i < sizeof(utf8_rows) / sizeof(utf8_rows[0]) &&
	       (at[0] < utf8_rows[i].first_min || at[0] > utf8_rows[i].first_max))
		i++;
	if (i == sizeof(utf8_rows) / sizeof(utf8_rows[0]) || len <= utf8_rows[i].more)
		return 0;
	size_t more = utf8_rows[i].more;
	if (more && (at[1] < utf8_rows[i].second_min || at[1] > utf8_rows[i].second_max))
		return 0;
	for (size_t j = 2; j <= more; j++) {
		if (at[j] < 0x80 || at[j] > 0xbf)
			return 0;
	}
	return more + 1;
}

bool fuzz_valid_utf8(struct slice text)
{
	size_t taken;

	for (size_t i = 0; i < text.len; i += taken) {
		taken = utf8_len((const uint8_t *)text.at + i, text.len - i);
		if (!taken)
			return false;
	}
	return true;
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
