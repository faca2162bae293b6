/*
 * From bytes to a normalised event: strict scan, authenticate, identify, normalise. Knows no HTTP
 * library and no store; fuzzers, readmission, `explain` and the tests enter here.
 */
#pragma once

#include "orderhook/platform.h"

/*
 * 0, or the error whose status the caller is answered with. scratch is emptied and used; hand in
 * the same one again to save allocations. ret is zeroed first and holds the notes so far on
 * failure.
 */
int ingest(const struct endpoint *endpoint, const struct delivery *delivery, struct buf *scratch,
	   struct event *ret);
