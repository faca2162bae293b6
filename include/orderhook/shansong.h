/*
 * Shansong's signing side: what the simulator, `orderhook sign` and the tests send. Verification is
 * behind struct platform.
 */
#pragma once

#include "orderhook/buf.h"
#include "orderhook/secret.h"

enum shansong_form {
	SHANSONG_FLAT = 0, /* the callback object with timestamp and sign added */
	SHANSONG_ENVELOPE, /* clientId, shopId, timestamp, data, sign */
	SHANSONG_FORM_MAX
};

/*
 * Signs a callback object (one strict JSON object; a timestamp or sign in it is replaced) and
 * appends the JSON body to send. timestamp_ms becomes the 13-digit timestamp. For the envelope
 * clientId and shopId are taken from the object. -ERR_SIGN_GRAMMAR or -ERR_SIGN_MEMBER when the
 * flat form cannot carry the object, errors of json_scan_object().
 */
int shansong_sign(struct slice secret, struct slice object, enum shansong_form form,
		  int64_t timestamp_ms, struct buf *ret_body);

/* The rule over given parameters, for `orderhook sign --param`: see signature.h. */
