/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The FIFO between libvirt and an image, with a process that behaves as
 * libvirt does, or worse.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "stream.h"
#include "timeouts.h"
#include "unit.h"

#define BODY (3 * 1024 * 1024 + 7) /* more than any pipe holds */

typedef struct {
    char *dir;
    int job; /* stands for libvirt's call; -1 in a poll(): never ends */
    pid_t child;
} fixture;

static int
setup(void **state)
{
    fixture *f = g_new0(fixture, 1);

    f->dir = g_dir_make_tmp("qm-stream-XXXXXX", NULL);
    f->job = eventfd(0, EFD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    *state = f;
    return f->dir == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    fixture *f = *state;
    GDir *d = g_dir_open(f->dir, 0, NULL);
    const char *name;

    if (f->child > 0) {
        kill(f->child, SIGKILL);
        waitpid(f->child, NULL, 0);
    }
    while ((name = g_dir_read_name(d)) != NULL) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);

        g_remove(path);
    }
    g_dir_close(d);
    assert_int_equal(g_rmdir(f->dir), 0);
    close(f->job);
    g_free(f->dir);
    g_free(f);
    return 0;
}

static unsigned
count(const fixture *f, mode_t type)
{
    GDir *d = g_dir_open(f->dir, 0, NULL);
    const char *name;
    unsigned n = 0;

    while ((name = g_dir_read_name(d)) != NULL) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);
        struct stat s;

        n += lstat(path, &s) == 0 && (s.st_mode & S_IFMT) == type;
    }
    g_dir_close(d);
    return n;
}

static int
wait_child(fixture *f)
{
    int status = -1;

    waitpid(f->child, &status, 0);
    f->child = 0;
    return status;
}

static void
end_job(fixture *f)
{
    uint64_t one = 1;

    assert_int_equal(write(f->job, &one, sizeof(one)), sizeof(one));
}

/* Ends a child without valgrind's view of what it shares with its parent. */
G_GNUC_NORETURN static void
leave(int status)
{
    char text[] = {(char) ('0' + status), '\0'};

    execl("/bin/sh", "sh", "-c", "exit $0", text, NULL);
    _exit(127);
}

static int64_t
soon(void)
{
    return qm__deadline_in(200 * QM_MS);
}

static int64_t
late(void)
{
    return qm__deadline_in(20 * QM_S);
}

static void
make_header(uint8_t *header, const char *magic, uint32_t version,
            uint32_t format)
{
    memset(header, 0x5a, QM_SAVE_HEADER);
    memcpy(header, magic, 16);
    memcpy(header + 16, &version, 4);
    memcpy(header + 28, &format, 4);
}

static uint8_t
body_byte(size_t i)
{
    return (uint8_t) (i * 7 + (i >> 12));
}

static bool
put(int fd, const void *data, size_t length)
{
    const uint8_t *p = data;

    while (length > 0) {
        ssize_t n = write(fd, p, length);

        if (n <= 0)
            return false;
        p += n;
        length -= (size_t) n;
    }
    return true;
}

/* As libvirt saves: header, body, close; open again, the other header.
 * Never returns. */
static void
save_as_libvirt(const char *path)
{
    uint8_t header[QM_SAVE_HEADER];
    g_autofree uint8_t *body = g_malloc(BODY);
    int fd = open(path, O_WRONLY | O_TRUNC);

    for (size_t i = 0; i < BODY; i++)
        body[i] = body_byte(i);
    make_header(header, "LibvirtQemudPart", 2, 0);
    if (fd < 0 || !put(fd, header, 50) ||
        !put(fd, header + 50, sizeof(header) - 50) || !put(fd, body, BODY) ||
        close(fd) < 0)
        leave(1);
    fd = open(path, O_WRONLY);
    make_header(header, "LibvirtQemudSave", 2, 0);
    if (fd < 0 || !put(fd, header, sizeof(header)) || close(fd) < 0)
        leave(2);
    leave(0);
}

/* Reads to the end and checks every byte; returns how many came. */
static size_t
read_body(int fd)
{
    g_autofree uint8_t *buf = g_malloc(65536);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t total = 0;

    while (poll(&p, 1, 10000) > 0) {
        ssize_t n = read(fd, buf, 65536);

        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i], body_byte(total + (size_t) i));
        total += n > 0 ? (size_t) n : 0;
    }
    return total;
}

