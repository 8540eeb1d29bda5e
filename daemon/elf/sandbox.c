/* SPDX-License-Identifier: GPL-2.0-only */
#include "elf/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

static int set_limits(void)
{
	static const struct {
		__rlimit_resource_t what;
		rlim_t max;
	} limits[] = {
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes */
		{ RLIMIT_AS, PP_SANDBOX_MEMORY_MAX },
#endif
		{ RLIMIT_FSIZE, PP_SANDBOX_FILE_MAX },
		{ RLIMIT_NOFILE, PP_SANDBOX_DESCRIPTORS_MAX },
		{ RLIMIT_NPROC, 0 },
		{ RLIMIT_CORE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit l = { limits[i].max, limits[i].max };

		if (setrlimit(limits[i].what, &l) < 0)
			return -errno;
	}
	return 0;
}

static int close_others(int keep)
{
	unsigned int low = (unsigned int)MIN(keep, STDERR_FILENO);
	unsigned int high = (unsigned int)MAX(keep, STDERR_FILENO);

	if ((low > 0 && close_range(0, low - 1, 0) < 0) ||
	    (high > low + 1 && close_range(low + 1, high - 1, 0) < 0) ||
	    close_range(high + 1, ~0U, 0) < 0)
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static void end_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* Calls whose arguments need no look. Memory and time first, then what the protocol needs. */
static const int plain_calls[] = {
	SCMP_SYS(brk),	   SCMP_SYS(munmap),	 SCMP_SYS(mremap),	  SCMP_SYS(madvise),
	SCMP_SYS(futex),   SCMP_SYS(getrandom),	 SCMP_SYS(clock_gettime), SCMP_SYS(timer_settime),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),	 SCMP_SYS(read),	  SCMP_SYS(pread64),
	SCMP_SYS(write),   SCMP_SYS(lseek),	 SCMP_SYS(close),	  SCMP_SYS(memfd_create),
	SCMP_SYS(exit),	   SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),  SCMP_SYS(restart_syscall),
	SCMP_SYS(sysinfo),  /* qsort() asks how much memory there is */
#ifdef __SANITIZE_ADDRESS__ /* its runtime, for a report and before any exit */
	SCMP_SYS(gettid),  SCMP_SYS(getpid),	 SCMP_SYS(sigaltstack),	  SCMP_SYS(sched_yield),
#endif
};

#ifdef __SANITIZE_ADDRESS__
/* A report goes on without what these would tell it: its own name, its mappings and symbols, what
 * stderr is. glibc opens by openat. */
static const int refused_calls[] = {
	SCMP_SYS(ioctl),
	SCMP_SYS(readlink),
	SCMP_SYS(open),
};

/* The search for leaks wants a process of its own and ptrace. Tests that call the same code outside
 * of the sandbox look for them. */
static bool entered;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return entered;
}
#endif

static int install_filter(void)
{
	_cleanup_(end_filter) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(plain_calls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	/* Memory that was ever writable is never code. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS));
#ifdef __SANITIZE_ADDRESS__
	for (size_t i = 0; i < ARRAY_SIZE(refused_calls) && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
#endif
	if (r == 0)
		r = seccomp_load(filter);
	return r;
}

int pp_sandbox_enter(int keep)
{
	int r;

#ifdef __SANITIZE_ADDRESS__ /* reads all symbols now: it cannot open files for a report later */
	char name[64];

	__sanitizer_symbolize_pc(__builtin_return_address(0), "%f", name, sizeof(name));
#endif
	r = close_others(keep);
	if (r == 0)
		r = set_limits();
	if (r == 0)
		r = drop_capabilities();
	if (r == 0)
		r = install_filter();
#ifdef __SANITIZE_ADDRESS__
	entered = r == 0;
#endif
	return r;
}
