/*
 * What sql/embed.awk makes of sql/: the migrations in the order of their numbers and the statements
 * by name, each list closed by a row of zeros.
 */
#pragma once

#include <stddef.h>

struct sql_text {
	int number; /* of the migration: user_version once it is applied */
	const char *name;
	const char *text;
};

struct sql_query {
	const char *name;
	const char *text;
};

extern const struct sql_text sql_migrations[];
extern const struct sql_query sql_queries[];
