# SPDX-License-Identifier: GPL-2.0-only
#
# One non-recursive Makefile. `make` builds build/pyprofd and build/pyprofctl as whoever calls it;
# `make help` lists the rest. Sources are found by directory, so a new file needs no line here.
#
# The goals that want root (run, test, ...) split themselves: packages are installed as root,
# everything that writes into the checkout runs as the checkout's owner, and only the daemon and
# the tests run as root. So `sudo make test` leaves nothing behind that is root's.
#
#   V=1      show every command
#   SAN=1    address and undefined behaviour sanitizers, into build/san
#   FUZZ=1   the fuzz targets' own build (clang, libFuzzer), into build/fuzz
#   BUILD=   another build directory

VERSION := 0.1.0

BUILD ?= build
B := $(BUILD)$(if $(SAN),/san)$(if $(FUZZ),/fuzz)

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Newcomers type `make`; let them have all CPUs unless they said otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 1)
endif

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
endif

# ---- Tools ------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := $(if $(FUZZ),clang,gcc)
endif
ifeq ($(origin AR),default)
AR := ar
endif
CLANG ?= clang
PKG_CONFIG ?= pkg-config
# Newer versions are a plugin of protoc.
PROTOC_C ?= $(if $(shell command -v protoc),protoc,protoc-c)
INSTALL ?= install

# An ordinary user's PATH lacks /usr/sbin; Ubuntu's bpftool is a wrapper that only works when the
# tools of the running kernel are there, the real ones are below linux-tools.
BPFTOOL ?= $(shell for t in bpftool /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool; do \
	$$t version >/dev/null 2>&1 && { echo $$t; break; }; done)

# ---- Flags ------------------------------------------------------------------------------------

PACKAGES := libbpf libelf libdw libsystemd jansson liblzma zlib libprotobuf-c libseccomp
CLIENT_PACKAGES := jansson zlib libprotobuf-c ncursesw

# Each half finds its own headers first: both may have one of a name at their root.
DAEMON_INCLUDES := -I. -Idaemon -Iclient -I$(B)
CLIENT_INCLUDES := -I. -Iclient -Idaemon -I$(B)
INCLUDES = $(DAEMON_INCLUDES)
$(B)/client/%.o: INCLUDES = $(CLIENT_INCLUDES)
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Wstrict-prototypes \
	-Wpointer-arith -Wundef -Wvla $(if $(FUZZ),-Wno-missing-field-initializers)
HARDEN := $(if $(SAN)$(FUZZ),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
, := ,
SANITIZE := $(if $(SAN),-fsanitize=address$(,)undefined -fno-omit-frame-pointer) \
	$(if $(FUZZ),-fsanitize=fuzzer-no-link$(,)address$(,)undefined -fno-omit-frame-pointer)

CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -DPP_VERSION='"$(VERSION)"' $(INCLUDES) $(WARNINGS) -fPIE \
	$(HARDEN) $(SANITIZE) $(CPPFLAGS) $(PACKAGE_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS)

# Asked once per make, and only if there is something to ask (the first `make deps` has nothing).
PACKAGE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) $(CLIENT_PACKAGES) 2>/dev/null)
LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) -liberty -lm
CLIENT_LIBS := $(shell $(PKG_CONFIG) --libs $(CLIENT_PACKAGES) 2>/dev/null) -lm

BPF_CFLAGS ?= -O2 -g
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
ALL_BPF_CFLAGS = -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -std=gnu11 -I. -Ibpf \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu -Wall -Wextra -Werror=incompatible-pointer-types \
	-Wno-unused-parameter -fno-stack-protector $(BPF_CFLAGS)

# ---- Sources ----------------------------------------------------------------------------------

