/* Tokens and secrets from files: what is taken, what is refused, and what is never said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "orderhook/err.h"
#include "orderhook/secret.h"
#include "orderhook/signature.h"

#define VALUE "canary-0123456789"

struct fixture {
	char directory[64];
	char path[80];      /* of the file */
	char reference[96]; /* "file:" and the path */
	struct buf problem;
	struct secret secret;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	snprintf(fixture->directory, sizeof(fixture->directory),
		 P_tmpdir "/orderhook-secret-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(fixture->path, sizeof(fixture->path), "%s/value", fixture->directory);
	snprintf(fixture->reference, sizeof(fixture->reference), "file:%s", fixture->path);
	buf_init(&fixture->problem, 1024);
	unsetenv("CREDENTIALS_DIRECTORY");
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	unsetenv("CREDENTIALS_DIRECTORY");
	unlink(fixture->path);
	rmdir(fixture->path);
	rmdir(fixture->directory);
	buf_release(&fixture->problem);
	secret_release(&fixture->secret);
	free(fixture);
	return 0;
}

static void write_value(struct fixture *fixture, const void *bytes, size_t len, mode_t mode)
{
	int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int load(struct fixture *fixture, const char *reference, enum secret_kind kind)
{
	buf_reset(&fixture->problem);
	return secret_load(reference, kind, &fixture->secret, &fixture->problem);
}

/* Refused with this error, with a text that has all of it, and with nothing of the value. */
static void assert_refused(struct fixture *fixture, const char *reference, enum secret_kind kind,
			   int err, const char *part)
{
	assert_int_equal(load(fixture, reference, kind), err);
	if (!fixture->problem.len || !strstr(fixture->problem.data, part))
		fail_msg("'%s' has no '%s'", fixture->problem.data, part);
	assert_null(strstr(fixture->problem.data, "canary"));
	assert_null(fixture->secret.bytes);
}

static void assert_loads(struct fixture *fixture, const char *reference, enum secret_kind kind,
			 struct slice expected)
{
	if (load(fixture, reference, kind))
		fail_msg("%s", fixture->problem.data);
	assert_int_equal(fixture->secret.len, expected.len);
	assert_memory_equal(fixture->secret.bytes, expected.at, expected.len);
	assert_int_equal(fixture->secret.bytes[expected.len], '\0');
	assert_int_equal(fixture->problem.len, 0);
	secret_release(&fixture->secret);
	assert_null(fixture->secret.bytes);
}

static void test_file_is_read_and_one_newline_dropped(void **state)
{
	struct fixture *fixture = *state;

	write_value(fixture, VALUE, strlen(VALUE), 0600);
	assert_loads(fixture, fixture->reference, SECRET_TOKEN, SLICE(VALUE));
	write_value(fixture, VALUE "\n", strlen(VALUE) + 1, 0400);
	assert_loads(fixture, fixture->reference, SECRET_KEY, SLICE(VALUE));
}

static void test_second_newline_and_control_characters_are_refused(void **state)
{
	static const struct slice values[] = {SLICE(VALUE "\n\n"), SLICE(VALUE "\r\n"),
					      SLICE(VALUE "\0x"), SLICE(VALUE "\x7f")};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		write_value(fixture, values[i].at, values[i].len, 0600);
		assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM,
			       "printf %s");
	}
}

static void test_token_has_the_alphabet_of_a_url(void **state)
{
	struct fixture *fixture = *state;

	write_value(fixture, "canaryABZ.09._~-", 16, 0600);
	assert_loads(fixture, fixture->reference, SECRET_TOKEN, SLICE("canaryABZ.09._~-"));
	for (int c = 0x21; c < 0x100; c++) {
		char value[17] = "canary-012345678";
		if (strchr("._~-", c) || (c < 0x80 && strchr("0123456789", c)) ||
		    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == 0x7f)
			continue;
		value[15] = (char)c;
		write_value(fixture, value, 16, 0600);
		assert_refused(fixture, fixture->reference, SECRET_TOKEN, -ERR_SECRET_FORM,
			       "A-Z a-z 0-9 . _ ~ -");
		assert_loads(fixture, fixture->reference, SECRET_KEY, (struct slice){value, 16});
	}
}

