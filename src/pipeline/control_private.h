/*
 * What a kind of control request is made of. A handler's request and answer are one JSON object
 * each; nothing of a callback's body goes into `what`, the answer's texts or the log.
 *
 * Everything runs in the admin listener's thread but step(), which has the writer's store.
 */
#pragma once

#include "orderhook/control.h"

struct control_handler {
	/*
	 * Reads the request into call->state, and refuses what it cannot serve by
	 * control_refuse(). Without a step it also answers. Must be quick: health and metrics
	 * wait behind it. An error (-ERR_NOMEM) is answered as one.
	 */
	int (*begin)(struct control_call *call, const struct json_object *request);
	/* As in struct writer_call. NULL: begin() answers. */
	int (*step)(struct control_call *call, struct store *store);
	/* After the last step, with 0 or WRITER_CALL_MORE: adds the members of the answer, each
	 * by control_add(), and writes call->what. */
	int (*answer)(struct control_call *call, int outcome);
	/* Frees call->state, from whichever thread; NULL where free() does. */
	void (*release)(struct control_call *call);
};

#define CONTROL(name, peers, request_bytes) extern const struct control_handler control_##name;
#include "orderhook/tbl/control.def"
#undef CONTROL

/* Answers the request with a status, the key of err and a text that says what to do. Returns 0, so
 * that a begin() can return it. */
int control_refuse(struct control_call *call, int status, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* For a begin() that answers by itself: the object is complete. */
int control_answered(struct control_call *call);

struct control_count {
	const char *name;
	int64_t value;
};

/* One more member of the answer, or several; the object is opened and closed by control.c. */
int control_add_int(struct control_call *call, const char *name, int64_t value);
int control_add_counts(struct control_call *call, const struct control_count *counts, size_t n);
int control_add_text(struct control_call *call, const char *name, struct slice value);
int control_add_bool(struct control_call *call, const char *name, bool value);

/*
 * Members of the request. True when it is there and right, or absent and not required (then *ret
 * is untouched); false after a refusal.
 */
bool control_take_int(struct control_call *call, const struct json_object *request,
		      const char *name, bool required, int64_t min, int64_t max, int64_t *ret);
/* A string, decoded, NUL-terminated. */
bool control_take_text(struct control_call *call, const struct json_object *request,
		       const char *name, bool required, char *ret, size_t cap);
bool control_take_bool(struct control_call *call, const struct json_object *request,
		       const char *name, bool *ret);
/* A string of whole numbers from 0, with a blank between two: calls each for every one, until one
 * is refused. For what a JSON object has no room for. Absent is empty. */
bool control_take_numbers(struct control_call *call, const struct json_object *request,
			  const char *name, int (*each)(void *context, int64_t number),
			  void *context);
/* Refuses a member that is none of names, which ends with NULL. */
bool control_only(struct control_call *call, const struct json_object *request,
		  const char *const *names);
