/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A slot has what its last record was of: who was running, and the outermost frames of its stack,
 * as many as BPF keeps. It is known from a record on that builds on nothing, for as long as each
 * that follows has the next number. A slot's memory is as large as its stacks were, up to
 * PP_SLOT_WORDS_MAX: 100 KB a CPU for all.
 */
#include "records.h"

#include "base/counters.h"

#include <string.h>

#define PP_SLOT_WORDS_MAX   (2 * PP_SLOT_PYTHON_MAX + PP_SLOT_USER_MAX)
#define PP_SLOT_WORDS_STEP  32 /* what its memory grows by */
#define PP_SAMPLE_WORDS_MAX (PP_KERNEL_FRAMES_MAX + 2 * PP_PYTHON_FRAMES_MAX + PP_USER_FRAMES_MAX)
#define PP_WHO_BYTES	    offsetof(struct pp_sample, short_form)
#define PP_SHORT_BYTES	    (sizeof(struct pp_sample) - PP_WHO_BYTES)
#define WORD		    sizeof(uint64_t)

struct slot {
	bool known;
	uint32_t seq;
	uint16_t nr_python, nr_user;
	uint16_t cap;
	uint64_t who[PP_SLOT_WHO_WORDS];
	uint64_t words[]; /* as in a sample: Python frames, then user pcs, each leaf first */
};

/* A sample with room for all that it can have. */
union whole {
	struct pp_sample sample;
	uint64_t words[sizeof(struct pp_sample) / WORD + PP_SAMPLE_WORDS_MAX];
};

struct cpu {
	struct slot *slots[PP_SLOTS];
	union whole *beside; /* what came whole, to be compared with the next */
};

struct pp_records {
	enum pp_records_mode mode;
	unsigned int nr_cpus;
	struct cpu **cpus; /* NULL: none of its records has come */
	uint64_t compared;
	size_t bytes;
	union whole whole; /* what is handed out */
};

int pp_records_new(struct pp_records **ret, unsigned int cpus, enum pp_records_mode mode)
{
	_cleanup_(pp_records_freep) struct pp_records *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->cpus = calloc(cpus, sizeof(struct cpu *));
	if (!r->cpus)
		return -ENOMEM;
	r->nr_cpus = cpus;
	r->mode = mode;
	*ret = TAKE_PTR(r);
	return 0;
}

struct pp_records *pp_records_free(struct pp_records *r)
{
	if (!r)
		return NULL;
	for (unsigned int i = 0; i < r->nr_cpus; i++) {
		if (!r->cpus[i])
			continue;
		for (size_t slot = 0; slot < PP_SLOTS; slot++)
			free(r->cpus[i]->slots[slot]);
		free(r->cpus[i]->beside);
		free(r->cpus[i]);
	}
	free(r->cpus);
	free(r);
	return NULL;
}

uint64_t pp_records_compared(const struct pp_records *r)
{
	return r->compared;
}

size_t pp_records_bytes(const struct pp_records *r)
{
	return r->bytes;
}

static struct cpu *cpu_of(struct pp_records *r, uint32_t number)
{
	struct cpu **cpu = &r->cpus[number];

	if (!*cpu)
		*cpu = calloc(1, sizeof(**cpu));
	return *cpu;
}

/* ---- What a record says ---------------------------------------------------------------------- */

/* Copies the record's header into the sample in hand. Returns its length; 0: it has none. */
static size_t take_header(struct pp_records *r, const void *record, size_t size)
{
	struct pp_sample *s = &r->whole.sample;
	uint32_t form;

	if (size < sizeof(form))
		return 0;
	memcpy(&form, record, sizeof(form));
	if (form == PP_FORM_SHORT) {
		if (size < PP_SHORT_BYTES)
			return 0;
		memcpy(&s->short_form, record, PP_SHORT_BYTES);
		s->form = form;
		return PP_SHORT_BYTES;
	}
	if (size < sizeof(*s))
		return 0;
	memcpy(s, record, sizeof(*s));
	return sizeof(*s);
}

static size_t words_sent(const struct pp_sample *s)
{
	return pp_sample_words(s) - 2U * s->kept_python - s->kept_user;
}

static bool holds_up(const struct pp_records *r, size_t header, size_t size)
{
	const struct pp_sample *s = &r->whole.sample;

	return header && s->form <= PP_FORM_SHORT && s->cpu < r->nr_cpus && s->slot < PP_SLOTS &&
	       s->nr_kernel <= PP_KERNEL_FRAMES_MAX && s->nr_user <= PP_USER_FRAMES_MAX &&
	       s->nr_python <= PP_PYTHON_FRAMES_MAX && s->kept_user <= s->nr_user &&
	       s->kept_python <= s->nr_python && s->set < PP_SETS_MAX && s->end < PP_END_MAX &&
	       s->chain_end < PP_CHAIN_MAX && s->gil < PP_GIL_MAX && s->gc < PP_GC_MAX &&
	       (s->form != PP_FORM_WHOLE || (!s->kept_user && !s->kept_python)) &&
	       size == header + WORD * words_sent(s);
}

/* Whether the slot has what the record leaves out, if it does. */
static bool builds_on(const struct slot *slot, const struct pp_sample *s)
{
	if (s->form == PP_FORM_FULL && !s->kept_python && !s->kept_user)
		return true;
	return slot && slot->known && slot->seq + 1 == s->seq &&
	       s->kept_python <= slot->nr_python && s->kept_user <= slot->nr_user;
}

