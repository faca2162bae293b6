/*
 * Connections and statements. A statement is prepared once for its connection and its parameters
 * are found by name then, so that binding is an array access and a misspelt name cannot run. It
 * knows which parameters it wants: stepping with one left from the last time is our own mistake.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "orderhook/err.h"
#include "sqlite_private.h"

static const char *const param_names[P_MAX] = {
#define PARAM(name) ":" #name,
#include "sqlite_param.def"
#undef PARAM
};

_Static_assert(P_MAX <= 64, "struct statement keeps its parameters as bits");

static bool means_full(int os_error)
{
	/* EFBIG: a limit on the file's size, which is as full as a disk. */
	return os_error == ENOSPC || os_error == EDQUOT || os_error == EFBIG;
}

static int errno_of(sqlite3_file *file)
{
	int os_error = 0;

	if (file && file->pMethods)
		file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &os_error);
	return os_error;
}

/*
 * Why the system refused, 0 when it is not known. A failed COMMIT is not in sqlite3_system_errno(),
 * but each file keeps the number of its last failure, the log's being the one that COMMIT writes.
 * An old number can at worst make a failed write one that callers try again; never a failed fsync.
 */
static int os_error_of(sqlite3 *db, int code)
{
	sqlite3_file *log = NULL;
	sqlite3_file *file = NULL;
	int os_error = sqlite3_system_errno(db);

	if ((code & 0xff) != SQLITE_IOERR)
		return (code & 0xff) == SQLITE_CANTOPEN ? os_error : 0;
	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (errno_of(log))
		return errno_of(log);
	return errno_of(file) ? errno_of(file) : os_error;
}

/* A full disk is not always SQLITE_FULL; a failed fsync is never one, whatever errno says: what it
 * was to make durable may be lost. */
static int error_of(int code, int os_error)
{
	if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
		return -ERR_STORE_IO;
	if (code == SQLITE_IOERR_SHMSIZE)
		return -ERR_STORE_FULL;
	if (code == SQLITE_IOERR_NOMEM)
		return -ERR_NOMEM;
	if (code == SQLITE_IOERR_CORRUPTFS)
		return -ERR_STORE_CORRUPT;
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ERR_STORE_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -ERR_STORE_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -ERR_STORE_CORRUPT;
	case SQLITE_NOMEM:
		return -ERR_NOMEM;
	case SQLITE_IOERR:
		return means_full(os_error) ? -ERR_STORE_FULL : -ERR_STORE_IO;
	default:
		return -ERR_STORE_IO;
	}
}

int connection_fail(struct connection *connection, int code, const char *doing)
{
	int os_error = os_error_of(connection->db, code);

	snprintf(connection->problem, sizeof(connection->problem), "%s: %s (SQLite %d)%s%s", doing,
		 sqlite3_errmsg(connection->db), code, os_error ? ": " : "",
		 os_error ? strerror(os_error) : "");
	return error_of(code, os_error);
}

int connection_exec(struct connection *connection, const char *sql)
{
	int code = sqlite3_exec(connection->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : connection_fail(connection, code, sql);
}

int connection_pragma_int(struct connection *connection, const char *sql, int64_t *ret)
{
	sqlite3_stmt *handle = NULL;
	int code = sqlite3_prepare_v2(connection->db, sql, -1, &handle, NULL);
	int err = 0;

	if (code == SQLITE_OK)
		code = sqlite3_step(handle);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(handle, 0);
	else
		err = connection_fail(connection, code, sql);
	sqlite3_finalize(handle);
	return err;
}

/* "file:PATH?immutable=1" with every byte of the path that a URI would read otherwise escaped. */
static int add_immutable_uri(const char *path, struct buf *uri)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "/._-";
	int err = buf_add_string(uri, "file:");

	for (; *path && !err; path++) {
		if (strchr(plain, *path))
			err = buf_add_char(uri, *path);
		else
			err = buf_addf(uri, "%%%02X", (unsigned char)*path);
	}
	return err ? err : buf_add_string(uri, "?immutable=1");
}

