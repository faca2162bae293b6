/*
 * Reading puts every default into a fresh struct first (into an endpoint when its section begins)
 * and lets the file's keys replace them, so nothing is ever unset, and a default is parsed by the
 * code that parses what a user writes. The first problem ends the reading: later ones would often
 * only follow from it.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

#define FILE_BYTES_MAX (1024 * 1024)
#define QUOTE_BYTES_MAX 64
#define PROBLEM_BYTES_MAX 512

int config_fail(struct config_parser *parser, int line, const char *format, ...)
{
	char text[PROBLEM_BYTES_MAX];
	va_list args;

	if (parser->err)
		return parser->err;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	parser->err = -ERR_CONFIG;
	buf_addf(parser->problem, "%s:%d: %s", parser->file, line, text);
	return parser->err;
}

int config_fail_nomem(struct config_parser *parser)
{
	if (!parser->err)
		parser->err = -ERR_NOMEM;
	return parser->err;
}

static struct config_endpoint *last_endpoint(const struct config *config)
{
	return &config->endpoints[config->n_endpoints - 1];
}

/* The struct that the section's members are in. */
static void *base_of(const struct config_parser *parser, enum config_section section)
{
	if (section == CONFIG_ENDPOINT)
		return last_endpoint(parser->config);
	return parser->config;
}

static int set_defaults(struct config *config, enum config_section section, void *base)
{
	int err = 0;

	for (size_t i = 0; i < CONFIG_KEYS && !err; i++) {
		const struct config_key *key = &config_keys[i];
		const char *reason = NULL;
		struct slice at;
		int64_t limit_ms;
		if (key->section != section || !key->initial)
			continue;
		struct slice text = slice_of(key->initial);
		if (section != CONFIG_ATTENTION) {
			err = config_value_set(key, base, text, &reason, &at);
		} else {
			reason = config_number_parse(key, text, &limit_ms);
			if (!reason)
				err = config_attention_set(
					config, config_status_parse(slice_of(key->name)), limit_ms);
		}
		assert(!reason); /* the schema's own mistake */
	}
	return err;
}

/* "[endpoint NAME]": the rest after the word and its blanks; absent when it is not that. */
static struct slice endpoint_name(struct slice section)
{
	struct slice word = slice_of(config_section_name(CONFIG_ENDPOINT));

	if (!slice_starts_with(section, word) || section.len == word.len ||
	    (section.at[word.len] != ' ' && section.at[word.len] != '\t'))
		return (struct slice){NULL, 0};
	return slice_trim((struct slice){section.at + word.len, section.len - word.len});
}

static bool valid_name(struct slice name)
{
	static const struct config_key as_name = {.type = CONFIG_TYPE_NAME};

	return !config_text_reason(&as_name, name);
}

static void begin_endpoint(struct config_parser *parser, struct slice name)
{
	struct config *config = parser->config;
	struct config_endpoint *endpoints;

	if (!valid_name(name)) {
		config_fail(parser, parser->line,
			    "an endpoint's name is 1 to 64 of A-Z a-z 0-9 _ -, as in [endpoint "
			    "shansong]");
		return;
	}
	for (size_t i = 0; i < config->n_endpoints; i++) {
		if (slice_equal_string(name, config->endpoints[i].name))
			config_fail(parser, parser->line,
				    "[endpoint %s] is there already, in line %d",
				    config->endpoints[i].name, config->endpoints[i].line);
	}
	if (config->n_endpoints == CONFIG_ENDPOINTS_MAX)
		config_fail(parser, parser->line, "there are more than %d endpoints",
			    CONFIG_ENDPOINTS_MAX);
	if (parser->err)
		return;
	endpoints = realloc(config->endpoints, (config->n_endpoints + 1) * sizeof(*endpoints));
	if (!endpoints) {
		config_fail_nomem(parser);
		return;
	}
	config->endpoints = endpoints;
	endpoints[config->n_endpoints] = (struct config_endpoint){.line = parser->line};
	config->n_endpoints++;
	last_endpoint(config)->name = strndup(name.at, name.len);
	if (!last_endpoint(config)->name ||
	    set_defaults(config, CONFIG_ENDPOINT, last_endpoint(config)))
		config_fail_nomem(parser);
}

