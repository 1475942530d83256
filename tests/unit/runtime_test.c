/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Locks between processes, marker and tombstone, and what is refused below
 * the run directory.
 */
#include "config.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "runtime.h"
#include "timeouts.h"

static const uint8_t vm[QM_UUID_LEN] = {0xaa, 1, 2, 3, 4, 5, 6, 7,
                                        8,    9, 1, 2, 3, 4, 5, 0xbb};

typedef struct {
    char *base;
    char *run;
} fixture;

static int
setup(void **state)
{
    fixture *f = g_new0(fixture, 1);

    f->base = g_dir_make_tmp("qm-runtime-XXXXXX", NULL);
    f->run = g_build_filename(f->base, "run", NULL);
    g_setenv("QM_RUN_DIR", f->run, TRUE);
    *state = f;
    return f->base == NULL ? -1 : 0;
}

static void
remove_tree(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (g_file_test(child, G_FILE_TEST_IS_DIR) &&
            !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            (void) g_unlink(child);
    }
    if (dir != NULL)
        g_dir_close(dir);
    (void) g_rmdir(path);
}

static int
teardown(void **state)
{
    fixture *f = *state;

    remove_tree(f->base);
    g_free(f->base);
    g_free(f->run);
    g_free(f);
    return 0;
}

static unsigned
mode_of(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777u;
}

static void
prepare_makes_private_directories(void **state)
{
    fixture *f = *state;
    g_autofree char *dir = qm__vm_path(vm, NULL);
    mode_t old = umask(0);

    assert_true(qm__runtime_prepare(vm, NULL));
    assert_true(qm__runtime_prepare(vm, NULL)); /* again */
    (void) umask(old);
    assert_int_equal(mode_of(f->base, "run"), 0711);
    assert_int_equal(mode_of(f->run, "gate"), 0711);
    assert_int_equal(mode_of(f->run, "lun"), 0700);
    assert_int_equal(mode_of(f->run, "vm"), 0700);
    assert_int_equal(mode_of(dir, "."), 0700);
    assert_true(
        g_str_has_suffix(dir, "/vm/aa010203-0405-0607-0809-0102030405bb"));
}

static void
prepare_refuses_what_is_not_ours(void **state)
{
    fixture *f = *state;
    g_autofree char *lun = g_build_filename(f->run, "lun", NULL);
    g_autoptr(GError) error = NULL;

    assert_true(qm__runtime_prepare(NULL, NULL));
    assert_int_equal(chmod(lun, 0777), 0);
    assert_false(qm__runtime_prepare(vm, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_REFUSED));
    g_clear_error(&error);
    assert_int_equal(rmdir(lun), 0);
    assert_int_equal(symlink("/tmp", lun), 0);
    assert_false(qm__runtime_prepare(vm, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_IO));
}

static void
disk_names_stay_in_their_directory(void **state)
{
    fixture *f = *state;
    g_autofree char *path = qm__gate_socket(vm, "../x");
    g_autofree char *control = qm__gate_control(vm, "vda");
    g_autofree char *gates = g_build_filename(f->run, "gate/", NULL);

    assert_true(g_str_has_prefix(path, gates));
    assert_null(strchr(path + strlen(gates), '/'));
    assert_true(g_str_has_suffix(control, "-vda.control"));
}

/* A child that holds the lock until it is told to end. */
static pid_t
hold_elsewhere(const char *path, int *ret_stop)
{
    int ready[2], stop[2];
    pid_t pid;
    char c;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        qm_lock *lock;

        close(stop[1]);
        if (!qm__lock_take(path, "test", qm__deadline_in(QM_S), &lock, NULL))
            _exit(1);
        (void) !write(ready[1], "", 1);
        (void) !read(stop[0], &c, 1);
        _exit(0); /* without release: as if killed */
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(stop[0]);
    *ret_stop = stop[1];
    return pid;
}

static void
lock_excludes_other_processes(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "lock");
    g_autofree char *pid_text = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(qm_lock) lock = NULL;
    int64_t before;
    pid_t pid;
    int stop;

    assert_true(qm__runtime_prepare(vm, NULL));
    pid = hold_elsewhere(path, &stop);
    before = qm__now();
    assert_false(qm__lock_take(path, "VM vm1", qm__deadline_in(60 * QM_MS),
                               &lock, &error));
    assert_true(qm__now() - before >= 60 * QM_MS);
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_BUSY));
    pid_text = g_strdup_printf("pid %d", (int) pid);
    assert_non_null(strstr(error->message, pid_text));
    assert_non_null(strstr(error->message, "VM vm1"));
    assert_null(lock);
    close(stop); /* ends the child, which frees the lock */
    assert_true(
        qm__lock_take(path, "VM vm1", qm__deadline_in(5 * QM_S), &lock, NULL));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
