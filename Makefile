# orderhook: build, test, install. Every target of the README starts here; nothing recurses.
#
# Knobs: CC, DEVELOPER=1 (warnings are errors; the default in CI), SANITIZE=address,undefined or
# thread (a tree of its own), BUILD=dir, T=file and C=case for `make check`, V=1 (shows commands),
# JOBS=n.

VERSION := 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
PYTHON ?= /usr/bin/python3

comma := ,
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
DEVELOPER ?= $(if $(CI),1)
JOBS ?= $(shell nproc)
MAKEFLAGS += -j$(JOBS) $(if $(V),,-s)

PACKAGES := libmicrohttpd libcjson sqlite3 libcrypto libsystemd inih libcurl
APT_PACKAGES := gcc make pkg-config libmicrohttpd-dev libcjson-dev libsqlite3-dev libssl-dev \
	libsystemd-dev libinih-dev libcurl4-openssl-dev libcmocka-dev python3 python3-pytest \
	python3-pytest-xdist clang clang-format sqlite3 curl git openssl strace mandoc valgrind

CSTD := -std=gnu17
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough -Wno-missing-field-initializers
HARDENING := $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong -fPIE
OPTIMISE ?= -O2 -g
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
	-fno-sanitize-recover=all)

# Looked up once, when something is about to be compiled: `make deps` runs without the packages.
pkg_cflags = $(eval pkg_cflags := $$(shell pkg-config --cflags $(PACKAGES)))$(pkg_cflags)
pkg_libs = $(eval pkg_libs := $$(shell pkg-config --libs $(PACKAGES)))$(pkg_libs)

ALL_CFLAGS = $(CSTD) $(OPTIMISE) $(WARNINGS) $(if $(DEVELOPER),-Werror) $(HARDENING) \
	$(SANITIZE_FLAGS) -pthread -Iinclude -I$(BUILD)/gen \
	-DORDERHOOK_VERSION='"$(VERSION)"' -D_GNU_SOURCE $(pkg_cflags) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(SANITIZE_FLAGS) -pthread -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# Both programs are one library and a main each; the linker takes what each of them uses.
