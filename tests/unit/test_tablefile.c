/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tables kept in files: what is read from one that was cut, damaged, made of something else; the
 * directory's rules; and the worker that is handed such a file. This program is its own children.
 */
#include "elf/tablecache.h"

#include "base/child.h"
#include "base/counters.h"
#include "base/fd.h"
#include "elf/worker.h"

#include "elf_build.h"

#include <dirent.h>
#include <sys/stat.h>

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

static sd_event *event;
static struct pp_tablecache *cache;
static struct pp_worker *worker;

/* Of the last answer. */
static struct {
	bool done;
	int error, fd;
	struct pp_elf_info info;
} got;

static void wait_done(void)
{
	while (!got.done)
		assert_true(sd_event_run(event, 30 * USEC_PER_SEC) > 0);
}

static void on_got(_unused_ void *userdata, int error, int *fd)
{
	got.done = true;
	got.error = error;
	got.fd = TAKE_FD(*fd);
}

static void get(const struct pp_file_key *key)
{
	got.done = false;
	got.fd = -1;
	assert_return_code(pp_tablecache_get(cache, key, on_got, NULL), 0);
	wait_done();
}

static void on_loaded(_unused_ void *userdata, int error, const struct pp_elf_info *info, int fd)
{
	got.done = true;
	got.error = error;
	got.fd = fd;
	if (info)
		got.info = *info;
}

/* Loads libc with what cached_fd holds; the table is left in got.fd. */
static void load(const struct pp_file_key *key, int cached_fd)
{
	_cleanup_close_ int fd = scratch_open(LIBC);

	got.done = false;
	got.fd = -1;
	assert_return_code(pp_worker_load(worker, 0, fd, key, cached_fd, on_loaded, NULL), 0);
	wait_done();
	assert_int_equal(got.error, 0);
	assert_true(got.fd >= 0);
}

static struct pp_file_key key_of_libc(void)
{
	struct stat st;

	assert_int_equal(stat(LIBC, &st), 0);
	return pp_file_key_of(&st);
}

static int setup(void **state)
{
	int dir;

	if (scratch_setup(state) < 0 || sd_event_new(&event) < 0 ||
	    pp_worker_new(&worker, event) < 0)
		return -1;
	memset(pp_counters, 0, sizeof(pp_counters));
	dir = pp_tablecache_open_dir(scratch_dir);
	return dir < 0 ? dir : pp_tablecache_new(&cache, event, dir);
}

static int teardown(void **state)
{
	cache = pp_tablecache_free(cache);
	worker = pp_worker_free(worker);
	event = sd_event_unref(event);
	return scratch_teardown(state);
}

/* libc's table as a file's bytes; the caller's to free. */
static uint8_t *make_file(struct pp_file_key *ret_key, size_t *ret_size)
{
	_cleanup_image_ struct pp_table_image image = { 0 };
	struct pp_tablefile_header h;
	uint8_t *bytes;

	*ret_key = key_of_libc();
	load(ret_key, -1);
	assert_int_equal(got.info.table_cached, 0);
	assert_true(got.info.table_source != 0);
	assert_int_equal(pp_table_image_map(&image, got.fd, false), 0);
	pp_tablefile_describe(&h, ret_key, &got.info);
	pp_tablefile_seal(&h, image.data, image.size);
	bytes = malloc(sizeof(h) + image.size);
	assert_non_null(bytes);
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), image.data, image.size);
	*ret_size = sizeof(h) + image.size;
	pp_close(got.fd);
	return bytes;
}

static void test_round_trip(void **state)
{
	struct pp_tablefile_header h;
	struct pp_table_image image;
	struct pp_file_key key;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	(void)state;
	bytes = make_file(&key, &size);
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, got.info.table_source),
			 0);
	assert_int_equal(image.size, size - sizeof(h));
	assert_memory_equal(image.data, bytes + sizeof(h), image.size);
	assert_int_equal(h.frame_pointers, got.info.frame_pointers);
	assert_int_equal(h.bad_entries, got.info.bad_entries);
}

