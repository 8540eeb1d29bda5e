/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The walk of a user stack, one frame at a time.
 *
 * A frame is (pc, rsp, rbp). Its rule says where the caller's frame begins (the CFA); the return
 * address and, where the function saved it, the caller's rbp are read from the stack. Who has the
 * rule for a pc:
 *   1. this CPU's pc cache, under the process's address-space generation: almost always;
 *   2. the table of the file mapped there (find_rule): mapping, bucket, row;
 *   3. the code itself, where no file is mapped: CPython's trampolines have no unwind information,
 * but there are only two shapes of them (stub_rule);
 *   4. the frame-pointer convention, for JITs, Go, and assembly without unwind information.
 * Whoever walks another kind of frame later takes its place in that list.
 *
 * The stack is read in windows of up to 16 KB, because a read costs 100 ns whether it is of 8 bytes
 * or of hundreds: one serves many frames.
 *
 * Shaped for the verifier: what is rare or has many branches (find_rule, refill, special_frame) is
 * a global function, verified once and not per loop iteration, and so are a few frames together
 * (stride, in pyprof.bpf.c); the state lives in map memory, where branches cannot fork it; searches
 * start from a zero that the verifier does not know to be one; and masks are applied in assembly,
 * because the compiler drops those it can prove.
 */
#pragma once

#include "maps.bpf.h"

/* x &= mask, visibly to the verifier. */
#define BOUND(x, mask) asm volatile("%0 &= %1" : "+r"(x) : "i"(mask))

#define USER_ADDRESS_MAX (1ULL << 47)

/* Binary search steps that cover PP_MAPPINGS_MAX and PP_BUCKET_ROWS_MAX. */
#define MAPPING_STEPS 12
#define ROW_STEPS     9

/* CPython's trampolines on x86-64, as little-endian words; either may follow an endbr64.
 *   older: sub $8,%rsp; call *%rcx; add $8,%rsp; ret
 *   newer: push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret */
#define STUB_SUB_HEAD  0x8348d1ff08ec8348ULL
#define STUB_SUB_TAIL  0x08c4 /* the next two bytes; then ret */
#define STUB_PUSH      0xc35dd1ffe5894855ULL
#define ENDBR64	       0xfa1e0ff3U
#define CODE_RET       0xc3
#define CODE_PUSH_RBP  0x55
#define CODE_MOV_FRAME 0xe58948 /* mov %rsp,%rbp; three bytes */
/* libffi's closures in anonymous memory, 13 bytes behind an endbr64 or not, which push nothing:
 * lea CLOSURE(%rip),%r10; jmp *CODE(%rip). */
#define CLOSURE_LEA 0x158d4c /* three bytes of seven */
#define CLOSURE_JMP 0x25ff
/* How Go's functions begin, before they push: cmp 16(%r14),%rsp (or %r12, if bit 2 is set); jbe. */
#define GO_STACK_CHECK 0x10663b49U
#define GO_CHECK_MASK  0xfffffffbU

#define RULE_FP	       PP_RULE(PP_RULE_FP, 2, 2)
#define RULE_FP_UNSURE PP_RULE(PP_RULE_FP_UNSURE, 2, 2)
#define RULE_UNLOADED  PP_RULE(PP_RULE_MAX, 0, 0)

/* Where a signal's ucontext, at the rule's rsp + 8a, has the registers: gregs are at its byte 40.
 */
#define SIGNAL_RBP (40 + 80)
#define SIGNAL_RSP (40 + 120)
#define SIGNAL_RIP (40 + 128)

/* Where a signal handler returns to: mov $15,%rax; syscall, with the ucontext at rsp. Recognised
 * where there are no rows (Go, musl); the debuggers know it by these bytes too. */
#define RESTORER_HEAD 0x0f0000000fc0c748ULL
#define RESTORER_TAIL 0x05

static __always_inline struct pp_walk *this_walk(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&walks, &cpu);
}

static __always_inline struct pp_cache *this_cache(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&caches, &cpu);
}

