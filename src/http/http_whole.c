/*
 * Whether the strings that libmicrohttpd made of a head are all of that head.
 *
 * It cuts the head up where it lies: method, URI, version, each name and each value are strings in
 * one run of memory, in the order in which they came, and the bytes that parted them became NUL or
 * stayed white space. What it does not hand over leaves a hole in the run: whatever stands behind a
 * NUL, or a line that it took for the empty one. A folded line, which 0.9.75 adds to the NAME of
 * its header ("Host:", folded "x", comes as "Hostx"), makes it put that name elsewhere. So one walk
 * from the method to the end of the head finds them, whatever the header is called; but not a NUL
 * right before a bare LF, which leaves the same bytes as CR LF.
 */
#include <string.h>

#include "http_private.h"

/* Bytes that may have become NUL: the blank or the colon in a line, and CR LF behind it. */
enum {
	IN_LINE = 1,
	LINE_END = 2
};

struct run {
	const char *at; /* behind the last string */
	const char *end;
	int nuls; /* how many may part it from the next */
	bool whole;
};

static void skip_to(struct run *run, const char *next, int nuls)
{
	for (; run->whole && run->at != next; run->at++) {
		if (run->at >= run->end)
			run->whole = false;
		else if (*run->at == '\0')
			run->whole = nuls-- > 0;
		else
			run->whole = strchr(" \t\r\n", *run->at) != NULL;
	}
}

static void take(struct run *run, struct slice string, int nuls_behind)
{
	skip_to(run, string.at, run->nuls);
	run->at = string.at + string.len;
	run->nuls = nuls_behind;
}

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct run *run = arg;

	(void)kind;
	take(run, slice_of(name), IN_LINE);
	take(run, slice_of(value), LINE_END);
	return run->whole ? MHD_YES : MHD_NO;
}

bool http_head_is_whole(struct MHD_Connection *mhd, const char *method, struct slice uri,
			const char *version)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	struct run run = {.at = method, .whole = info != NULL};

	if (!info)
		return false;
	run.end = method + info->header_size;
	take(&run, slice_of(method), IN_LINE);
	take(&run, uri, IN_LINE);
	take(&run, slice_of(version), LINE_END);
	MHD_get_connection_values(mhd, MHD_HEADER_KIND, take_header, &run);
	/* 1.0.1 refuses a NUL by itself, leaves the empty line as it came, and where memory is
	 * short lays the body over it. */
	if (run.whole && run.end[-1] == '\0')
		skip_to(&run, run.end, 2 * LINE_END);
	return run.whole;
}
