/* A delivery made again from what is kept of it: for readmission, and to explain one. */
#pragma once

#include "orderhook/platform.h"

/* Reads the request line and headers as they are stored; of a header that is none of ours, and of
 * what is no header, nothing is taken. The slices point into head. */
void stored_delivery_head(struct slice head, struct delivery *ret);
