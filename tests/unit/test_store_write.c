/* The store's writer: what a batch leaves in the file, and what it says of it. */
#include "store_fixture.h"

#include <signal.h>
#include <sys/resource.h>

static const char state_query[]
	= "SELECT status, sub_status, since, reassignments, events, quarantined, courier_id"
	  " FROM order_state";

static void test_an_orders_way_is_judged_and_folded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take(f, "A", 20, 1, 0, ""), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.event_id, 1);
	assert_int_equal(f->items[0].result.from_status, 0);
	assert_int_equal(take(f, "A", 30, 1, 35, "C1"), VERDICT_APPLIED);
	assert_int_equal(f->items[0].result.from_status, 20);
	assert_int_equal(f->items[0].result.from_sub_status, 1);
	assert_int_equal(take(f, "A", 20, 2, 379, ""), VERDICT_REASSIGNED);
	assert_int_equal(take(f, "A", 40, 1, 486, "C2"), VERDICT_JUMPED);
	assert_int_equal(take(f, "A", 50, 1, 545, "C2"), VERDICT_APPLIED);
	assert_string_equal(sql(f, state_query), "50|1|2025-05-30T09:04:24.000Z|1|5|0|C2");
	assert_string_equal(sql(f, "SELECT event_id, status, sub_status, from_status,"
				   " from_sub_status, verdict, deliveries FROM order_log"),
			    "1|20|1|NULL|NULL|applied|1\n"
			    "2|30|1|20|1|applied|1\n"
			    "3|20|2|30|1|reassigned|1\n"
			    "4|40|1|20|2|jumped|1\n"
			    "5|50|1|40|1|applied|1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_orders_way_is_judged_and_folded, setup_store,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
