/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * This node's volatile state: locks, the marker of an action under way, the
 * tombstone of an image.  It may be trusted as far as /run itself: nothing is
 * followed out of it (no symbolic links), and every directory and file in use
 * belongs to this user.  Files are replaced whole, so that a reader without
 * the lock never sees half of one.  Nothing is synced: it is meant to vanish
 * with the host.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include <uuid/uuid.h>
#include "runtime.h"
#include "timeouts.h"

#define DIR_PUBLIC    0711 /* QEMU's user reaches its sockets through it */
#define DIR_PRIVATE   0700
#define FILE_MAX      256 /* bytes of any of our small files */
#define ROOM          "room"
#define ROOM_SIZE     (128 * 1024) /* libvirt's note of a domain: 20 KiB */
#define LOCK_POLL_MIN (5 * QM_MS)
#define LOCK_POLL_MAX (50 * QM_MS)
#define OPEN_DIR      (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct qm_lock {
    int fd; /* open file description that owns the lock */
};

static bool
fail(GError **error, const char *what, const char *path, int code)
{
    g_set_error(error, QM_ERROR,
                code == ENOENT ? QM_ERROR_NOT_FOUND : QM_ERROR_IO,
                "cannot %s %s: %s", what, path, g_strerror(code));
    return false;
}

/* --- names --- */

const char *
qm__run_dir(void)
{
    /* NULL in a set-user-ID program, whatever the caller's environment. */
    const char *dir = secure_getenv("QM_RUN_DIR");

    return dir != NULL && *dir == '/' ? dir : QM_RUNSTATEDIR "/quickmig";
}

char *
qm__vm_path(const uint8_t *uuid, const char *file)
{
    char text[UUID_STR_LEN];

    uuid_unparse_lower(uuid, text);
    return g_build_filename(qm__run_dir(), "vm", text, file, NULL);
}

static char *
gate_path(const uint8_t *uuid, const char *disk, const char *suffix)
{
    char text[UUID_STR_LEN];
    g_autofree char *safe = g_strdup(disk);

    uuid_unparse_lower(uuid, text);
    g_strcanon(safe, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-", '_');
    return g_strdup_printf("%s/gate/%s-%s.%s", qm__run_dir(), text, safe,
                           suffix);
}

char *
qm__gate_socket(const uint8_t *uuid, const char *disk)
{
    return gate_path(uuid, disk, "sock");
}

char *
qm__gate_control(const uint8_t *uuid, const char *disk)
{
    return gate_path(uuid, disk, "control");
}

/* --- directories --- */

/* Opens @name in @parent and checks that it is ours alone to change. */
static bool
open_dir(int parent, const char *name, int *ret_fd, GError **error)
{
    struct stat st;
    int fd = openat(parent, name, OPEN_DIR);

    if (fd < 0)
        return fail(error, "open directory", name, errno);
    if (fstat(fd, &st) < 0) {
        int code = errno;

        close(fd);
        return fail(error, "look at directory", name, code);
    }
    if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        close(fd);
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "directory %s below %s is writable by others (owner %u, "
                    "mode %04o): remove it",
                    name, qm__run_dir(), (unsigned) st.st_uid,
                    st.st_mode & 07777u);
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool
make_dir(int parent, const char *name, mode_t mode, int *ret_fd, GError **error)
{
    int fd;

    if (mkdirat(parent, name, DIR_PRIVATE) < 0 && errno != EEXIST)
        return fail(error, "make directory", name, errno);
    if (!open_dir(parent, name, &fd, error))
        return false;
    if (fchmod(fd, mode) < 0) { /* whatever the umask was */
        int code = errno;

        close(fd);
        return fail(error, "set mode of directory", name, code);
    }
    *ret_fd = fd;
    return true;
}

static bool
make_leaf(int parent, const char *name, mode_t mode, GError **error)
{
    int fd;

    if (!make_dir(parent, name, mode, &fd, error))
        return false;
    close(fd);
    return true;
}

bool
qm__runtime_prepare(const uint8_t *uuid, GError **error)
{
    char text[UUID_STR_LEN];
    int base, vms;
    bool ok = false;

    if (!make_dir(AT_FDCWD, qm__run_dir(), DIR_PUBLIC, &base, error))
        return false;
    if (!make_leaf(base, "gate", DIR_PUBLIC, error) ||
        !make_leaf(base, "lun", DIR_PRIVATE, error) ||
        !make_dir(base, "vm", DIR_PRIVATE, &vms, error))
        goto out;
    ok = true;
    if (uuid != NULL) {
        uuid_unparse_lower(uuid, text);
        ok = make_leaf(vms, text, DIR_PRIVATE, error);
    }
    close(vms);
out:
    close(base);
    return ok;
}

/* The VM's directory; NOT_FOUND when it was never prepared. */
static bool
open_vm_dir(const uint8_t *uuid, int *ret_fd, GError **error)
{
    char text[UUID_STR_LEN];
    int base, vms;
    bool ok;

    uuid_unparse_lower(uuid, text);
    if (!open_dir(AT_FDCWD, qm__run_dir(), &base, error))
        return false;
    ok = open_dir(base, "vm", &vms, error);
    close(base);
    if (!ok)
        return false;
    ok = open_dir(vms, text, ret_fd, error);
    close(vms);
    return ok;
}

/* --- locks --- */

static bool
check_file(int fd, const char *path, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return fail(error, "look at", path, errno);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        g_set_error(error, QM_ERROR, QM_ERROR_REFUSED,
                    "%s is not a regular file of this user: remove it", path);
        return false;
    }
    return true;
}

