/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nothing is lost silently: whatever the daemon drops, cuts, refuses or cannot read is counted
 * here, and `pyprofctl status` shows every counter with its text. A counter is added by one line in
 * the list, next to its kin. Counters are process-wide (one daemon, one thread) and only ever rise.
 */
#pragma once

#include <stdint.h>

#define PP_COUNTERS(X)                                                                         \
	/* name, what a rise means */                                                          \
	X(sideband_lost, "life-cycle records lost by the kernel; processes are read again")    \
	X(perfmap_lines_bad, "lines of perf maps that are no entries")                         \
	X(perfmap_names_cut, "names in perf maps cut to 128 KiB")                              \
	X(perfmap_entries_contested,                                                           \
	  "entries of perf maps not believed: two processes share the file and the address")   \
	X(perfmap_entries_refused, "entries of perf maps over a limit")                        \
	X(perfmap_bytes_refused, "bytes of perf maps over the limit of one map")               \
	X(jitdumps_foreign, "jitdumps without a header, or of another version or machine")     \
	X(jitdump_records_bad, "records of jitdumps that make no sense")                       \
	X(jitdump_damaged, "places in jitdumps where records broke off or come twice")         \
	X(jitdump_unflushed, "addresses sampled whose names were in their writer's buffer")    \
	X(files_refused, "mapped files over the table's limit")                                \
	X(files_unidentified, "mapped files that could not be identified any more")            \
	X(files_unreadable, "mapped files that are no ELF or could not be read")               \
	X(names_failed, "batches of names that the worker failed on")                          \
	X(tablefiles_bad, "files of the table cache that did not hold up; made anew")          \
	X(tablefiles_failed, "tables that could not be kept in the table cache")               \
	X(tables_evicted, "unwind tables evicted for others")                                  \
	X(tables_refused, "unwind tables that did not fit the budget")                         \
	X(rules_refused, "unwind rules over the limit; walks end at them")                     \
	X(spaces_refused, "processes whose mappings BPF could not take")                       \
	X(spaces_evicted, "processes of users with too many whose mappings made way")          \
	X(frames_unsure, "leaf frames whose direct caller may be missing")                     \
	X(python_unnamed, "Python or JIT frames without an entry in a perf map")               \
	X(codes_unnamed, "Python frames whose code object could not be read any more")         \
	X(codes_unproven,                                                                      \
	  "Python frames whose code object was gone, or perhaps another, when it was read")    \
	X(codes_refused, "Python frames left unnamed as a process says too many names")        \
	X(threads_unnamed, "samples without their thread's name, as a process has too many")   \
	X(attributes_dropped, "samples whose attributes did not fit the store")                \
	X(codes_forgotten, "processes whose code objects were too many to keep; begun anew")   \
	X(chains_foreign, "samples whose interpreter state was another thread's; left native") \
	X(chains_unreadable, "samples whose interpreter frames could not be read")             \
	X(chains_malformed, "samples whose interpreter frames made no sense; left native")     \
	X(chains_unplaced, "samples whose interpreter frames fit no native stack")             \
	X(names_disagree, "frames that the interpreter and a perf map name differently")       \
	X(interps_refused, "Pythons whose own frames cannot be walked; doctor says why")       \
	X(python_ambiguous,                                                                    \
	  "Python or JIT frames whose address got another name before the first was read")     \
	X(perfmaps_refused, "perf maps that could not be trusted or opened")                   \
	X(kernel_unnamed, "kernel addresses without a name")                                   \
	X(perfmap_forks_refused, "forks whose child could not be given its parent's names")    \
	X(perfmaps_truncated, "perf maps found shorter than they were, read again")            \
	X(sample_malformed, "sample records refused")                                          \
	X(samples_unbuilt, "samples lost: their record builds on one that did not come")       \
	X(samples_differ, "samples rebuilt other than they were (with --records check)")       \
	X(processes_refused, "processes over the table's limit")                               \
	X(processes_forgotten, "processes of users with too many, forgotten for others'")      \
	X(unwind_entries_bad, "entries of .eh_frame that could not be decoded")                \
	X(worker_failed, "files that crashed or stalled the ELF worker")                       \
	X(worker_refused, "answers of the ELF worker that did not hold up")                    \
	X(worker_put_off, "mapped files that wait, as the ELF worker did much for their user") \
	X(objects_refused, "mapped files over the limit; they stay unnamed")                   \
	X(mappings_cut, "executable mappings over a process's limit")                          \
	X(processes_late, "samples of processes that ended too long before; lost")             \
	X(processes_mismatched, "processes found to be another life than the records said")    \
	X(mappings_malformed, "mappings refused because their fields make no sense")           \
	X(rescans, "processes read again because a walk left the mappings known")              \
	X(scans_refused, "processes not read again after repeated failures")                   \
	X(reader_stuck, "processes given up because their files did not answer in time")       \
	X(reader_died, "reader processes that died over a request")                            \
	X(reader_refused,                                                                      \
	  "requests to the reader beyond its queue, or of users who keep it waiting")          \
	X(strings_cut, "names cut: over 64 KiB, or over 4096 bytes among too many such")       \
	X(strings_refused, "names over the memory limit; frames stay unnamed")                 \
	X(frames_refused, "frames over the limit; shown as unknown")                           \
	X(stacks_refused, "stacks over the limit; their samples are lost")                     \
	X(profile_refused, "samples with a new stack in a full profile; lost")                 \
	X(windows_expired_early, "windows dropped before their time, as the profile was full") \
	X(windows_late, "windows kept open longer for want of memory")                         \
	X(sessions_cut, "sessions ended by a change of the service's rate, no set being free") \
	X(sessions_children, "children that a session of a process tree could not follow")     \
	X(delta_refused, "samples left out of a stream whose reader is too slow")              \
	X(calls_malformed, "callers cut off because what they sent is not Varlink")            \
	X(callers_cut, "callers cut off because they were too slow or let replies pile up")    \
	X(callers_refused, "connections and streams over a limit of the caller")               \
	X(processes_unlisted, "processes left out of a list that would be too long")           \
	X(replies_oversized, "replies too large to send")                                      \
	X(replies_over_quota, "profiles refused: the caller holds too many bytes already")

enum pp_counter {
#define X(name, text) PP_C_##name,
	PP_COUNTERS(X)
#undef X
		PP_C_MAX,
};

extern uint64_t pp_counters[PP_C_MAX];

static inline void pp_count(enum pp_counter c)
{
	pp_counters[c]++;
}

static inline void pp_count_add(enum pp_counter c, uint64_t n)
{
	pp_counters[c] += n;
}

/* Name and text of counter c. */
const char *pp_counter_name(enum pp_counter c);
const char *pp_counter_text(enum pp_counter c);