static void test_lengths_are_bounded(void **state)
{
	struct fixture *fixture = *state;
	char bytes[4200];

	memset(bytes, 'k', sizeof(bytes));
	write_value(fixture, "", 0, 0600);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM, "nothing in it");
	write_value(fixture, "\n", 1, 0600);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM, "nothing in it");
	write_value(fixture, VALUE, 15, 0600);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM, "too few bytes");
	assert_refused(fixture, fixture->reference, SECRET_TOKEN, -ERR_SECRET_FORM, "16 to 128");
	write_value(fixture, VALUE, 16, 0600);
	assert_loads(fixture, fixture->reference, SECRET_KEY, (struct slice){VALUE, 16});
	write_value(fixture, bytes, 128, 0600);
	assert_loads(fixture, fixture->reference, SECRET_TOKEN, (struct slice){bytes, 128});
	write_value(fixture, bytes, 129, 0600);
	assert_refused(fixture, fixture->reference, SECRET_TOKEN, -ERR_SECRET_FORM,
		       "too many bytes");
	write_value(fixture, bytes, 4096, 0600);
	assert_loads(fixture, fixture->reference, SECRET_KEY, (struct slice){bytes, 4096});
	for (size_t len = 4097; len < 4100; len++) {
		write_value(fixture, bytes, len, 0600);
		assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM,
			       "too many bytes");
	}
}

static void test_file_that_group_or_others_can_open_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666};
	struct fixture *fixture = *state;
	char remedy[128];

	snprintf(remedy, sizeof(remedy), "chmod 600 %s", fixture->path);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_value(fixture, VALUE, strlen(VALUE), modes[i]);
		assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_MODE, remedy);
	}
}

static void test_link_is_followed_and_the_file_behind_it_is_checked(void **state)
{
	struct fixture *fixture = *state;
	char target[96];

	snprintf(target, sizeof(target), "%s/target", fixture->directory);
	write_value(fixture, VALUE, strlen(VALUE), 0600);
	assert_int_equal(rename(fixture->path, target), 0);
	assert_int_equal(symlink(target, fixture->path), 0);
	assert_loads(fixture, fixture->reference, SECRET_KEY, SLICE(VALUE));
	assert_int_equal(chmod(target, 0644), 0);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_MODE, "mode 0644");
	unlink(target);
}

static void test_what_is_no_regular_file_is_refused_without_waiting(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM,
		       "not a regular file; ls -l ");
	unlink(fixture->path);
	assert_int_equal(mkdir(fixture->path, 0700), 0);
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM,
		       "not a regular file");
}

static void test_missing_file_is_told(void **state)
{
	struct fixture *fixture = *state;

	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_MISSING, fixture->path);
	assert_refused(fixture, "file:/proc/self/mem/x", SECRET_KEY, -ERR_SECRET_MISSING, "ls -l");
}

static void test_stand_in_of_the_unit_is_told_as_a_missing_file(void **state)
{
	struct fixture *fixture = *state;

	write_value(fixture, "missing", 7, 0400);
	setenv("CREDENTIALS_DIRECTORY", fixture->directory, 1);
	assert_refused(fixture, "credential:value", SECRET_KEY, -ERR_SECRET_MISSING,
		       "LoadCredential=value:");
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_refused(fixture, fixture->reference, SECRET_KEY, -ERR_SECRET_FORM, "too few bytes");
}

static void test_credential_is_a_file_in_the_units_directory(void **state)
{
	struct fixture *fixture = *state;

	write_value(fixture, VALUE "\n", strlen(VALUE) + 1, 0440);
	setenv("CREDENTIALS_DIRECTORY", fixture->directory, 1);
	/* Its access list shows up as group bits; the directory guards it. */
	assert_loads(fixture, "credential:value", SECRET_KEY, SLICE(VALUE));
	assert_refused(fixture, "credential:other", SECRET_KEY, -ERR_SECRET_MISSING,
		       "add LoadCredential=other:FILE to the unit");
}

static void test_credential_outside_the_unit_is_told_with_what_to_do(void **state)
{
	assert_refused(*state, "credential:value", SECRET_KEY, -ERR_SECRET_MISSING,
		       "exists only inside the unit");
	setenv("CREDENTIALS_DIRECTORY", "", 1);
	assert_refused(*state, "credential:value", SECRET_KEY, -ERR_SECRET_MISSING, "file:PATH");
}

