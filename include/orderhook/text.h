/*
 * Text from outside, before it is shown: an escape sequence must not drive a terminal, and a bidi
 * control must not make 50 look like 05.
 */
#pragma once

#include "orderhook/buf.h"

/* One code point of well-formed UTF-8 from the front: its length in bytes, or 0. */
size_t text_decode(struct slice text, uint32_t *ret);
/* True for what a terminal might obey or hide: control, bidi and zero-width characters. */
bool text_unsafe(uint32_t code_point);