/* A bit of every byte of the header, and of bytes all over the image. */
static void test_damage(void **state)
{
	struct pp_tablefile_header h;
	struct pp_table_image image;
	struct pp_file_key key;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t source;
	size_t size;

	(void)state;
	bytes = make_file(&key, &size);
	source = got.info.table_source;
	for (size_t i = 0; i < size;
	     i += i < sizeof(h) + sizeof(struct pp_table_header) ? 1 : 4099) {
		int r;

		bytes[i] ^= (uint8_t)(1U << i % 8);
		r = pp_tablefile_read(&image, &h, bytes, size, &key, source);
		bytes[i] ^= (uint8_t)(1U << i % 8);
		assert_true(r == -EBADMSG || r == -ESTALE);
	}
	bytes[size - 1] ^= 0x80;
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, source), -EBADMSG);
	bytes[size - 1] ^= 0x80;
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, source), 0);
	for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 10007)
		assert_int_equal(pp_tablefile_read(&image, &h, bytes, cut, &key, source), -EBADMSG);
}

/* Whole, and of no use: then it is not damage. And damage that the sum does not tell: whoever made
 * it so, the image is looked at row by row. */
static void test_stale_and_forged(void **state)
{
	struct pp_tablefile_header h, other;
	struct pp_table_image image;
	struct pp_file_key key, wrong;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint32_t *words;
	uint64_t source;
	size_t size;

	(void)state;
	bytes = make_file(&key, &size);
	source = got.info.table_source;
	wrong = key;
	wrong.ctime_ns++;
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &wrong, source), -ESTALE);
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, source + 1), -ESTALE);
	memcpy(&h, bytes, sizeof(h));
	other = h;
	other.version++;
	memcpy(bytes, &other, sizeof(other));
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, source), -ESTALE);
	memcpy(&h, bytes, sizeof(h));
	h.version--;
	/* The last row's rule number: above all there are. */
	words = (uint32_t *)(bytes + size);
	words[-1] |= 0xffff;
	pp_tablefile_seal(&h, bytes + sizeof(h), size - sizeof(h));
	memcpy(bytes, &h, sizeof(h));
	assert_int_equal(pp_tablefile_read(&image, &h, bytes, size, &key, source), -EBADMSG);
}

/* ---- The cache ------------------------------------------------------------------------------- */

/* Names in the cache's directory; the last one's in name. */
static size_t files(char *name)
{
	struct dirent *e;
	char path[128];
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/tables", scratch_dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			snprintf(name, 256, "%s/tables/%.120s", scratch_dir, e->d_name);
			n++;
		}
	closedir(d);
	return n;
}

/* Keeps libc's table, and waits until it is there. */
static struct pp_file_key keep(char *name)
{
	struct pp_file_key key = key_of_libc();
	struct stat st;

	load(&key, -1);
	pp_tablecache_put(cache, &key, &got.info, got.fd);
	pp_close(got.fd);
	get(&key); /* answered after it */
	assert_int_equal(got.error, 0);
	pp_close(got.fd);
	assert_int_equal(files(name), 1);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	return key;
}

/* What the worker makes of libc with the cache's answer; whether it was of use. */
static bool cached(const struct pp_file_key *key)
{
	_cleanup_close_ int fd = -1;

	get(key);
	fd = got.fd;
	load(key, fd);
	pp_close(got.fd);
	return got.info.table_cached;
}

static void test_kept(void **state)
{
	char name[256];
	struct pp_file_key key, other;
	uint64_t hash;

	(void)state;
	key = other = key_of_libc();
	get(&key);
	assert_int_equal(got.error, -ENOENT);
	key = keep(name);
	hash = got.info.table_hash;
	assert_true(cached(&key));
	assert_int_equal(got.info.table_hash, hash);
	other.ino++;
	assert_false(cached(&other));
	assert_int_equal(pp_counters[PP_C_tablefiles_bad], 0);
	assert_int_equal(unlink(name), 0);
	assert_false(cached(&key));
}