/* ---- The sample ------------------------------------------------------------------------------ */

static uint64_t *add_words(uint64_t *to, const uint64_t *words, size_t n)
{
	memcpy(to, words, n * WORD);
	return to + n;
}

/* The words of the sample in hand: those that were sent, and from the slot the outermost frames of
 * each kind. */
static void build(struct pp_sample *s, const uint64_t *sent, const struct slot *slot)
{
	size_t python = s->nr_kernel + 2UL * (s->nr_python - s->kept_python);
	uint64_t *to = add_words((uint64_t *)s->words, sent, python);

	if (s->kept_python)
		to = add_words(to, slot->words + 2UL * (slot->nr_python - s->kept_python),
			       2UL * s->kept_python);
	to = add_words(to, sent + python, s->nr_user - s->kept_user);
	if (s->kept_user)
		add_words(to, slot->words + 2UL * slot->nr_python + slot->nr_user - s->kept_user,
			  s->kept_user);
}

static struct slot *grow(struct pp_records *r, struct slot *slot, size_t words)
{
	size_t cap = (words + PP_SLOT_WORDS_STEP - 1) / PP_SLOT_WORDS_STEP * PP_SLOT_WORDS_STEP;
	size_t before = slot ? sizeof(*slot) + slot->cap * WORD : 0;
	struct slot *bigger = realloc(slot, sizeof(*slot) + cap * WORD);

	if (!bigger)
		return NULL;
	r->bytes += sizeof(*slot) + cap * WORD - before;
	bigger->cap = (uint16_t)cap;
	return bigger;
}

/* Gives the slot the sample's outermost frames, those that BPF keeps. */
static void keep(struct pp_records *r, struct slot **at, const struct pp_sample *s)
{
	uint16_t nr_python = MIN(s->nr_python, (uint16_t)PP_SLOT_PYTHON_MAX);
	uint16_t nr_user = MIN(s->nr_user, (uint16_t)PP_SLOT_USER_MAX);
	size_t words = 2UL * nr_python + nr_user;
	struct slot *slot = *at;
	uint64_t *to;

	if (!slot || slot->cap < words) {
		slot = grow(r, slot, words);
		if (!slot) {
			/* What builds on it is lost, up to the slot's renewal. */
			if (*at)
				(*at)->known = false;
			return;
		}
		*at = slot;
	}
	slot->known = true;
	slot->seq = s->seq;
	slot->nr_python = nr_python;
	slot->nr_user = nr_user;
	memcpy(slot->who, s, PP_WHO_BYTES);
	to = add_words(slot->words,
		       (const uint64_t *)pp_sample_python(s) + 2UL * (s->nr_python - nr_python),
		       2UL * nr_python);
	add_words(to, (const uint64_t *)pp_sample_user(s) + s->nr_user - nr_user, nr_user);
}

/* ---- The check ------------------------------------------------------------------------------- */

static void put_beside(struct cpu *cpu, const struct pp_sample *s)
{
	if (!cpu->beside)
		cpu->beside = malloc(sizeof(*cpu->beside));
	if (cpu->beside)
		memcpy(cpu->beside, s, pp_sample_bytes(s));
}

/* Compares the sample with the one that came whole; that may have been lost. */
static void compare(struct pp_records *r, struct cpu *cpu, const struct pp_sample *s)
{
	const struct pp_sample *beside = cpu->beside ? &cpu->beside->sample : NULL;

	if (!beside || beside->time_ns != s->time_ns)
		return;
	r->compared++;
	if (pp_sample_bytes(s) != pp_sample_bytes(beside) ||
	    memcmp(s, beside, pp_sample_bytes(s)) != 0)
		pp_count(PP_C_samples_differ);
}

/* ---- One after the other --------------------------------------------------------------------- */

/* Makes the sample in hand whole, and its slot the next one's. */
static bool rebuild(struct pp_records *r, struct slot **slot, const uint64_t *sent)
{
	struct pp_sample *s = &r->whole.sample;

	if (!builds_on(*slot, s)) {
		if (*slot)
			(*slot)->known = false;
		return false;
	}
	if (s->form == PP_FORM_SHORT)
		memcpy(s, (*slot)->who, PP_WHO_BYTES);
	build(s, sent, *slot);
	keep(r, slot, s);
	/* As if it had come so. */
	s->form = PP_FORM_WHOLE;
	s->short_form = PP_FORM_SHORT;
	s->seq = s->slot = 0;
	s->kept_python = s->kept_user = 0;
	return true;
}

const struct pp_sample *pp_records_take(struct pp_records *r, const void *record, size_t size)
{
	struct pp_sample *s = &r->whole.sample;
	size_t header = take_header(r, record, size);
	const char *words = (const char *)record + header;
	struct cpu *cpu;

	if (!holds_up(r, header, size)) {
		pp_count(PP_C_sample_malformed);
		return NULL;
	}
	if (s->form == PP_FORM_WHOLE && r->mode != PP_RECORDS_CHECK)
		return record;
	cpu = cpu_of(r, s->cpu);
	if (cpu && s->form == PP_FORM_WHOLE) {
		put_beside(cpu, record);
		return NULL;
	}
	if (!cpu || !rebuild(r, &cpu->slots[s->slot], (const uint64_t *)words)) {
		pp_count(PP_C_samples_unbuilt);
		return NULL;
	}
	if (r->mode == PP_RECORDS_CHECK)
		compare(r, cpu, s);
	return s;
}
