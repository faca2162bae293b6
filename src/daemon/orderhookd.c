/* The daemon's command line: what it prints, what it checks, and the way into daemon_run(). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_private.h"
#include "orderhook/err.h"
#include "orderhook/secret.h"

#define DEFAULT_CONFIG "/etc/orderhook/orderhook.conf"
#define EXIT_USAGE 2

static const char help[] =
	"Usage: orderhookd [-c FILE] [--check-config | --dump-config]\n"
	"\n"
	"Receives Shansong's order callbacks, stores them durably and acknowledges them.\n"
	"Runs in the foreground and logs to stderr; SIGTERM stops it, SIGHUP reloads.\n"
	"\n"
	"  -c, --config FILE   configuration (" DEFAULT_CONFIG ")\n"
	"      --check-config  check the configuration, exit 0 or 78\n"
	"      --dump-config   print the effective configuration with every default\n"
	"      --version       print the version\n"
	"      --help          print this\n"
	"\n"
	"Exit: 0 clean stop, 2 usage, 74 store I/O, 78 configuration or store not ours.\n"
	"\n"
	"Examples:\n"
	"  orderhookd -c /etc/orderhook/orderhook.conf --check-config\n"
	"  orderhookd -c etc/orderhook.dev.conf\n";

struct options {
	const char *config;
	bool check;
	bool dump;
};

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct options *ret)
{
	static const struct option names[] = {
		{"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'C'},
		{"dump-config", no_argument, NULL, 'D'},  {"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", names, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret->config = optarg;
			break;
		case 'C':
			ret->check = true;
			break;
		case 'D':
			ret->dump = true;
			break;
		case 'V':
			puts("orderhookd " ORDERHOOK_VERSION);
			return 0;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fputs("orderhookd: try 'orderhookd --help'\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "orderhookd: unexpected argument '%s'; try 'orderhookd --help'\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* Outside its unit there are no credentials: that is worth a word, not a refusal. */
static int check_reference(const struct config *config, const struct config_endpoint *endpoint,
			   const char *reference, enum secret_kind kind)
{
	BUF_AUTO struct buf problem = BUF_INIT(1024);
	struct secret secret = {NULL, 0};
	bool in_unit = getenv("CREDENTIALS_DIRECTORY") != NULL;
	int err = secret_load(reference, kind, &secret, &problem);

	secret_release(&secret);
	if (!err)
		return 0;
	if (!in_unit && strncmp(reference, "credential:", 11) == 0) {
		fprintf(stderr, "%s:%d: warning: [endpoint %s]: %s exists only inside the unit\n",
			config->file, endpoint->line, endpoint->name, reference);
		return 0;
	}
	fprintf(stderr, "%s:%d: [endpoint %s]: %s\n", config->file, endpoint->line, endpoint->name,
		problem.len ? problem.data : err_text(err));
	return err;
}

static int check_secrets(const struct config *config)
{
	int err = 0;

	for (size_t i = 0; i < config->n_endpoints; i++) {
		const struct config_endpoint *endpoint = &config->endpoints[i];
		if (endpoint->token &&
		    check_reference(config, endpoint, endpoint->token, SECRET_TOKEN))
			err = -ERR_CONFIG;
		for (size_t j = 0; j < endpoint->secrets.n; j++) {
			if (check_reference(config, endpoint, endpoint->secrets.items[j],
					    SECRET_KEY))
				err = -ERR_CONFIG;
		}
	}
	return err;
}

static int print_config(const struct config *config)
{
	BUF_AUTO struct buf text = BUF_INIT(1024 * 1024);

	if (config_dump(config, &text)) {
		fputs("orderhookd: out of memory\n", stderr);
		return EXIT_CONFIGURATION;
	}
	fwrite(text.data, 1, text.len, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options = {.config = DEFAULT_CONFIG};
	BUF_AUTO struct buf problem = BUF_INIT(4096);
	struct config *config = NULL;
	int code = parse_options(argc, argv, &options);
	int err;

	if (code >= 0)
		return code;
	if (secret_guard_process()) {
		fputs("orderhookd: cannot switch off core files, which would hold the secrets\n",
		      stderr);
		return EXIT_CONFIGURATION;
	}
	err = config_load(options.config, &config, &problem);
	if (err && !options.check && !options.dump)
		return daemon_refuse(&problem, err);
	if (err) {
		fprintf(stderr, "orderhookd: %s\n", problem.len ? problem.data : err_text(err));
		return EXIT_CONFIGURATION;
	}
	if (!options.check && !options.dump)
		return daemon_run(config);
	code = options.check && check_secrets(config) ? EXIT_CONFIGURATION : 0;
	if (options.dump && !code)
		code = print_config(config);
	else if (!code)
		fprintf(stderr, "%s: the configuration is good\n", config->file);
	config_free(config);
	return code;
}
