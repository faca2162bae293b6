/*
 * The closed list and its grammars, and the reason why a signature over them can be trusted.
 *
 * The platform signs k1‖v1‖k2‖v2… without delimiters. A string of that form has one reading when it
 * cannot be parsed in two ways from left to right: at the place of a key only the names are
 * possible (where one name begins another, as status and statusDesc, what follows decides: a status
 * is digits); a value ends where a later name begins. Values of digits and punctuation, times and
 * callbackEvent's capitals hold no name by their alphabet; an object ends where JSON says; an id
 * that must equal a configured one is fixed. Any other value is refused when the name of a later
 * member begins in it, even if that name would end in the key that follows. By induction over the
 * keys no two sets of members inside their grammars make the same string.
 */
#include <string.h>

#include "orderhook/clock.h"
#include "orderhook/err.h"
#include "shansong_private.h"

#define AMOUNT_DIGITS_MAX 12
#define SMALL_DIGITS_MAX 3
#define PASSWORD_BYTES_MAX 16
#define NAMES_FIRST 'a'
#define NAMES_LAST 't'

struct member_row {
	const char *name;
	uint8_t len;
	uint8_t grammar;
};

static const struct member_row rows[SHANSONG_KEYS] = {
#define SHANSONG_MEMBER(key, name, grammar) {name, sizeof(name) - 1, GRAMMAR_##grammar},
	SHANSONG_MEMBERS(SHANSONG_MEMBER)
#undef SHANSONG_MEMBER
};

const char *shansong_name(enum shansong_key key)
{
	return rows[key].name;
}

enum shansong_grammar shansong_grammar(enum shansong_key key)
{
	return (enum shansong_grammar)rows[key].grammar;
}

static struct slice name_slice(enum shansong_key key)
{
	return (struct slice){rows[key].name, rows[key].len};
}

bool shansong_is_empty(const struct json_member *member)
{
	return member->type == JSON_NULL || (member->type == JSON_STRING && member->value.len == 0);
}

/* The platform sends its members in the order of their names, so the search begins behind the last
 * one found and mostly ends after a step or two. */
static enum shansong_key find(struct slice name, size_t begin)
{
	for (size_t i = 0; i < SHANSONG_KEYS; i++) {
		size_t key = begin + i < SHANSONG_KEYS ? begin + i : begin + i - SHANSONG_KEYS;
		if (rows[key].len == name.len && memcmp(rows[key].name, name.at, name.len) == 0)
			return (enum shansong_key)key;
	}
	return SHANSONG_UNKNOWN;
}

