# Builds the extension pgwire_trace and the program pgwire_trace_journal (PGXS).
#
#   make                 the library, the install script, the program
#   make install         into the PostgreSQL that PG_CONFIG names (DESTDIR works)
#   make demo            a throwaway server, traffic, and what was recorded of it
#   make test            every test, on private servers
#   make test-versions   every test with each other PostgreSQL that dev/other-version knows of
#   make unit            the plain-C unit tests alone, under ASan and UBSan
#   make fuzz SECONDS=n  every fuzz target for n seconds
#   make bench           all that is measured: bench-codec, the codec beside pgproto3 and a bare
#                        function, bench-traffic, the side port beside HAProxy and pgbouncer,
#                        bench-replay, a replay beside pgreplay, and bench-lateness, how late one
#                        sends beside an idle timer
#   make docs/messages.md   prints the list of messages into that page
#   make format          lays the sources out; check-format only says whether
#   make check-includes  the include rule between the rooms of src/
#   make check-lists     whether the lists below name every source and test
#   make check-warnings  gcc and clang, every warning an error
#
# Lists are explicit: a file that is not named here is not part of the project.

EXTENSION = pgwire_trace
EXTVERSION = 0.1
MODULE_big = pgwire_trace
PG_CONFIG ?= pg_config

# ---- sources, a list a room; the plain rooms hold no server code ----

WIRE_FILES = content decode frame lex list mask normalise redact secret stream walk
JOURNAL_FILES = append clock crc32c facts files read tuple
RELAY_FILES = \
	board buffer carrier config exchange extract ids inherit leg listen names note pairing pump queue \
	record redact redact_bytes relay_main row rules secure session startup table text tls tls_bundle tls_context tracker turn
SERVER_FILES = \
	auth auth_carrier auth_cert auth_client auth_line auth_slot init launch listeners \
	plans query_ids redaction redaction_find relays resolve settings spawn supervisor tls tls_kept unix_socket upstream utility
STORE_FILES = batch blame connect ids keep partition pass position ready rows series tables text writer
READ_FILES = \
	container encoding exchange explain findings findings_steps follow guard input items known \
	parameter query rest run script script_copy script_text session split steps type value
API_FILES = \
	align decode decode_args decode_formats diff diff_body diff_columns diff_exchange \
	diff_outline exchange exchange_insert explain findings flush install json json_encode \
	json_encode_value json_flat json_part json_shape json_write keeping \
	messages messages_list messages_read request_steps result result_set script session statement status \
	trace

WIRE_SOURCES = $(WIRE_FILES:%=src/wire/%.c)
JOURNAL_SOURCES = $(JOURNAL_FILES:%=src/journal/%.c)
RELAY_SOURCES = $(RELAY_FILES:%=src/relay/%.c)
SERVER_SOURCES = $(SERVER_FILES:%=src/server/%.c)
STORE_SOURCES = $(STORE_FILES:%=src/store/%.c)
READ_SOURCES = $(READ_FILES:%=src/read/%.c)
API_SOURCES = $(API_FILES:%=src/api/%.c)
PROGRAM_SOURCES = src/journal/journal_main.c

PLAIN_SOURCES = $(WIRE_SOURCES) $(JOURNAL_SOURCES) $(RELAY_SOURCES)
LIBRARY_SOURCES = $(PLAIN_SOURCES) $(SERVER_SOURCES) $(STORE_SOURCES) $(READ_SOURCES) $(API_SOURCES)
UNIT_TESTS = \
	board_slots journal_append journal_facts journal_ids journal_read journal_tuple relay_filters \
	relay_pump relay_tls relay_tracker wire_docs wire_frame wire_normalise \
	wire_properties wire_redact wire_secret wire_walk

# fuzz/<target>.c; what it must hold on to is in fuzz/corpus/<target> and fuzz/crashers/<target>
FUZZ_TARGETS = decode journal mask replay report secret stream text tracker
# those that need the server's own code run inside a single-user server
SERVER_FUZZ_TARGETS = json

INSTALL_PIECES = $(addprefix sql/install/, \
	00_schema.sql 10_tables.sql 15_exchange.sql 20_views.sql 30_decode.sql 40_functions.sql 45_keeping.sql \
	50_reading.sql 55_findings.sql)

# ---- tests, in the order in which they run ----

REGRESS_TESTS = \
	wire_decode wire_any wire_samples wire_replication wire_messages wire_diff store_tables \
	store_log store_top server_settings server_status read_session \
	store_forms \
	replay_plan replay_results