static void test_damaged(void **state)
{
	char name[256];
	struct pp_file_key key;

	(void)state;
	key = keep(name);
	scratch_run("printf x | dd of=%s bs=1 seek=5000 conv=notrunc status=none", name);
	assert_false(cached(&key));
	assert_int_equal(pp_counters[PP_C_tablefiles_bad], 1);
	(void)keep(name); /* in its place */
	assert_true(cached(&key));
	assert_int_equal(truncate(name, 3000), 0);
	assert_false(cached(&key));
	assert_int_equal(pp_counters[PP_C_tablefiles_bad], 2);
	assert_int_equal(truncate(name, 0), 0);
	assert_false(cached(&key));
	assert_int_equal(pp_counters[PP_C_tablefiles_bad], 3);
}

/* A file that others may have written, or that is none, is removed. */
static void test_not_ours(void **state)
{
	static const char *const ways[] = {
		"chmod 0660 %s",
		"chmod 0604 %s",
		"ln %s other",
		"mv %s other && ln -s ../other %s",
		"rm %s && mkfifo -m 600 %s",
		"chown 65534 %s",
	};
	char name[256];
	struct pp_file_key key;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways) - (geteuid() != 0); i++) {
		key = keep(name);
		scratch_run("rm -f other");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		scratch_run(ways[i], name, name);
#pragma GCC diagnostic pop
		get(&key);
		assert_true(got.error == -EPERM || got.error == -EACCES || got.error == -ELOOP);
		assert_int_equal(got.fd, -1);
		assert_int_equal(files(name), 0);
	}
}

static void test_directory(void **state)
{
	int dir;

	(void)state;
	scratch_run("chmod 0770 tables");
	assert_int_equal(pp_tablecache_open_dir(scratch_dir), -EPERM);
	scratch_run("chmod 0700 tables && mv tables elsewhere && ln -s elsewhere tables");
	dir = pp_tablecache_open_dir(scratch_dir);
	assert_true(dir == -ELOOP || dir == -ENOTDIR);
	scratch_run("rm tables && : >tables");
	assert_int_equal(pp_tablecache_open_dir(scratch_dir), -ENOTDIR);
}

/* Beyond the bound the oldest go, and so does what has a name that is never used. */
static void test_bounds(void **state)
{
	char name[256], last[256];
	struct pp_file_key key;

	(void)state;
	key = keep(name);
	scratch_run("cd tables && seq %u | xargs -I@ touch -d 2001-01-01 @", PP_TABLECACHE_FILES);
	scratch_run("cd tables && truncate -s 100M old && touch -d 2000-01-01 old && "
		    "touch $(printf %%0100d 0)");
	load(&key, -1);
	pp_tablecache_put(cache, &key, &got.info, got.fd);
	pp_close(got.fd);
	get(&key);
	assert_int_equal(got.error, 0);
	pp_close(got.fd);
	assert_int_equal(files(last), PP_TABLECACHE_FILES);
	scratch_run("! test -e tables/old");
	assert_int_equal(access(name, F_OK), 0);
	assert_int_equal(pp_counters[PP_C_tablefiles_failed], 0);
}

/* The directory goes while the daemon runs: counted, and nothing else. */
static void test_directory_removed(void **state)
{
	char name[256];
	struct pp_file_key key;

	(void)state;
	key = keep(name);
	scratch_run("rm -r tables");
	assert_false(cached(&key));
	load(&key, -1);
	pp_tablecache_put(cache, &key, &got.info, got.fd);
	pp_close(got.fd);
	get(&key);
	assert_int_equal(got.error, -ENOENT);
	assert_int_equal(pp_counters[PP_C_tablefiles_failed], 1);
}

/* Who waits when the daemon ends gets no descriptor, and not the directory's. */
static void test_unanswered(_unused_ void **state)
{
	struct pp_file_key key = key_of_libc();

	for (int i = 0; i < 2; i++)
		assert_return_code(pp_tablecache_get(cache, &key, on_got, NULL), 0);
	cache = pp_tablecache_free(cache);
	assert_int_equal(got.error, -ECANCELED);
	assert_int_equal(got.fd, -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_and_forged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unanswered, setup, teardown),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return !strcmp(argv[2], "tables") ? pp_tablecache_main(PP_CHILD_SOCKET)
						  : pp_worker_main(PP_CHILD_SOCKET);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
