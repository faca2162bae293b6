/*
 * The sources of `orderhook attention`. Another one is a function here and a row of the table in
 * cmd_attention.c.
 */
#pragma once

#include "findings_private.h"

struct attention {
	struct tool *tool;
	struct store_reader *reader;
	const char *store_path;
	const struct config *config; /* NULL: --db without a configuration */
	int64_t since_ms;   /* quarantined events received before are passed over; 0: none */
	int64_t wal_bytes;  /* a longer log is told */
	int64_t free_bytes; /* less room is told */
};

/* Each adds what it finds and returns 0, or an error of the store. */
typedef int (*attention_source_fn)(const struct attention *attention, struct findings *findings);

/* attention_orders.c */
int attention_quarantined(const struct attention *attention, struct findings *findings);
int attention_overdue(const struct attention *attention, struct findings *findings);
/* attention_held.c */
int attention_held(const struct attention *attention, struct findings *findings);
/* attention_host.c */
int attention_clock(const struct attention *attention, struct findings *findings);
int attention_files(const struct attention *attention, struct findings *findings);
int attention_daemon(const struct attention *attention, struct findings *findings);