/* A lock and a count for every allocation, which nobody reads: 7 % of what an event costs. */
static void configure_sqlite(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_named(struct connection *connection, const char *name, int flags, const char *vfs)
{
	static pthread_once_t configured = PTHREAD_ONCE_INIT;
	int code;

	pthread_once(&configured, configure_sqlite);
	connection->db = NULL;
	connection->problem[0] = '\0';
	/* Each connection is used by one thread at a time. */
	code = sqlite3_open_v2(name, &connection->db,
			       flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
	if (!connection->db)
		return -ERR_NOMEM;
	if (code != SQLITE_OK) {
		int err = connection_fail(connection, code, "opening");
		connection_close(connection);
		return err;
	}
	return 0;
}

int connection_open(struct connection *connection, const char *path, int flags, bool immutable)
{
	BUF_AUTO struct buf uri = BUF_INIT(16 * 1024);

	if (!immutable)
		return open_named(connection, path, flags, NULL);
	if (add_immutable_uri(path, &uri))
		return -ERR_NOMEM;
	return open_named(connection, uri.data, flags | SQLITE_OPEN_URI, NULL);
}

int connection_open_writer(struct connection *connection, const char *path, const char *vfs)
{
	return open_named(connection, path, SQLITE_OPEN_READWRITE, vfs);
}

void connection_close(struct connection *connection)
{
	int code = sqlite3_close(connection->db);

	assert(code == SQLITE_OK);
	(void)code;
	connection->db = NULL;
}

int connection_harden(struct connection *connection)
{
	static const struct {
		int what;
		int value;
	} settings[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_FKEY, 1},     {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},         {SQLITE_DBCONFIG_DQS_DDL, 0},
		{SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
	};
	int code = sqlite3_busy_timeout(connection->db, STORE_BUSY_TIMEOUT_MS);

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && code == SQLITE_OK; i++)
		code = sqlite3_db_config(connection->db, settings[i].what, settings[i].value, NULL);
	if (code != SQLITE_OK)
		return connection_fail(connection, code, "setting the connection up");
	/* The first that looks at the file; what it did there is nothing to an operator. */
	code = sqlite3_exec(connection->db,
			    "PRAGMA cell_size_check = ON;"
			    "PRAGMA mmap_size = 0;"
			    "PRAGMA temp_store = MEMORY;"
			    "PRAGMA cache_size = -8192;",
			    NULL, NULL, NULL);
	return code == SQLITE_OK ? 0 : connection_fail(connection, code, "looking at it");
}

int statement_prepare(struct connection *connection, const char *name, const char *text,
		      struct statement *ret)
{
	int found = 0;
	int code;

	memset(ret, 0, sizeof(*ret));
	ret->name = name;
	code = sqlite3_prepare_v3(connection->db, text, -1, SQLITE_PREPARE_PERSISTENT, &ret->handle,
				  NULL);
	if (code != SQLITE_OK)
		return connection_fail(connection, code, name);
	for (int param = 0; param < P_MAX; param++) {
		int index = sqlite3_bind_parameter_index(ret->handle, param_names[param]);
		if (!index)
			continue;
		ret->index[param] = (uint8_t)index;
		ret->wanted |= UINT64_C(1) << param;
		found++;
	}
	if (found != sqlite3_bind_parameter_count(ret->handle)) {
		snprintf(connection->problem, sizeof(connection->problem),
			 "%s: has a parameter that sqlite_param.def does not name", name);
		statement_release(ret);
		return -ERR_INTERNAL;
	}
	return 0;
}

void statement_release(struct statement *statement)
{
	sqlite3_finalize(statement->handle);
	statement->handle = NULL;
}

static int begin_bind(struct statement *statement, enum param param)
{
	assert(statement->index[param]);
	statement->bound |= UINT64_C(1) << param;
	return statement->index[param];
}

static void end_bind(struct statement *statement, int code)
{
	if (!statement->failed)
		statement->failed = code;
}

void bind_int(struct statement *statement, enum param param, int64_t value)
{
	int index = begin_bind(statement, param);

	end_bind(statement, sqlite3_bind_int64(statement->handle, index, value));
}

void bind_null(struct statement *statement, enum param param)
{
	int index = begin_bind(statement, param);

	end_bind(statement, sqlite3_bind_null(statement->handle, index));
}

void bind_blob(struct statement *statement, enum param param, const void *bytes, size_t len)
{
	int index = begin_bind(statement, param);

	/* No bytes are an empty value; a NULL pointer would be NULL. */
	end_bind(statement, sqlite3_bind_blob64(statement->handle, index, len ? bytes : "", len,
						SQLITE_STATIC));
}

void bind_text(struct statement *statement, enum param param, const char *text)
{
	int index = begin_bind(statement, param);

	end_bind(statement, sqlite3_bind_text(statement->handle, index, text, -1, SQLITE_STATIC));
}

void bind_text_or_null(struct statement *statement, enum param param, const char *text)
{
	if (text && text[0])
		bind_text(statement, param, text);
	else
		bind_null(statement, param);
}

void bind_int_or_null(struct statement *statement, enum param param, int64_t value, int64_t null)
{
	if (value == null)
		bind_null(statement, param);
	else
		bind_int(statement, param, value);
}

int statement_step(struct connection *connection, struct statement *statement)
{
	int code = statement->failed;

	assert(statement->bound == statement->wanted);
	if (!code)
		code = sqlite3_step(statement->handle);
	if (code == SQLITE_ROW)
		return 1;
	if (code == SQLITE_DONE)
		return 0;
	return connection_fail(connection, code, statement->name);
}

void statement_reset(struct statement *statement)
{
	/* It repeats the error of the last step, which has been told. */
	sqlite3_reset(statement->handle);
	statement->bound = 0;
	statement->failed = 0;
}

int statement_run(struct connection *connection, struct statement *statement)
{
	int err = statement_step(connection, statement);

	assert(err <= 0);
	statement_reset(statement);
	return err;
}

int tell_bad_column(struct connection *connection, const struct statement *statement, int column)
{
	snprintf(connection->problem, sizeof(connection->problem),
		 "%s: column %s has a value that orderhook never writes", statement->name,
		 sqlite3_column_name(statement->handle, column));
	return -ERR_STORE_CORRUPT;
}

int statement_no_progress(struct connection *connection, const struct statement *statement)
{
	snprintf(connection->problem, sizeof(connection->problem),
		 "%s: rows do not come in their order", statement->name);
	return -ERR_STORE_CORRUPT;
}

int column_text(struct connection *connection, struct statement *statement, int column, char *out,
		size_t cap)
{
	const char *text = (const char *)sqlite3_column_text(statement->handle, column);
	size_t len = (size_t)sqlite3_column_bytes(statement->handle, column);

	if (!text && sqlite3_column_type(statement->handle, column) != SQLITE_NULL)
		return -ERR_NOMEM;
	if (slice_copy((struct slice){text, len}, out, cap))
		return tell_bad_column(connection, statement, column);
	return 0;
}

enum key_column {
	KEY_EVENT_ID = 0,
	KEY_OCCURRED_MS,
	KEY_RECEIVED_MS,
	KEY_STATUS,
	KEY_SUB_STATUS,
	KEY_OCCURRED_FROM,
	KEY_VERDICT,
	KEY_COURIER_ID,
	KEY_CONTENT
};

int column_order_event(struct connection *connection, struct statement *statement,
		       struct order_event *ret)
{
	sqlite3_stmt *handle = statement->handle;
	int verdict = sqlite3_column_int(handle, KEY_VERDICT);
	const void *content = sqlite3_column_blob(handle, KEY_CONTENT);

	if (verdict < 0 || verdict >= VERDICT_MAX)
		return tell_bad_column(connection, statement, KEY_VERDICT);
	if (!content || sqlite3_column_bytes(handle, KEY_CONTENT) != DIGEST_SHA256_BYTES)
		return tell_bad_column(connection, statement, KEY_CONTENT);
	ret->id = sqlite3_column_int64(handle, KEY_EVENT_ID);
	ret->occurred_ms = sqlite3_column_int64(handle, KEY_OCCURRED_MS);
	ret->received_ms = sqlite3_column_int64(handle, KEY_RECEIVED_MS);
	ret->status = sqlite3_column_int(handle, KEY_STATUS);
	ret->sub_status = sqlite3_column_type(handle, KEY_SUB_STATUS) == SQLITE_NULL
				  ? EVENT_SUB_ABSENT
				  : sqlite3_column_int(handle, KEY_SUB_STATUS);
	ret->occurred_from = sqlite3_column_int(handle, KEY_OCCURRED_FROM) == EVENT_FROM_RECEIPT
				     ? EVENT_FROM_RECEIPT
				     : EVENT_FROM_PLATFORM;
	ret->verdict = (enum verdict)verdict;
	memcpy(ret->content, content, DIGEST_SHA256_BYTES);
	return column_text(connection, statement, KEY_COURIER_ID, ret->courier_id,
			   sizeof(ret->courier_id));
}