static void test_what_is_no_reference_is_refused_and_not_repeated(void **state)
{
	static const char *const references[] = {"",
						 "file:",
						 "credential:",
						 "canary-0123456789abc",
						 "credential:../canary",
						 "credential:/canary",
						 "credential:..",
						 "credential:.",
						 "FILE:canary",
						 " file:canary"};
	struct fixture *fixture = *state;

	setenv("CREDENTIALS_DIRECTORY", fixture->directory, 1);
	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
		assert_refused(fixture, references[i], SECRET_KEY, -ERR_SECRET_FORM,
			       "allowed: credential:NAME or file:PATH");
}

static void test_path_beyond_its_bound_is_told(void **state)
{
	struct fixture *fixture = *state;
	char reference[4200] = "file:";

	memset(reference + 5, 'x', sizeof(reference) - 6);
	assert_refused(fixture, reference, SECRET_KEY, -ERR_SECRET_MISSING, "longer than 4095");
	memcpy(reference, "credential:", 11);
	setenv("CREDENTIALS_DIRECTORY", fixture->directory, 1);
	assert_refused(fixture, reference, SECRET_KEY, -ERR_SECRET_MISSING, "longer than 4095");
}

static void test_relative_path_begins_at_the_working_directory(void **state)
{
	struct fixture *fixture = *state;
	int here = open(".", O_RDONLY | O_DIRECTORY);

	write_value(fixture, VALUE, strlen(VALUE), 0600);
	assert_int_equal(chdir(fixture->directory), 0);
	int err = load(fixture, "file:value", SECRET_KEY);
	assert_int_equal(fchdir(here), 0);
	close(here);
	assert_int_equal(err, 0);
}

static void test_release_is_fine_with_nothing(void **state)
{
	struct secret empty = {NULL, 0};

	(void)state;
	secret_release(NULL);
	secret_release(&empty);
	assert_null(empty.bytes);
}

