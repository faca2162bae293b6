/* An endpoint and a moment for the targets that authenticate. Nothing in it is owned. */
#pragma once

#include "fuzz.h"
#include "orderhook/platform.h"

#define FUZZ_NOW_MS INT64_C(1748595600000) /* 2025-05-30 17:00:00 in China */
#define FUZZ_NOW_S "1748595600"
#define FUZZ_SECRET "fuzz-secret-0123456789"
#define FUZZ_KEY "fuzz-key-of-hmac-16+"

static inline struct endpoint fuzz_endpoint(enum signature_mode mode)
{
	static char client[] = "clientId";
	static char shop[] = "shopId";
	static char *shops[] = {shop};
	static char name[] = "shansong";
	static char secret[] = FUZZ_SECRET;
	static char key[] = FUZZ_KEY;
	static struct secret secrets[] = {{secret, sizeof(secret) - 1}};
	static struct secret keys[] = {{key, sizeof(key) - 1}};

	return (struct endpoint){.name = name,
				 .platform = platform_shansong(),
				 .client_id = client,
				 .shop_ids = {shops, 1},
				 .signature = mode,
				 .secrets = secrets,
				 .n_secrets = 1,
				 .hmac_keys = keys,
				 .n_hmac_keys = 1};
}