static __always_inline __u32 *chunk_words(__u32 word)
{
	__u32 chunk = word >> PP_CHUNK_WORDS_SHIFT, zero = 0;
	void *inner = bpf_map_lookup_elem(&store, &chunk);
	struct pp_chunk *c;

	if (!inner)
		return 0;
	c = bpf_map_lookup_elem(inner, &zero);
	return c ? c->words : 0;
}

static __always_inline __u32 read_word(__u32 word)
{
	__u32 *words = chunk_words(word);
	__u64 i = word;

	BOUND(i, PP_CHUNK_WORDS - 1);
	return words ? words[i] : 0;
}

/* ---- 2: the tables -------------------------------------------------------------------------- */

/*
 * Searches are of the halving kind without a branch on what was read: the verifier would follow
 * both ways at every step. GO_RIGHT is all ones if value <= key (both below 2^63), else 0.
 */
#define GO_RIGHT(value, key) (~((__s64)((key) - (value)) >> 63))
#define OPAQUE(x)	     asm volatile("" : "+r"(x))

/* The last mapping of the process's block that starts at or below the address, or NULL. */
static __always_inline struct pp_mapping *find_mapping(struct pp_walk *w, __u64 address)
{
	__u32 *words = chunk_words(w->block);
	__u64 low = w->zero, left = w->nr_mappings, at;
	struct pp_mapping *m;

	if (!words)
		return 0;
	for (int i = 0; i < MAPPING_STEPS; i++) {
		__u64 half = left >> 1, right;

		if (!half)
			break;
		at = w->block + (low + half) * PP_MAPPING_WORDS;
		BOUND(at, PP_CHUNK_WORDS - PP_MAPPING_WORDS);
		m = (struct pp_mapping *)&words[at];
		right = GO_RIGHT(m->start, address);
		OPAQUE(right);
		low += half & right;
		left -= half;
	}
	at = w->block + low * PP_MAPPING_WORDS;
	BOUND(at, PP_CHUNK_WORDS - PP_MAPPING_WORDS);
	m = (struct pp_mapping *)&words[at];
	return address >= m->start && address < m->end ? m : 0;
}

/* The rule for an ELF address, and how far around it that is the rule; 0 (PP_RULE_NONE) if the
 * table has none; RULE_UNLOADED if the table has just been evicted, which says nothing about the
 * code. */
static __always_inline __u32 table_rule(struct pp_walk *w, __u32 table, __u64 address,
					__u64 *ret_before, __u64 *ret_behind)
{
	struct pp_table *t = bpf_map_lookup_elem(&tables, &table);
	__u64 bucket, low, left, offset, at;
	__u32 index, first, zero = 0;
	struct pp_rules *r;
	__u32 *words;

	if (!t || !t->nr_buckets)
		return RULE_UNLOADED;
	if (address < t->start)
		return 0;
	bucket = (address - t->start) >> PP_BUCKET_SHIFT;
	if (bucket >= t->nr_buckets)
		return 0;
	index = read_word(t->index + bucket);
	first = t->rows + (index >> 8);
	words = chunk_words(first);
	r = bpf_map_lookup_elem(&rules, &zero);
	if (!words || !r)
		return 0;
	/* The last row at or below the offset; the first one's is 0. */
	offset = address & ((1 << PP_BUCKET_SHIFT) - 1);
	low = w->zero;
	left = (index & 0xff) + 1;
	for (int i = 0; i < ROW_STEPS; i++) {
		__u64 half = left >> 1, right;

		if (!half)
			break;
		at = first + low + half;
		BOUND(at, PP_CHUNK_WORDS - 1);
		right = GO_RIGHT((__u64)(words[at] >> 16), offset);
		OPAQUE(right);
		low += half & right;
		left -= half;
	}
	/* Its end is where the next begins, or the bucket's. */
	at = first + low + 1;
	BOUND(at, PP_CHUNK_WORDS - 1);
	*ret_behind = (low < (index & 0xff) ? words[at] >> 16 : 1U << PP_BUCKET_SHIFT) - offset;
	at = first + low;
	BOUND(at, PP_CHUNK_WORDS - 1);
	at = words[at];
	*ret_before = offset - (at >> 16);
	BOUND(at, PP_RULES_MAX - 1);
	return r->rules[at];
}

/* ---- 3: the code itself ---------------------------------------------------------------------- */

