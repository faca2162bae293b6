/*
 * Strict JSON (RFC 8259): validates one object in one pass and yields its members as slices of the
 * input. Nothing is copied, decoded or converted here, so nothing can be lost: a number stays its
 * token, a string stays escaped until json_string_decode().
 *
 * Refused, at every level: anything before or after the object but white space, a BOM, invalid
 * UTF-8, an escaped lone surrogate, NUL in any string or key (raw or \u0000), two keys of one
 * object that are equal or differ only in ASCII case (compared decoded), more than JSON_DEPTH_MAX
 * levels, more than JSON_MEMBERS_MAX members in one object.
 */
#pragma once

#include "orderhook/buf.h"

#define JSON_DEPTH_MAX 8
#define JSON_MEMBERS_MAX 64

enum json_type {
	JSON_NULL = 0,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
	JSON_TYPE_MAX
};

struct json_member {
	struct slice key;   /* between the quotes, as it came */
	struct slice value; /* the token as it came; a string's is between its quotes */
	enum json_type type;
	bool key_escaped; /* has a backslash, so decode before comparing */
	bool value_escaped;
};

struct json_object {
	struct json_member members[JSON_MEMBERS_MAX];
	size_t n;
};

/* Errors: -ERR_JSON_SYNTAX, _UTF8, _SURROGATE, _NUL, _DEPTH, _MEMBERS, _KEY_TWICE. Where a text has
 * several faults any one of them is named. ret is undefined after an error. */
int json_scan_object(struct slice text, struct json_object *ret);

/* The member whose decoded key is exactly this, or NULL. */
const struct json_member *json_find(const struct json_object *object, const char *key);

/* Decodes a string that the scanner has passed. The result is never longer than raw and is not
 * terminated; -ERR_TOO_LONG when it does not fit cap. */
int json_string_decode(struct slice raw, char *out, size_t cap, size_t *ret_len);

/* Appends text as a JSON string with its quotes; control characters, quote and backslash are
 * escaped, everything else is kept. text must be UTF-8. */
int json_add_string(struct buf *buf, struct slice text);

/* True when text is well-formed UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing above
 * U+10FFFF). */
bool json_valid_utf8(struct slice text);