static void
test_save(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    uint8_t header[QM_SAVE_HEADER], expected[QM_SAVE_HEADER];

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
    assert_true(g_str_has_prefix(qm__fifo_path(fifo), f->dir));
    f->child = fork();
    if (f->child == 0)
        save_as_libvirt(qm__fifo_path(fifo));
    CHECK_OK(qm__fifo_take(fifo, f->job, late(), header, &err));
    make_header(expected, "LibvirtQemudSave", 2, 0);
    assert_memory_equal(header, expected, sizeof(header));
    /* The end of the stream is seen although libvirt writes once more. */
    assert_int_equal(read_body(qm__fifo_fd(fifo)), BODY);
    assert_int_equal(wait_child(f), 0);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(count(f, S_IFIFO) + count(f, S_IFREG), 0);
    assert_int_equal(count(f, S_IFDIR), 0);
}

/* libvirt is done long before we read: its second header stays apart. */
static void
test_save_read_late(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    uint8_t header[QM_SAVE_HEADER], second[QM_SAVE_HEADER];
    int fd;

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
    fd = open(qm__fifo_path(fifo), O_WRONLY);
    make_header(header, "LibvirtQemudPart", 2, 0);
    assert_true(put(fd, header, sizeof(header)) && put(fd, "\0", 1));
    CHECK_OK(qm__fifo_take(fifo, f->job, late(), header, &err));
    close(fd);
    fd = open(qm__fifo_path(fifo), O_WRONLY); /* does not wait */
    assert_true(put(fd, header, sizeof(header)));
    close(fd);
    assert_int_equal(read(qm__fifo_fd(fifo), second, sizeof(second)), 1);
    assert_int_equal(read(qm__fifo_fd(fifo), second, sizeof(second)), 0);
}

static void
test_save_header_refused(void **state)
{
    static const struct {
        const char *magic;
        uint32_t version, format;
    } cases[] = {
        {"LibvirtQemudSave", 2, 0},
        {"SomethingElse!!!", 2, 0},
        {"LibvirtQemudPart", 3, 0},
        {"LibvirtQemudPart", 2, 6}, /* sparse: needs a seekable file */
    };
    fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(qm_fifo) fifo = NULL;
        uint8_t header[QM_SAVE_HEADER];
        int fd;

        CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
        fd = open(qm__fifo_path(fifo), O_WRONLY);
        make_header(header, cases[i].magic, cases[i].version, cases[i].format);
        assert_true(put(fd, header, sizeof(header)));
        CHECK_FAILS(qm__fifo_take(fifo, f->job, late(), header, &err),
                    QM_ERROR_UNSUPPORTED);
        close(fd);
    }
}

static void
test_save_short_header(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    uint8_t header[QM_SAVE_HEADER];
    int fd;

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
    fd = open(qm__fifo_path(fifo), O_WRONLY);
    make_header(header, "LibvirtQemudPart", 2, 0);
    assert_true(put(fd, header, QM_SAVE_HEADER - 1));
    close(fd);
    CHECK_FAILS(qm__fifo_take(fifo, f->job, late(), header, &err), QM_ERROR_IO);
}

/* libvirt's call fails before it opens anything. */
static void
test_save_job_fails(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    uint8_t header[QM_SAVE_HEADER];

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
    end_job(f);
    CHECK_FAILS(qm__fifo_take(fifo, f->job, late(), header, &err), QM_ERROR_IO);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(count(f, S_IFIFO) + count(f, S_IFDIR), 0);
}

/* Nobody comes in time.  Who comes later must not make a file there. */
static void
test_save_timeout(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    uint8_t header[QM_SAVE_HEADER];
    g_autofree char *path = NULL;

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_SAVE, &fifo, &err));
    path = g_strdup(qm__fifo_path(fifo));
    CHECK_FAILS(qm__fifo_take(fifo, f->job, soon(), header, &err),
                QM_ERROR_TIMEOUT);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), -1);
    assert_int_equal(errno, EISDIR);
}

static void
test_restore(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    struct pollfd p = {.events = POLLOUT};

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_RESTORE, &fifo, &err));
    assert_int_equal(qm__fifo_fd(fifo), -1);
    f->child = fork();
    if (f->child == 0)
        leave(read_body(open(qm__fifo_path(fifo), O_RDONLY)) == BODY ? 0 : 1);
    CHECK_OK(qm__fifo_connect(fifo, f->job, late(), &err));
    p.fd = qm__fifo_fd(fifo);
    for (size_t i = 0; i < BODY;) {
        uint8_t byte[4096];
        size_t n = MIN(sizeof(byte), BODY - i);
        ssize_t done;

        for (size_t j = 0; j < n; j++)
            byte[j] = body_byte(i + j);
        assert_int_equal(poll(&p, 1, 10000), 1);
        done = write(p.fd, byte, n);
        i += done > 0 ? (size_t) done : 0;
    }
    qm__fifo_close(fifo);
    assert_int_equal(wait_child(f), 0);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(count(f, S_IFIFO) + count(f, S_IFDIR), 0);
}