/* Copies the code around pc into w->code, the pc in its middle. Before a mapping's first page and
 * behind its last there may be nothing: then only what lies in the pc's own page is there, among
 * zeros. */
static __always_inline int read_code(struct pp_walk *w, __u64 pc)
{
	__u64 before = pc & 4095, after = 4096 - before;

	if (!bpf_probe_read_user(w->code, CODE_BYTES, (void *)(pc - CODE_BYTES / 2)))
		return 0;
	__builtin_memset(w->code, 0, CODE_BYTES);
	if (before > CODE_BYTES / 2)
		before = CODE_BYTES / 2;
	if (after > CODE_BYTES / 2)
		after = CODE_BYTES / 2;
	BOUND(before, 31);
	BOUND(after, 31);
	return bpf_probe_read_user(&w->code[(CODE_BYTES / 2 - before) & 31], before + after,
				   (void *)(pc - before));
}

#define CODE_AT(w, type, offset) (*(type *)&(w)->code[CODE_BYTES / 2 + (offset)])

static __always_inline bool is_sub_stub(struct pp_walk *w, int body)
{
	return CODE_AT(w, __u64, body) == STUB_SUB_HEAD &&
	       CODE_AT(w, __u16, body + 8) == (__u16)(STUB_SUB_TAIL) &&
	       CODE_AT(w, __u8, body + 10) == CODE_RET;
}

static __always_inline bool is_push_stub(struct pp_walk *w, int body)
{
	return CODE_AT(w, __u64, body) == STUB_PUSH;
}

/* If pc (exact) lies in a trampoline: its rule, else 0. The offset in the stub says what has been
 * pushed so far; at a return address it is always that behind the call. */
static __always_inline __u32 stub_rule(struct pp_walk *w, __u32 leaf)
{
	const __u32 entered = PP_RULE(PP_RULE_STUB, 1, 0), framed = PP_RULE(PP_RULE_STUB, 2, 0),
		    saved = PP_RULE(PP_RULE_STUB, 2, 2);

	if (is_sub_stub(w, -6))
		return framed;
	if (is_push_stub(w, -6))
		return saved;
	if (!leaf)
		return 0;
	if (is_sub_stub(w, 0) || is_push_stub(w, 0) || is_sub_stub(w, -10) || is_push_stub(w, -7))
		return entered;
	if (is_sub_stub(w, -4))
		return framed;
	if (is_push_stub(w, -1) || is_push_stub(w, -4))
		return saved;
	if (CODE_AT(w, __u32, 0) == ENDBR64 && (is_sub_stub(w, 4) || is_push_stub(w, 4)))
		return entered;
	return 0;
}

/* ---- 4: the frame pointer -------------------------------------------------------------------- */

static __always_inline bool is_restorer(struct pp_walk *w, int begin)
{
	return CODE_AT(w, __u64, begin) == RESTORER_HEAD &&
	       CODE_AT(w, __u8, begin + 8) == RESTORER_TAIL;
}

static __always_inline bool is_closure(struct pp_walk *w, int begin)
{
	return (CODE_AT(w, __u32, begin) & 0xffffff) == CLOSURE_LEA &&
	       CODE_AT(w, __u16, begin + 7) == CLOSURE_JMP;
}

/* At a return address the convention holds, but for a signal's. A leaf may stand in a prologue or
 * at its ret, which its code tells, or in a function that sets up no frame, which nothing tells:
 * then its direct caller is missing from the chain, and the frame is marked. */
static __always_inline __u32 frame_pointer_rule(struct pp_walk *w, __u32 leaf)
{
	/* In the kernel the pc is behind the syscall: where rows there are end. */
	if (is_restorer(w, 0) || (leaf && (is_restorer(w, -7) || is_restorer(w, -9))))
		return PP_RULE(PP_RULE_SIGNAL, 0, 0);
	if (!leaf)
		return RULE_FP;
	if (CODE_AT(w, __u8, 0) == CODE_PUSH_RBP || CODE_AT(w, __u8, 0) == CODE_RET ||
	    CODE_AT(w, __u32, 0) == ENDBR64 || is_closure(w, 0) || is_closure(w, -7) ||
	    (CODE_AT(w, __u32, 0) & GO_CHECK_MASK) == GO_STACK_CHECK ||
	    (CODE_AT(w, __u32, -4) & GO_CHECK_MASK) == GO_STACK_CHECK)
		return PP_RULE(PP_RULE_RSP, 1, 0);
	if (CODE_AT(w, __u8, -1) == CODE_PUSH_RBP &&
	    (CODE_AT(w, __u32, 0) & 0xffffff) == CODE_MOV_FRAME)
		return PP_RULE(PP_RULE_RSP, 2, 2);
	return RULE_FP_UNSURE;
}

