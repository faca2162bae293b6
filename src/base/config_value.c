/*
 * Values in their members, reached by the key's offset. Four forms of members exist (number,
 * string, choice, list), and everything that is done to a value is done here, so the rest of the
 * reader needs to know neither offsets nor C types.
 */
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

/* A list is printed on one line up to here, and one item a line beyond. */
#define LIST_LINE_BYTES 72

/* The configuration is bytes of struct config or struct config_endpoint: see config_schema.c for
 * why the types fit. */
static void *member(const struct config_key *key, const void *base)
{
	return (char *)base + key->offset;
}

static char *copy_of(struct slice text)
{
	return strndup(text.at, text.len);
}

static int set_text(const struct config_key *key, char **text_member, struct slice text,
		    const char **reason)
{
	char *copy;

	*reason = config_text_reason(key, text);
	if (*reason)
		return -ERR_SYNTAX;
	copy = copy_of(text);
	if (!copy)
		return -ERR_NOMEM;
	free(*text_member);
	*text_member = copy;
	return 0;
}

static void list_release(struct config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct config_list){NULL, 0};
}

static int list_add(struct config_list *list, struct slice item)
{
	char **items = realloc(list->items, (list->n + 1) * sizeof(*items));

	if (!items)
		return -ERR_NOMEM;
	list->items = items;
	items[list->n] = copy_of(item);
	if (!items[list->n])
		return -ERR_NOMEM;
	list->n++;
	return 0;
}

static size_t list_bound(const char *text)
{
	uint64_t bound = 0;

	slice_to_u64(slice_of(text), CONFIG_LIST_MAX, &bound);
	return (size_t)bound;
}

int config_value_add(const struct config_key *key, void *base, struct slice text,
		     const char **reason, struct slice *at)
{
	struct config_list *list = member(key, base);
	int err = 0;

	while (!err && (*at = config_next_item(&text)).at) {
		*reason = list->n == list_bound(key->max) ? "is one item too many"
							  : config_text_reason(key, *at);
		err = *reason ? -ERR_SYNTAX : list_add(list, *at);
	}
	return err;
}

int config_value_set(const struct config_key *key, void *base, struct slice text,
		     const char **reason, struct slice *at)
{
	void *target = member(key, base);
	int64_t number;

	*at = text;
	switch (config_key_form(key)) {
	case CONFIG_FORM_NUMBER:
		*reason = config_number_parse(key, text, &number);
		if (*reason)
			return -ERR_SYNTAX;
		*(int64_t *)target = number;
		return 0;
	case CONFIG_FORM_CHOICE:
		*reason = config_text_reason(key, text);
		if (*reason)
			return -ERR_SYNTAX;
		*(enum signature_mode *)target =
			(enum signature_mode)config_word_index(key->unit, text);
		return 0;
	case CONFIG_FORM_LIST:
		list_release(target);
		return config_value_add(key, base, text, reason, at);
	default:
		return set_text(key, target, text, reason);
	}
}

bool config_value_absent(const struct config_key *key, const void *base)
{
	return config_key_form(key) == CONFIG_FORM_TEXT && !*(char **)member(key, base);
}

static int print_list(const struct config_key *key, const struct config_list *list, struct buf *out)
{
	size_t bytes = 0;
	int err = 0;

	for (size_t i = 0; i < list->n; i++)
		bytes += config_key_secret(key) ? 4 : strlen(list->items[i]) + 1;
	for (size_t i = 0; i < list->n && !err; i++) {
		const char *item = config_key_secret(key) ? "***" : list->items[i];
		const char *before = bytes > LIST_LINE_BYTES ? "\n\t" : i ? " " : "";
		err = buf_addf(out, "%s%s", before, item);
	}
	return err;
}

int config_value_print(const struct config_key *key, const void *base, struct buf *out)
{
	const void *value = member(key, base);

	switch (config_key_form(key)) {
	case CONFIG_FORM_NUMBER:
		return config_number_print(key, *(const int64_t *)value, out);
	case CONFIG_FORM_CHOICE:
		return buf_add_slice(
			out, config_word(key->unit, (int)*(const enum signature_mode *)value));
	case CONFIG_FORM_LIST:
		return print_list(key, value, out);
	default:
		return buf_add_string(out, config_key_secret(key) ? "***" : *(char *const *)value);
	}
}

static bool list_equal(const struct config_list *a, const struct config_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

bool config_value_equal(const struct config_key *key, const void *a, const void *b)
{
	const void *left = member(key, a);
	const void *right = member(key, b);

	switch (config_key_form(key)) {
	case CONFIG_FORM_NUMBER:
		return *(const int64_t *)left == *(const int64_t *)right;
	case CONFIG_FORM_CHOICE:
		return *(const enum signature_mode *)left == *(const enum signature_mode *)right;
	case CONFIG_FORM_LIST:
		return list_equal(left, right);
	default:
		return slice_equal(slice_of(*(char *const *)left), slice_of(*(char *const *)right));
	}
}

void config_value_release(const struct config_key *key, void *base)
{
	void *target = member(key, base);

	if (config_key_form(key) == CONFIG_FORM_LIST)
		list_release(target);
	if (config_key_form(key) == CONFIG_FORM_TEXT) {
		free(*(char **)target);
		*(char **)target = NULL;
	}
}

int64_t config_attention_get(const struct config *config, int status)
{
	for (size_t i = 0; i < config->n_attention; i++) {
		if (config->attention[i].status == status)
			return config->attention[i].limit_ms;
	}
	return 0;
}

/* Kept in the order of the statuses, so that two files that say the same are equal. */
int config_attention_set(struct config *config, int status, int64_t limit_ms)
{
	size_t i = 0;

	while (i < config->n_attention && config->attention[i].status < status)
		i++;
	bool known = i < config->n_attention && config->attention[i].status == status;
	struct config_attention *row = config->attention ? config->attention + i : NULL;
	if (known && limit_ms) {
		row->limit_ms = limit_ms;
	} else if (known) {
		config->n_attention--;
		memmove(row, row + 1, (config->n_attention - i) * sizeof(*row));
	} else if (limit_ms) {
		struct config_attention *rows =
			realloc(config->attention, (config->n_attention + 1) * sizeof(*rows));
		if (!rows)
			return -ERR_NOMEM;
		config->attention = rows;
		memmove(rows + i + 1, rows + i, (config->n_attention - i) * sizeof(*rows));
		rows[i] = (struct config_attention){status, limit_ms};
		config->n_attention++;
	}
	return 0;
}
