/*
 * The configuration's own parts: bytes to lines (config_reader), schema (config_schema), grammars
 * of values (config_grammar), values in their members (config_value), the rules between keys
 * (config_check), and config.c, which puts them together.
 */
#pragma once

#include "orderhook/config.h"
#include "orderhook/err.h"

enum config_section {
	CONFIG_SERVER = 0,
	CONFIG_STORE,
	CONFIG_ENDPOINT,
	CONFIG_ATTENTION,
	CONFIG_SECTION_MAX
};

enum config_form {
	CONFIG_FORM_NUMBER = 0,
	CONFIG_FORM_TEXT,
	CONFIG_FORM_CHOICE,
	CONFIG_FORM_LIST,
	CONFIG_FORM_MAX
};

enum config_type {
#define CONFIG_TYPE(name, form, ctype, allowed) CONFIG_TYPE_##name,
#include "orderhook/tbl/config_type.def"
#undef CONFIG_TYPE
	CONFIG_TYPE_MAX
};

enum {
	CONFIG_KEYS = 0
#define CONFIG_KEY(...) +1
#include "orderhook/tbl/config_key.def"
#undef CONFIG_KEY
};

struct config_key {
	enum config_section section;
	const char *name;
	enum config_type type;
	const char *initial; /* the default as one would write it; NULL where there is none */
	bool required;
	const char *min; /* as one would write it; "" where there is none */
	const char *max;
	const char *unit; /* or the words of a WORD or CHOICE */
	bool reloadable;
	size_t offset; /* in struct config, or in struct config_endpoint */
	const char *description;
};

#define CONFIG_STATUS_MAX 999

/* One run over one file. */
struct config_parser {
	const char *file;
	struct config *config;
	struct buf *problem;
	int err; /* of the first problem; nothing is read after it */
	int line;
	enum config_section section;   /* that we are in; CONFIG_SECTION_MAX before the first one */
	const struct config_key *list; /* that an indented line would continue, or NULL */
	int section_lines[CONFIG_SECTION_MAX]; /* where each (of [endpoint], the last one) began, or
						  0 */
	int key_lines[CONFIG_KEYS]; /* where each was given, or 0; of [endpoint], in the last one */
	int status_lines[CONFIG_STATUS_MAX + 1];
};

/* Notes the first problem as "FILE:LINE: …"; returns -ERR_CONFIG. */
int config_fail(struct config_parser *parser, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int config_fail_nomem(struct config_parser *parser);

/* ---------------------------------------------------------------- config_schema.c ------ */

extern const struct config_key config_keys[CONFIG_KEYS];

static inline size_t config_key_index(const struct config_key *key)
{
	return (size_t)(key - config_keys);
}

enum config_form config_key_form(const struct config_key *key);
/* A token or a secret: its value is never shown. */
bool config_key_secret(const struct config_key *key);
const char *config_section_name(enum config_section section); /* "server" */
/* CONFIG_SECTION_MAX when there is none of that name. */
enum config_section config_section_find(struct slice name);
/* In [attention] every status that has no row of its own has the row STATUS. NULL: no such key. */
const struct config_key *config_key_find(enum config_section section, struct slice name);
/* What may be written there, with the bounds; appended. */
int config_key_allowed(const struct config_key *key, struct buf *out);
/* For a name that is unknown: "; did you mean …?" or where it belongs; appends nothing when nothing
 * is near. */
int config_suggest_key(enum config_section section, struct slice name, struct buf *out);
int config_suggest_section(struct slice name, struct buf *out);

/* --------------------------------------------------------------- config_grammar.c ------ */

/* NULL when text (of a list, one item) is what the key's type allows, else what is wrong with it.
 */
const char *config_text_reason(const struct config_key *key, struct slice text);
/* Index of text among words separated by " | ", or -1. */
int config_word_index(const char *words, struct slice text);
struct slice config_word(const char *words, int index);
/* A number in its type's units: mode bits, ms, bytes. Within the key's bounds. */
const char *config_number_parse(const struct config_key *key, struct slice text, int64_t *ret);
int config_number_print(const struct config_key *key, int64_t number, struct buf *out);
/* Cuts the next item off a list; an absent slice at its end. */
struct slice config_next_item(struct slice *list);
/* Port 0 of an address: the kernel picks one. */
bool config_address_any_port(const char *address);
/* Could text be a URL token? */
bool config_token_like(struct slice text);
/* 0 to 999 without a leading zero, or -1. */
int config_status_parse(struct slice text);

/* ----------------------------------------------------------------- config_value.c ------ */

/* base is the struct that the key's member is in. Replaces the value. 0, -ERR_NOMEM, or -ERR_SYNTAX
 * with *reason (static) and *at (the part of text that it is about). For a list, _add appends. */
int config_value_set(const struct config_key *key, void *base, struct slice text,
		     const char **reason, struct slice *at);
int config_value_add(const struct config_key *key, void *base, struct slice text,
		     const char **reason, struct slice *at);
bool config_value_absent(const struct config_key *key, const void *base);
/* As one would write it; what is secret as ***. Long lists become indented lines. */
int config_value_print(const struct config_key *key, const void *base, struct buf *out);
bool config_value_equal(const struct config_key *key, const void *a, const void *b);
void config_value_release(const struct config_key *key, void *base);

/* 0 takes the status off. -ERR_NOMEM. */
int config_attention_set(struct config *config, int status, int64_t limit_ms);
/* 0 when the status is not watched. */
int64_t config_attention_get(const struct config *config, int status);

/* ---------------------------------------------------------------- config_reader.c ------ */

/* Feeds text to config_on_section(), config_on_key() and config_on_more() (config.c), which are
 * called in the order of the lines until one of them fails. Returns parser->err. */
int config_read_lines(struct config_parser *parser, struct slice text);
void config_on_section(struct config_parser *parser, struct slice name);
void config_on_key(struct config_parser *parser, struct slice name, struct slice value);
void config_on_more(struct config_parser *parser, struct slice value);

/* ----------------------------------------------------------------- config_check.c ------ */

/* The section that ends: what is missing in it, what does not fit together. */
void config_check_section(struct config_parser *parser);
/* The whole file. */
void config_check_file(struct config_parser *parser);