static void fail_section(struct config_parser *parser, struct slice name)
{
	BUF_AUTO struct buf hint = BUF_INIT(PROBLEM_BYTES_MAX);

	config_suggest_section(name, &hint);
	config_fail(parser, parser->line, "there is no section of the name [%.*s]%s",
		    (int)(name.len < QUOTE_BYTES_MAX ? name.len : QUOTE_BYTES_MAX), name.at,
		    hint.len ? hint.data : "");
}

void config_on_section(struct config_parser *parser, struct slice name)
{
	struct slice endpoint = endpoint_name(name);
	enum config_section section = endpoint.at ? CONFIG_ENDPOINT : config_section_find(name);

	config_check_section(parser);
	parser->list = NULL;
	if (section == CONFIG_SECTION_MAX) {
		fail_section(parser, name);
	} else if (section != CONFIG_ENDPOINT && parser->section_lines[section]) {
		config_fail(parser, parser->line, "[%s] is there already, in line %d",
			    config_section_name(section), parser->section_lines[section]);
	} else if (section == CONFIG_ENDPOINT) {
		begin_endpoint(parser, endpoint);
		for (size_t i = 0; i < CONFIG_KEYS; i++) {
			if (config_keys[i].section == CONFIG_ENDPOINT)
				parser->key_lines[i] = 0;
		}
	}
	if (parser->err)
		return;
	parser->section = section;
	parser->section_lines[section] = parser->line;
}

/* What stands there may be a secret that lost its key: only what looks like a key is repeated. */
static void fail_key(struct config_parser *parser, struct slice name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	BUF_AUTO struct buf hint = BUF_INIT(PROBLEM_BYTES_MAX);
	char copy[24];
	bool shown = slice_copy(name, copy, sizeof(copy)) == 0 && copy[0] &&
		     strspn(copy, letters) == strlen(copy);

	config_suggest_key(parser->section, name, &hint);
	config_fail(parser, parser->line, "[%s] has no key%s%s%s",
		    config_section_name(parser->section), shown ? " " : " of this name",
		    shown ? copy : "", hint.len ? hint.data : "");
}