/* ---- 1: the cache ---------------------------------------------------------------------------- */

#define RANGE(start, bytes, leaf) ((start) | (__u64)(bytes) << 48 | (__u64)(leaf) << 63)
#define RANGE_START(range)	  ((range) & ((1ULL << 48) - 1))
#define RANGE_BYTES(range)	  ((range) >> 48 & 0x7fff)
#define RANGE_LEAF(range)	  ((range) >> 63)

static __always_inline struct pp_cache_entry *cached(struct pp_cache *cache, __u64 address,
						     __u32 leaf)
{
	__u64 slot =
		((leaf ? address >> CACHE_BLOCK_SHIFT : address) * 0x9e3779b97f4a7c15ULL) >> 40;

	BOUND(slot, CACHE_ENTRIES - 1);
	return &cache->entries[slot];
}

/* The rule holds for so many bytes before and from the address on. */
static __always_inline void remember(struct pp_walk *w, struct pp_cache *cache, __u64 address,
				     __u32 leaf, __u64 before, __u64 behind, __u32 rule)
{
	__u64 in_block = address & ((1 << CACHE_BLOCK_SHIFT) - 1);

	if (!leaf) {
		before = 0;
		behind = 1;
	}
	if (before > in_block)
		before = in_block;
	if (behind > (1 << CACHE_BLOCK_SHIFT) - in_block)
		behind = (1 << CACHE_BLOCK_SHIFT) - in_block;
	*cached(cache, address, leaf) = (struct pp_cache_entry){
		RANGE(address - before, before + behind, leaf),
		w->gen,
		rule,
	};
}

/*
 * The rule for the walk's pc, from whoever has it; remembered in the pc cache. 0 when nobody does,
 * with the reason in sample.end.
 */
__noinline __u32 find_rule(__u64 pc, __u32 leaf)
{
	struct pp_walk *w = this_walk();
	struct pp_cache *cache = this_cache();
	struct pp_mapping *m;
	__u64 address = leaf ? pc : pc - 1, before = 0, behind = 1;
	__u32 rule = 0;

	if (!w || !cache)
		return 0;
	m = find_mapping(w, address);
	if (m && m->kind == PP_MAPPING_PENDING) {
		w->sample.end = PP_END_NO_TABLE;
		return 0;
	}
	if (m && m->kind == PP_MAPPING_TABLE)
		rule = table_rule(w, m->table, address - m->bias, &before, &behind);
	if (rule == RULE_UNLOADED) {
		w->sample.end = PP_END_NO_TABLE;
		return 0;
	}
	if (!rule) {
		before = 0;
		behind = 1;
		if (read_code(w, pc)) {
			w->sample.end = m ? PP_END_NO_ROW : PP_END_NO_MAPPING;
			return 0;
		}
		if (!m || m->kind == PP_MAPPING_ANON)
			rule = stub_rule(w, leaf);
		if (!rule && !m) {
			w->sample.end = PP_END_NO_MAPPING;
			return 0;
		}
		if (!rule)
			rule = frame_pointer_rule(w, leaf);
	}
	if (PP_RULE_KIND(rule) == PP_RULE_UNSUPPORTED) {
		w->sample.end = PP_END_RULE;
		return 0;
	}
	/* What a leaf stands at in memory without a file may be written over, and nothing tells. */
	if (address < USER_ADDRESS_MAX && (!leaf || (m && m->kind != PP_MAPPING_ANON)))
		remember(w, cache, address, leaf, before, behind, rule);
	return rule;
}

