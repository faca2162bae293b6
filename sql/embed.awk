# Turns SQL files into C: every NNNN_name.sql becomes a row of sql_migrations[], every statement of
# queries.sql that follows a "-- query: name" line becomes a constant SQL_name and a row of
# sql_queries[]. Comments are dropped from statements and kept out of the binary.

function escape(text)
{
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	return text
}

function flush_file()
{
	if (file == "")
		return
	if (is_queries)
		flush_query()
	else
		# Joined, not sprintf(): mawk's has room for 8192 bytes.
		migrations = migrations "\t{ " number ", \"" base "\",\n" text "\t},\n"
}

function flush_query()
{
	if (query == "")
		return
	constants = constants "const char SQL_" query "[] =\n" text ";\n"
	queries = queries "\t{ \"" query "\", SQL_" query " },\n"
	query = ""
	text = ""
}

FNR == 1 {
	flush_file()
	file = FILENAME
	base = FILENAME
	sub(/.*\//, "", base)
	is_queries = base == "queries.sql"
	number = base + 0
	text = ""
}

is_queries && /^-- query: / {
	flush_query()
	query = $3
	next
}

/^[ \t]*--/ || /^[ \t]*$/ { next }

{ text = text "\t\"" escape($0) "\\n\"\n" }

END {
	flush_file()
	print "/* Made from sql/ by sql/embed.awk. */"
	print "#include \"sql_text.h\"\n"
	print constants
	print "const struct sql_text sql_migrations[] = {\n" migrations "\t{ 0, NULL, NULL },\n};"
	print "const struct sql_query sql_queries[] = {\n" queries "\t{ NULL, NULL },\n};"
}
