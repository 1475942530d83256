/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A vault in a directory of a shared file system (NFS 4, GFS2, OCFS2 …).
 * Files: superblock, record.0, record.1, domain.xml.0, domain.xml.1, history,
 * disks, image.ID, lock.  Small files are replaced whole (write new, fsync,
 * rename, fsync directory).  Who holds the OFD lock on `lock` may write; the
 * file system takes it from a host that died.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "timeouts.h"
#include "vault-backend.h"

#define LOCK_POLL_US (10 * 1000)
#define MAX_TRANSFER (1024 * 1024)
#define IMAGE_PREFIX "image."

typedef struct {
    qm_backend base;
    qm_store store; /* the open image */
    char *path;
    int dir;   /* the directory */
    int lock;  /* OFD lock held while open; -1: not acquired */
    int image; /* -1: none, or not there yet */
    char image_name[32];
    int64_t deadline;
} dir_backend;

static const char *const area_names[] = {
    [QM_AREA_SUPERBLOCK] = "superblock", [QM_AREA_RECORD] = "record",
    [QM_AREA_HISTORY] = "history",       [QM_AREA_XML] = "domain.xml",
    [QM_AREA_DISKS] = "disks",
};

static bool
fail_errno(const char *what, const char *name, GError **error)
{
    int code;

    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        code = QM_ERROR_NOT_FOUND;
        break;
    case ENOSPC:
    case EDQUOT:
        code = QM_ERROR_NO_SPACE;
        break;
    case EROFS:
        code = QM_ERROR_READ_ONLY;
        break;
    case EACCES:
    case EPERM:
        code = QM_ERROR_AUTH;
        break;
    default:
        code = QM_ERROR_IO;
    }
    g_set_error(error, QM_ERROR, code, "%s %s: %s", what, name,
                g_strerror(errno));
    return false;
}

static void
area_file(qm_area area, unsigned copy, char *buf, size_t size)
{
    if (area == QM_AREA_RECORD || area == QM_AREA_XML)
        g_snprintf(buf, size, "%s.%u", area_names[area], copy);
    else
        g_snprintf(buf, size, "%s", area_names[area]);
}

static void
dir_close(qm_backend *base)
{
    dir_backend *b = (dir_backend *) base;

    if (b->image >= 0)
        (void) close(b->image); /* flushed where it mattered */
    if (b->lock >= 0)
        (void) close(b->lock);
    if (b->dir >= 0)
        (void) close(b->dir);
    g_free(b->path);
    g_free(b);
}

static bool
dir_open(const qm_url *url, const qm_vault_params *params, int64_t deadline,
         qm_backend **ret, GError **error)
{
    dir_backend *b = g_new0(dir_backend, 1);

    b->base.ops = &qm__vault_dir_ops;
    b->path = g_strdup(url->dir);
    b->lock = b->image = -1;
    b->deadline = deadline;
    b->dir = open(url->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->dir < 0) {
        (void) fail_errno("opening directory", url->dir, error);
        dir_close(&b->base);
        return false;
    }
    *ret = &b->base;
    return true;
}

/* Reads up to @length bytes; what is not there reads as zeros. */
static bool
read_at(int fd, const char *name, off_t offset, void *buf, size_t length,
        GError **error)
{
    size_t have = 0;

    while (have < length) {
        ssize_t n = pread(fd, (char *) buf + have, length - have,
                          offset + (off_t) have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("reading", name, error);
        if (n == 0)
            break;
        have += (size_t) n;
    }
    memset((char *) buf + have, 0, length - have);
    return true;
}

static bool
write_at(int fd, const char *name, off_t offset, const void *buf, size_t length,
         GError **error)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, buf, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("writing", name, error);
        buf = (const char *) buf + n;
        offset += n;
        length -= (size_t) n;
    }
    return true;
}

static bool
dir_read(qm_backend *base, qm_area area, unsigned copy, void *buf,
         size_t length, GError **error)
{
    dir_backend *b = (dir_backend *) base;
    off_t offset = area == QM_AREA_HISTORY ? (off_t) copy * QM_HISTORY_SIZE : 0;
    char name[32];
    bool ok;
    int fd;

    area_file(area, copy, name, sizeof name);
    fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        memset(buf, 0, length);
        return true;
    }
    if (fd < 0)
        return fail_errno("opening", name, error);
    ok = read_at(fd, name, offset, buf, length, error);
    (void) close(fd); /* only read */
    return ok;
}