static bool
set_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Who holds it, as the holder wrote it: for messages only. */
static void
write_holder(int fd)
{
    g_autofree char *text = g_strdup_printf(
        "%s, pid %d\n", program_invocation_short_name, (int) getpid());

    /* Failure costs a name in a message, nothing else. */
    if (ftruncate(fd, 0) == 0)
        (void) !pwrite(fd, text, strlen(text), 0);
}

static bool
fail_busy(int fd, const char *path, const char *what, GError **error)
{
    char holder[FILE_MAX];
    ssize_t n = pread(fd, holder, sizeof holder - 1, 0);

    holder[n > 0 ? n : 0] = '\0';
    g_strstrip(holder);
    g_strcanon(holder, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS " ,._-", '?');
    g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                "%s is busy: lock %s is held by %s", what, path,
                *holder != '\0' ? holder : "another process");
    return false;
}

/* Polls: a blocking lock could not be given a deadline without signals. */
static bool
wait_lock(int fd, const char *path, const char *what, int64_t deadline,
          GError **error)
{
    int64_t pause = LOCK_POLL_MIN;

    while (!set_lock(fd, F_WRLCK)) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return fail(error, "lock", path, errno);
        if (qm__passed(deadline))
            return fail_busy(fd, path, what, error);
        g_usleep((gulong) MIN(pause, qm__remaining(deadline)));
        pause = MIN(pause * 2, LOCK_POLL_MAX);
    }
    return true;
}

bool
qm__lock_take(const char *path, const char *what, int64_t deadline,
              qm_lock **ret_lock, GError **error)
{
    int fd = open(
        path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        0600);

    if (fd < 0)
        return fail(error, "open lock", path, errno);
    if (!check_file(fd, path, error) ||
        !wait_lock(fd, path, what, deadline, error)) {
        close(fd);
        return false;
    }
    write_holder(fd);
    *ret_lock = g_new(qm_lock, 1);
    (*ret_lock)->fd = fd;
    return true;
}

/* The file stays: removing it would let two processes lock two files. */
void
qm__lock_release(qm_lock *lock)
{
    if (lock == NULL)
        return;
    (void) !ftruncate(lock->fd, 0); /* only a name for messages */
    /* Explicitly: a child forked meanwhile shares the description. */
    (void) set_lock(lock->fd, F_UNLCK);
    close(lock->fd);
    g_free(lock);
}

/* --- small files --- */

/* Caller holds the VM's lock, so the temporary name is ours. */
static bool
replace_file(const uint8_t *uuid, const char *name, const char *text,
             GError **error)
{
    g_autofree char *temporary = g_strconcat(name, ".new", NULL);
    size_t length = strlen(text);
    int dir, fd, code = 0;

    if (!open_vm_dir(uuid, &dir, error))
        return false;
    (void) unlinkat(dir, temporary, 0); /* of a writer that was killed */
    fd = openat(dir, temporary,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, length) != (ssize_t) length)
        code = errno != 0 ? errno : EIO;
    if (fd >= 0)
        close(fd);
    if (code == 0 && renameat(dir, temporary, dir, name) < 0)
        code = errno;
    close(dir);
    return code == 0 || fail(error, "write", name, code);
}