ISOLATION_TESTS = store_locks store_keeping
TAP_TESTS = \
	t/001_basic.pl t/002_counts.pl t/003_pairing.pl t/004_relay_kill.pl t/005_writer_kill.pl \
	t/006_faults.pl t/007_journal_full.pl t/008_hostile.pl t/009_clients.pl t/010_ddl.pl \
	t/011_shutdown.pl t/012_settings.pl t/013_door.pl t/014_flow.pl t/015_replication.pl \
	t/016_trace.pl t/017_diff.pl \
	t/018_corpora.pl t/020_writer_texts.pl t/021_writer_waits.pl t/022_writer_standby.pl t/023_keeping.pl t/024_by_hand.pl t/025_upgrade.pl \
	t/026_newer.pl t/027_newer_hba.pl t/028_other_version.pl \
	t/030_supervisor.pl t/031_carrier.pl t/032_query_ids.pl t/033_parts.pl t/034_redaction.pl \
	t/035_bytes.pl \
	t/040_hba.pl \
	t/041_startup.pl \
	t/042_hooks.pl \
	t/043_hba_tls.pl \
	t/044_unix_carrier.pl \
	t/045_peer.pl \
	t/046_methods.pl \
	t/047_defaults.pl \
	t/048_security_table.pl \
	t/049_startup_packets.pl \
	t/050_tls.pl \
	t/051_tls_bytes.pl \
	t/052_unix.pl \
	t/053_limits.pl \
	t/054_tls_material.pl \
	t/060_statements.pl \
	t/061_values.pl t/062_scripts.pl

# Several tests run at a time. These take longest and begin first, or another would wait for them
# at the end.
LONG_TESTS = versions t/080_replay.pl t/084_replay_resume.pl t/023_keeping.pl t/015_replication.pl \
	t/090_hostile_target.pl t/081_replay_runs.pl t/082_replay_wire.pl t/041_startup.pl \
	t/054_tls_material.pl t/088_replay_order.pl t/010_ddl.pl t/008_hostile.pl t/061_values.pl \
	t/086_replay_lines.pl t/087_replay_plan.pl t/017_diff.pl t/053_limits.pl t/030_supervisor.pl \
	t/035_bytes.pl t/033_parts.pl t/043_hba_tls.pl t/047_defaults.pl fuzz
# These measure how late something is, and run by themselves at the end.
ALONE_TESTS = t/083_replay_network.pl

# What `make test` runs with other PostgreSQLs: where versions differ most.
OTHER_VERSIONS = 17 18
VERSION_TESTS = unit sql isolation t/001_basic.pl t/003_pairing.pl t/013_door.pl t/026_newer.pl \
	t/027_newer_hba.pl t/028_other_version.pl t/050_tls.pl
# cancel requests of a replay go over TLS from libpq 17 on
VERSION_TESTS += t/086_replay_lines.pl

# ---- what PGXS is told ----

OBJS = $(LIBRARY_SOURCES:.c=.o)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql
PLAIN_LIBS = -levent_core -lssl -lcrypto -lxxhash
# our own calls reach our own functions, whatever other libraries export
SHLIB_LINK = $(PLAIN_LIBS) -Wl,-Bsymbolic

# The server's headers are the system's: their warnings are not ours to mend.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server)
# Every object says which headers it was made from.
DEPENDENCY_FLAGS = -MMD -MP
PG_CFLAGS = -std=gnu11 -Werror=implicit-function-declaration -Wno-declaration-after-statement $(DEPENDENCY_FLAGS)

# No bitcode: the library has nothing that JIT could inline.
override with_llvm := no

