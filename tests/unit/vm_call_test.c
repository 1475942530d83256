/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Calls into libvirt: its own test driver, a daemon that is not there, and
 * one that never answers.
 */
#include "config.h"
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uuid/uuid.h>
#include <glib/gstdio.h>
#include "timeouts.h"
#include "unit.h"
#include "vm.h"

#define TEST_URI    "test:///default"
#define TEST_DOMAIN "6695eb01-f6a4-8304-79aa-97f2502e193f" /* always there */
#define NO_DOMAIN   "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static int64_t
soon(void)
{
    return qm__deadline_in(100 * QM_MS);
}

static int64_t
late(void)
{
    return qm__deadline_in(20 * QM_S);
}

static qm_vm *
open_test(const char *domain)
{
    uuid_t uuid;
    qm_vm *vm = NULL;

    assert_int_equal(uuid_parse(domain, uuid), 0);
    CHECK_OK(qm__vm_open(TEST_URI, uuid, late(), &vm, &err));
    return vm;
}

static void
check_state(qm_vm *vm, qm_vm_state expected)
{
    qm_vm_state state;

    CHECK_OK(qm__vm_get_state(vm, late(), &state, &err));
    assert_int_equal(state, expected);
}

static void
test_life(void **state)
{
    g_autoptr(qm_vm) vm = open_test(TEST_DOMAIN);

    check_state(vm, QM_VM_RUNNING);
    CHECK_OK(qm__vm_resume(vm, late(), &err)); /* runs already */
    CHECK_OK(qm__vm_suspend(vm, late(), &err));
    check_state(vm, QM_VM_PAUSED);
    CHECK_OK(qm__vm_resume(vm, late(), &err));
    check_state(vm, QM_VM_RUNNING);
    CHECK_OK(qm__vm_destroy(vm, late(), &err));
    check_state(vm, QM_VM_NONE); /* defined, but not active */
    CHECK_OK(qm__vm_destroy(vm, late(), &err));
}

static void
test_no_domain(void **state)
{
    g_autoptr(qm_vm) vm = open_test(NO_DOMAIN);
    qm_vm_job *job = NULL;

    check_state(vm, QM_VM_NONE);
    CHECK_OK(qm__vm_destroy(vm, late(), &err));
    CHECK_OK(qm__vm_shutdown(vm, late(), &err));
    CHECK_FAILS(qm__vm_suspend(vm, late(), &err), QM_ERROR_NOT_FOUND);
    CHECK_FAILS(qm__vm_resume(vm, late(), &err), QM_ERROR_NOT_FOUND);
    CHECK_FAILS(qm__vm_create(vm, "<domain", false, late(), &err),
                QM_ERROR_INVALID);
    CHECK_OK(qm__vm_save_begin(vm, "/nonexistent", false, &job, &err));
    CHECK_FAILS(qm__vm_job_wait(job, late(), &err), QM_ERROR_NOT_FOUND);
    /* It stays answered. */
    CHECK_FAILS(qm__vm_job_wait(job, soon(), &err), QM_ERROR_NOT_FOUND);
    qm__vm_job_abort(job);
    qm__vm_job_free(job);
}

/* A job outlives the domain's handle, and its own. */
static void
test_left_behind(void **state)
{
    qm_vm *vm = open_test(NO_DOMAIN);
    qm_vm_job *job = NULL;

    CHECK_OK(qm__vm_restore_begin(vm, "/nonexistent", NULL, &job, &err));
    qm__vm_close(vm);
    qm__vm_job_free(job);
    qm__vm_close(NULL);
    qm__vm_job_free(NULL);
}

static void
test_no_time(void **state)
{
    g_autoptr(qm_vm) vm = open_test(TEST_DOMAIN);
    qm_vm_state now = QM_VM_ENDING;

    CHECK_FAILS(qm__vm_get_state(vm, qm__now(), &now, &err), QM_ERROR_TIMEOUT);
    assert_int_equal(now, QM_VM_ENDING);
    check_state(vm, QM_VM_RUNNING); /* that was no hang */
}

static void
test_host(void **state)
{
    g_autoptr(qm_vm) vm = open_test(TEST_DOMAIN);
    uint64_t bytes = 0;
    char *value = NULL;

    CHECK_OK(qm__vm_free_memory(vm, late(), &bytes, &err));
    assert_true(bytes > 0);
    CHECK_FAILS(qm__vm_secret(vm, "chap", late(), &value, &err),
                QM_ERROR_UNSUPPORTED);
    assert_null(value);
    qm__secret_free(NULL);
    qm__secret_free(g_strdup("x"));
}

static int
listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(a.sun_path, path, sizeof(a.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static void
test_daemon(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("qm-vm-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "sock", NULL);
    g_autofree char *uri =
        g_strdup_printf("qemu+unix:///system?socket=%s", path);
    const uint8_t uuid[QM_UUID_LEN] = {1};
    qm_vm *vm = NULL;
    int64_t begun;
    int fd;

    /* Not there. */
    CHECK_FAILS(qm__vm_open(uri, uuid, late(), &vm, &err), QM_ERROR_IO);
    /* There, and silent.  Our thread stays with it. */
    fd = listen_at(path);
    begun = qm__now();
    CHECK_FAILS(qm__vm_open(uri, uuid, soon(), &vm, &err), QM_ERROR_TIMEOUT);
    assert_true(qm__now() - begun < 2 * QM_S);
    assert_null(vm);
    close(fd);
    g_unlink(path);
    g_rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),    cmocka_unit_test(test_no_domain),
        cmocka_unit_test(test_no_time), cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_host),    cmocka_unit_test(test_daemon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
