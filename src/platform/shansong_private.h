/*
 * What the parts of the Shansong adapter share: the closed list of members, how a body becomes
 * plain members, and what may be signed.
 */
#pragma once

#include "orderhook/platform.h"
#include "orderhook/signature.h"

#define SHANSONG_OFFSET_MS (8 * 60 * 60 * 1000) /* China time has no summer time */
#define SHANSONG_TEXT_BYTES_MAX 512

/*
 * The closed list, in ascending order of the names: the order in which they are signed. `sign` is
 * never part of the signed string; `data` only of an envelope's.
 *
 * SHANSONG_MEMBER(KEY, name, grammar)
 */
#define SHANSONG_MEMBERS(SHANSONG_MEMBER)                                \
	SHANSONG_MEMBER(ABORT_REASON, "abortReason", TEXT)               \
	SHANSONG_MEMBER(ABORT_TYPE, "abortType", SMALL)                  \
	SHANSONG_MEMBER(ACCESS_TOKEN, "accessToken", ID)                 \
	SHANSONG_MEMBER(CALLBACK_EVENT, "callbackEvent", EVENT)          \
	SHANSONG_MEMBER(CLIENT_ID, "clientId", ID)                       \
	SHANSONG_MEMBER(COURIER, "courier", OBJECT)                      \
	SHANSONG_MEMBER(DATA, "data", DATA)                              \
	SHANSONG_MEMBER(DEDUCT_AMOUNT, "deductAmount", AMOUNT)           \
	SHANSONG_MEMBER(DELIVERY_PASSWORD, "deliveryPassword", PASSWORD) \
	SHANSONG_MEMBER(DRAWBACK, "drawback", AMOUNT)                    \
	SHANSONG_MEMBER(ISS_ORDER_NO, "issOrderNo", ID)                  \
	SHANSONG_MEMBER(ORDER_NO, "orderNo", ID)                         \
	SHANSONG_MEMBER(PICKUP_PASSWORD, "pickupPassword", PASSWORD)     \
	SHANSONG_MEMBER(PUNISH_TYPE, "punishType", SMALL)                \
	SHANSONG_MEMBER(SEND_BACK_FEE, "sendBackFee", AMOUNT)            \
	SHANSONG_MEMBER(SHOP_ID, "shopId", ID)                           \
	SHANSONG_MEMBER(SIGN, "sign", SIGN)                              \
	SHANSONG_MEMBER(STATUS, "status", SMALL)                         \
	SHANSONG_MEMBER(STATUS_CHANGE_TIME, "statusChangeTime", TIME)    \
	SHANSONG_MEMBER(STATUS_DESC, "statusDesc", TEXT)                 \
	SHANSONG_MEMBER(SUB_STATUS, "subStatus", SMALL)                  \
	SHANSONG_MEMBER(SUB_STATUS_DESC, "subStatusDesc", TEXT)          \
	SHANSONG_MEMBER(TIMESTAMP, "timestamp", TIMESTAMP)               \
	SHANSONG_MEMBER(TOKEN, "token", TOKEN)

enum shansong_key {
#define SHANSONG_MEMBER(key, name, grammar) KEY_##key,
	SHANSONG_MEMBERS(SHANSONG_MEMBER)
#undef SHANSONG_MEMBER
	SHANSONG_KEYS, /* also: a member outside the list */
	SHANSONG_UNKNOWN = SHANSONG_KEYS
};

_Static_assert(SHANSONG_KEYS <= 32, "shansong_view.outside has a bit for each key");

enum shansong_grammar {
	GRAMMAR_TEXT = 0,  /* at most SHANSONG_TEXT_BYTES_MAX, no control characters */
	GRAMMAR_SMALL,     /* 0 to 999, at most three digits */
	GRAMMAR_AMOUNT,    /* -?[0-9]{1,12} */
	GRAMMAR_ID,        /* [A-Za-z0-9_.:-]{1,64}; of a number only its digits */
	GRAMMAR_EVENT,     /* [A-Z_]{1,64} */
	GRAMMAR_OBJECT,    /* a strict JSON object; in a form a string of one */
	GRAMMAR_PASSWORD,  /* [0-9A-Za-z]{0,16} */
	GRAMMAR_TIME,      /* YYYY-MM-DD HH:MM:SS, checked against the calendar */
	GRAMMAR_TIMESTAMP, /* 13 or 10 digits */
	GRAMMAR_TOKEN,     /* [0-9A-Za-z]{1,64} */
	GRAMMAR_DATA,      /* a string; that it holds an object is checked by scanning it */
	GRAMMAR_SIGN,      /* checked by signature_md5_verify() */
	GRAMMAR_MAX
};

