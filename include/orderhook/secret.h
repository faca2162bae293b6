/*
 * Secrets and URL tokens, resolved from a reference: "credential:NAME" is a file in
 * $CREDENTIALS_DIRECTORY, "file:/path" a file that neither its group nor others can read. One
 * trailing newline is dropped. The bytes are wiped when they are released.
 */
#pragma once

#include "orderhook/buf.h"

enum secret_kind {
	SECRET_TOKEN = 0, /* [A-Za-z0-9._~-]{16,128}: part of a URL */
	SECRET_KEY,       /* at least 16 bytes, no NUL, no control characters; "whsec_" keys too */
	SECRET_KIND_MAX
};

struct secret {
	char *bytes; /* owned, NUL-terminated */
	size_t len;
};

/* -ERR_SECRET_MISSING, -ERR_SECRET_MODE, -ERR_SECRET_FORM, -ERR_NOMEM; problem then holds what was
 * wrong with which file and how to mend it, and never a byte of the secret. */
int secret_load(const char *reference, enum secret_kind kind, struct secret *ret,
		struct buf *problem);
void secret_release(struct secret *secret);

/*
 * Keeps this process's memory to itself: no core file, and no other process of its user may look
 * into it. For whoever will load secrets, before the first one. -ERR_SYSTEM.
 */
int secret_guard_process(void);