/* Bytes of text that fit a message without cutting a character of UTF-8. */
static int quoted_len(struct slice text)
{
	size_t len = text.len < QUOTE_BYTES_MAX ? text.len : QUOTE_BYTES_MAX;

	while (len && len < text.len && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return (int)len;
}

static void fail_value(struct config_parser *parser, const struct config_key *key, const char *name,
		       struct slice value, const char *reason)
{
	BUF_AUTO struct buf allowed = BUF_INIT(PROBLEM_BYTES_MAX);

	config_key_allowed(key, &allowed);
	if (config_key_secret(key))
		config_fail(parser, parser->line, "%s: the value %s; allowed: %s", name, reason,
			    allowed.data);
	else if (value.len == 0)
		config_fail(parser, parser->line,
			    "%s has no value; allowed: %s; without the line the default holds",
			    name, allowed.data);
	else
		config_fail(parser, parser->line, "%s: '%.*s' %s; allowed: %s", name,
			    quoted_len(value), value.at, reason, allowed.data);
}

static int set_status(struct config_parser *parser, const struct config_key *key, const char *name,
		      struct slice value)
{
	int64_t limit_ms;
	const char *reason = config_number_parse(key, value, &limit_ms);

	if (!reason)
		return config_attention_set(parser->config, config_status_parse(slice_of(name)),
					    limit_ms);
	fail_value(parser, key, name, value, reason);
	return 0;
}

static int set_value(struct config_parser *parser, const struct config_key *key, struct slice value,
		     int (*set)(const struct config_key *, void *, struct slice, const char **,
				struct slice *))
{
	const char *reason = NULL;
	struct slice at = value;
	int err = set(key, base_of(parser, key->section), value, &reason, &at);

	if (err != -ERR_SYNTAX)
		return err;
	fail_value(parser, key, key->name, at, reason);
	return 0;
}

void config_on_key(struct config_parser *parser, struct slice name, struct slice value)
{
	const struct config_key *key;
	int *line;
	int err;

	if (parser->section == CONFIG_SECTION_MAX) {
		config_fail(parser, parser->line, "a key stands before the first [section]");
		return;
	}
	key = config_key_find(parser->section, name);
	parser->list = NULL;
	if (!key) {
		fail_key(parser, name);
		return;
	}
	line = parser->section == CONFIG_ATTENTION
		       ? &parser->status_lines[config_status_parse(name)]
		       : &parser->key_lines[config_key_index(key)];
	if (*line) {
		config_fail(parser, parser->line, "%.*s is there already, in line %d",
			    SLICE_ARG(name), *line);
		return;
	}
	*line = parser->line;
	if (parser->section == CONFIG_ATTENTION)
		err = set_status(parser, key, name.at, value);
	else
		err = set_value(parser, key, value, config_value_set);
	if (err)
		config_fail_nomem(parser);
	if (config_key_form(key) == CONFIG_FORM_LIST)
		parser->list = key;
}

void config_on_more(struct config_parser *parser, struct slice value)
{
	if (set_value(parser, parser->list, value, config_value_add))
		config_fail_nomem(parser);
}

int config_parse(const char *file, struct slice text, struct config **ret, struct buf *problem)
{
	struct config_parser parser = {
		.file = file, .problem = problem, .section = CONFIG_SECTION_MAX};
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ERR_NOMEM;
	parser.config = config;
	config->file = strdup(file);
	if (!config->file || set_defaults(config, CONFIG_SERVER, config) ||
	    set_defaults(config, CONFIG_STORE, config) ||
	    set_defaults(config, CONFIG_ATTENTION, config))
		config_fail_nomem(&parser);
	if (!parser.err)
		config_read_lines(&parser, text);
	if (!parser.err)
		config_check_section(&parser);
	if (!parser.err)
		config_check_file(&parser);
	if (parser.err) {
		config_free(config);
		return parser.err;
	}
	*ret = config;
	return 0;
}

static int read_file(FILE *stream, struct buf *text)
{
	char block[4096];
	size_t n;
	int err = 0;

	while (!err && (n = fread(block, 1, sizeof(block), stream)) > 0)
		err = buf_add(text, block, n);
	return !err && ferror(stream) ? -ERR_SYSTEM : err;
}

static int fail_file(const char *file, int err, int reason, struct buf *problem)
{
	if (err == -ERR_NOMEM)
		return err;
	if (err == -ERR_TOO_LONG)
		buf_addf(problem, "%s:1: the file is longer than 1 MiB", file);
	else
		buf_addf(problem, "%s:1: the file cannot be read: %s; -c names another one", file,
			 strerror(reason));
	return -ERR_CONFIG;
}

int config_load(const char *file, struct config **ret, struct buf *problem)
{
	BUF_AUTO struct buf text = BUF_INIT(FILE_BYTES_MAX);
	FILE *stream = fopen(file, "re");
	int err;

	if (!stream)
		return fail_file(file, -ERR_SYSTEM, errno, problem);
	err = read_file(stream, &text);
	int reason = errno;
	fclose(stream);
	if (err)
		return fail_file(file, err, reason, problem);
	return config_parse(file, buf_slice(&text), ret, problem);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->section == CONFIG_SERVER || key->section == CONFIG_STORE)
			config_value_release(key, config);
		for (size_t j = 0; key->section == CONFIG_ENDPOINT && j < config->n_endpoints; j++)
			config_value_release(key, &config->endpoints[j]);
	}
	for (size_t j = 0; j < config->n_endpoints; j++)
		free(config->endpoints[j].name);
	free(config->endpoints);
	free(config->attention);
	free(config->file);
	free(config);
}