/*
 * An object seen through the list. A member that is null or "" counts as absent, as it does for the
 * signature; but a `sign` or `data` of "" is there, and wrong.
 */
struct shansong_view {
	const struct json_member *known[SHANSONG_KEYS]; /* NULL: absent */
	uint8_t key_of[JSON_MEMBERS_MAX];               /* of each member: enum shansong_key */
	size_t n_unknown;
	uint32_t outside; /* bit 1 << key: found outside its grammar; set by normalising */
};

/* shansong_members.c. The object's strings must be decoded: shansong_scan(), shansong_form(). */
void shansong_look(const struct json_object *object, struct shansong_view *ret);
const char *shansong_name(enum shansong_key key);
enum shansong_grammar shansong_grammar(enum shansong_key key);
bool shansong_in_grammar(enum shansong_key key, const struct json_member *member, bool from_form);
bool shansong_is_empty(const struct json_member *member); /* null or "" */
/* Whether the name of a member that is signed after `own` begins inside value, when `next` (the
 * next signed name, or absent) follows it. own = -1: any name. */
bool shansong_holds_name(int own, struct slice value, struct slice next);

/*
 * The signed parameters of a view, in the order of their names, each inside its grammar and the
 * whole readable in one way only. trusted: clientId and shopId were compared with configured
 * ones. params has room for SHANSONG_KEYS. -ERR_SIGN_GRAMMAR. trace: NULL, or where
 * the first member that fails is named.
 */
struct shansong_trusted {
	bool client_id;
	bool shop_id;
};
int shansong_params(const struct shansong_view *view, bool from_form,
		    struct shansong_trusted trusted, struct signature_param *params, size_t *ret_n,
		    struct trace *trace);

/*
 * shansong_body.c: one object with its keys and strings decoded, so that no later step has to
 * decode or to allocate. What had to be decoded lies in scratch, which must have room for text.len
 * more bytes: it never moves. White space inside objects and arrays other than courier is dropped.
 */
int shansong_scan(struct slice text, struct buf *scratch, struct json_object *ret);
/* The same from application/x-www-form-urlencoded; every member is a string. -ERR_FORM_SYNTAX,
 * _FORM_KEY_TWICE, -ERR_JSON_NUL, _UTF8, _MEMBERS. */
int shansong_form(struct slice text, struct buf *scratch, struct json_object *ret);

/* The entries of struct platform. shansong_authenticate.c, shansong_normalise.c */
int shansong_authenticate(const struct endpoint *endpoint, const struct delivery *delivery,
			  struct buf *scratch, struct message *ret, struct event *event);
int shansong_identify(const struct message *message, struct event *event);
int shansong_normalise(const struct message *message, const struct delivery *delivery,
		       struct event *event);
bool shansong_names_us(const struct endpoint *endpoint, const struct delivery *delivery,
		       struct buf *scratch);
/* shansong_mistakes.c */
void shansong_sign_matches(const struct endpoint *endpoint, const struct endpoint *const *others,
			   size_t n_others, const struct delivery *delivery, struct buf *scratch,
			   struct sign_matches *ret);
/* shansong_restyle.c: JSON of the same meaning, as another program would have written it. */
enum restyle {
	RESTYLE_SPACED = 1, /* a blank after every comma and colon */
	RESTYLE_ASCII = 2,  /* \uXXXX for what is not ASCII */
	RESTYLE_SLASH = 4,  /* \/ for a slash */
	RESTYLE_MAX = 8     /* sums of the three */
};
int shansong_restyle(struct slice json, unsigned style, struct buf *out);
/* shansong_content.c: the digest by which two deliveries of one event are known as one. courier is
 * NULL where there is none. */
int shansong_content(const struct json_object *object, const struct shansong_view *view,
		     const struct json_object *courier, uint8_t ret[DIGEST_SHA256_BYTES]);