static void test_guarded_process_leaves_no_core_and_lets_nobody_look_in(void **state)
{
	int status = 1;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit core = {1, 1};
		int bad = secret_guard_process() || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ||
			  getrlimit(RLIMIT_CORE, &core) || core.rlim_cur || core.rlim_max;
		_exit(bad);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The memory is still mapped after it was freed, so the old bytes would still be there. */
static void test_released_secret_is_wiped(void **state)
{
	/* Longer than what free() itself writes into freed memory. */
	static const char value[] = VALUE VALUE VALUE VALUE;
	struct fixture *fixture = *state;
	uintptr_t at;
	char left[sizeof(value)];
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	write_value(fixture, value, strlen(value), 0600);
	assert_int_equal(load(fixture, fixture->reference, SECRET_KEY), 0);
	at = (uintptr_t)fixture->secret.bytes;
	secret_release(&fixture->secret);
	assert_true(mem >= 0);
	assert_int_equal(pread(mem, left, sizeof(left), (off_t)at), sizeof(left));
	close(mem);
	assert_null(memmem(left, sizeof(left), "0123456789", 10));
}

/*
 * What a call leaves below itself is looked for on a stack that this test owns: that of a thread.
 * It is read through the kernel, because AddressSanitizer forbids to look at dead frames.
 */
#define STACK_BYTES ((size_t)1024 * 1024)
#define NEEDLE "0123456789" /* a part of VALUE, in no path */

#if defined(__SANITIZE_ADDRESS__)
#define FRAMES_MAY_BE_ELSEWHERE true
#elif defined(__has_feature)
#define FRAMES_MAY_BE_ELSEWHERE __has_feature(address_sanitizer)
#else
#define FRAMES_MAY_BE_ELSEWHERE false
#endif

typedef bool (*work_fn)(struct fixture *fixture);

struct errand {
	work_fn work;
	struct fixture *fixture;
	bool done;
};

/* Far below the frames of the thread's own end, which would write over what is looked for. */
static void *run_errand(void *context)
{
	struct errand *errand = context;
	char distance[16384];
	/* Whoever may read this pointer may reach all of it, so no compiler makes it smaller. */
	char *volatile reached = distance;

	*reached = '\0';
	errand->done = errand->work(errand->fixture);
	*reached = '\0';
	return NULL;
}

/* HMAC has the key with these bytes exclusive-ored into it: whoever finds that has the key. */
static bool holds_needle(const char *bytes, size_t len)
{
	static const char pads[] = {0, 0x36, 0x5c};
	char needle[] = NEEDLE;
	bool found = false;

	for (size_t i = 0; i < sizeof(pads); i++) {
		for (size_t j = 0; j < sizeof(needle); j++)
			needle[j] = (char)(NEEDLE[j] ^ pads[i]);
		found |= memmem(bytes, len, needle, strlen(NEEDLE)) != NULL;
	}
	return found;
}

static bool left_on_stack(work_fn work, struct fixture *fixture)
{
	struct errand errand = {work, fixture, false};
	char *stack =
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *copy = malloc(STACK_BYTES);
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	pthread_attr_t attributes;
	pthread_t thread;

	assert_true(stack != MAP_FAILED && copy && mem >= 0);
	memset(stack, 0xa5, STACK_BYTES);
	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
	assert_int_equal(pthread_create(&thread, &attributes, run_errand, &errand), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attributes);
	secret_release(&fixture->secret);
	assert_true(errand.done);
	assert_int_equal(pread(mem, copy, STACK_BYTES, (off_t)(uintptr_t)stack), STACK_BYTES);
	bool left = holds_needle(copy, STACK_BYTES);
	close(mem);
	free(copy);
	munmap(stack, STACK_BYTES);
	return left;
}

/* What no code may do: the test must be able to see it. */
static bool read_and_leave(struct fixture *fixture)
{
	char bytes[64];
	int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	close(fd);
	return n > 0 && memmem(bytes, (size_t)n, NEEDLE, strlen(NEEDLE));
}

static bool load_token(struct fixture *fixture)
{
	return load(fixture, fixture->reference, SECRET_TOKEN) == 0;
}

static bool load_what_is_no_token(struct fixture *fixture)
{
	return load(fixture, fixture->reference, SECRET_TOKEN) == -ERR_SECRET_FORM;
}

static bool decode_key(struct fixture *fixture)
{
	/* VALUE in base64. */
	return signature_hmac_key(SLICE("whsec_Y2FuYXJ5LTAxMjM0NTY3ODk="), &fixture->secret) == 0;
}

static bool sign_with_key(struct fixture *fixture)
{
	char signature[SIGNATURE_HMAC_CHARS + 1];

	(void)fixture;
	return signature_hmac(SLICE(VALUE), SLICE("msg_1"), SLICE("1700000000"), SLICE("{}"),
			      signature) == 0;
}

static void test_secret_is_wiped_from_the_stack_that_it_passed(void **state)
{
	struct fixture *fixture = *state;

	write_value(fixture, VALUE, strlen(VALUE), 0600);
	if (!left_on_stack(read_and_leave, fixture)) {
		if (FRAMES_MAY_BE_ELSEWHERE)
			skip();
		fail_msg("what is left on a stack is not seen");
	}
	assert_false(left_on_stack(load_token, fixture));
	assert_false(left_on_stack(decode_key, fixture));
	assert_false(left_on_stack(sign_with_key, fixture));
	write_value(fixture, VALUE "!", strlen(VALUE) + 1, 0600);
	assert_false(left_on_stack(load_what_is_no_token, fixture));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file_is_read_and_one_newline_dropped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_second_newline_and_control_characters_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_token_has_the_alphabet_of_a_url, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_lengths_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_that_group_or_others_can_open_is_refused,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_link_is_followed_and_the_file_behind_it_is_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_no_regular_file_is_refused_without_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_file_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stand_in_of_the_unit_is_told_as_a_missing_file,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_credential_is_a_file_in_the_units_directory,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_credential_outside_the_unit_is_told_with_what_to_do, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_no_reference_is_refused_and_not_repeated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_beyond_its_bound_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_relative_path_begins_at_the_working_directory,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_is_fine_with_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_released_secret_is_wiped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret_is_wiped_from_the_stack_that_it_passed,
						setup, teardown),
		cmocka_unit_test(test_guarded_process_leaves_no_core_and_lets_nobody_look_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
