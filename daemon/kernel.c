/* SPDX-License-Identifier: GPL-2.0-only */
#include "kernel.h"

#include "base/counters.h"
#include "elf/kallsyms.h"
#include "pcs.h"
#include "profile/store.h"
#include "trace/bpf.h"

#include <string.h>

/* An address that stays unknown (a BPF program that is gone) must not be asked for, or have the
 * table read, for ever. */
#define RELOAD_MAX_NS (600 * NSEC_PER_SEC)
#define RELOAD_NS \
	(10 * NSEC_PER_SEC)    /* modules and BPF programs do not come more often than names age */
#define STEP_BYTES (256 * KIB) /* of /proc/kallsyms, some ms */

struct pp_kernel {
	struct pp_bpf *bpf;	     /* NULL: the kernel does not tell, symbols do */
	struct pp_kallsyms *symbols; /* NULL: not needed so far */
	struct pp_store *store;
	struct pp_pcs pcs;
	uint64_t loaded_ns, reload_ns; /* when last; how long to wait until the next */
	bool stale;
};

int pp_kernel_new(struct pp_kernel **ret, struct pp_store *store, struct pp_bpf *bpf)
{
	struct pp_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->store = store;
	k->bpf = bpf;
	k->reload_ns = RELOAD_NS;
	*ret = k;
	return 0;
}

struct pp_kernel *pp_kernel_free(struct pp_kernel *k)
{
	if (!k)
		return NULL;
	pp_pcs_done(&k->pcs, k->store);
	pp_kallsyms_free(k->symbols);
	free(k);
	return NULL;
}

static bool is_loading(const struct pp_kernel *k)
{
	return k->symbols && pp_kallsyms_loading(k->symbols);
}

static uint32_t unnamed(struct pp_kernel *k, uint64_t pc, uint32_t *ret_module)
{
	uint32_t frame;

	if (pp_strings_get(k->store->strings, "[kernel]", strlen("[kernel]"), ret_module) < 0 ||
	    pp_frames_unnamed(k->store->frames, PP_KIND_KERNEL, *ret_module, pc, &frame) < 0)
		return PP_FRAME_UNKNOWN;
	return frame;
}

static int make_frame(struct pp_kernel *k, const char *name, size_t len, const char *module,
		      size_t module_len, uint32_t *ret)
{
	if (!module_len) {
		module = "[kernel]";
		module_len = strlen(module);
	}
	return pp_store_frame(k->store, PP_KIND_KERNEL, name, len, NULL, 0, module, module_len,
			      ret);
}

/* From this kernel on there is no asking: its symbols are read. */
static void begin_symbols(struct pp_kernel *k)
{
	k->bpf = NULL;
	/* Without names a profile is still a profile; status tells. */
	if (pp_kallsyms_new(&k->symbols, NULL) == 0)
		(void)pp_kallsyms_start(k->symbols);
}

/* Returns 0; -ENOENT: there is no name; -EOPNOTSUPP: the kernel does not tell. */
static int named_by_kernel(struct pp_kernel *k, uint64_t pc, uint32_t *ret)
{
	struct pp_kernel_name name;
	const char *module;
	size_t len;
	int r;

	r = pp_bpf_kernel_name(k->bpf, pc, &name);
	if (r == -ENOENT)
		k->stale = true;
	if (r < 0)
		return r;
	len = strcspn(name.text, " ");
	module = name.text + len;
	module += strspn(module, " [");
	return make_frame(k, name.text, len, module, strcspn(module, "]"), ret);
}

static int named_by_symbols(struct pp_kernel *k, uint64_t pc, uint32_t *ret)
{
	struct pp_kernel_symbol symbol;
	bool stale = false;

	if (!k->symbols)
		return -ENOENT;
	if (!pp_kallsyms_lookup(k->symbols, pc, &symbol, &stale)) {
		k->stale |= stale;
		return -ENOENT;
	}
	return make_frame(k, symbol.name, strlen(symbol.name), symbol.module, strlen(symbol.module),
			  ret);
}

static bool named(struct pp_kernel *k, uint64_t pc, uint32_t *ret)
{
	int r = k->bpf ? named_by_kernel(k, pc, ret) : -EOPNOTSUPP;

	if (r != -EOPNOTSUPP)
		return r == 0;
	if (k->bpf)
		begin_symbols(k);
	return named_by_symbols(k, pc, ret) == 0;
}

uint32_t pp_kernel_frame(struct pp_kernel *k, uint64_t pc, bool exact, uint64_t time_ns)
{
	uint64_t key = exact ? pc : pc - 1;
	uint32_t frame, module;

	if (pp_pcs_get(&k->pcs, key, &frame))
		return frame;
	if (named(k, key, &frame)) {
		pp_pcs_put(&k->pcs, key, frame);
		return frame;
	}
	frame = unnamed(k, key, &module);
	if (!is_loading(k) || frame == PP_FRAME_UNKNOWN) {
		pp_count(PP_C_kernel_unnamed);
		if (frame != PP_FRAME_UNKNOWN)
			pp_pcs_put(&k->pcs, key, frame); /* until it is asked again */
		return frame;
	}
	if (pp_frames_pending(k->store->frames, PP_KIND_KERNEL, module, key, &frame) < 0)
		return PP_FRAME_UNKNOWN;
	if (pp_pcs_put_pending(&k->pcs, key, frame, time_ns) < 0)
		(void)pp_frames_give_up(k->store->frames, frame);
	return frame;
}

static void settle_pending(struct pp_kernel *k)
{
	while (k->pcs.nr_pending) {
		struct pp_pending_pc pc = k->pcs.pending[0];
		uint32_t frame;

		pp_pcs_drop_pending(&k->pcs, 0);
		if (named(k, pc.key, &frame) &&
		    pp_frames_resolve(k->store->frames, pc.frame, frame) == 0)
			pp_pcs_put(&k->pcs, pc.key, frame);
		else
			(void)pp_frames_give_up(k->store->frames, pc.frame);
	}
}

/* What had no name may have one by now, and an address may be another program's. */
static void ask_again(struct pp_kernel *k, uint64_t now_ns)
{
	k->stale = false;
	k->loaded_ns = now_ns;
	k->reload_ns = MIN(k->reload_ns * 2, RELOAD_MAX_NS);
	if (!k->symbols || pp_kallsyms_start(k->symbols) == 0)
		pp_pcs_forget(&k->pcs);
}

void pp_kernel_tick(struct pp_kernel *k, uint64_t now_ns)
{
	if (k->stale && !is_loading(k) && k->loaded_ns + k->reload_ns < now_ns)
		ask_again(k, now_ns);
	if (!is_loading(k))
		return;
	if (pp_kallsyms_step(k->symbols, STEP_BYTES) > 0)
		return;
	k->loaded_ns = now_ns;
	settle_pending(k);
}

void pp_kernel_swept(struct pp_kernel *k)
{
	pp_pcs_swept(&k->pcs, k->store);
}

size_t pp_kernel_pending(const struct pp_kernel *k, uint64_t time_ns)
{
	return pp_pcs_pending(&k->pcs, time_ns);
}
