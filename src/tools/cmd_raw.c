/*
 * `orderhook raw`: what was stored, byte for byte, because "what did they really send" has to have
 * an exact answer. On a terminal it would show people's names and phones and could drive the
 * terminal, so there it is masked, unless --reveal is given, and made safe, and says so; any pipe
 * or file gets the bytes.
 */
#include "orderhook/err.h"
#include "tool_private.h"

#define RAW_LIMIT_BYTES (64U * 1024 * 1024)

static int print_on_terminal(struct tool *tool, int64_t event_id, const struct buf *raw, bool whole)
{
	BUF_AUTO struct buf masked = BUF_INIT(RAW_LIMIT_BYTES);
	BUF_AUTO struct buf safe = BUF_INIT(RAW_LIMIT_BYTES);
	int err = whole ? 0 : mask_body(&masked, buf_slice(raw));

	if (err && err != -ERR_NOMEM)
		return tool_fail(tool, TOOL_REFUSED,
				 "event %lld: %s, so nothing in it can be masked; --reveal prints "
				 "it unmasked",
				 (long long)event_id, err_text(err));
	if (!err)
		err = text_add_safe(&safe, buf_slice(whole ? raw : &masked), TEXT_KEEP_LINES);
	if (err)
		return tool_fail(tool, TOOL_STORE, "%s", err_text(err));
	out_bytes(&tool->out, buf_slice(&safe).at, safe.len);
	if (safe.len && safe.data[safe.len - 1] != '\n')
		out_char(&tool->out, '\n');
	if (!whole)
		tool_note(tool, "masked, because this is a terminal; --reveal shows all of it, a "
				"pipe gets the exact bytes");
	return TOOL_DONE;
}

static int print_raw(struct tool *tool, int64_t event_id, bool headers, bool reveal)
{
	BUF_AUTO struct buf raw = BUF_INIT(RAW_LIMIT_BYTES);
	struct store_reader *reader;
	int code = tool_reader(tool, &reader);

	if (code)
		return code;
	int err = store_raw(reader, event_id, headers ? NULL : &raw, headers ? &raw : NULL);
	if (err == -ERR_NOT_FOUND)
		return tool_fail(tool, TOOL_NO_SUCH,
				 "no event has the number %lld; 'orderhook events' lists them",
				 (long long)event_id);
	if (err == -ERR_ERASED)
		return tool_fail(tool, TOOL_NO_SUCH,
				 "event %lld was erased; its bytes are gone, its hash is kept",
				 (long long)event_id);
	if (err)
		return tool_store_failed(tool, err, store_reader_problem(reader));
	if (tool->out.tty)
		return print_on_terminal(tool, event_id, &raw, headers || reveal);
	out_bytes(&tool->out, buf_slice(&raw).at, raw.len);
	return TOOL_DONE;
}

int cmd_raw(struct tool *tool, int argc, char **argv)
{
	bool headers = false;
	bool reveal = false;
	const struct tool_option options[] = {
		{"headers", 0, NULL, "the request line and headers instead of the body",
		 option_flag, &headers},
		{"reveal", 0, NULL, "nothing masked on a terminal", option_flag, &reveal},
		{NULL},
	};
	const struct tool_syntax syntax = {
		.options = options,
		.min_arguments = 1,
		.max_arguments = 1,
		.text = "Prints the body of an event exactly as it was received, and nothing "
			"else.\n"
			"On a terminal names, phones, positions and hand-over codes are masked,\n"
			"unless --reveal is given, and control characters escaped. The URL's "
			"token\n"
			"is in no stored head.\n",
		.examples = "  orderhook raw 17 > body.json     the exact bytes\n"
			    "  orderhook raw 17 --headers       how it came\n",
	};
	int64_t event_id;
	int code = options_parse(tool, &syntax, &argc, argv);

	if (code >= 0)
		return code;
	if (slice_to_i64(slice_of(argv[1]), 1, INT64_MAX, &event_id))
		return tool_usage(tool, "'%s' is not an event's number", argv[1]);
	return print_raw(tool, event_id, headers, reveal);
}
