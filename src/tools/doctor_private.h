/* Checks of `orderhook doctor` that look at files; cmd_doctor.c has the others. */
#pragma once

#include <sys/stat.h>

#include "attention_private.h"

/* Is one of the bits of refused set in the mode? mend is what chmod takes. */
void doctor_mode(const char *kind, const char *path, mode_t refused, const char *mend,
		 struct findings *findings);
/* The store, what lies beside it, and their directory: owners, modes, a file system to write to. */
void doctor_store_files(const char *store_path, struct findings *findings);
/* The sockets that the configuration names: who may write to them. */
void doctor_sockets(const struct config *config, struct findings *findings);