/* Reads @length bytes, or up to the end.  Returns how many. */
static size_t
get(int fd, uint8_t *data, size_t length)
{
    size_t have = 0;

    while (have < length) {
        ssize_t n = read(fd, data + have, length - have);

        if (n <= 0)
            break;
        have += (size_t) n;
    }
    return have;
}

/* As libvirt 11.2 restores: header and XML; then all of it, from the start.
 * Ends with 0 when all came, 1 when the second time is cut short, 2 when the
 * first is. */
static void
restore_as_new_libvirt(const char *path, const uint8_t *image, size_t length,
                       size_t beginning)
{
    g_autofree uint8_t *buf = g_malloc(length + 1);
    int fd = open(path, O_RDONLY);

    if (get(fd, buf, beginning) < beginning)
        leave(2);
    close(fd);
    g_usleep(20000); /* it parses the XML */
    fd = open(path, O_RDONLY);
    leave(fd < 0 || get(fd, buf, length) < length ||
          memcmp(buf, image, length) != 0 || get(fd, buf, 1) != 0);
}

/* The same in one go, as libvirt 9.0 does it. */
static void
restore_as_old_libvirt(const char *path, const uint8_t *image, size_t length,
                       size_t beginning)
{
    g_autofree uint8_t *buf = g_malloc(length + 1);
    int fd = open(path, O_RDONLY);

    if (get(fd, buf, beginning) < beginning)
        leave(2);
    g_usleep(20000); /* it starts QEMU */
    leave(get(fd, buf + beginning, length - beginning) < length - beginning ||
          memcmp(buf, image, length) != 0 || get(fd, buf, 1) != 0);
}

/* @cut: the stream ends there.  Returns the fake libvirt's status. */
static int
restore_through(fixture *f, bool twice, size_t length, size_t cut)
{
    const uint32_t xml = 70000;
    const size_t beginning = QM_SAVE_HEADER + xml;
    g_autofree uint8_t *image = g_malloc(length);
    g_autoptr(qm_fifo) fifo = NULL;
    struct pollfd p = {.events = POLLOUT};
    size_t done = 0;
    int status;

    for (size_t i = 0; i < length; i++)
        image[i] = body_byte(i);
    make_header(image, "LibvirtQemudSave", 2, 0);
    memcpy(image + 20, &xml, sizeof(xml));
    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_RESTORE, &fifo, &err));
    f->child = fork();
    if (f->child == 0 && twice)
        restore_as_new_libvirt(qm__fifo_path(fifo), image, length, beginning);
    if (f->child == 0)
        restore_as_old_libvirt(qm__fifo_path(fifo), image, length, beginning);
    CHECK_OK(qm__fifo_connect(fifo, f->job, late(), &err));
    p.fd = qm__fifo_fd(fifo);
    while (done < cut && poll(&p, 1, 10000) == 1) {
        ssize_t n = write(p.fd, image + done, cut - done);

        if (n < 0 && errno != EAGAIN)
            break;
        done += n > 0 ? (size_t) n : 0;
    }
    qm__fifo_close(fifo);
    status = wait_child(f);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(count(f, S_IFIFO) + count(f, S_IFDIR), 0);
    return WEXITSTATUS(status);
}

static void
test_restore_in_one_go(void **state)
{
    assert_int_equal(restore_through(*state, false, BODY, BODY), 0);
    assert_int_equal(restore_through(*state, false, 70192, 70192), 0);
    assert_int_equal(restore_through(*state, false, BODY, 2 * 1024 * 1024), 1);
    assert_int_equal(restore_through(*state, false, BODY, 70092), 1);
    assert_int_equal(restore_through(*state, false, BODY, 50), 2);
    assert_int_equal(restore_through(*state, false, BODY, 0), 2);
}

static void
test_restore_opened_twice(void **state)
{
    assert_int_equal(restore_through(*state, true, BODY, BODY), 0);
    /* Shorter than what the pipe holds. */
    assert_int_equal(restore_through(*state, true, 70192, 70192), 0);
    assert_int_equal(restore_through(*state, true, BODY, 2 * 1024 * 1024), 1);
    assert_int_equal(restore_through(*state, true, BODY, 100000), 1);
    assert_int_equal(restore_through(*state, true, BODY, 70092), 1);
    assert_int_equal(restore_through(*state, true, BODY, 50), 2);
    assert_int_equal(restore_through(*state, true, BODY, 0), 2);
}

