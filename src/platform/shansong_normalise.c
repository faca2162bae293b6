/*
 * From authenticated members to the event. Only issOrderNo and status can fail a callback here; any
 * other member outside its grammar is left out of the event and named in the notes, because what is
 * authenticated is never dropped for a detail. Where the members themselves were signed their
 * grammars hold already.
 */
#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "shansong_private.h"

#define ORDER_EVENT "ORDER_STATUS_CALLBACK"

static bool is_event(const struct json_member *member, const char *name)
{
	return member->type == JSON_STRING && slice_equal_string(member->value, name);
}

int shansong_identify(const struct message *message, struct event *event)
{
	struct shansong_view view;
	const struct json_member *kind;
	const struct json_member *iss_order_no;
	const struct json_member *status;
	uint64_t number;

	shansong_look(&message->object, &view);
	kind = view.known[KEY_CALLBACK_EVENT];
	iss_order_no = view.known[KEY_ISS_ORDER_NO];
	status = view.known[KEY_STATUS];
	/* Anything that is not the order's event is another one, even if its name is no name:
	 * judged as a change of status it could move an order. */
	if (kind && shansong_in_grammar(KEY_CALLBACK_EVENT, kind, message->from_form))
		slice_copy(kind->value, event->callback_event, sizeof(event->callback_event));
	if (kind && !is_event(kind, ORDER_EVENT)) {
		event->kind = EVENT_OTHER;
		return 0;
	}
	if (!iss_order_no || !status)
		return -ERR_MEMBER_MISSING;
	if (!shansong_in_grammar(KEY_ISS_ORDER_NO, iss_order_no, message->from_form) ||
	    !shansong_in_grammar(KEY_STATUS, status, message->from_form) ||
	    slice_to_u64(status->value, EVENT_STATUS_MAX, &number))
		return -ERR_MEMBER_GRAMMAR;
	event->status = (int)number;
	slice_copy(iss_order_no->value, event->iss_order_no, sizeof(event->iss_order_no));
	return 0;
}

/* The signature's own members say nothing about the order. */
static bool is_about_order(enum shansong_key key)
{
	return key != KEY_SIGN && key != KEY_TIMESTAMP && key != KEY_DATA;
}

static void find_outside(const struct message *message, struct shansong_view *view,
			 struct event *event)
{
	for (int i = 0; i < SHANSONG_KEYS; i++) {
		enum shansong_key key = (enum shansong_key)i;
		const struct json_member *member = view->known[key];
		if (!member || !is_about_order(key) ||
		    shansong_in_grammar(key, member, message->from_form))
			continue;
		view->outside |= 1u << key;
		event_note(event, "%s is outside its grammar and left out", shansong_name(key));
	}
}

/* The member, if it is there and inside its grammar. */
static const struct json_member *usable(const struct shansong_view *view, enum shansong_key key)
{
	return view->outside & 1u << key ? NULL : view->known[key];
}

/* What is inside its grammar always fits. */
static void copy(const struct shansong_view *view, enum shansong_key key,
		 char out[EVENT_ID_BYTES_MAX + 1])
{
	const struct json_member *member = usable(view, key);

	if (member)
		slice_copy(member->value, out, EVENT_ID_BYTES_MAX + 1);
}

static void set_occurred(const struct json_member *time, struct event *event)
{
	int64_t ms;

	event->occurred_from = EVENT_FROM_RECEIPT;
	event->occurred_ms = event->received_ms;
	if (!time || clock_parse_local(time->value, SHANSONG_OFFSET_MS, &ms))
		return;
	/* Taken as it stands it would make every later event of the order a late one. */
	if (ms > event->received_ms + EVENT_TIME_AHEAD_MS) {
		event_note(event, "%s is more than ten minutes ahead of its receipt and left out",
			   shansong_name(KEY_STATUS_CHANGE_TIME));
		return;
	}
	event->occurred_from = EVENT_FROM_PLATFORM;
	event->occurred_ms = ms;
}

/* An id of the courier is any short text: its grammar is nowhere public. */
static void set_courier(const struct json_object *courier, struct event *event)
{
	const struct json_member *id = json_find(courier, "id");
	char text[EVENT_ID_BYTES_MAX];
	struct json_member decoded = {.type = JSON_STRING};

	if (!id || shansong_is_empty(id))
		return;
	if (id->type == JSON_NUMBER && shansong_in_grammar(KEY_ORDER_NO, id, false))
		decoded.value = id->value;
	else if (id->type == JSON_STRING &&
		 json_string_decode(id->value, text, sizeof(text), &decoded.value.len) == 0)
		decoded.value.at = text;
	if (decoded.value.at && shansong_in_grammar(KEY_STATUS_DESC, &decoded, false))
		slice_copy(decoded.value, event->courier_id, sizeof(event->courier_id));
	else
		event_note(event, "courier.id is outside its grammar and left out");
}

int shansong_normalise(const struct message *message, const struct delivery *delivery,
		       struct event *event)
{
	struct shansong_view view;
	struct json_object courier;
	const struct json_member *member;
	uint64_t number;

	shansong_look(&message->object, &view);
	if (!message->flat_signed)
		find_outside(message, &view, event);
	trace_say(delivery->trace, TRACE_MEMBERS, 0,
		  "%zu members, %zu of them unknown and kept in the body only", message->object.n,
		  view.n_unknown);
	/* Of another event, too: it may belong to an order. */
	copy(&view, KEY_ISS_ORDER_NO, event->iss_order_no);
	copy(&view, KEY_ORDER_NO, event->order_no);
	copy(&view, KEY_SHOP_ID, event->shop_id);
	member = usable(&view, KEY_SUB_STATUS);
	if (member && slice_to_u64(member->value, EVENT_STATUS_MAX, &number) == 0)
		event->sub_status = (int)number;
	set_occurred(usable(&view, KEY_STATUS_CHANGE_TIME), event);
	member = usable(&view, KEY_COURIER);
	if (member && json_scan_object(member->value, &courier))
		member = NULL;
	if (member)
		set_courier(&courier, event);
	return shansong_content(&message->object, &view, member ? &courier : NULL, event->content);
}
