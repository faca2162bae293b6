/*
 * POST /control/apply {"orders":"1 2 3"}: judges these orders again, by the numbers of their rows,
 * and writes what comes out, all in one step. Who asks has found them wrong; the writer judges them
 * as they are now.
 *
 * Answer: {"orders":N}, how many were written.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control_private.h"
#include "orderhook/err.h"
#include "orderhook/id_list.h"
#include "orderhook/rejudge.h"

struct application {
	struct id_list orders;
	int64_t written;
};

static int take_id(void *context, int64_t id)
{
	struct application *application = context;

	return id_list_add(&application->orders, id);
}

static int begin(struct control_call *call, const struct json_object *request)
{
	static const char *const names[] = {"orders", NULL};
	struct application *application = calloc(1, sizeof(*application));

	if (!application)
		return -ERR_NOMEM;
	call->state = application;
	if (control_only(call, request, names))
		control_take_numbers(call, request, "orders", take_id, application);
	return 0;
}

static int step(struct control_call *call, struct store *store)
{
	struct application *application = call->state;

	return rejudge_apply(store, application->orders.ids, application->orders.n,
			     &application->written);
}

static int answer(struct control_call *call, int outcome)
{
	const struct application *application = call->state;

	(void)outcome;
	snprintf(call->what, sizeof(call->what), "%lld orders judged again and written",
		 (long long)application->written);
	return control_add_int(call, "orders", application->written);
}

static void release(struct control_call *call)
{
	struct application *application = call->state;

	if (application)
		id_list_release(&application->orders);
	free(application);
}

const struct control_handler control_apply = {begin, step, answer, release};
