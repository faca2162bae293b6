/*
 * A courier's name and mobile number, for an operator who has to call. They are in no table and no
 * index: only the stored body has them, flat or in an envelope's data. A form's body is left to
 * `raw --reveal`.
 */
#include <string.h>

#include "orderhook/json_scan.h"
#include "show_private.h"

#define DATA_LIMIT_BYTES (1024U * 1024)

static void take_string(const struct json_object *object, const char *key, char *out, size_t cap)
{
	const struct json_member *member = json_find(object, key);
	size_t len;

	out[0] = '\0';
	if (!member || member->type != JSON_STRING)
		return;
	if (json_string_decode(member->value, out, cap - 1, &len) == 0)
		out[len] = '\0';
	else
		out[0] = '\0';
}

static bool courier_of_object(const struct json_object *object, struct courier_text *ret)
{
	const struct json_member *member = json_find(object, "courier");
	struct json_object courier;

	if (!member || member->type != JSON_OBJECT || json_scan_object(member->value, &courier))
		return false;
	take_string(&courier, "id", ret->id, sizeof(ret->id));
	take_string(&courier, "name", ret->name, sizeof(ret->name));
	take_string(&courier, "mobile", ret->mobile, sizeof(ret->mobile));
	return true;
}

bool courier_of_body(struct slice body, struct courier_text *ret)
{
	BUF_AUTO struct buf data = BUF_INIT(DATA_LIMIT_BYTES);
	const struct json_member *member;
	struct json_object object;
	size_t len;

	if (json_scan_object(body, &object))
		return false;
	member = json_find(&object, "data");
	if (!member)
		return courier_of_object(&object, ret);
	if (member->type != JSON_STRING || buf_reserve(&data, member->value.len) ||
	    json_string_decode(member->value, data.data, data.cap, &len) ||
	    json_scan_object((struct slice){data.data, len}, &object))
		return false;
	return courier_of_object(&object, ret);
}
