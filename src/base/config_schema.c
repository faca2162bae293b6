/*
 * The schema as an array, and what can be asked of it. That a key's type fits the member it lands
 * in is checked when this file is compiled. A name that is not in the schema is met with the
 * section that it belongs to, or with the nearest name (Damerau-Levenshtein distance of at most 2).
 */
#include <stddef.h>
#include <string.h>

#include "config_private.h"

#define BASE_SERVER struct config
#define BASE_STORE struct config
#define BASE_ENDPOINT struct config_endpoint
#define BASE_ATTENTION struct config

#define CHANGE_RESTART false
#define CHANGE_RELOAD true

/* In the place of a default. */
#define REQUIRED NULL, .required = true
#define NONE NULL

const struct config_key config_keys[CONFIG_KEYS] = {
#define CONFIG_KEY(where, key, kind, standard, least, most, units, change, member, text) \
	{.section = CONFIG_##where,                                                      \
	 .name = key,                                                                    \
	 .type = CONFIG_TYPE_##kind,                                                     \
	 .initial = standard,                                                            \
	 .min = least,                                                                   \
	 .max = most,                                                                    \
	 .unit = units,                                                                  \
	 .reloadable = CHANGE_##change,                                                  \
	 .offset = offsetof(BASE_##where, member),                                       \
	 .description = text},
#include "orderhook/tbl/config_key.def"
#undef CONFIG_KEY
};

/* A value is written through its offset, so a wrong type would overwrite its neighbours. */
struct ctypes {
#define CONFIG_TYPE(name, form, ctype, allowed) ctype of_##name;
#include "orderhook/tbl/config_type.def"
#undef CONFIG_TYPE
};
#define CONFIG_KEY(where, key, kind, standard, least, most, units, change, member, text)         \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((struct ctypes *)0)->of_##kind), \
						    __typeof__(((BASE_##where *)0)->member)),    \
		       key " does not have the type of its member");
#include "orderhook/tbl/config_key.def"
#undef CONFIG_KEY

static const struct {
	enum config_form form;
	const char *allowed;
} types[CONFIG_TYPE_MAX] = {
#define CONFIG_TYPE(name, form, ctype, allowed) \
	[CONFIG_TYPE_##name] = {CONFIG_FORM_##form, allowed},
#include "orderhook/tbl/config_type.def"
#undef CONFIG_TYPE
};

static const char *const section_names[CONFIG_SECTION_MAX] = {
	[CONFIG_SERVER] = "server",
	[CONFIG_STORE] = "store",
	[CONFIG_ENDPOINT] = "endpoint",
	[CONFIG_ATTENTION] = "attention",
};

enum config_form config_key_form(const struct config_key *key)
{
	return types[key->type].form;
}

bool config_key_secret(const struct config_key *key)
{
	return key->type == CONFIG_TYPE_REFERENCE || key->type == CONFIG_TYPE_REFERENCES;
}

const char *config_section_name(enum config_section section)
{
	return section_names[section];
}

enum config_section config_section_find(struct slice name)
{
	enum config_section section = 0;

	while (section < CONFIG_SECTION_MAX && !slice_equal_string(name, section_names[section]))
		section++;
	return section;
}

static const struct config_key *find_exact(enum config_section section, struct slice name)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		if (config_keys[i].section == section &&
		    slice_equal_string(name, config_keys[i].name))
			return &config_keys[i];
	}
	return NULL;
}

const struct config_key *config_key_find(enum config_section section, struct slice name)
{
	if (section != CONFIG_ATTENTION)
		return find_exact(section, name);
	if (config_status_parse(name) < 0)
		return NULL;
	const struct config_key *own = find_exact(section, name);
	return own ? own : find_exact(section, SLICE("STATUS"));
}

int config_key_allowed(const struct config_key *key, struct buf *out)
{
	const char *what = key->unit[0] ? key->unit : types[key->type].allowed;
	bool list = config_key_form(key) == CONFIG_FORM_LIST;

	if (key->type == CONFIG_TYPE_NUMBER)
		return buf_addf(out, "%s to %s %s", key->min, key->max, what);
	if (!key->max[0])
		return buf_add_string(out, what);
	return buf_addf(out, "%s; %s to %s%s", what, key->min, key->max, list ? " of them" : "");
}

#define NAME_BYTES 32

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
static size_t distance(struct slice a, struct slice b)
{
	size_t rows[NAME_BYTES + 1][NAME_BYTES + 1];

	if (a.len > NAME_BYTES || b.len > NAME_BYTES)
		return SIZE_MAX;
	for (size_t i = 0; i <= a.len; i++)
		rows[i][0] = i;
	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		for (size_t j = 1; j <= b.len; j++) {
			size_t replaced = rows[i - 1][j - 1] + (a.at[i - 1] != b.at[j - 1]);
			rows[i][j] = smallest(replaced, rows[i - 1][j] + 1, rows[i][j - 1] + 1);
			bool swapped = i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] &&
				       a.at[i - 2] == b.at[j - 1];
			if (swapped && rows[i - 2][j - 2] + 1 < rows[i][j])
				rows[i][j] = rows[i - 2][j - 2] + 1;
		}
	}
	return rows[a.len][b.len];
}

#define NEAR 2

int config_suggest_key(enum config_section section, struct slice name, struct buf *out)
{
	const char *nearest = NULL;
	size_t least = NEAR + 1;

	if (section == CONFIG_ATTENTION)
		return buf_addf(out, "; a key here is a status, 0 to %d", CONFIG_STATUS_MAX);
	for (size_t i = 0; i < CONFIG_KEYS; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->section == CONFIG_ATTENTION)
			continue;
		if (key->section != section && slice_equal_string(name, key->name))
			return buf_addf(out, "; it belongs in [%s%s]", section_names[key->section],
					key->section == CONFIG_ENDPOINT ? " NAME" : "");
		size_t away = key->section == section ? distance(name, slice_of(key->name)) : least;
		if (away < least) {
			nearest = key->name;
			least = away;
		}
	}
	return nearest ? buf_addf(out, "; did you mean %s?", nearest) : 0;
}

int config_suggest_section(struct slice name, struct buf *out)
{
	for (enum config_section i = 0; i < CONFIG_SECTION_MAX; i++) {
		struct slice known = slice_of(section_names[i]);
		/* Only the first word: what follows in [endpoint NAME] is free. */
		struct slice word = {name.at, name.len};
		const char *blank = i == CONFIG_ENDPOINT ? slice_find(name, SLICE(" ")) : NULL;
		if (blank)
			word.len = (size_t)(blank - name.at);
		if (distance(word, known) <= NEAR)
			return buf_addf(out, "; did you mean [%s%s]?", section_names[i],
					i == CONFIG_ENDPOINT ? " NAME" : "");
	}
	return buf_add_string(out, "; allowed: [server], [store], [endpoint NAME], [attention]");
}