/* NOT_FOUND: no such file. */
static bool
read_file(const uint8_t *uuid, const char *name, char **ret_text,
          GError **error)
{
    char text[FILE_MAX];
    ssize_t n = -1;
    int dir, fd, code = 0;

    if (!open_vm_dir(uuid, &dir, error))
        return false;
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || (n = read(fd, text, sizeof text - 1)) < 0)
        code = errno;
    if (fd >= 0)
        close(fd);
    close(dir);
    if (code != 0)
        return fail(error, "read", name, code);
    text[n] = '\0';
    *ret_text = g_strdup(g_strchomp(text));
    return true;
}

bool
qm__marker_set(const uint8_t *uuid, const char *action, GError **error)
{
    g_autofree char *text = g_strdup_printf("%.200s\n", action);

    return replace_file(uuid, "action", text, error);
}

void
qm__marker_clear(const uint8_t *uuid)
{
    int dir;

    if (!open_vm_dir(uuid, &dir, NULL))
        return; /* never prepared: nothing to clear */
    /* A marker that stays makes the next action look twice: harmless. */
    (void) unlinkat(dir, "action", 0);
    close(dir);
}

char *
qm__marker_get(const uint8_t *uuid)
{
    g_autoptr(GError) error = NULL;
    char *text;

    if (read_file(uuid, "action", &text, &error))
        return text;
    if (g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND))
        return NULL;
    return g_strdup("unknown"); /* unsure: as if cut off */
}

/* @ret_id: 0 without tombstone.  false: there is one, but unreadable. */
static bool
read_tombstone(const uint8_t *uuid, uint64_t *ret_id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    uint64_t id = 0;

    if (read_file(uuid, "tombstone", &text, &error)) {
        if (!g_ascii_string_to_unsigned(text, 10, 0, UINT64_MAX, &id, NULL))
            return false;
    } else if (!g_error_matches(error, QM_ERROR, QM_ERROR_NOT_FOUND)) {
        return false;
    }
    *ret_id = id;
    return true;
}

bool
qm__tombstone_set(const uint8_t *uuid, uint64_t image_id, GError **error)
{
    g_autofree char *text = NULL;
    uint64_t old;

    if (read_tombstone(uuid, &old) && old > image_id)
        return true; /* never goes back */
    text = g_strdup_printf("%" PRIu64 "\n", image_id);
    return replace_file(uuid, "tombstone", text, error);
}

bool
qm__tombstone_is_set(const uint8_t *uuid, uint64_t image_id)
{
    uint64_t id;

    if (!read_tombstone(uuid, &id))
        return true; /* unsure: costs a slower restore, nothing else */
    return id != 0 && image_id <= id;
}

bool
qm__settled_set(const uint8_t *uuid, int64_t now, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" PRIi64 "\n", now);

    return replace_file(uuid, "settled", text, error);
}

int64_t
qm__settled_get(const uint8_t *uuid)
{
    g_autofree char *text = NULL;
    gint64 then;

    /* Unreadable: as if never.  It costs one more attempt, and the note is
     * written anew in it, or the attempt is no settlement. */
    if (!read_file(uuid, "settled", &text, NULL) ||
        !g_ascii_string_to_signed(text, 10, 0, INT64_MAX, &then, NULL))
        return 0;
    return then;
}

void
qm__room_keep(const uint8_t *uuid)
{
    int dir, fd;

    if (!open_vm_dir(uuid, &dir, NULL))
        return;
    fd = openat(dir, ROOM, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* There is none left: then nothing of it must be taken. */
    if (fd >= 0 && posix_fallocate(fd, 0, ROOM_SIZE) != 0)
        (void) unlinkat(dir, ROOM, 0);
    if (fd >= 0)
        close(fd);
    close(dir);
}

void
qm__room_use(const uint8_t *uuid)
{
    int dir;

    if (!open_vm_dir(uuid, &dir, NULL))
        return;
    (void) unlinkat(dir, ROOM, 0); /* none was kept: no matter */
    close(dir);
}

bool
qm__note_write(const uint8_t *uuid, const char *name, const char *text,
               GError **error)
{
    return replace_file(uuid, name, text, error);
}

char *
qm__note_read(const uint8_t *uuid, const char *name)
{
    char *text = NULL;

    return read_file(uuid, name, &text, NULL) ? text : NULL;
}
