/*
 * Out of the struct again. Every key has its description and what it allows in comments above it,
 * because the reader takes comments on their own lines only: what is printed can be read again.
 */
#include <string.h>

#include "config_private.h"

static int print_comment(const struct config_key *key, bool is_default, struct buf *out)
{
	int err = buf_addf(out, "# %s\n# ", key->description);

	if (!err)
		err = config_key_allowed(key, out);
	if (!err && is_default)
		err = buf_add_string(out, "; this is the default");
	else if (!err && key->required)
		err = buf_add_string(out, "; required");
	else if (!err && !key->initial)
		err = buf_add_string(out, "; may be left out");
	else if (!err && key->initial[0])
		err = buf_addf(out, "; default %s", key->initial);
	return err ? err : buf_add_char(out, '\n');
}

/* The default is parsed and compared, because there is more than one way to write a value. */
static int compare_default(const struct config_key *key, const void *base, bool *ret)
{
	union {
		struct config config;
		struct config_endpoint endpoint;
	} other = {0};
	const char *reason;
	struct slice at;
	int err = 0;

	if (key->initial)
		err = config_value_set(key, &other, slice_of(key->initial), &reason, &at);
	if (!err)
		*ret = key->initial && config_value_equal(key, base, &other);
	config_value_release(key, &other);
	return err;
}

static int dump_key(const struct config_key *key, const void *base, struct buf *out)
{
	BUF_AUTO struct buf value = BUF_INIT(out->limit);
	bool is_default = false;
	int err = compare_default(key, base, &is_default);

	if (!err)
		err = print_comment(key, is_default, out);
	if (!err && config_value_absent(key, base))
		return buf_addf(out, "#%s =\n", key->name);
	if (!err)
		err = config_value_print(key, base, &value);
	if (err)
		return err;
	bool beside = value.len && value.data[0] != '\n';
	return buf_addf(out, "%s =%s%s\n", key->name, beside ? " " : "",
			value.len ? value.data : "");
}

static int dump_section(enum config_section section, const void *base, struct buf *out)
{
	int err = 0;

	for (size_t i = 0; i < CONFIG_KEYS && !err; i++) {
		if (config_keys[i].section == section)
			err = dump_key(&config_keys[i], base, out);
	}
	return err;
}

static int dump_status(const struct config_key *key, int status, int64_t limit_ms, struct buf *out)
{
	int64_t initial_ms = -1;
	int err;

	if (key->initial)
		config_number_parse(key, slice_of(key->initial), &initial_ms);
	err = print_comment(key, limit_ms == initial_ms, out);
	if (!err)
		err = buf_addf(out, "%d = ", status);
	if (!err)
		err = config_number_print(key, limit_ms, out);
	return err ? err : buf_add_char(out, '\n');
}

/* A default that is switched off must be printed too, or it would be back after the next reading.
 */
static int dump_attention(const struct config *config, struct buf *out)
{
	int err = 0;

	for (int status = 0; status <= CONFIG_STATUS_MAX && !err; status++) {
		int64_t limit_ms = config_attention_get(config, status);
		char name[12];
		snprintf(name, sizeof(name), "%d", status);
		const struct config_key *key = config_key_find(CONFIG_ATTENTION, slice_of(name));
		if (limit_ms || key->initial)
			err = dump_status(key, status, limit_ms, out);
	}
	return err;
}

int config_dump(const struct config *config, struct buf *out)
{
	int err = buf_add_string(
		out, "# The effective configuration; tokens and secrets are ***.\n[server]\n");

	if (!err)
		err = dump_section(CONFIG_SERVER, config, out);
	if (!err)
		err = buf_add_string(out, "\n[store]\n");
	if (!err)
		err = dump_section(CONFIG_STORE, config, out);
	for (size_t i = 0; i < config->n_endpoints && !err; i++) {
		err = buf_addf(out, "\n[endpoint %s]\n", config->endpoints[i].name);
		if (!err)
			err = dump_section(CONFIG_ENDPOINT, &config->endpoints[i], out);
	}
	if (!err)
		err = buf_add_string(out, "\n[attention]\n");
	return err ? err : dump_attention(config, out);
}

int config_restart_keys(const struct config *running, const struct config *next, struct buf *names)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];
		/* The others are not in struct config itself, and are reloaded whole. */
		bool single = key->section == CONFIG_SERVER || key->section == CONFIG_STORE;
		if (!single || key->reloadable || config_value_equal(key, running, next))
			continue;
		int err = buf_addf(names, "%s[%s] %s", names->len ? ", " : "",
				   config_section_name(key->section), key->name);
		if (err)
			return err;
	}
	return 0;
}
