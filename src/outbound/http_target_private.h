/* A target that has been parsed and may be called. Private to outbound/. */
#pragma once

#include "orderhook/http_client.h"

struct http_target {
	char *url;         /* with the token; owned, like the other two */
	char *shown;       /* without token and query */
	char *unix_socket; /* NULL: none */
	bool literal;      /* the host is an address, not a name */
};

/* Errors and problem as http_client_new(). */
int http_target_parse(const struct http_client_options *options, struct http_target *ret,
		      struct buf *problem);
void http_target_release(struct http_target *target);
