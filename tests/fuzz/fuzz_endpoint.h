/* Endpoints and a moment for the targets that authenticate. */
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "orderhook/digest.h"
#include "orderhook/endpoint_set.h"

#define FUZZ_NOW_MS INT64_C(1748595600000) /* 2025-05-30 17:00:00 in China */
#define FUZZ_NOW_S "1748595600"
#define FUZZ_SECRET "fuzz-secret-0123456789"
#define FUZZ_KEY "fuzz-key-of-hmac-16+"
#define FUZZ_TOKEN "fuzz-token-012345"

/* Nothing in it is owned. */
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

static inline void fuzz_write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	FUZZ_ASSERT(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

#define FUZZ_MODES 3
#define FUZZ_ENDPOINTS (2 * FUZZ_MODES)

/*
 * Endpoint i has the path /i. 0 requires a signature, 1 takes one if present, 2 takes none; each
 * has the token. 3 to 5 are the same without a token: the configuration refuses the last two of
 * them, as nothing could authenticate there, and so it must be.
 */
static inline struct endpoint_set *fuzz_endpoint_set(void)
{
	BUF_AUTO struct buf text = BUF_INIT(1 << 16);
	BUF_AUTO struct buf problem = BUF_INIT(1 << 16);
	static const char *const modes[FUZZ_MODES] = {"required", "if-present", "off"};
	char dir[] = "/tmp/fuzz-endpoint-XXXXXX";
	struct endpoint_set *endpoints;
	struct config *config;
	char token[64];
	char secret[64];
	char key[64];
	char key_text[64] = "whsec_";

	FUZZ_ASSERT(mkdtemp(dir));
	snprintf(token, sizeof(token), "%s/token", dir);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	digest_base64_encode((const uint8_t *)FUZZ_KEY, sizeof(FUZZ_KEY) - 1, key_text + 6);
	umask(077);
	fuzz_write_file(token, FUZZ_TOKEN);
	fuzz_write_file(secret, FUZZ_SECRET "\n");
	fuzz_write_file(key, key_text);
	for (size_t i = 0; i < FUZZ_ENDPOINTS; i++)
		buf_addf(&text,
			 "[endpoint %s%s]\nplatform = shansong\npath = /%zu\n"
			 "client_id = clientId\nshop_ids = shopId\nsignature = %s\n"
			 "secrets = file:%s file:%s\ntoken = file:%s\n",
			 modes[i % FUZZ_MODES], i < FUZZ_MODES ? "" : "-no-token", i,
			 modes[i % FUZZ_MODES], secret, key, token);
	FUZZ_ASSERT(config_parse("fuzz.conf", buf_slice(&text), &config, &problem) == 0);
	for (size_t i = FUZZ_MODES; i < FUZZ_ENDPOINTS; i++) {
		free(config->endpoints[i].token);
		config->endpoints[i].token = NULL;
	}
	FUZZ_ASSERT(endpoint_set_new(config, &endpoints, &problem) == 0);
	config_free(config);
	unlink(token);
	unlink(secret);
	unlink(key);
	rmdir(dir);
	return endpoints;
}
