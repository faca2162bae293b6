/*
 * The error table. A function that can fail returns 0 or a negative error, -ERR_NAME, and leaves
 * its outputs untouched on failure. What an error means to a caller, to a log and to a retry is
 * in one row of tbl/error.def and nowhere else.
 */
#pragma once

#include "orderhook/buf.h"

enum err {
	ERR_OK = 0,
#define ERROR(name, http, whose, retry, key, text) ERR_##name,
#include "orderhook/tbl/error.def"
#undef ERROR
	ERR_MAX
};

enum err_fault {
	ERR_FAULT_NONE = 0,
	ERR_FAULT_CALLER,
	ERR_FAULT_OPERATOR,
	ERR_FAULT_SYSTEM,
	ERR_FAULT_SELF,
	ERR_FAULT_MAX
};

/* All take an error with either sign, and never fail: an unknown number reads as INTERNAL. */
const char *err_key(int err);
/* Takes the key back to its (negative) error; -ERR_INTERNAL for a word that is none. */
int err_of_key(struct slice key);
const char *err_text(int err);
int err_http_status(int err);
enum err_fault err_fault(int err);
/* True when the same request may succeed later without anybody mending it. */
int err_retryable(int err);
