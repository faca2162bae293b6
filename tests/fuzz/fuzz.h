/*
 * A fuzz target is fuzz_one() over one library function or chain of them: it takes any bytes, and
 * stops the process where what came out is not what the contract says. Only the verdict counts, so
 * a target that merely does not crash asserts too little.
 *
 * Linked with clang's libFuzzer (`make fuzz`) or with replay.c, which runs files once (`make
 * check`).
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orderhook/buf.h"

/* What one input may cost in processor time, sanitizers included; the clock on the wall would blame
 * the input for what else the machine does. */
#define FUZZ_HANG_US 100000

void fuzz_begin(void); /* once, before the first input */
void fuzz_one(struct slice input);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__attribute__((noreturn)) void fuzz_fail(const char *what, const char *file, int line);

#define FUZZ_ASSERT(condition)                                     \
	do {                                                       \
		if (!(condition))                                  \
			fuzz_fail(#condition, __FILE__, __LINE__); \
	} while (0)

/* By the list of the Unicode standard, and not by the code that is tried. */
bool fuzz_valid_utf8(struct slice text);

/* Numbers and rests from the front of an input; zero behind its end. */
uint8_t fuzz_take_byte(struct slice *input);
uint32_t fuzz_take_number(struct slice *input,
			  uint32_t below); /* of three bytes, less than below */
/* Up to the next separator, which is taken too. */
struct slice fuzz_take_until(struct slice *input, char separator);
