/* Signals as something to ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>

#include "../../src/tools/interrupt_private.h"

static void test_a_signal_is_told_once_and_kills_nobody(void **state)
{
	struct interrupt interrupt;
	struct pollfd ready;

	(void)state;
	assert_int_equal(interrupt_begin(&interrupt), 0);
	assert_int_equal(interrupt_take(&interrupt), 0);
	raise(SIGTERM);
	ready = (struct pollfd){.fd = interrupt.fd, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 0), 1);
	assert_int_equal(interrupt_take(&interrupt), SIGTERM);
	assert_int_equal(interrupt_take(&interrupt), 0);
	interrupt_end(&interrupt);
}

static void test_what_was_not_taken_is_forgotten_at_the_end(void **state)
{
	struct interrupt interrupt;
	sigset_t before;
	sigset_t after;

	(void)state;
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &before), 0);
	assert_int_equal(interrupt_begin(&interrupt), 0);
	raise(SIGINT);
	raise(SIGHUP);
	interrupt_end(&interrupt); /* here a forgotten signal would end this program */
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &after), 0);
	assert_int_equal(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_signal_is_told_once_and_kills_nobody),
		cmocka_unit_test(test_what_was_not_taken_is_forgotten_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
