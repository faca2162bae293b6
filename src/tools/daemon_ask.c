/*
 * The daemon is asked first: with sockets from systemd that also starts one. Only when nobody
 * listens does the tool do the work itself, under the lock that keeps two writers apart; that lock,
 * and not what the socket seems to say, is what makes it safe.
 */
#include "daemon_ask_private.h"

#include <string.h>
#include <sys/stat.h>

#include "orderhook/admin_client.h"
#include "orderhook/control.h"
#include "orderhook/err.h"

#define PATH_BYTES 64
#define TEXT_BYTES 512
#define SLACK_MS 5000

/* --db names the store of the configuration, or there is no --db. */
static bool is_daemons(const struct tool *tool, const struct config *config)
{
	struct stat given;
	struct stat own;

	return !tool->db || (stat(tool->db, &given) == 0 && stat(config->store.path, &own) == 0 &&
			     given.st_dev == own.st_dev && given.st_ino == own.st_ino);
}

static bool is_local(const char *address)
{
	return slice_starts_with(slice_of(address), SLICE("unix:"));
}

/* A string member of the answer, "" when there is none. */
static void text_of(const struct json_object *answer, const char *name, char *ret, size_t cap)
{
	const struct json_member *member = json_find(answer, name);
	size_t len = 0;

	if (!member || member->type != JSON_STRING ||
	    json_string_decode(member->value, ret, cap - 1, &len))
		len = 0;
	ret[len] = '\0';
}

static int unreachable(struct tool *tool, const char *address, int err, const struct buf *problem)
{
	if (err == -ERR_CONTROL_PEER)
		return tool_fail(tool, TOOL_REFUSED,
				 "%s: %s; the admin socket is for root, the daemon's user and the "
				 "group " CONTROL_GROUP ": join it (usermod -aG " CONTROL_GROUP
				 " NAME) and log in again",
				 address, problem->data);
	return tool_fail(tool, TOOL_STORE,
			 "the daemon at %s did not answer: %s; it may still do what was asked: "
			 "look, then try again",
			 address, problem->len ? problem->data : err_text(err));
}

static int refused(struct tool *tool, const char *address, int status,
		   const struct json_object *answer)
{
	char key[TEXT_BYTES];
	char text[TEXT_BYTES];

	text_of(answer, "error", key, sizeof(key));
	text_of(answer, "text", text, sizeof(text));
	bool failed = status >= 500 && strcmp(key, err_key(ERR_DRAINING)) != 0 &&
		      strcmp(key, err_key(ERR_CONTROL_BUSY)) != 0;
	return tool_fail(tool, failed ? TOOL_STORE : TOOL_REFUSED, "the daemon at %s refuses: %s",
			 address, text[0] ? text : key);
}

int daemon_ask(struct tool *tool, const char *name, struct slice request, struct buf *answer,
	       struct json_object *ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(TEXT_BYTES);
	BUF_AUTO struct buf path = BUF_INIT(PATH_BYTES);
	const struct config *config;
	int status;
	int code = tool_config(tool, &config);

	if (code)
		return code;
	const char *address = config->server.admin_listen;
	if (!is_local(address) || !is_daemons(tool, config))
		return DAEMON_NONE;
	/* No call stays longer with the writer, but for a disk that does not answer. */
	int64_t timeout_ms =
		WRITER_CALL_TURN_US / 1000 + config->server.commit_timeout_ms + SLACK_MS;
	int err = buf_addf(&path, CONTROL_PATH "%s", name);
	if (!err)
		err = admin_post(address, path.data, request, timeout_ms, &status, answer,
				 &problem);
	if (err == -ERR_NOT_FOUND)
		return DAEMON_NONE;
	if (err)
		return unreachable(tool, address, err, &problem);
	if (json_scan_object(buf_slice(answer), ret))
		return tool_fail(tool, TOOL_STORE,
				 "%s answered with something else than JSON; is it orderhookd?",
				 address);
	return status == 200 ? 0 : refused(tool, address, status, ret);
}

int daemon_instead(struct tool *tool, struct store **ret)
{
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	const struct config *config;
	const char *path;
	int code = tool_config(tool, &config);

	if (!code)
		code = tool_store_path(tool, &path);
	if (code)
		return code;
	int err = store_open_writer(path, config->store.environment, ret, &problem);
	if (err != -ERR_STORE_LOCKED)
		return err ? tool_store_failed(tool, err, problem.data) : 0;
	const char *address = config->server.admin_listen;
	if (is_local(address))
		return tool_fail(tool, TOOL_REFUSED,
				 "%s, and nobody listens at %s, where this is asked of it; stop "
				 "it, then try again",
				 problem.data, address);
	return tool_fail(tool, TOOL_REFUSED,
			 "%s, and admin_listen (%s) is no unix socket, over which alone it can be "
			 "asked; stop it, then try again",
			 problem.data, address);
}