/* libvirt takes the beginning, then fails. */
static void
test_restore_given_up(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;
    struct pollfd p = {.events = POLLOUT};
    uint8_t piece[4096] = {0};
    ssize_t n;

    make_header(piece, "LibvirtQemudSave", 2, 0);
    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_RESTORE, &fifo, &err));
    f->child = fork();
    if (f->child == 0)
        leave(get(open(qm__fifo_path(fifo), O_RDONLY), piece, 2000) != 2000);
    CHECK_OK(qm__fifo_connect(fifo, f->job, late(), &err));
    p.fd = qm__fifo_fd(fifo);
    assert_int_equal(write(p.fd, piece, sizeof(piece)), sizeof(piece));
    assert_int_equal(wait_child(f), 0);
    end_job(f);
    do {
        assert_int_equal(poll(&p, 1, 10000), 1);
        n = write(p.fd, piece, sizeof(piece));
    } while (n > 0 || errno == EAGAIN);
    assert_int_equal(errno, EPIPE);
}

static void
test_restore_nobody(void **state)
{
    fixture *f = *state;
    g_autoptr(qm_fifo) fifo = NULL;

    CHECK_OK(qm__fifo_new(f->dir, QM_FIFO_RESTORE, &fifo, &err));
    CHECK_FAILS(qm__fifo_connect(fifo, f->job, soon(), &err), QM_ERROR_TIMEOUT);
    end_job(f);
    CHECK_FAILS(qm__fifo_connect(fifo, f->job, late(), &err), QM_ERROR_IO);
    g_clear_pointer(&fifo, qm__fifo_free);
    assert_int_equal(count(f, S_IFIFO) + count(f, S_IFDIR), 0);
}

/* Processes that wait for a partner who has died. */
static void
test_sweep(void **state)
{
    fixture *f = *state;
    qm_fifo_use use;

    for (use = QM_FIFO_SAVE; use <= QM_FIFO_RESTORE; use++) {
        int flags = use == QM_FIFO_SAVE ? O_WRONLY : O_RDONLY;
        g_autofree char *path = NULL, *wchan = NULL;
        qm_fifo *fifo;

        CHECK_OK(qm__fifo_new(f->dir, use, &fifo, &err));
        path = g_strdup(qm__fifo_path(fifo));
        qm__fifo_close(fifo);
        f->child = fork();
        if (f->child == 0)
            leave(open(path, flags) < 0);
        wchan = g_strdup_printf("/proc/%d/wchan", f->child);
        for (int i = 0; i < 2000; i++) { /* until it waits in open() */
            g_autofree char *where = NULL;

            if (g_file_get_contents(wchan, &where, NULL, NULL) &&
                strcmp(where, "wait_for_partner") == 0)
                break;
            g_usleep(1000);
        }
        assert_int_equal(waitpid(f->child, NULL, WNOHANG), 0);
        qm__fifo_sweep(f->dir);
        assert_int_equal(wait_child(f), 0);
        assert_int_equal(count(f, S_IFIFO), 0);
        qm__fifo_free(fifo);
    }
    assert_int_equal(count(f, S_IFDIR), 1); /* the guard of the save */
    qm__fifo_sweep(f->dir);
}

/* Others' files in the same directory. */
static void
test_sweep_spares_others(void **state)
{
    fixture *f = *state;
    g_autofree char *lock = g_build_filename(f->dir, "lock", NULL);
    g_autofree char *final = g_build_filename(f->dir, "save-1.fifo", NULL);

    assert_true(g_file_set_contents(lock, "", 0, NULL));
    assert_true(g_file_set_contents(final, "x", 1, NULL));
    qm__fifo_sweep(f->dir);
    assert_int_equal(count(f, S_IFREG), 1);
    assert_int_equal(g_access(lock, F_OK), 0);
    qm__fifo_sweep("/nonexistent");
}

static void
test_no_directory(void **state)
{
    qm_fifo *fifo = NULL;

    CHECK_FAILS(qm__fifo_new("/nonexistent", QM_FIFO_SAVE, &fifo, &err),
                QM_ERROR_IO);
    assert_null(fifo);
    qm__fifo_free(NULL);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_save),
        WITH_DIR(test_save_read_late),
        WITH_DIR(test_save_header_refused),
        WITH_DIR(test_save_short_header),
        WITH_DIR(test_save_job_fails),
        WITH_DIR(test_save_timeout),
        WITH_DIR(test_restore),
        WITH_DIR(test_restore_in_one_go),
        WITH_DIR(test_restore_opened_twice),
        WITH_DIR(test_restore_given_up),
        WITH_DIR(test_restore_nobody),
        WITH_DIR(test_sweep),
        WITH_DIR(test_sweep_spares_others),
        cmocka_unit_test(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
