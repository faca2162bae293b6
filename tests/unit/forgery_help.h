/*
 * Forgeries against the secret-prefix MD5, each with a sign that is right: first it is shown that a
 * naive verifier (sort, join, hash) accepts the message, then that we do not. The forger knows
 * every message and sign that went by, the length of the secret, and not the secret.
 */
#pragma once

#include "shansong_help.h"

/* What a wiretap has: one honestly signed message. */
HELP_UNUSED static const struct pairs honest = {
	{S("clientId", "clientId"), N("courier", "{\"id\":\"C1\",\"name\":\"派\"}"),
	 S("deliveryPassword", "4004"), N("drawback", "0"), S("issOrderNo", "TDH2025053050205843"),
	 S("orderNo", "cp451412923563114496"), N("sendBackFee", "0"), S("shopId", "shopId"),
	 N("status", "30"), S("statusChangeTime", "2025-05-30 16:55:54"), S("statusDesc", "待取货"),
	 N("subStatus", "1"), S("subStatusDesc", "待取货"), S("timestamp", NOW_TEXT),
	 S("token", "80801524A9FEB09FCE599E411F3E7917")},
	15};

HELP_UNUSED static bool naive_accepts(const char *secret, const struct pairs *pairs,
				      const char *sign)
{
	char made[33];

	naive_sign(secret, pairs, made);
	return strcmp(made, sign) == 0;
}

/* The laxest endpoint that there can be: any client, any shop, the URL's token optional. */
HELP_UNUSED static struct endpoint lax_endpoint(void)
{
	struct endpoint endpoint = help_endpoint(SIGNATURE_IF_PRESENT);

	endpoint.client_id = NULL;
	endpoint.any_shop = true;
	return endpoint;
}

HELP_UNUSED static void assert_not_signed(struct endpoint endpoint, enum body_type type,
					  struct slice body)
{
	for (int mode = 0; mode < SIGNATURE_OFF; mode++) {
		for (int token_ok = 0; token_ok < 2; token_ok++) {
			struct delivery delivery = help_delivery(body, type);
			struct event event;
			endpoint.signature = (enum signature_mode)mode;
			delivery.token_ok = token_ok;
			if (take_delivery(&endpoint, delivery, &event) == 0 &&
			    (event.auth == EVENT_AUTH_SIGNED || mode == SIGNATURE_REQUIRED ||
			     !token_ok))
				fail_msg("a forgery was taken: %.*s", SLICE_ARG(body));
		}
	}
}

/* The naive rule accepts; we do not, as JSON or as a form, at a strict or a lax endpoint. */
HELP_UNUSED static void assert_forgery(const struct pairs *forged, const char *sign)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);

	assert_true(naive_accepts(SECRET, forged, sign));
	assert_not_signed(help_endpoint(0), BODY_JSON, body_json(forged, sign, &body));
	assert_not_signed(lax_endpoint(), BODY_JSON, body_json(forged, sign, &body));
	assert_not_signed(help_endpoint(0), BODY_FORM, body_form(forged, sign, &body));
	assert_not_signed(lax_endpoint(), BODY_FORM, body_form(forged, sign, &body));
}

HELP_UNUSED static void assert_honest(const struct pairs *pairs, const char *sign)
{
	BUF_AUTO struct buf body = BUF_INIT(1 << 16);
	struct endpoint endpoint = lax_endpoint();
	struct event event;

	assert_int_equal(take_delivery(&endpoint,
				       help_delivery(body_json(pairs, sign, &body), BODY_JSON),
				       &event),
			 0);
	assert_int_equal(event.auth, EVENT_AUTH_SIGNED);
}