void shansong_look(const struct json_object *object, struct shansong_view *ret)
{
	size_t next = 0;

	memset(ret->known, 0, sizeof(ret->known));
	ret->n_unknown = 0;
	ret->outside = 0;
	for (size_t i = 0; i < object->n; i++) {
		const struct json_member *member = &object->members[i];
		enum shansong_key key = find(member->key, next);
		ret->key_of[i] = (uint8_t)key;
		if (key == SHANSONG_UNKNOWN) {
			ret->n_unknown++;
			continue;
		}
		next = key + 1;
		bool absent = key == KEY_SIGN || key == KEY_DATA ? member->type == JSON_NULL
								 : shansong_is_empty(member);
		if (!absent)
			ret->known[key] = member;
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_id_char(char c)
{
	return is_alnum(c) || c == '_' || c == '.' || c == ':' || c == '-';
}

static bool is_event_char(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool all_of(struct slice text, size_t min, size_t max, bool (*allowed)(char))
{
	if (text.len < min || text.len > max)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (!allowed(text.at[i]))
			return false;
	}
	return true;
}

static bool is_amount(struct slice text)
{
	if (text.len && text.at[0] == '-') {
		text.at++;
		text.len--;
	}
	return all_of(text, 1, AMOUNT_DIGITS_MAX, is_digit);
}

/* C0, DEL and C1: what a terminal or a log line could obey. */
static bool is_free_text(struct slice text)
{
	if (text.len > SHANSONG_TEXT_BYTES_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == 0xc2 && i + 1 < text.len && (unsigned char)text.at[i + 1] < 0xa0)
			return false;
	}
	return true;
}

static bool is_timestamp(struct slice text)
{
	return all_of(text, 13, 13, is_digit) || all_of(text, 10, 10, is_digit);
}

static bool is_object(const struct json_member *member, bool from_form)
{
	struct json_object object;

	return from_form ? json_scan_object(member->value, &object) == 0
			 : member->type == JSON_OBJECT;
}

static bool is_id(const struct json_member *member)
{
	/* Of a number only digits: -1 and 1.5 are numbers too, and made of an id's characters. */
	return (member->type == JSON_STRING &&
		all_of(member->value, 1, EVENT_ID_BYTES_MAX, is_id_char)) ||
	       (member->type == JSON_NUMBER &&
		all_of(member->value, 1, EVENT_ID_BYTES_MAX, is_digit));
}

bool shansong_in_grammar(enum shansong_key key, const struct json_member *member, bool from_form)
{
	struct slice text = member->value;
	bool string = member->type == JSON_STRING;
	int64_t ms;

	if (rows[key].grammar == GRAMMAR_OBJECT)
		return is_object(member, from_form);
	if (!string && member->type != JSON_NUMBER)
		return false;
	switch (shansong_grammar(key)) {
	case GRAMMAR_TEXT:
		return string && is_free_text(text);
	case GRAMMAR_SMALL:
		return all_of(text, 1, SMALL_DIGITS_MAX, is_digit);
	case GRAMMAR_AMOUNT:
		return is_amount(text);
	case GRAMMAR_ID:
		return is_id(member);
	case GRAMMAR_EVENT:
		return all_of(text, 1, EVENT_ID_BYTES_MAX, is_event_char);
	case GRAMMAR_PASSWORD:
		return all_of(text, 0, PASSWORD_BYTES_MAX, is_alnum);
	case GRAMMAR_TIME:
		return clock_parse_local(text, SHANSONG_OFFSET_MS, &ms) == 0;
	case GRAMMAR_TIMESTAMP:
		return is_timestamp(text);
	case GRAMMAR_TOKEN:
		return all_of(text, 1, 64, is_alnum);
	case GRAMMAR_DATA:
		return string;
	case GRAMMAR_SIGN:
	case GRAMMAR_OBJECT:
	case GRAMMAR_MAX:
		break;
	}
	return true;
}

static bool begins_with_name(int own, struct slice rest, struct slice next)
{
	for (int key = own + 1; key < SHANSONG_KEYS; key++) {
		struct slice name = name_slice((enum shansong_key)key);
		size_t inside = name.len < rest.len ? name.len : rest.len;
		struct slice beyond = {name.at + inside, name.len - inside};
		if (key != KEY_SIGN && memcmp(rest.at, name.at, inside) == 0 &&
		    slice_starts_with(next, beyond))
			return true;
	}
	return false;
}

bool shansong_holds_name(int own, struct slice value, struct slice next)
{
	for (; value.len; value.at++, value.len--) {
		/* Most bytes of real values are no letter that a name begins with. */
		if (*value.at >= NAMES_FIRST && *value.at <= NAMES_LAST &&
		    begins_with_name(own, value, next))
			return true;
	}
	return false;
}

/* Whether a value could hide the end of itself; what is fixed by the configuration cannot. */
static bool is_ambiguous(enum shansong_key key, struct slice value, struct slice next,
			 struct shansong_trusted trusted)
{
	switch (shansong_grammar(key)) {
	case GRAMMAR_TEXT:
		return shansong_holds_name(-1, value, next);
	case GRAMMAR_ID:
		if ((key == KEY_CLIENT_ID && trusted.client_id) ||
		    (key == KEY_SHOP_ID && trusted.shop_id))
			return false;
		return shansong_holds_name((int)key, value, next);
	case GRAMMAR_PASSWORD:
	case GRAMMAR_TOKEN:
		return shansong_holds_name((int)key, value, next);
	default:
		return false;
	}
}

static int refuse(struct trace *trace, enum shansong_key key, const char *why)
{
	trace_say(trace, TRACE_GRAMMAR, -ERR_SIGN_GRAMMAR, "%s %s", shansong_name(key), why);
	return -ERR_SIGN_GRAMMAR;
}

int shansong_params(const struct shansong_view *view, bool from_form,
		    struct shansong_trusted trusted, struct signature_param *params, size_t *ret_n,
		    struct trace *trace)
{
	enum shansong_key keys[SHANSONG_KEYS];
	size_t n = 0;

	for (int i = 0; i < SHANSONG_KEYS; i++) {
		enum shansong_key key = (enum shansong_key)i;
		const struct json_member *member = view->known[key];
		if (!member || key == KEY_SIGN)
			continue;
		if (!shansong_in_grammar(key, member, from_form))
			return refuse(trace, key, "is outside its grammar");
		params[n] = (struct signature_param){name_slice(key), member->value};
		keys[n++] = key;
	}
	for (size_t i = 0; i < n; i++) {
		struct slice next = i + 1 < n ? params[i + 1].key : SLICE("");
		if (is_ambiguous(keys[i], params[i].value, next, trusted))
			return refuse(trace, keys[i],
				      "holds the name of a member, so that the signed string could "
				      "be read two ways");
	}
	trace_say(trace, TRACE_GRAMMAR, 0, "%zu signed members, each inside its grammar", n);
	*ret_n = n;
	return 0;
}
