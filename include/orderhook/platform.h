/*
 * The boundary to a courier platform. Five things differ from platform to platform, and an adapter
 * decides exactly these: where authentication sits, which fields identify an order, what the
 * words for a status are, what the reply looks like, which steps are legal. Everything else is
 * shared. An adapter is pure: it reads no clock, no file and no socket.
 */
#pragma once

#include "orderhook/config.h"
#include "orderhook/event.h"
#include "orderhook/json_scan.h"
#include "orderhook/order_machine.h"
#include "orderhook/secret.h"
#include "orderhook/trace.h"

struct platform;

/* One callback URL at run time. */
struct endpoint {
	char *name;
	const struct platform *platform;
	char *path;
	struct secret token; /* bytes NULL: the path alone is the URL */
	char *client_id;     /* NULL: not compared */
	struct config_list shop_ids;
	bool any_shop;
	enum signature_mode signature;
	struct secret *secrets; /* those for MD5 and, as decoded bytes in hmac_keys, for HMAC */
	size_t n_secrets;
	struct secret *hmac_keys;
	size_t n_hmac_keys;
};

/* Resolves the secrets. On failure an error of secret_load() or -ERR_CONFIG, and problem says what
 * is wrong and where. */
int endpoint_new(const struct config_endpoint *config, struct endpoint **ret, struct buf *problem);
void endpoint_free(struct endpoint *endpoint);

enum endpoint_match {
	ENDPOINT_NO_MATCH = 0, /* another path, or a wrong or missing token: nobody learns which */
	ENDPOINT_MATCH_PATH,   /* the endpoint has no token */
	ENDPOINT_MATCH_TOKEN,  /* the token was there and right */
	ENDPOINT_MATCH_MAX
};

/* Compares a request path (no query) as bytes; the token in constant time. */
enum endpoint_match endpoint_match_path(const struct endpoint *endpoint, struct slice path);

enum body_type {
	BODY_JSON = 0,
	BODY_FORM,
	BODY_TYPE_MAX
};

/* One delivery without HTTP: everything that a verdict may depend on. Borrowed for the call. */
struct delivery {
	struct slice body;
	enum body_type type;
	struct slice webhook_id; /* absent slices where the header is not there */
	struct slice webhook_timestamp;
	struct slice webhook_signature;
	bool token_ok; /* ENDPOINT_MATCH_TOKEN */
	int64_t received_ms;
	enum event_source source;
	struct trace *trace; /* NULL, or where each decision is written down */
};

/* An authenticated message: the members of the callback object, wherever they came from. */
struct message {
	struct json_object object;
	bool from_form;   /* values are decoded strings, not JSON tokens */
	bool flat_signed; /* MD5 over the members: each must be inside its grammar */
	enum event_auth auth;
	bool stale;
};

enum sign_mistake {
#define SIGN_MISTAKE(name, key, text) MISTAKE_##name,
#include "orderhook/tbl/sign_mistake.def"
#undef SIGN_MISTAKE
	MISTAKE_MAX
};

const char *sign_mistake_key(enum sign_mistake mistake);
const char *sign_mistake_text(enum sign_mistake mistake);

/* A way in which the sign of a delivery can have been made. */
struct sign_match {
	uint32_t mistakes; /* bit 1 << enum sign_mistake; 0: it is right */
	bool hmac;
	const struct endpoint *endpoint; /* whose secret it was; NULL: none was used */
	size_t secret;                   /* its index among those for MD5, or for HMAC */
};
#define SIGN_MATCHES_MAX 16

struct sign_matches {
	struct sign_match list[SIGN_MATCHES_MAX];
	size_t n;
	bool all_tried; /* false: too much was to be hashed; the endpoint's own were tried first */
};

struct platform {
	const char *name;
	/* Which steps are legal. */
	const struct order_machine *(*machine)(void);
	/*
	 * Form and authenticity: scans the body, verifies every signature that is there, checks
	 * that what must be ours is ours, and yields the members. scratch holds what had to be
	 * decoded and must live as long as ret. Notes go to event.
	 */
	int (*authenticate)(const struct endpoint *endpoint, const struct delivery *delivery,
			    struct buf *scratch, struct message *ret, struct event *event);
	/* Which order, which status, or which other event. Fills those fields. */
	int (*identify)(const struct message *message, struct event *event);
	/* The optional members, the content digest, the notes. */
	int (*normalise)(const struct message *message, const struct delivery *delivery,
			 struct event *event);
	/* Whether the body names a clientId and a shopId and both are configured ones. Proves
	 * nothing: it picks the half of the ring in which a refused delivery is kept. */
	bool (*names_us)(const struct endpoint *endpoint, const struct delivery *delivery,
			 struct buf *scratch);
	/*
	 * For explain: by which mistakes the delivery's signs would have been made, with the
	 * endpoint's secrets or those of the others.
	 */
	void (*sign_matches)(const struct endpoint *endpoint, const struct endpoint *const *others,
			     size_t n_others, const struct delivery *delivery, struct buf *scratch,
			     struct sign_matches *ret);
	/* The reply's body for an HTTP status: a static string. */
	const char *(*reply)(int http_status);
};

const struct platform *platform_find(const char *name); /* NULL when there is none */
const struct platform *platform_shansong(void);
