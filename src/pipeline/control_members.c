/*
 * The members of requests and answers. A request is read strictly: a member of another type, out of
 * its range, missing or unknown is refused by its name, so that a misspelt option never does
 * something else than what was meant.
 */
#include <inttypes.h>
#include <string.h>

#include "control_private.h"
#include "orderhook/err.h"

static int add_name(struct control_call *call, const char *name)
{
	int err = buf_add_char(&call->answer, call->answer.len ? ',' : '{');

	if (!err)
		err = json_add_string(&call->answer, slice_of(name));
	return err ? err : buf_add_char(&call->answer, ':');
}

int control_add_int(struct control_call *call, const char *name, int64_t value)
{
	int err = add_name(call, name);

	return err ? err : buf_addf(&call->answer, "%" PRId64, value);
}

int control_add_counts(struct control_call *call, const struct control_count *counts, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = control_add_int(call, counts[i].name, counts[i].value);
	return err;
}

int control_add_text(struct control_call *call, const char *name, struct slice value)
{
	int err = add_name(call, name);

	return err ? err : json_add_string(&call->answer, value);
}

int control_add_bool(struct control_call *call, const char *name, bool value)
{
	int err = add_name(call, name);

	return err ? err : buf_add_string(&call->answer, value ? "true" : "false");
}

int control_answered(struct control_call *call)
{
	if (!call->status)
		call->status = 200;
	return buf_add_string(&call->answer, call->answer.len ? "}\n" : "{}\n");
}

static bool bad(struct control_call *call, const char *name, const char *allowed)
{
	if (control_refuse(call, 400, -ERR_SYNTAX, "%s: %s", name, allowed))
		call->status = 500;
	return false;
}

/* NULL with a true *ret_ok: it is absent, and may be. */
static const struct json_member *find(struct control_call *call, const struct json_object *request,
				      const char *name, bool required, bool *ret_ok)
{
	const struct json_member *member = json_find(request, name);

	*ret_ok = member || !required || bad(call, name, "is missing");
	return member;
}

bool control_take_int(struct control_call *call, const struct json_object *request,
		      const char *name, bool required, int64_t min, int64_t max, int64_t *ret)
{
	bool ok;
	const struct json_member *member = find(call, request, name, required, &ok);

	if (!member)
		return ok;
	if (member->type == JSON_NUMBER && slice_to_i64(member->value, min, max, ret) == 0)
		return true;
	if (control_refuse(call, 400, -ERR_SYNTAX,
			   "%s: must be a whole number from %" PRId64 " to %" PRId64, name, min,
			   max))
		call->status = 500;
	return false;
}

bool control_take_text(struct control_call *call, const struct json_object *request,
		       const char *name, bool required, char *ret, size_t cap)
{
	size_t len;
	bool ok;
	const struct json_member *member = find(call, request, name, required, &ok);

	if (!member)
		return ok;
	if (member->type != JSON_STRING ||
	    json_string_decode(member->value, ret, cap - 1, &len) != 0)
		return bad(call, name, "must be a string, and is not one or too long");
	ret[len] = '\0';
	return true;
}

bool control_take_bool(struct control_call *call, const struct json_object *request,
		       const char *name, bool *ret)
{
	const struct json_member *member = json_find(request, name);

	if (!member)
		return true;
	if (member->type != JSON_TRUE && member->type != JSON_FALSE)
		return bad(call, name, "must be true or false");
	*ret = member->type == JSON_TRUE;
	return true;
}

static int each_number(struct slice text, int (*each)(void *context, int64_t number), void *context)
{
	int err = 0;

	while (text.len && !err) {
		const char *end = memchr(text.at, ' ', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;
		int64_t number;
		err = slice_to_i64((struct slice){text.at, len}, 0, INT64_MAX, &number);
		if (!err)
			err = each(context, number);
		if (!end)
			break;
		text.at += len + 1;
		text.len -= len + 1;
	}
	return err;
}

bool control_take_numbers(struct control_call *call, const struct json_object *request,
			  const char *name, int (*each)(void *context, int64_t number),
			  void *context)
{
	const struct json_member *member = json_find(request, name);

	if (!member)
		return true;
	/* One with an escape in it has more than digits and is refused like any other. */
	if (member->type == JSON_STRING && each_number(member->value, each, context) == 0)
		return true;
	return bad(call, name, "must be a string of whole numbers with a blank between them");
}

bool control_only(struct control_call *call, const struct json_object *request,
		  const char *const *names)
{
	for (size_t i = 0; i < request->n; i++) {
		bool known = false;
		for (size_t j = 0; names[j] && !known; j++)
			known = json_find(request, names[j]) == &request->members[i];
		if (!known)
			return bad(call, "the request", "has a member that is not known here");
	}
	return true;
}
