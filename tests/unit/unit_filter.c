/* Linked into every unit test: C=case of `make check` picks the cases by their name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void pick_cases(void)
{
	const char *pattern = getenv("TEST_CASE");

	if (pattern)
		cmocka_set_test_filter(pattern);
}
