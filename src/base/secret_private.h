/* What the configuration's reader shares with secret.c. */
#pragma once

#include "orderhook/buf.h"

#define SECRET_CREDENTIAL "credential:"
#define SECRET_FILE "file:"

/* NULL when text is a reference of the right form, else what is wrong with it. Whatever stands in
 * the place of a reference may be the secret itself, so the reason never quotes it. */
const char *secret_reference_reason(struct slice text);
