/* SPDX-License-Identifier: GPL-2.0-only */
#include "u64map.h"

#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#define SMALLEST_TABLE 16

static uint64_t seed(void)
{
	static uint64_t value;

	if (!value) {
		/* The plain system call: newer C libraries' getrandom() sets up memory with calls
		 * that the worker's sandbox does not allow. */
		if (syscall(SYS_getrandom, &value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
			value = (uintptr_t)&value ^ (uint64_t)getpid() * 0x9e3779b97f4a7c15ULL;
		value |= 1;
	}
	return value;
}

uint64_t pp_mix(uint64_t x)
{
	x ^= seed();
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

uint64_t pp_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = len * 0x9e3779b97f4a7c15ULL, word;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = pp_mix(h ^ word);
	}
	if (len) {
		word = 0;
		memcpy(&word, p, len);
		h = pp_mix(h ^ word);
	}
	return pp_mix(h);
}

static size_t home(const struct pp_u64map *m, uint64_t key)
{
	return pp_mix(key) & (m->cap - 1);
}

/* The slot that holds key, or the empty one where it would go. The table is never full. */
static size_t find(const struct pp_u64map *m, uint64_t key)
{
	size_t i = home(m, key);

	while (m->used[i] && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

/* Moves what is used to a table of this size. */
static int resize(struct pp_u64map *m, size_t cap)
{
	struct pp_u64map other = { .cap = cap, .max = m->max };

	other.slots = malloc(other.cap * sizeof(*other.slots));
	other.used = calloc(other.cap, 1);
	if (!other.slots || !other.used) {
		pp_u64map_done(&other);
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->cap; i++) {
		if (!m->used[i])
			continue;
		size_t at = find(&other, m->slots[i].key);

		other.slots[at] = m->slots[i];
		other.used[at] = 1;
	}
	other.len = m->len;
	pp_u64map_done(m);
	*m = other;
	return 0;
}

static int grow(struct pp_u64map *m)
{
	return resize(m, m->cap ? m->cap * 2 : SMALLEST_TABLE);
}

void pp_u64map_filter(struct pp_u64map *m, bool (*keep)(void *userdata, uint64_t *value),
		      void *userdata)
{
	size_t before = m->len, cap = SMALLEST_TABLE;

	for (size_t i = 0; i < m->cap; i++) {
		if (!m->used[i] || keep(userdata, &m->slots[i].value))
			continue;
		m->used[i] = 0;
		m->len--;
	}
	if (m->len == before)
		return;
	/* The gaps are no longer where the search for others would end. */
	while (m->len * 4 >= cap * 3)
		cap *= 2;
	if (resize(m, cap) < 0)
		pp_u64map_clear(m);
}

int pp_u64map_copy(struct pp_u64map *to, const struct pp_u64map *from)
{
	struct pp_u64map copy = *from;

	if (from->cap) {
		copy.slots = malloc(from->cap * sizeof(*copy.slots));
		copy.used = malloc(from->cap);
		if (!copy.slots || !copy.used) {
			pp_u64map_done(&copy);
			return -ENOMEM;
		}
		memcpy(copy.slots, from->slots, from->cap * sizeof(*copy.slots));
		memcpy(copy.used, from->used, from->cap);
	}
	pp_u64map_done(to);
	*to = copy;
	return 0;
}

bool pp_u64map_get(const struct pp_u64map *m, uint64_t key, uint64_t *ret_value)
{
	size_t i;

	if (!m->len)
		return false;
	i = find(m, key);
	if (!m->used[i])
		return false;
	*ret_value = m->slots[i].value;
	return true;
}

/* Where key is; one that is not there yet is put in, with 0. Returns 0, -ENOSPC or -ENOMEM. */
static int find_or_put(struct pp_u64map *m, uint64_t key, size_t *ret)
{
	size_t i;

	if (m->cap) {
		i = find(m, key);
		if (m->used[i]) {
			*ret = i;
			return 0;
		}
	}
	if (m->max && m->len >= m->max)
		return -ENOSPC;
	if (m->len * 4 >= m->cap * 3) {
		int r = grow(m);

		if (r < 0)
			return r;
	}
	i = find(m, key);
	m->slots[i] = (struct pp_u64map_slot){ .key = key };
	m->used[i] = 1;
	m->len++;
	*ret = i;
	return 0;
}

int pp_u64map_put(struct pp_u64map *m, uint64_t key, uint64_t value)
{
	size_t i;
	int r = find_or_put(m, key, &i);

	if (r == 0)
		m->slots[i].value = value;
	return r;
}

uint64_t *pp_u64map_at(struct pp_u64map *m, uint64_t key)
{
	size_t i;

	return find_or_put(m, key, &i) < 0 ? NULL : &m->slots[i].value;
}

bool pp_u64map_del(struct pp_u64map *m, uint64_t key)
{
	size_t hole, i;

	if (!m->len)
		return false;
	hole = find(m, key);
	if (!m->used[hole])
		return false;
	/* Close the gap: pull back each follower whose home does not lie behind the hole. */
	for (i = (hole + 1) & (m->cap - 1); m->used[i]; i = (i + 1) & (m->cap - 1)) {
		size_t want = home(m, m->slots[i].key);

		if (((i - want) & (m->cap - 1)) < ((i - hole) & (m->cap - 1)))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->used[hole] = 0;
	m->len--;
	return true;
}

bool pp_u64map_next(const struct pp_u64map *m, size_t *i, uint64_t *ret_key, uint64_t *ret_value)
{
	for (; *i < m->cap; (*i)++) {
		if (!m->used[*i])
			continue;
		*ret_key = m->slots[*i].key;
		*ret_value = m->slots[*i].value;
		(*i)++;
		return true;
	}
	return false;
}

void pp_u64map_clear(struct pp_u64map *m)
{
	if (m->cap)
		memset(m->used, 0, m->cap);
	m->len = 0;
}

void pp_u64map_done(struct pp_u64map *m)
{
	free(m->slots);
	free(m->used);
	*m = (struct pp_u64map){ .max = m->max };
}
