/* A VFS that writes the frames of a transaction to the log with one call instead of two for each.
 * docs/decisions/0006-gathered-log.md has the reasons. */
#pragma once

#include <sqlite3.h>

struct gather_vfs {
	sqlite3_vfs vfs;         /* first: SQLite's view of it */
	char name[32];           /* for sqlite3_open_v2(); "": not registered */
	struct gather_file *log; /* borrowed: the one that is open, of the only connection */
};

/* In front of the default VFS; the object must stay where it is. A code of SQLite's. */
int gather_vfs_register(struct gather_vfs *gather);
/* For sqlite3_rollback_hook(): after a write that failed nothing is committed before this. */
void gather_vfs_rolled_back(struct gather_vfs *gather);
/* Connections that use it must be closed. One that was never registered (all zero) is fine. */
void gather_vfs_unregister(struct gather_vfs *gather);