MAINS := src/daemon/orderhookd.c src/tools/orderhook.c
LIB_SOURCES := $(filter-out $(MAINS),$(wildcard src/*/*.c))
LIB_OBJECTS := $(LIB_SOURCES:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/gen/sql_text.o
UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
UNIT_TESTS := $(UNIT_SOURCES:tests/unit/%.c=$(BUILD)/tests/%)
HELPER_SOURCES := $(wildcard tests/lib/*.c)
TEST_HELPERS := $(HELPER_SOURCES:tests/lib/%.c=$(BUILD)/tests/%)
SQL_SOURCES := $(sort $(wildcard sql/sqlite/[0-9]*.sql)) sql/sqlite/queries.sql

all: $(BUILD)/orderhookd $(BUILD)/orderhook

# For these goals nothing is compiled before the packages are there; a plain `make` installs nothing.
DEPS_FIRST := $(if $(filter demo run check bench fuzz coverage,$(MAKECMDGOALS)),deps)

# Says nothing when there is nothing to do, so that demo, run and check can begin with it.
deps:
	@missing=; for p in $(APT_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || \
			missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	run="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; else \
		echo "make deps: packages are missing and installing them needs root. Run:" >&2; \
		echo "    sudo apt-get update && sudo $$run" >&2; exit 1; \
	fi; \
	echo "make deps: installing$$missing"; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo $$run >/dev/null

$(BUILD)/gen/sql_text.c: sql/embed.awk $(SQL_SOURCES)
	@mkdir -p $(@D)
	awk -f sql/embed.awk $(SQL_SOURCES) > $@.tmp && mv $@.tmp $@

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c | $(DEPS_FIRST)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Isrc/store -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: src/%.c | $(DEPS_FIRST)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/liborderhook.a: $(LIB_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/orderhookd: $(BUILD)/obj/daemon/orderhookd.o $(BUILD)/liborderhook.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(pkg_libs)

$(BUILD)/orderhook: $(BUILD)/obj/tools/orderhook.o $(BUILD)/liborderhook.a
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(pkg_libs)

$(BUILD)/tests/unit_filter.o: tests/unit/unit_filter.c | $(DEPS_FIRST)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/tests/unit_filter.o $(BUILD)/liborderhook.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(pkg_libs) -lcmocka

$(BUILD)/tests/%: tests/lib/%.c $(BUILD)/liborderhook.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) $(pkg_libs)

# Preloaded into the programs by tests; without a sanitizer's flags, which a preload cannot carry.
$(BUILD)/tests/%.so: tests/lib/preload/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(OPTIMISE) $(WARNINGS) $(if $(DEVELOPER),-Werror) -D_GNU_SOURCE -fPIC -shared -o $@ $<

PRELOADS := $(patsubst tests/lib/preload/%.c,$(BUILD)/tests/%.so,$(wildcard tests/lib/preload/*.c))

# Programs that put calls of their own before the C library's, which a sanitizer does as well: open(),
# pwrite(), fdatasync() in power, malloc() in alloc and in what is preloaded into the daemon.
POWER_SOURCES := tests/fault/power.c tests/fault/power_life.c tests/fault/crash_disk.c \
	tests/fault/crash_calls.c tests/fault/crash_memory.c
FAULT_PROGRAMS := $(if $(SANITIZE),,$(addprefix $(BUILD)/tests/,power alloc fail_alloc.so))

$(BUILD)/tests/power: $(POWER_SOURCES) $(wildcard tests/fault/*.h) $(BUILD)/liborderhook.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(pkg_libs)

$(BUILD)/tests/alloc: tests/fault/alloc.c tests/fault/fail_alloc.c tests/fault/fail_alloc.h \
		$(BUILD)/liborderhook.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -DORDERHOOK_ROOT='"$(CURDIR)"' $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(pkg_libs)

$(BUILD)/tests/fail_alloc.so: tests/fault/fail_alloc.c tests/fault/fail_alloc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -o $@ $<

tests-build: all $(UNIT_TESTS) $(TEST_HELPERS) $(PRELOADS) $(FAULT_PROGRAMS) \
		$(BUILD)/bench/bench_store

# Fuzz targets: with clang's libFuzzer in a tree that SANITIZE=fuzzer-no-link,… makes, anywhere else
# with a driver that runs files.
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
LIBFUZZER := $(findstring fuzzer,$(SANITIZE))
FUZZ_COMMON := $(BUILD)/fuzz/fuzz.o $(if $(LIBFUZZER),,$(BUILD)/fuzz/replay.o)

$(BUILD)/fuzz/%.o: tests/fuzz/%.c | $(DEPS_FIRST)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(FUZZ_COMMON) $(BUILD)/liborderhook.a
	$(CC) $(ALL_CFLAGS) $(if $(LIBFUZZER),-fsanitize=fuzzer) $(ALL_LDFLAGS) -o $@ $^ $(pkg_libs)

fuzz-targets: $(FUZZ_TARGETS)

# The library is 43 MB, and nothing else needs it.
fuzz: APT_PACKAGES += libclang-rt-dev
fuzz: deps
	@$(PYTHON) tests/fuzz/fuzz.py

coverage: deps
	@$(PYTHON) tests/coverage.py

# For the tests, unpacked and not installed: an installed nginx serves port 80 from then on. Without it
# they are skipped, and say so.
nginx-for-tests:
	@PATH=$$PATH:/usr/sbin; command -v nginx >/dev/null || [ -x $(BUILD)/nginx/usr/sbin/nginx ] || \
		{ mkdir -p $(BUILD)/nginx && cd $(BUILD)/nginx && apt-get download -qq nginx && \
			dpkg-deb -x nginx_*.deb . ; } >/dev/null 2>&1 || \
		echo "make check: nginx is neither installed nor to be had from apt" >&2

check: deps tests-build nginx-for-tests
	@T='$(T)' C='$(C)' SANITIZE='$(SANITIZE)' ORDERHOOK_BUILD=$(BUILD) $(PYTHON) tests/run.py

# The package under a real systemd in a container, whole; `make check` runs a sample of it.
# ORDERHOOK_LONG=1 restarts and kills ten times as often.
check-systemd: APT_PACKAGES += mmdebstrap systemd-container dpkg-dev debhelper lintian
check-systemd: deps
	@T=systemd C='$(C)' ORDERHOOK_BUILD=$(BUILD) $(PYTHON) tests/run.py

# All of what make check has a sample of; hours.
check-long: deps tests-build
	@T='$(T)' $(PYTHON) tests/long.py

BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/bench_*.c))

$(BUILD)/bench/%: tests/bench/%.c tests/bench/callbacks.c $(BUILD)/liborderhook.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(pkg_libs)

bench: deps all $(BENCH_PROGRAMS)
	@ORDERHOOK_BUILD=$(BUILD) $(PYTHON) tests/bench/bench.py

# The generated pages and completions are checked against what the tool itself says.
lint: deps all
	@$(PYTHON) tests/lint/lint.py

demo: deps all
	@tests/demo.sh $(BUILD)

run: deps all
	@tests/run-dev.sh $(BUILD)

UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket systemd/*.timer)) \
	orderhook-.service.d/confined.conf
MAN_PAGES := $(notdir $(wildcard docs/man/*.[1-9]))
man_path = $(PREFIX)/share/man/man$(subst .,,$(suffix $(1)))/$(1)
# FILE=where it belongs, of etc/completions/.
COMPLETIONS = orderhook=$(PREFIX)/share/bash-completion/completions/orderhook \
	_orderhook=$(ZSH_COMPLETIONS)/_orderhook \
	orderhook.fish=$(PREFIX)/share/fish/vendor_completions.d/orderhook.fish
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
EXAMPLES := $(wildcard systemd/examples/*.conf etc/nginx/* etc/haproxy/* etc/caddy/* etc/prometheus/* \
	etc/grafana/*)
# systemd/ and nginx/ among the examples are laid out as below /etc.
example_name = $(patsubst nginx/orderhook.%,nginx/conf.d/orderhook.%,$(patsubst etc/%,%,$(1)))
example_path = $(PREFIX)/share/doc/orderhook/examples/$(patsubst systemd/examples/%,systemd/%,$(call \
	example_name,$(1)))
# NOTIFY_RELOAD=1, for systemd 253 and newer: `systemctl reload` waits for the daemon.
RELOAD_DROPINS := $(if $(NOTIFY_RELOAD),orderhookd.service.d orderhookd@.service.d)
reload_path = $(UNITDIR)/$(1)/notify-reload.conf
INSTALLED = $(PREFIX)/sbin/orderhookd $(PREFIX)/bin/orderhook $(addprefix $(UNITDIR)/,$(UNITS)) \
	$(foreach dropin,orderhookd.service.d orderhookd@.service.d,$(call reload_path,$(dropin))) \
	$(PREFIX)/lib/sysusers.d/orderhook.conf $(PREFIX)/lib/tmpfiles.d/orderhook.conf \
	$(PREFIX)/lib/systemd/catalog/orderhook.catalog \
	$(foreach example,$(EXAMPLES),$(call example_path,$(example))) \
	$(foreach page,$(MAN_PAGES),$(call man_path,$(page))) \
	$(foreach pair,$(COMPLETIONS),$(lastword $(subst =, ,$(pair))))
# $(call install_text,FROM,TO): a text with the paths of this installation in it.
install_text = install -D -m 644 $(1) "$(DESTDIR)$(2)" && sed -i -e 's|@sbindir@|$(PREFIX)/sbin|g' \
	-e 's|@bindir@|$(PREFIX)/bin|g' -e 's|@sysconfdir@|$(SYSCONFDIR)|g' "$(DESTDIR)$(2)"

# Copies files and does nothing else: users, directories and units are systemd's to make and start.
# The configuration names no secret, so that the tool can read it for everybody.
install: all
	install -D -m 755 $(BUILD)/orderhookd "$(DESTDIR)$(PREFIX)/sbin/orderhookd"
	install -D -m 755 $(BUILD)/orderhook "$(DESTDIR)$(PREFIX)/bin/orderhook"
	$(foreach unit,$(UNITS),$(call install_text,systemd/$(unit),$(UNITDIR)/$(unit)) &&) :
	$(call install_text,systemd/orderhook.sysusers,$(PREFIX)/lib/sysusers.d/orderhook.conf)
	$(call install_text,systemd/orderhook.tmpfiles,$(PREFIX)/lib/tmpfiles.d/orderhook.conf)
	$(call install_text,systemd/orderhook.catalog,$(PREFIX)/lib/systemd/catalog/orderhook.catalog)
	$(foreach dropin,$(RELOAD_DROPINS),$(call install_text,systemd/examples/notify-reload.conf,$(call \
		reload_path,$(dropin))) &&) :
	$(foreach example,$(EXAMPLES),$(call install_text,$(example),$(call \
		example_path,$(example))) &&) :
	$(foreach page,$(MAN_PAGES),\
		install -D -m 644 docs/man/$(page) "$(DESTDIR)$(call man_path,$(page))" &&) :
	$(foreach pair,$(COMPLETIONS),install -D -m 644 etc/completions/$(firstword $(subst =, ,$(pair))) \
		"$(DESTDIR)$(lastword $(subst =, ,$(pair)))" &&) :
	[ -e "$(DESTDIR)$(SYSCONFDIR)/orderhook/orderhook.conf" ] || install -D -m 644 \
		etc/orderhook.conf "$(DESTDIR)$(SYSCONFDIR)/orderhook/orderhook.conf"

# The configuration and the store are the operator's and stay.
uninstall:
	rm -f $(foreach file,$(INSTALLED),"$(DESTDIR)$(file)")

clean:
	rm -rf build

.PHONY: all deps tests-build nginx-for-tests fuzz fuzz-targets coverage check check-long check-systemd bench lint demo run install uninstall clean
.DELETE_ON_ERROR:

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/tests/*.d $(BUILD)/fuzz/*.d)