DAEMON_C := $(filter-out daemon/main.c,$(wildcard daemon/*.c daemon/*/*.c))
COMMON_C := $(wildcard daemon/base/*.c daemon/ipc/*.c)
CLIENT_LIB_C := $(wildcard client/lib/*.c)
CLIENT_C := $(filter-out client/main.c client/lib/%,$(wildcard client/*.c client/*/*.c))
UNIT_C := $(wildcard tests/unit/test_*.c)
FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_C := $(wildcard tests/bench/bench_*.c)

# What generated headers there are, each if its source is there.
GENERATED := $(if $(wildcard bpf/pyprof.bpf.c),$(B)/pp.skel.h) \
	$(if $(wildcard daemon/profile/pprof.proto),$(B)/pprof.pb-c.h)
PPROF_O := $(if $(wildcard daemon/profile/pprof.proto),$(B)/pprof.pb-c.o)

objects = $(patsubst %.c,$(B)/%.o,$(1))
DAEMON_O := $(call objects,$(DAEMON_C)) $(PPROF_O)
COMMON_O := $(call objects,$(COMMON_C))
CLIENT_LIB_O := $(call objects,$(CLIENT_LIB_C)) $(PPROF_O)
CLIENT_O := $(call objects,$(CLIENT_C))
UNIT := $(patsubst %.c,$(B)/%,$(UNIT_C))
FUZZERS := $(patsubst %.c,$(B)/%,$(FUZZ_C))
BENCHES := $(patsubst %.c,$(B)/%,$(BENCH_C))
PROGRAMS := $(if $(wildcard daemon/main.c),$(B)/pyprofd) $(if $(wildcard client/main.c),$(B)/pyprofctl)
ARCHIVES := $(B)/libpp.a $(B)/libpyprof.a $(B)/libpyprofd.a

# What test-kernels boots; one of them is in `make test`.
KERNELS ?= 5.10 6.1 6.12 7

# ---- Goals ------------------------------------------------------------------------------------

.PHONY: all programs unit fuzzers benches deps run test test-long test-hostile test-kernels bench lint \
	format fuzz install uninstall clean help

# The checkout's owner builds, also when root asks (sudo make ...).
OWNER := $(shell stat -c %u .)
ifeq ($(shell id -u):$(if $(filter-out 0,$(OWNER)),other),0:other)
AS_OWNER := tests/lib/as-owner
endif
MAKE_AS_OWNER = $(AS_OWNER) $(MAKE) $(if $(AS_OWNER),$(MAKEOVERRIDES))

ifdef AS_OWNER
all:
	$(Q)+$(MAKE_AS_OWNER) all
else
all: programs
endif

programs: $(ARCHIVES) $(PROGRAMS)
	@:
unit: $(UNIT)
fuzzers: $(FUZZERS)
benches: $(BENCHES)

deps:
	$(Q)tests/lib/deps install all

run:
	$(Q)tests/lib/deps install run
	$(Q)+$(MAKE_AS_OWNER) programs
	$(Q)BUILD=$(B) tests/lib/demo

test:
	$(Q)tests/lib/deps install test
	$(Q)+$(MAKE_AS_OWNER) programs unit
	$(Q)+$(MAKE_AS_OWNER) FUZZ=1 fuzzers
	$(Q)BUILD=$(B) tests/run $(T)

test-long:
	$(Q)tests/lib/deps install test
	$(Q)+$(MAKE_AS_OWNER) programs
	$(Q)BUILD=$(B) LONG=1 tests/run $(or $(T),integration accuracy hostile)

test-kernels:
	$(Q)tests/lib/deps install kernels
	$(Q)+$(MAKE_AS_OWNER) programs
	$(Q)BUILD=$(B) KERNELS='$(KERNELS)' tests/run vm

test-hostile:
	$(Q)+$(MAKE) test-long T=hostile

bench:
	$(Q)tests/lib/deps install test
	$(Q)+$(MAKE_AS_OWNER) programs benches
	$(Q)BUILD=$(B) tests/bench/run $(T)

lint:
	$(Q)BUILD=$(B) tests/run lint

