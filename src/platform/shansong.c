/*
 * Shansong's adapter: the five things that differ between platforms, each in a file of its own:
 * authentication (shansong_authenticate.c over shansong_members.c and shansong_body.c), identity
 * and words (shansong_normalise.c, shansong_content.c), the reply and the machine here. Its signing
 * side is shansong_sign.c.
 */
#include "shansong_private.h"

/* The platform reads the body's status. Nobody learns from a reply why it was refused. */
#define REPLY(status, text) \
	case status:        \
		return "{\"status\":" #status ",\"msg\":\"" text "\",\"data\":null}"

static const char *reply(int http_status)
{
	switch (http_status) {
		REPLY(200, "");
		REPLY(400, "bad request");
		REPLY(401, "unauthorized");
		REPLY(403, "forbidden");
		REPLY(404, "not found");
		REPLY(405, "method not allowed");
		REPLY(408, "request timeout");
		REPLY(411, "length required");
		REPLY(413, "body too large");
		REPLY(414, "URI too long");
		REPLY(415, "unsupported media type");
		REPLY(431, "head too large");
		REPLY(503, "try again later");
	default:
		return "{\"status\":500,\"msg\":\"internal error\",\"data\":null}";
	}
}

static const struct platform shansong = {
	.name = "shansong",
	.machine = order_machine_v5,
	.authenticate = shansong_authenticate,
	.identify = shansong_identify,
	.normalise = shansong_normalise,
	.names_us = shansong_names_us,
	.sign_matches = shansong_sign_matches,
	.reply = reply,
};

const struct platform *platform_shansong(void)
{
	return &shansong;
}
