"""More mutants of mutants.py, in the form of mutant_table.py: what the fuzzers' corpora must find,
see "Fuzzers" in docs/testing.md."""


def replay(target):
    """The corpus of a fuzzer; a fault ends it with a signal."""
    return ["sh", "-c", f"build/fuzz/fuzz_{target} tests/fuzz/corpus/{target} || exit 1"]


MUTANTS = {
    "JSON strings not looked at for UTF-8": ("src/base/json_scan.c", [
        ("at = skip_utf8(at, s->end);\n\t\t\tif (!at)\n\t\t\t\treturn -ERR_JSON_UTF8;",
         "at++;")], replay("json")),
    "anything taken for UTF-8": ("src/base/json_private.h", [
        ("if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))\n"
         "\t\treturn 0;", "(void)least;")], replay("json")),
    "forms not looked at for UTF-8": ("src/platform/shansong_body.c", [
        ("if (!json_valid_utf8(text))", "if (text.len > 100000)")], replay("form")),
    "plus of a form not a blank": ("src/platform/shansong_body.c", [
        ("} else if (c == '+') {\n\t\t\tc = ' ';", "} else if (c == '+') {")], replay("form")),
    "JSON object read as a form": ("src/platform/shansong_body.c", [
        ("if (text.len && text.at[0] == '{')", "if (text.len > 1000000)")], replay("signature")),
    "required key not asked for": ("src/base/config_check.c", [
        ("key->required && !parser->key_lines[i])", "!parser)")], replay("config")),
    "endpoint that nothing authenticates taken": ("src/base/config_check.c", [
        ("if (!endpoint->token && endpoint->signature", "if (!parser && endpoint->signature")],
        replay("config")),
    "default that is off left out of the dump": ("src/base/config_dump.c", [
        ("if (limit_ms || key->initial)", "if (limit_ms)")], replay("config")),
    "page found by its prefix": ("src/http/admin_server.c", [
        ("if (strcmp(url, pages[i].path) != 0)",
         "if (strncmp(url, pages[i].path, strlen(pages[i].path)) != 0)")], replay("admin")),
    "URL's token not asked for": ("src/platform/shansong_authenticate.c", [
        ("!= SIGNATURE_REQUIRED && proof->delivery->token_ok;", "!= SIGNATURE_REQUIRED;")],
        replay("ingest")),
    "URL without a token taken for one with it": ("src/platform/endpoint_set.c", [
        ("*ret_token_ok = match == ENDPOINT_MATCH_TOKEN;",
         "*ret_token_ok = match != ENDPOINT_NO_MATCH;")], replay("ingest")),
    "two Hosts let through": ("src/http/http_gate.c", [
        ("gate->n_host > 1 ||", "")], replay("ingest")),
    "explain tells the whole sign": ("src/pipeline/explain.c", [
        ("(struct slice){sign, EXPLAIN_SIGN_DIGITS}", "slice_of(sign)")], replay("control")),
    "explain tells the rest of the sign elsewhere": ("src/pipeline/explain.c", [
        ("\texplicit_bzero(sign, sizeof(sign));\n\treturn close_object(out, err);",
         "\terr = close_object(out, err);\n\treturn err || !trace->n_params ? err"
         " : add_text(out, \"rest\", (struct slice){sign + 8, 24});")], replay("control")),
    "explain repeats a NUL": ("src/pipeline/explain.c", [
        (" && !memchr(header.at, '\\0', header.len)", "")], replay("control")),
    "explain tells a ninth digit": ("include/orderhook/explain.h", [
        ("#define EXPLAIN_SIGN_DIGITS 8", "#define EXPLAIN_SIGN_DIGITS 9")], replay("control")),
    "events folded as they come": ("src/domain/order_fold.c", [
        ("\tsort_events(events, n);", "\t(void)sort_events;")], replay("machine")),
    "histories read in a circle": ("src/store/sqlite_arrivals.c", [
        ("order.row.order_id <= ret->order_id)", "order.row.order_id < 0)")], replay("store")),
    "orders walked window by window": ("src/store/sqlite_pick.c", [
        ("*ret = up ? (struct window){id - 1, to} : (struct window){after, id};",
         "*ret = (struct window){after, to};")], replay("store")),
    "a reader writes": ("src/store/sqlite_read.c", [
        ("SQLITE_OPEN_READONLY", "SQLITE_OPEN_READWRITE"),
        ("SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1", "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0")],
        replay("store")),
}