fuzz:
	$(Q)tests/lib/deps install test
	$(Q)+$(MAKE_AS_OWNER) FUZZ=1 fuzzers
	$(Q)BUILD=$(B) FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) tests/run fuzz

format:
	$(Q)$(AS_OWNER) tests/lint/format --write

help:
	@printf '%s\n' \
	'make               build $(B)/pyprofd and $(B)/pyprofctl' \
	'make deps          install the packages that building and testing need (root), nothing else' \
	'make run           install what is missing, build, show the daemon at work on a demo (root)' \
	'make test          install what is missing, build, run every test (root); T=PATTERN selects' \
	'make test-long     the same with every cell of the tables, each attack alone (root); T=PATTERN' \
	'make test-hostile  the attacks of test-long' \
	'make test-kernels  boot Debian kernels 5.10 to 7.x under qemu and run the daemon there' \
	'make bench         measure the cost of a walk, the daemon and its tables (root)' \
	'make fuzz          fuzz every target for FUZZ_SECONDS (600) each' \
	'make lint          formatting, clang-tidy, shellcheck, layering' \
	'make format        rewrite the C sources with clang-format 14' \
	'make install       DESTDIR=, PREFIX=/usr/local; units where pkg-config says systemd has them' \
	'make uninstall     remove what install put there' \
	'make clean         remove $(BUILD)/' \
	'' \
	'V=1 shows commands, SAN=1 builds with sanitizers into build/san.'

clean:
	$(Q)rm -rf $(BUILD)

# ---- Rules ------------------------------------------------------------------------------------

# Says in one line which packages are missing, instead of a compiler's page of errors.
$(B)/.packages: tests/lib/deps
	$(Q)mkdir -p $(@D)
	$(Q)tests/lib/deps check build
	$(Q)touch $@

