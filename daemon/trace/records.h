/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Samples from the ring's records. A record leaves out what its CPU's slot had in the record before
 * (bpf/record.bpf.h); here the same slots are kept, and samples are made whole again.
 */
#pragma once

#include "base/macro.h"
#include "bpf/pp_types.h"

struct pp_records;

int pp_records_new(struct pp_records **ret, unsigned int cpus, enum pp_records_mode mode);
struct pp_records *pp_records_free(struct pp_records *r);
PP_DEFINE_CLEANUP(struct pp_records *, pp_records_free)

/*
 * The sample that a record of `size` bytes is of, which stays until the next call. Every count and
 * enum in it is within its bound. NULL: it could not be made, which is counted; or it is one to
 * compare the next with (PP_RECORDS_CHECK). The record is aligned like a sample; all of a CPU's
 * must come, in their order, or those that build on a missing one are lost.
 */
const struct pp_sample *pp_records_take(struct pp_records *r, const void *record, size_t size);

/* Samples compared so far. */
uint64_t pp_records_compared(const struct pp_records *r);

/* Memory of the slots. */
size_t pp_records_bytes(const struct pp_records *r);
