/* SPDX-License-Identifier: GPL-2.0-only */
/* Units and containers from /proc/PID/cgroup, as the various engines write it. */
#include "proc/cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define ID  "5ac2f0a4f0cbe1b5e2dd0a56b8b7b7d8a8a0f7d2f2d0a1b2c3d4e5f60718293a"
#define POD "3b9d7b4e-1c55-4c3a-9b0e-6f1f0f3f9a11"

struct example {
	const char *text, *unit, *slice, *container, *pod;
};

static const struct example examples[] = {
	/* systemd */
	{ "0::/init.scope\n", "init.scope", "", "", "" },
	{ "0::/system.slice/ssh.service\n", "ssh.service", "system.slice", "", "" },
	{ "0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope", "user-0.slice", "",
	  "" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service\n", "foo.service",
	  "user-1000.slice", "", "" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "user@1000.service",
	  "user-1000.slice", "", "" },
	{ "0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service",
	  "system-getty.slice", "", "" },
	/* docker, systemd and cgroupfs drivers, v2 and v1 */
	{ "0::/system.slice/docker-" ID ".scope\n", "docker-" ID ".scope", "system.slice", ID, "" },
	{ "0::/docker/" ID "\n", "", "", ID, "" },
	{ "0::/docker/" ID "/system.slice/cron.service\n", "cron.service", "system.slice", ID, "" },
	{ "12:cpuset:/docker/" ID "\n11:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", "",
	  "", ID, "" },
	/* podman */
	{ "0::/machine.slice/libpod-" ID ".scope/container\n", "libpod-" ID ".scope",
	  "machine.slice", ID, "" },
	{ "0::/machine.slice/libpod-conmon-" ID ".scope\n", "libpod-conmon-" ID ".scope",
	  "machine.slice", "", "" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope\n",
	  "libpod-" ID ".scope", "user-1000.slice", ID, "" },
	/* Kubernetes: containerd, CRI-O, cgroupfs driver, a static pod */
	{ "0::/kubepods.slice/kubepods-burstable.slice/"
	  "kubepods-burstable-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice/cri-containerd-" ID
	  ".scope\n",
	  "cri-containerd-" ID ".scope",
	  "kubepods-burstable-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice", ID, POD },
	{ "0::/kubepods/besteffort/pod" POD "/" ID "\n", "", "", ID, POD },
	{ "0::/kubepods.slice/kubepods-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice/crio-" ID
	  ".scope\n",
	  "crio-" ID ".scope", "kubepods-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice", ID, POD },
	{ "0::/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" ID "\n", "", "", ID,
	  "0123456789abcdef0123456789abcdef" },
	{ "0::/system.slice/containerd.service/"
	  "kubepods-burstable-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice:cri-containerd:" ID
	  "\n",
	  "containerd.service", "system.slice", ID, "" },
	/* containerd by itself, LXC, nspawn */
	{ "0::/default/" ID "\n", "", "", ID, "" },
	{ "0::/lxc.payload.web1/system.slice/nginx.service\n", "nginx.service", "system.slice",
	  "web1", "" },
	{ "10:cpu:/lxc/web1\n1:name=systemd:/lxc/web1/init.scope\n", "init.scope", "", "web1", "" },
	{ "0::/machine.slice/machine-deb.scope\n", "machine-deb.scope", "machine.slice", "deb",
	  "" },
	{ "0::/machine.slice/systemd-nspawn@deb.service/payload\n", "systemd-nspawn@deb.service",
	  "machine.slice", "deb", "" },
	/* v1: the unified line says nothing, the systemd one does */
	{ "2:cpu:/\n1:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service",
	  "system.slice", "", "" },
	{ "4:memory:/docker/" ID "\n0::/\n", "", "", ID, "" },
	/* hybrid: the engine uses v1, and its own service holds the unified hierarchy */
	{ "4:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n"
	  "0::/system.slice/containerd.service\n",
	  "", "", ID, "" },
	{ "4:memory:/kubepods/burstable/pod" POD "/" ID "\n1:name=systemd:/\n0::/system.slice\n",
	  "", "", ID, POD },
	{ "4:memory:/user.slice\n1:name=systemd:/system.slice/cron.service\n0::/user.slice\n", "",
	  "user.slice", "", "" },
	/* a daemon in a container looks at itself, its siblings, the host; v2 and v1 */
	{ "0::/..\n", "", "", "", "" },
	{ "0::/../..\n1:name=systemd:/../..\n", "", "", "", "" },
	{ "0::/../docker-" ID ".scope\n", "docker-" ID ".scope", "", ID, "" },
	{ "0::/../../kubepods-burstable-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice/"
	  "cri-containerd-" ID ".scope\n",
	  "cri-containerd-" ID ".scope",
	  "kubepods-burstable-pod3b9d7b4e_1c55_4c3a_9b0e_6f1f0f3f9a11.slice", ID, POD },
	{ "0::/../../system.slice/ssh.service\n", "ssh.service", "system.slice", "", "" },
	{ "1:name=systemd:/../../system.slice/ssh.service\n0::/..\n", "ssh.service", "system.slice",
	  "", "" },
	{ "4:memory:/../" ID "\n0::/\n", "", "", ID, "" },
	/* the group is gone */
	{ "0::/system.slice/docker-" ID ".scope (deleted)\n", "docker-" ID ".scope", "system.slice",
	  ID, "" },
	{ "0::/system.slice/cron.service (deleted)\n", "cron.service", "system.slice", "", "" },
	/* a container in a container: the innermost */
	{ "0::/docker/0000000000000000000000000000000000000000000000000000000000000000/docker/" ID
	  "\n",
	  "", "", ID, "" },
	{ "0::/lxc.payload.outer/lxc.payload.inner/system.slice/a.service\n", "a.service",
	  "system.slice", "inner", "" },
	{ "0::/lxc.monitor.web1\n", "", "", "", "" },
	/* nothing, and nonsense */
	{ "0::/\n", "", "", "", "" },
	{ "", "", "", "", "" },
	{ "garbage", "", "", "", "" },
	{ "0:", "", "", "", "" },
	{ "0::", "", "", "", "" },
	{ "\n\n::\n", "", "", "", "" },
	{ "0::/.service/.scope/.slice/pod/kubepods\n", "", "", "", "" },
	/* looks like an id, is none */
	{ "0::/a" ID "\n", "", "", "", "" },
	{ "0::/docker/5AC2F0A4F0CBE1B5E2DD0A56B8B7B7D8A8A0F7D2F2D0A1B2C3D4E5F60718293A\n", "", "",
	  "", "" },
};

static void test_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *e = &examples[i];
		struct pp_cgroup c;

		memset(&c, 'x', sizeof(c));
		pp_cgroup_parse(&c, e->text, strlen(e->text));
		if (strcmp(c.unit, e->unit) || strcmp(c.slice, e->slice) ||
		    strcmp(c.container, e->container) || strcmp(c.pod, e->pod))
			print_error("%sgives '%s' '%s' '%s' '%s'\n", e->text, c.unit, c.slice,
				    c.container, c.pod);
		assert_string_equal(c.unit, e->unit);
		assert_string_equal(c.slice, e->slice);
		assert_string_equal(c.container, e->container);
		assert_string_equal(c.pod, e->pod);
	}
}

/* A name too long for its field is left out, never cut into another unit's name. */
static void test_too_long(void **state)
{
	char text[2 * PP_UNIT_MAX];
	struct pp_cgroup c;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "0::/", 4);
	memcpy(text + sizeof(text) - 8, ".service", 8);
	pp_cgroup_parse(&c, text, sizeof(text));
	assert_string_equal(c.unit, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