$(B)/%.o: %.c | $(B)/.packages $(GENERATED)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The interface description is embedded with .incbin, which -MMD does not see.
$(patsubst %.c,$(B)/%.o,$(wildcard daemon/ipc/*.c)): $(wildcard daemon/ipc/*.varlink)

$(B)/%.bpf.o: bpf/%.bpf.c | $(B)/.packages
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(ALL_BPF_CFLAGS) -MMD -MP -MT $@ -MF $(B)/$*.bpf.d -c -o $(B)/$*.bpf.tmp.o $<
	$(Q)$(or $(BPFTOOL),bpftool) gen object $@ $(B)/$*.bpf.tmp.o
	$(Q)rm -f $(B)/$*.bpf.tmp.o

$(B)/pp.skel.h: $(B)/pyprof.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name pyprof_bpf >$@

$(B)/pprof.pb-c.c: daemon/profile/pprof.proto | $(B)/.packages
	$(call say,PROTO,$<)
	$(Q)$(PROTOC_C) --proto_path=$(<D) --c_out=$(B) $(<F)
$(B)/pprof.pb-c.h: $(B)/pprof.pb-c.c ;
$(B)/pprof.pb-c.o: $(B)/pprof.pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) $(filter-out $(WARNINGS),$(ALL_CFLAGS)) -c -o $@ $<

# Archives are made afresh: ar would keep the objects of deleted sources.
define archive
$(call say,AR,$@)
$(Q)rm -f $@
$(Q)$(AR) rcs $@ $(filter %.o,$^)
endef
$(B)/libpp.a: $(COMMON_O)
	$(archive)
$(B)/libpyprof.a: $(CLIENT_LIB_O)
	$(archive)
$(B)/libpyprofd.a: $(DAEMON_O)
	$(archive)
$(B)/libpyprofctl.a: $(CLIENT_O)
	$(archive)

link = $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@
$(B)/pyprofd: $(B)/daemon/main.o $(B)/libpyprofd.a
	$(call say,LD,$@)
	$(Q)$(link) $^ $(LIBS)

CLIENT_A := $(B)/libpyprofctl.a $(B)/libpyprof.a $(B)/libpp.a
$(B)/pyprofctl: $(B)/client/main.o $(CLIENT_A)
	$(call say,LD,$@)
	$(Q)$(link) $^ $(CLIENT_LIBS) $(LIBS)

# A unit test that includes the client's headers is linked with the client, any other with the
# daemon (all of it but main).
CLIENT_TESTS := $(if $(UNIT_C),$(patsubst %.c,$(B)/%,$(shell \
	grep -lE '^.include "(lib|formats|remote|tui|commands)[./]' $(UNIT_C))))
$(addsuffix .o,$(CLIENT_TESTS)): INCLUDES = $(CLIENT_INCLUDES)
$(CLIENT_TESTS): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(CLIENT_A)
	$(call say,LD,$@)
	$(Q)$(link) $^ -lcmocka $(CLIENT_LIBS) $(LIBS)
$(filter-out $(CLIENT_TESTS),$(UNIT)): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libpyprofd.a
	$(call say,LD,$@)
	$(Q)$(link) $^ -lcmocka $(LIBS)

$(FUZZERS): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/libpyprofd.a
	$(call say,LD,$@)
	$(Q)$(link) -fsanitize=fuzzer $^ $(LIBS)

$(BENCHES): $(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libpyprofd.a
	$(call say,LD,$@)
	$(Q)$(link) $^ $(LIBS)

# Objects that lead to programs through pattern rules are kept.
.SECONDARY:

-include $(patsubst %.c,$(B)/%.d,$(DAEMON_C) daemon/main.c $(CLIENT_C) $(CLIENT_LIB_C) client/main.c \
	$(UNIT_C) $(FUZZ_C) $(BENCH_C)) $(wildcard $(B)/*.bpf.d)

# ---- Installation -----------------------------------------------------------------------------

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
sbindir ?= $(PREFIX)/sbin
docdir ?= $(PREFIX)/share/doc/pyprof
systemd_dir = $(shell $(PKG_CONFIG) --variable=$(1) systemd 2>/dev/null)
systemdsystemunitdir ?= $(or $(call systemd_dir,systemdsystemunitdir),/usr/lib/systemd/system)
sysusersdir ?= $(or $(call systemd_dir,sysusersdir),/usr/lib/sysusers.d)
tmpfilesdir ?= $(or $(call systemd_dir,tmpfilesdir),/usr/lib/tmpfiles.d)

INSTALLED = $(sbindir)/pyprofd $(bindir)/pyprofctl $(docdir)/README.md $(docdir)/LICENSE \
	$(systemdsystemunitdir)/pyprofd.service $(systemdsystemunitdir)/pyprofd.socket \
	$(sysusersdir)/pyprofd.conf $(tmpfilesdir)/pyprofd.conf

install: all
	$(Q)$(INSTALL) -D -m 755 $(B)/pyprofd '$(DESTDIR)$(sbindir)/pyprofd'
	$(Q)$(INSTALL) -D -m 755 $(B)/pyprofctl '$(DESTDIR)$(bindir)/pyprofctl'
	$(Q)$(INSTALL) -D -m 644 -t '$(DESTDIR)$(docdir)' README.md LICENSE
	$(Q)$(INSTALL) -D -m 644 -t '$(DESTDIR)$(systemdsystemunitdir)' \
		systemd/pyprofd.service systemd/pyprofd.socket
	$(Q)sed -i 's|/usr/sbin/pyprofd|$(sbindir)/pyprofd|' \
		'$(DESTDIR)$(systemdsystemunitdir)/pyprofd.service'
	$(Q)$(INSTALL) -D -m 644 systemd/pyprofd.sysusers '$(DESTDIR)$(sysusersdir)/pyprofd.conf'
	$(Q)$(INSTALL) -D -m 644 systemd/pyprofd.tmpfiles '$(DESTDIR)$(tmpfilesdir)/pyprofd.conf'

uninstall:
	$(Q)rm -f $(addprefix '$(DESTDIR)',$(INSTALLED))
	$(Q)rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(docdir)' 2>/dev/null || :