static __always_inline __u32 rule_of(struct pp_walk *w, struct pp_cache *cache)
{
	__u64 address = w->pc - 1 + w->leaf;
	struct pp_cache_entry *e = cached(cache, address, w->leaf);
	__u64 range = e->range;

	if (e->gen == w->gen && RANGE_LEAF(range) == w->leaf &&
	    address - RANGE_START(range) < RANGE_BYTES(range))
		return e->rule;
	return find_rule(w->pc, w->leaf);
}

/* ---- The stack ------------------------------------------------------------------------------- */

/*
 * Moves the window so that it holds the 8 bytes at address. The first read of a walk takes what the
 * last stack on this CPU needed, later ones twice as much each, up to 16 KB: a shallow stack costs
 * little, a deep one few reads. Where the stack ends within the read, which the kernel finds out at
 * the price of several reads, what is left of the slot's page is taken; the next walks then stop
 * there by themselves. Returns 0, or -1 if the slot cannot be read.
 */
__noinline int refill(__u64 address)
{
	struct pp_walk *w = this_walk();
	__u64 start = (address - 64) & ~63ULL, room;
	__u32 size;

	if (!w)
		return -1;
	size = w->window_next;
	if (size > WINDOW_BYTES)
		size = WINDOW_BYTES;
	room = w->stack_end - start;
	if (address + 7 < w->stack_end && room < size)
		size = room;
	BOUND(size, 2 * WINDOW_BYTES - 1);
	if (bpf_probe_read_user(w->window, size, (void *)start)) {
		start = address;
		size = 4096 - (address & 4095);
		if (size < 8 || bpf_probe_read_user(w->window, size, (void *)start)) {
			w->window_len = 0;
			return -1;
		}
		w->stack_end = start + size;
	}
	w->window_start = start;
	w->window_len = size;
	size = w->window_next * 2;
	w->window_next = size > WINDOW_BYTES ? WINDOW_BYTES : size;
	return 0;
}

/* At the end of a walk: what would have been the right size to begin with. */
static __always_inline void learn_window(struct pp_walk *w)
{
	__u64 span = w->sp - w->leaf_sp + 128;

	if (span > WINDOW_BYTES)
		span = WINDOW_BYTES;
	if (span < WINDOW_READ_MIN)
		span = WINDOW_READ_MIN;
	w->window_first = (span + 63) & ~63U;
}

static __always_inline int read_slot(struct pp_walk *w, __u64 address, __u64 *ret_value)
{
	__u64 offset = address - w->window_start;

	if (offset + 8 > w->window_len || offset + 8 < 8) {
		if (refill(address))
			return -1;
		offset = address - w->window_start;
	}
	BOUND(offset, WINDOW_BYTES - 1);
	if (offset > WINDOW_BYTES - 8)
		return -1;
	*ret_value = *(__u64 *)&w->window[offset];
	return 0;
}

/*
 * The rules that are not "a register plus a constant": PLT entries, signal frames, realigned
 * frames; and the one that is not to be relied on. Computes the caller's frame into the walk.
 * Returns 0, or -1 with the reason in sample.end.
 */