/* Writes a file anew: a crash leaves the old or the new one, never a part. */
static bool
replace_file(dir_backend *b, const char *name, const void *buf, size_t length,
             GError **error)
{
    g_autofree char *temp = g_strconcat(name, ".new", NULL);
    int fd =
        openat(b->dir, temp,
               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok;

    if (fd < 0)
        return fail_errno("creating", temp, error);
    ok = write_at(fd, temp, 0, buf, length, error);
    if (ok && fsync(fd) < 0)
        ok = fail_errno("flushing", temp, error);
    if (close(fd) < 0 && ok)
        ok = fail_errno("closing", temp, error);
    if (ok && renameat(b->dir, temp, b->dir, name) < 0)
        ok = fail_errno("renaming", temp, error);
    if (!ok)
        (void) unlinkat(b->dir, temp, 0); /* best effort: frees the space */
    if (ok && fsync(b->dir) < 0)
        ok = fail_errno("flushing directory", b->path, error);
    return ok;
}

/* In place, which needs no space: for what has a second copy. */
static bool
overwrite_file(dir_backend *b, const char *name, const void *buf, size_t length,
               GError **error)
{
    int fd = openat(b->dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok;

    if (fd < 0)
        return fail_errno("opening", name, error);
    ok = write_at(fd, name, 0, buf, length, error);
    if (ok && fsync(fd) < 0)
        ok = fail_errno("flushing", name, error);
    (void) close(fd); /* flushed */
    return ok;
}

static bool
write_history(dir_backend *b, unsigned slot, const void *buf, size_t length,
              GError **error)
{
    const char *name = area_names[QM_AREA_HISTORY];
    int fd =
        openat(b->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok;

    if (fd < 0)
        return fail_errno("opening", name, error);
    ok = write_at(fd, name, (off_t) slot * QM_HISTORY_SIZE, buf, length, error);
    if (ok && fdatasync(fd) < 0)
        ok = fail_errno("flushing", name, error);
    (void) close(fd); /* flushed */
    return ok;
}

static bool
need_lock(dir_backend *b, GError **error)
{
    if (b->lock >= 0)
        return true;
    g_set_error(error, QM_ERROR, QM_ERROR_CONFLICT,
                "it is not acquired for writing");
    return false;
}

static bool
dir_write(qm_backend *base, qm_area area, unsigned copy, const void *buf,
          size_t length, GError **error)
{
    dir_backend *b = (dir_backend *) base;
    g_autoptr(GError) why = NULL;
    char name[32];

    if (!need_lock(b, error))
        return false;
    if (area == QM_AREA_HISTORY)
        return write_history(b, copy, buf, length, error);
    area_file(area, copy, name, sizeof name);
    if (replace_file(b, name, buf, length, &why))
        return true;
    if (area == QM_AREA_RECORD &&
        g_error_matches(why, QM_ERROR, QM_ERROR_NO_SPACE))
        return overwrite_file(b, name, buf, length, error);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

static bool
take_lock(dir_backend *b, int fd, int64_t deadline, GError **error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    while (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return fail_errno("locking", "lock", error);
        if (qm__passed(deadline)) {
            g_set_error(error, QM_ERROR, QM_ERROR_BUSY,
                        "another process holds %s/lock", b->path);
            return false;
        }
        g_usleep(LOCK_POLL_US);
    }
    return true;
}

static bool
dir_acquire(qm_backend *base, bool (*check)(void *, GError **), void *opaque,
            int64_t deadline, GError **error)
{
    dir_backend *b = (dir_backend *) base;
    int fd;

    if (b->lock >= 0)
        return check(opaque, error);
    fd =
        openat(b->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno("opening", "lock", error);
    if (!take_lock(b, fd, deadline, error) || !check(opaque, error)) {
        (void) close(fd); /* gives the lock back */
        return false;
    }
    b->lock = fd;
    return true;
}

static bool
dir_acquired(qm_backend *base)
{
    return ((dir_backend *) base)->lock >= 0;
}

static bool
dir_holder(qm_backend *base, uint64_t *ret_key, GError **error)
{
    *ret_key = 0;
    return true;
}

static uint64_t
dir_key(qm_backend *base)
{
    return 0;
}

static bool
dir_room(qm_backend *base, uint64_t *ret_size, uint64_t *ret_image,
         GError **error)
{
    dir_backend *b = (dir_backend *) base;
    struct statvfs fs;

    if (fstatvfs(b->dir, &fs) < 0)
        return fail_errno("asking the file system of", b->path, error);
    *ret_size = (uint64_t) fs.f_blocks * fs.f_frsize;
    *ret_image = (uint64_t) fs.f_bavail * fs.f_frsize;
    return true;
}

static void
dir_set_deadline(qm_backend *base, int64_t deadline)
{
    ((dir_backend *) base)->deadline = deadline;
}

/* --- image --------------------------------------------------------------- */

static dir_backend *
from_store(qm_store *s)
{
    return (dir_backend *) ((char *) s - offsetof(dir_backend, store));
}

static bool
store_write(qm_store *s, uint64_t offset, const struct iovec *iov, int n_iov,
            qm_store_cb cb, void *opaque, GError **error)
{
    dir_backend *b = from_store(s);
    g_autoptr(GError) why = NULL;

    for (int i = 0; i < n_iov && why == NULL; i++) {
        (void) write_at(b->image, b->image_name, (off_t) offset,
                        iov[i].iov_base, iov[i].iov_len, &why);
        offset += iov[i].iov_len;
    }
    /* The record will need the space that a dead image takes. */
    if (g_error_matches(why, QM_ERROR, QM_ERROR_NO_SPACE))
        (void) !ftruncate(b->image, 0);
    cb(opaque, why);
    return true;
}

/* The image for reading.  false without an error: not there (yet). */
static bool
find_image(dir_backend *b, GError **error)
{
    if (b->image >= 0)
        return true;
    b->image = openat(b->dir, b->image_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (b->image < 0 && errno != ENOENT)
        (void) fail_errno("opening", b->image_name, error);
    return b->image >= 0;
}

static bool
store_read(qm_store *s, uint64_t offset, void *buf, uint32_t length,
           qm_store_cb cb, void *opaque, GError **error)
{
    dir_backend *b = from_store(s);
    g_autoptr(GError) why = NULL;

    if (find_image(b, &why))
        (void) read_at(b->image, b->image_name, (off_t) offset, buf, length,
                       &why);
    else if (why == NULL)
        memset(buf, 0, length);
    cb(opaque, why);
    return true;
}

static bool
store_flush(qm_store *s, int64_t deadline, GError **error)
{
    dir_backend *b = from_store(s);

    return fsync(b->image) == 0 || fail_errno("flushing", b->image_name, error);
}

static int
store_get_fd(qm_store *s)
{
    return -1;
}

static short
store_events(qm_store *s)
{
    return 0;
}

static bool
store_service(qm_store *s, short revents, GError **error)
{
    return true;
}

static const qm_store_ops store_ops = {
    .write = store_write,
    .read = store_read,
    .flush = store_flush,
    .get_fd = store_get_fd,
    .events = store_events,
    .service = store_service,
};

/* Older images are stale as soon as a new one is begun. */
static void
remove_other_images(dir_backend *b, const char *keep)
{
    int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (d == NULL) {
        if (fd >= 0)
            (void) close(fd);
        return; /* costs space, nothing else */
    }
    while ((e = readdir(d)) != NULL)
        if (g_str_has_prefix(e->d_name, IMAGE_PREFIX) &&
            strcmp(e->d_name, keep) != 0)
            (void) unlinkat(b->dir, e->d_name, 0); /* likewise */
    (void) closedir(d);
}

static bool
create_image(dir_backend *b, GError **error)
{
    remove_other_images(b, b->image_name);
    b->image =
        openat(b->dir, b->image_name,
               O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->image < 0)
        return fail_errno("creating", b->image_name, error);
    return fsync(b->dir) == 0 ||
           fail_errno("flushing directory", b->path, error);
}

static bool
dir_image(qm_backend *base, uint64_t image_id, bool for_writing, qm_store **ret,
          GError **error)
{
    dir_backend *b = (dir_backend *) base;

    if (for_writing && !need_lock(b, error))
        return false;
    if (b->image >= 0)
        (void) close(b->image); /* flushed where it mattered */
    b->image = -1;
    g_snprintf(b->image_name, sizeof b->image_name, IMAGE_PREFIX "%" PRIu64,
               image_id);
    if (for_writing && !create_image(b, error))
        return false;
    b->store = (qm_store){.ops = &store_ops,
                          .capacity = INT64_MAX / 2,
                          .align = 512,
                          .max_transfer = MAX_TRANSFER};
    *ret = &b->store;
    return true;
}

const qm_backend_ops qm__vault_dir_ops = {
    .open = dir_open,
    .close = dir_close,
    .read = dir_read,
    .write = dir_write,
    .acquire = dir_acquire,
    .acquired = dir_acquired,
    .holder = dir_holder,
    .key = dir_key,
    .image = dir_image,
    .room = dir_room,
    .set_deadline = dir_set_deadline,
};
