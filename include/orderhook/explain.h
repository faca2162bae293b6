/*
 * Why a delivery is taken or refused: ingest itself, run with a trace, and what its trace says as
 * one JSON object. With it what only the secrets can tell: the first eight digits of the signs
 * expected, and which of the usual mistakes would have made the one that came. More than eight
 * digits never leave this function: it would sign whatever it is asked about.
 */
#pragma once

#include "orderhook/endpoint_set.h"

#define EXPLAIN_SIGN_DIGITS 8
/* A longer signed value is cut in what is shown. */
#define EXPLAIN_VALUE_BYTES_MAX 8192

/* A delivery as it was kept, or as it would come. */
struct explain_delivery {
	struct slice head; /* request line and headers, as they are stored */
	struct slice body;
	int64_t received_ms;
	bool url_token; /* it came by the URL with the right token, if the endpoint has one */
};

/*
 * given is read as ingest() does. Values of the body are in the object as
 * they came: masking is for whoever shows them. Members:
 *   endpoint, received, url_token (true, false), outcome ("accepted" or the key of an error), text,
 *   auth ("signed", "token"; null when refused), checks {step: {result, text}}, given, signed
 *   {name: value}, expected {secret: digits}, hmac_given, hmac_expected, matches {mistakes:
 *   {secret, text}}, all_tried (false: too many secrets for so long a body), event {…} (null when
 *   refused)
 * -ERR_NOMEM, -ERR_TOO_LONG.
 */
int explain(const struct endpoint_set *endpoints, const struct endpoint *endpoint,
	    const struct explain_delivery *given, struct buf *out);
