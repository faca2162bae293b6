/* Does text name an order? For what is stored as it came, in whatever form it came. */
#pragma once

#include "orderhook/buf.h"

/*
 * True when name (an order number) stands in text as a word of its own: as it is, or with
 * characters written as %41 or \u0041. A longer number that only contains it is another one.
 */
bool text_names_order(struct slice text, const char *name);