lock_excludes_within_the_process_and_can_be_taken_again(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "lock");
    qm_lock *lock, *other = NULL;

    assert_true(qm__runtime_prepare(vm, NULL));
    assert_true(qm__lock_take(path, "a", 0, &lock, NULL));
    assert_false(qm__lock_take(path, "b", 0, &other, NULL));
    qm__lock_release(lock);
    assert_true(qm__lock_take(path, "b", 0, &other, NULL));
    qm__lock_release(other);
    qm__lock_release(NULL);
}

static void
lock_follows_no_symbolic_link(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "lock");
    g_autoptr(GError) error = NULL;
    qm_lock *lock = NULL;

    assert_true(qm__runtime_prepare(vm, NULL));
    assert_int_equal(symlink("/tmp/elsewhere", path), 0);
    assert_false(qm__lock_take(path, "a", 0, &lock, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_IO));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    g_clear_error(&error);
    assert_false(qm__lock_take(path, "a", 0, &lock, &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_REFUSED));
}

static void
marker_survives_until_cleared(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "action");
    g_autofree char *stale = qm__vm_path(vm, "action.new");
    g_autofree char *got = NULL;
    g_autoptr(GError) error = NULL;

    assert_null(qm__marker_get(vm));
    qm__marker_clear(vm); /* never prepared */
    assert_false(qm__marker_set(vm, "start", &error));
    assert_true(g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND));
    assert_true(qm__runtime_prepare(vm, NULL));
    assert_true(g_file_set_contents(stale, "half", -1, NULL));
    assert_true(qm__marker_set(vm, "start", NULL));
    assert_true(qm__marker_set(vm, "migrate_to 5", NULL));
    got = qm__marker_get(vm);
    assert_string_equal(got, "migrate_to 5");
    assert_false(g_file_test(stale, G_FILE_TEST_EXISTS));
    qm__marker_clear(vm);
    assert_null(qm__marker_get(vm));
    assert_int_equal(symlink("/etc/hostname", path), 0);
    g_free(got);
    got = qm__marker_get(vm);
    assert_string_equal(got, "unknown");
}

static void
tombstone_covers_this_image_and_older(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "tombstone");

    assert_true(qm__runtime_prepare(vm, NULL));
    assert_false(qm__tombstone_is_set(vm, 0));
    assert_false(qm__tombstone_is_set(vm, 1));
    assert_true(qm__tombstone_set(vm, 5, NULL));
    assert_true(qm__tombstone_set(vm, 3, NULL)); /* does not go back */
    assert_true(qm__tombstone_is_set(vm, 4));
    assert_true(qm__tombstone_is_set(vm, 5));
    assert_false(qm__tombstone_is_set(vm, 6));
    assert_true(qm__tombstone_set(vm, UINT64_MAX, NULL));
    assert_true(qm__tombstone_is_set(vm, UINT64_MAX));
    assert_true(g_file_set_contents(path, "rubbish", -1, NULL));
    assert_true(qm__tombstone_is_set(vm, 6)); /* unsure: as if set */
    assert_true(qm__tombstone_set(vm, 7, NULL));
    assert_false(qm__tombstone_is_set(vm, 8));
}

static void
settled_is_noted(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "settled");

    assert_int_equal(qm__settled_get(vm), 0); /* never prepared */
    assert_true(qm__runtime_prepare(vm, NULL));
    assert_int_equal(qm__settled_get(vm), 0);
    assert_true(qm__settled_set(vm, 5 * QM_S, NULL));
    assert_int_equal(qm__settled_get(vm), 5 * QM_S);
    assert_true(g_file_set_contents(path, "-3", -1, NULL));
    assert_int_equal(qm__settled_get(vm), 0);
}

static void
room_is_kept_and_used(void **state)
{
    g_autofree char *path = qm__vm_path(vm, "room");
    struct stat st;

    qm__room_use(vm); /* never prepared */
    assert_true(qm__runtime_prepare(vm, NULL));
    qm__room_keep(vm);
    qm__room_keep(vm);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= 128 * 1024);
    qm__room_use(vm);
    qm__room_use(vm);
    assert_int_equal(access(path, F_OK), -1);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(prepare_makes_private_directories),
        T(prepare_refuses_what_is_not_ours),
        T(disk_names_stay_in_their_directory),
        T(lock_excludes_other_processes),
        T(lock_excludes_within_the_process_and_can_be_taken_again),
        T(lock_follows_no_symbolic_link),
        T(marker_survives_until_cleared),
        T(tombstone_covers_this_image_and_older),
        T(settled_is_noted),
        T(room_is_kept_and_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