EXTRA_CLEAN = build $(DATA_built) pgwire_trace_journal \
	$(addsuffix /*.d, src/wire src/journal src/relay src/server src/store src/read src/api) \
	$(PROGRAM_SOURCES:.c=.o)

# ---- replay: a room in two halves; worker* runs in the server, the rest is plain C ----

REPLAY_PLAIN_FILES = \
	aside cancel cause child common compare connect expect helper judge life lookup order outline plan player report schedule types values
REPLAY_PLAIN_FILES += oids
REPLAY_FILES = \
	worker worker_cancel worker_children worker_exchange worker_guard worker_noise worker_plan \
	worker_prelude worker_read_only worker_record worker_resume worker_rollback worker_slot worker_store \
	worker_target worker_types
PLAIN_SOURCES += $(REPLAY_PLAIN_FILES:%=src/replay/%.c)
LIBRARY_SOURCES += $(REPLAY_FILES:%=src/replay/%.c)
API_FILES += replay replay_options
UNIT_TESTS += replay_oids
API_FILES += replay_check
INSTALL_PIECES += sql/install/60_replay.sql
INSTALL_PIECES += sql/install/65_replay_report.sql
TAP_TESTS += t/080_replay.pl t/081_replay_runs.pl t/082_replay_wire.pl t/083_replay_network.pl
TAP_TESTS += t/084_replay_resume.pl t/085_replay_rollback.pl
TAP_TESTS += t/086_replay_lines.pl
TAP_TESTS += t/087_replay_plan.pl
TAP_TESTS += t/088_replay_order.pl
TAP_TESTS += t/090_hostile_target.pl
UNIT_TESTS += replay_compare replay_many replay_names replay_common replay_order
UNIT_TESTS += replay_lost replay_tls
PLAIN_LIBS += -lpq
PG_CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir)
EXTRA_CLEAN += src/replay/*.d

all: pgwire_trace_journal

# What installs its own packages runs on a machine that has no PostgreSQL yet.
PGXS := $(shell $(PG_CONFIG) --pgxs 2> /dev/null)
ifneq ($(PGXS),)
include $(PGXS)
else ifneq ($(filter-out demo test test-versions bench bench-codec bench-traffic bench-replay bench-lateness, $(or $(MAKECMDGOALS), all)),)
$(error "$(PG_CONFIG)" was not found: install the server's development package, or set PG_CONFIG)
endif

-include $(OBJS:.o=.d) $(PROGRAM_SOURCES:.c=.d)

# ---- the install script and the program ----

$(DATA_built): $(INSTALL_PIECES) Makefile
	cat $(INSTALL_PIECES) > $@

pgwire_trace_journal: $(PROGRAM_SOURCES:.c=.o) $(JOURNAL_SOURCES:.c=.o) $(WIRE_SOURCES:.c=.o)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_EX) -lxxhash -o $@

# the list in the page on messages; test/unit/wire_docs.c compares the two
docs/messages.md: build/unit/wire_docs FORCE
	build/unit/wire_docs print > $@.new && mv $@.new $@
FORCE:

install: install-program
install-program: pgwire_trace_journal
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) pgwire_trace_journal '$(DESTDIR)$(bindir)/'

uninstall: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/pgwire_trace_journal'

# ---- other builds of the same sources, each in a directory of its own ----

# (directory, compiler, flags): how an object of such a build is made
define BUILD
build/$(1)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	$(2) $$(CFLAGS) $$(CFLAGS_SL) $$(CPPFLAGS) $(3) -c -o $$@ $$<
-include $$(shell find build/$(1) -name '*.d' 2>/dev/null)
endef

# what PGXS took from the compiler of the server's packager means nothing to clang
CLANG_QUIET = -Wno-unknown-warning-option -Wno-ignored-optimization-argument
# the server's callbacks and SQL functions have parameters that not all of them use
STRICT = -Wall -Wextra -Werror -Wno-unused-parameter
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -O1 -U_FORTIFY_SOURCE

$(eval $(call BUILD,unit,gcc,$(SANITIZE)))
$(eval $(call BUILD,fault,$(CC),-DPGWT_FAULT))
$(eval $(call BUILD,gcc,gcc,$(STRICT)))
$(eval $(call BUILD,clang,clang,$(CLANG_QUIET) $(STRICT)))

UNIT_OBJS = $(PLAIN_SOURCES:%.c=build/unit/%.o)
UNIT_PROGRAMS = $(UNIT_TESTS:%=build/unit/%)
STRICT_SOURCES = $(LIBRARY_SOURCES) $(PROGRAM_SOURCES) $(UNIT_TESTS:%=test/unit/%.c) \
	$(FUZZ_TARGETS:%=fuzz/%.c) $(SERVER_FUZZ_TARGETS:%=fuzz/%.c) fuzz/standalone.c

.SECONDARY: $(UNIT_OBJS) $(UNIT_TESTS:%=build/unit/test/unit/%.o)

$(UNIT_PROGRAMS): build/unit/%: build/unit/test/unit/%.o $(UNIT_OBJS)
	gcc $(CFLAGS) $(SANITIZE) $^ $(PLAIN_LIBS) -lm -o $@

unit-programs: $(UNIT_PROGRAMS)

unit: unit-programs
	@dev/test unit

# ---- fuzz targets: with libFuzzer, and (build/unit/fuzz_*) without ----

FUZZ_SANITIZE = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -O1 -g \
	-U_FORTIFY_SOURCE
$(eval $(call BUILD,fuzz,clang,$(CLANG_QUIET) $(FUZZ_SANITIZE)))

FUZZ_OBJS = $(PLAIN_SOURCES:%.c=build/fuzz/%.o)
FUZZ_PROGRAMS = $(FUZZ_TARGETS:%=build/fuzz/%)

.SECONDARY: $(FUZZ_OBJS) $(FUZZ_TARGETS:%=build/fuzz/fuzz/%.o) \
	$(FUZZ_TARGETS:%=build/unit/fuzz/%.o) build/unit/fuzz/standalone.o

$(FUZZ_PROGRAMS): build/fuzz/%: build/fuzz/fuzz/%.o $(FUZZ_OBJS)
	clang -fsanitize=fuzzer,address,undefined $^ $(PLAIN_LIBS) -lm -o $@

$(FUZZ_TARGETS:%=build/unit/fuzz_%): build/unit/fuzz_%: build/unit/fuzz/%.o \
		build/unit/fuzz/standalone.o $(UNIT_OBJS)
	gcc $(CFLAGS) $(SANITIZE) $^ $(PLAIN_LIBS) -lm -o $@

# a sanitizer's runtime has no place in a server: what is undefined is a trap
FUZZ_SERVER_FLAGS = -fsanitize=fuzzer-no-link,undefined -fsanitize-trap=all -O1 -g
FUZZ_RUNTIME = $(shell clang -print-resource-dir)/lib/linux/libclang_rt.fuzzer_no_main-$(shell uname -m).a
$(eval $(call BUILD,fuzz_server,clang,$(CLANG_QUIET) $(FUZZ_SERVER_FLAGS)))

FUZZ_SERVER_OBJS = $(WIRE_SOURCES:%.c=build/fuzz_server/%.o) \
	$(addprefix build/fuzz_server/src/, read/encoding.o api/decode_args.o api/json.o \
	api/json_encode.o api/json_encode_value.o api/json_flat.o api/json_part.o api/json_shape.o api/json_write.o)

.SECONDARY: $(FUZZ_SERVER_OBJS) $(SERVER_FUZZ_TARGETS:%=build/fuzz_server/fuzz/%.o)

$(SERVER_FUZZ_TARGETS:%=build/fuzz_server/%.so): build/fuzz_server/%.so: \
		build/fuzz_server/fuzz/%.o $(FUZZ_SERVER_OBJS)
	clang -shared -Wl,-Bsymbolic $^ $(FUZZ_RUNTIME) -lstdc++ -lm -lpthread -o $@

fuzz:
	@fuzz/run $(if $(SECONDS),$(SECONDS),60) $(FUZZ_TARGETS) $(SERVER_FUZZ_TARGETS)

# those that can be asked to die; the rest of that build is the ordinary one's
FAULT_SOURCES = src/journal/clock.c \
	src/relay/carrier.c src/relay/pump.c src/relay/session.c src/relay/startup.c \
	src/store/batch.c src/store/pass.c src/store/rows.c

build/fault/pgwire_trace.so: $(FAULT_SOURCES:%.c=build/fault/%.o) \
		$(filter-out $(FAULT_SOURCES:.c=.o), $(OBJS))
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(SHLIB_LINK)

# the fault build goes over an installation, in tests alone
install-fault: install build/fault/pgwire_trace.so
	$(INSTALL_SHLIB) build/fault/pgwire_trace.so '$(DESTDIR)$(pkglibdir)/pgwire_trace.so'

check-gcc: $(STRICT_SOURCES:%.c=build/gcc/%.o)
check-clang: $(STRICT_SOURCES:%.c=build/clang/%.o)
check-warnings: check-gcc check-clang
	@echo 'check-warnings: gcc and clang have nothing to say'

# ---- what people type ----

demo:
	@KEEP='$(KEEP)' MAKE='$(MAKE)' dev/demo

test:
	@dev/test

test-versions:
	@for version in $(OTHER_VERSIONS); do dev/other-version $$version || exit 1; done

bench: bench-traffic bench-codec bench-replay bench-lateness

bench-codec:
	@MAKE='$(MAKE)' bench/codec

bench-traffic:
	@MAKE='$(MAKE)' bench/run

bench-replay:
	@MAKE='$(MAKE)' bench/replay

bench-lateness:
	@MAKE='$(MAKE)' bench/lateness

FORMATTED = $(wildcard src/*.h src/*/*.h src/*/*.c test/unit/*.c test/unit/*.h test/clients/*.c \
	test/clients/*.h fuzz/*.[ch] bench/*.c)

format:
	clang-format -i $(FORMATTED)

check-format:
	@clang-format --dry-run -Werror $(FORMATTED)
	@echo 'check-format: $(words $(FORMATTED)) files are laid out as .clang-format says'

check-includes:
	@dev/check-includes

check-lists:
	@dev/check-lists

# what dev/test asks for
print-%:
	@echo '$($*)'

.PHONY: install-program uninstall-program unit unit-programs install-fault check-gcc check-clang \
	check-warnings FORCE demo test test-versions bench bench-codec bench-traffic bench-replay bench-lateness format check-format check-includes fuzz \
	check-lists