__noinline int special_frame(__u32 rule)
{
	struct pp_walk *w = this_walk();
	__u64 a = PP_RULE_A(rule) * 8, k = PP_RULE_K(rule), cfa, ra, bp;

	if (!w)
		return -1;
	bp = w->bp;
	w->sample.end = PP_END_STACK;
	switch (PP_RULE_KIND(rule)) {
	case PP_RULE_PLT:
		cfa = w->sp + 8 + ((w->pc & 15) >= PP_RULE_A(rule) ? 8 : 0);
		break;
	case PP_RULE_SIGNAL:
		/* The interrupted pc is exact: it is looked up like a leaf's. */
		if (read_slot(w, w->sp + a + SIGNAL_RIP, &ra) ||
		    read_slot(w, w->sp + a + SIGNAL_RBP, &bp) ||
		    read_slot(w, w->sp + a + SIGNAL_RSP, &cfa))
			return -1;
		if (!ra) { /* it interrupted the call of a null pointer */
			w->sample.end = PP_END_FP;
			return -1;
		}
		w->pc = ra;
		w->sp = cfa;
		w->bp = bp;
		w->leaf = 1;
		return 0;
	case PP_RULE_FP_UNSURE:
		/* A leaf may use rbp for anything: what would end other walks well proves nothing.
		 */
		cfa = bp + 16;
		w->sample.end = bp ? PP_END_STACK : PP_END_FP;
		if (!bp || read_slot(w, bp + 8, &ra) || read_slot(w, bp, &bp))
			return -1;
		if (!ra) {
			w->sample.end = PP_END_FP;
			return -1;
		}
		break;
	case PP_RULE_DEREF_RBP:
		if (read_slot(w, w->bp + (__s64)(__s16)PP_RULE_A(rule) * 8, &cfa))
			return -1;
		if (k && read_slot(w, w->bp, &bp))
			return -1;
		break;
	case PP_RULE_DEREF_RSP:
		if (read_slot(w, w->sp + (__s64)(__s16)PP_RULE_A(rule) * 8, &cfa))
			return -1;
		cfa += 8;
		if (k && read_slot(w, cfa - k * 8, &bp))
			return -1;
		break;
	default:
		w->sample.end = PP_END_RULE;
		return -1;
	}
	if (read_slot(w, cfa - 8, &ra))
		return -1;
	w->pc = ra;
	w->sp = cfa;
	w->bp = bp;
	w->leaf = 0;
	return 0;
}

/* Words of the record so far. */
static __always_inline __u64 words(struct pp_walk *w)
{
	return (__u64)w->sample.nr_kernel + 2 * w->sample.nr_python + w->sample.nr_user;
}

static __always_inline void push_pc(struct pp_walk *w, __u64 pc, __u32 walker)
{
	__u64 at = words(w);

	BOUND(at, PCS_MAX - 1);
	w->pcs[at] = PP_PC(pc, walker);
	w->sample.nr_user++;
}

static __always_inline __u32 walker_of(__u32 kind)
{
	if (kind == PP_RULE_FP)
		return PP_WALKER_FP;
	if (kind == PP_RULE_FP_UNSURE)
		return PP_WALKER_FP_UNSURE;
	if (kind == PP_RULE_STUB)
		return PP_WALKER_STUB;
	if (kind == PP_RULE_SIGNAL)
		return PP_WALKER_SIGNAL;
	return PP_WALKER_ROWS;
}

/*
 * Records the walk's frame and moves to its caller. Returns 0 to go on, 1 when the walk has ended,
 * the reason being in sample.end.
 */
static __always_inline int step(struct pp_walk *w, struct pp_cache *cache)
{
	__u32 rule = rule_of(w, cache), kind = PP_RULE_KIND(rule), k = PP_RULE_K(rule);
	__u64 cfa, ra, bp = w->bp;

	if (!rule) {
		push_pc(w, w->pc, PP_WALKER_NONE);
		return 1;
	}
	push_pc(w, w->pc, walker_of(kind));
	if (kind == PP_RULE_END) {
		w->sample.end = PP_END_ROOT;
		return 1;
	}
	if (kind == PP_RULE_FP) {
		if (!bp) {
			/* The ABI's mark of the outermost frame. */
			w->sample.end = PP_END_ROOT;
			return 1;
		}
		cfa = bp + 16;
	} else if (kind == PP_RULE_RSP || kind == PP_RULE_STUB) {
		cfa = w->sp + PP_RULE_A(rule) * 8;
	} else if (kind == PP_RULE_RBP) {
		cfa = bp + PP_RULE_A(rule) * 8;
	} else {
		if (special_frame(rule))
			return 1;
		goto moved;
	}
	w->sample.end = PP_END_STACK;
	if (read_slot(w, cfa - 8, &ra))
		return 1;
	if (k && read_slot(w, cfa - 8 * (__u64)k, &bp))
		return 1;
	w->pc = ra;
	w->sp = cfa;
	w->bp = bp;
	w->leaf = 0;
moved:
	if (!w->pc) {
		w->sample.end = PP_END_ROOT;
		return 1;
	}
	if (w->pc >= USER_ADDRESS_MAX) {
		w->sample.end = PP_END_NO_MAPPING;
		return 1;
	}
	return 0;
}
