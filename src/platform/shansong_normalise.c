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

/* What is in its grammar always fits; what is not stays "". */
static void copy_id(const struct json_member *member, char out[EVENT_ID_BYTES_MAX + 1])
{
	if (member && shansong_is_id(member))
		slice_copy(member->value, out, EVENT_ID_BYTES_MAX + 1);
}

static int small_number(const struct json_member *member, int *ret)
{
	uint64_t value;

	if (!shansong_in_grammar(KEY_STATUS, member, false) ||
	    slice_to_u64(member->value, SHANSONG_SMALL_MAX, &value))
		return -ERR_MEMBER_GRAMMAR;
	*ret = (int)value;
	return 0;
}

int shansong_identify(const struct message *message, struct event *event)
{
	struct shansong_view view;
	const struct json_member *kind;

	shansong_look(&message->object, &view);
	kind = view.known[KEY_CALLBACK_EVENT];
	/* Anything that is not the order's event is another one, even if its name is no name:
	 * judged as a change of status it could move an order. */
	if (kind && !(kind->type == JSON_STRING && slice_equal_string(kind->value, ORDER_EVENT))) {
		event->kind = EVENT_OTHER;
		if (shansong_in_grammar(KEY_CALLBACK_EVENT, kind, message->from_form))
			slice_copy(kind->value, event->callback_event,
				   sizeof(event->callback_event));
		return 0;
	}
	if (!view.known[KEY_ISS_ORDER_NO] || !view.known[KEY_STATUS])
		return -ERR_MEMBER_MISSING;
	if (!shansong_is_id(view.known[KEY_ISS_ORDER_NO]))
		return -ERR_MEMBER_GRAMMAR;
	copy_id(view.known[KEY_ISS_ORDER_NO], event->iss_order_no);
	if (kind)
		slice_copy(kind->value, event->callback_event, sizeof(event->callback_event));
	return small_number(view.known[KEY_STATUS], &event->status);
}

/* The signature's own members say nothing about the order. */
static bool is_about_order(enum shansong_key key)
{
	return key != KEY_SIGN && key != KEY_TIMESTAMP && key != KEY_DATA;
}

static void note_outside(const struct message *message, const struct shansong_view *view,
			 struct event *event)
{
	for (int i = 0; i < SHANSONG_KEYS; i++) {
		enum shansong_key key = (enum shansong_key)i;
		const struct json_member *member = view->known[key];
		if (member && is_about_order(key) &&
		    !shansong_in_grammar(key, member, message->from_form))
			event_note(event, "%s is outside its grammar and left out",
				   shansong_name(key));
	}
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

static bool is_printable(struct slice text)
{
	struct json_member member = {.value = text, .type = JSON_STRING};

	return shansong_in_grammar(KEY_STATUS_DESC, &member, false);
}

static void set_courier(const struct json_member *courier, struct event *event)
{
	struct json_object object;
	char text[EVENT_ID_BYTES_MAX];
	struct slice id = {text, 0};
	const struct json_member *member;

	if (json_scan_object(courier->value, &object))
		return;
	member = json_find(&object, "id");
	if (!member || shansong_is_empty(member))
		return;
	if (member->type == JSON_NUMBER && shansong_is_id(member))
		id = member->value;
	else if (member->type != JSON_STRING ||
		 json_string_decode(member->value, text, sizeof(text), &id.len))
		id.len = 0;
	if (id.len == 0 || !is_printable(id))
		event_note(event, "courier.id is outside its grammar and left out");
	else
		slice_copy(id, event->courier_id, sizeof(event->courier_id));
}

int shansong_normalise(const struct message *message, const struct delivery *delivery,
		       struct event *event)
{
	struct shansong_view view;
	const struct json_member *sub;
	const struct json_member *courier;

	(void)delivery;
	shansong_look(&message->object, &view);
	if (!message->flat_signed)
		note_outside(message, &view, event);
	sub = view.known[KEY_SUB_STATUS];
	if (sub)
		small_number(sub, &event->sub_status);
	copy_id(view.known[KEY_ORDER_NO], event->order_no);
	copy_id(view.known[KEY_SHOP_ID], event->shop_id);
	if (event->kind == EVENT_OTHER)
		copy_id(view.known[KEY_ISS_ORDER_NO], event->iss_order_no);
	set_occurred(view.known[KEY_STATUS_CHANGE_TIME], event);
	courier = view.known[KEY_COURIER];
	if (courier && shansong_in_grammar(KEY_COURIER, courier, message->from_form))
		set_courier(courier, event);
	return shansong_content(&message->object, &view, message->from_form, event->content);
}
