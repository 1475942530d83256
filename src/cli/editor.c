/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Editing a text, and asking.  The copy is private to the user: a domain XML
 * can hold passwords of displays.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include <quickmig/error.h>
#include "editor.h"

struct cli_edit {
    char *path;
    bool done;
    bool ran;
};

static bool
fail(GError **error, const char *what, const char *path, int err)
{
    g_set_error(error, QM_ERROR, QM_ERROR_IO, "%s %s: %s", what, path,
                g_strerror(err));
    return false;
}

static bool
write_all(int fd, const char *text)
{
    size_t length = strlen(text);

    while (length > 0) {
        ssize_t n = write(fd, text, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        length -= (size_t) n;
    }
    return true;
}

bool
cli_edit_begin(const char *text, cli_edit **ret, GError **error)
{
    g_autoptr(cli_edit) edit = g_new0(cli_edit, 1);
    bool ok;
    int fd, err;

    edit->path = g_build_filename(g_get_tmp_dir(), "quickmig-XXXXXX.xml", NULL);
    edit->done = true; /* nothing to keep yet */
    fd = g_mkstemp_full(edit->path, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(error, "cannot create", edit->path, errno);
    ok = write_all(fd, text);
    err = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        err = errno;
    }
    if (!ok)
        return fail(error, "cannot write", edit->path, err);
    edit->done = false;
    *ret = g_steal_pointer(&edit);
    return true;
}

static const char *
editor_name(void)
{
    const char *visual = g_getenv("VISUAL");
    const char *editor = g_getenv("EDITOR");

    if (visual != NULL && visual[0] != '\0')
        return visual;
    return editor != NULL && editor[0] != '\0' ? editor : "vi";
}

bool
cli_edit_run(cli_edit *edit, char **ret_text, GError **error)
{
    const char *editor = editor_name();
    /* The shell splits "emacs -nw"; the path is an argument, never code. */
    g_autofree char *script = g_strconcat(editor, " \"$1\"", NULL);
    char *argv[] = {(char *) "sh", (char *) "-c", script,
                    (char *) "sh", edit->path,    NULL};
    g_autoptr(GError) e = NULL;
    gint status;

    if (!g_spawn_sync(NULL, argv, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL,
                      NULL, NULL, NULL, &status, &e) ||
        !g_spawn_check_wait_status(status, &e)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO, "editor %s: %s", editor,
                    e->message);
        return false;
    }
    edit->ran = true;
    if (!g_file_get_contents(edit->path, ret_text, NULL, &e)) {
        g_set_error(error, QM_ERROR, QM_ERROR_IO,
                    "cannot read the edited text: %s", e->message);
        return false;
    }
    return true;
}

bool
cli_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool
cli_ask(const char *question)
{
    char answer[16];

    g_printerr("%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) == NULL)
        return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

bool
cli_edit_again(cli_edit *edit, const GError *what)
{
    (void) edit;
    if (!cli_can_ask())
        return false;
    g_printerr("quickmig: %s\n", what->message);
    return cli_ask("Edit again?");
}

void
cli_edit_done(cli_edit *edit)
{
    edit->done = true;
}

void
cli_edit_free(cli_edit *edit)
{
    if (edit == NULL)
        return;
    if (edit->done || !edit->ran)
        (void) g_unlink(edit->path); /* at worst a private file stays */
    else
        g_printerr("quickmig: your text is kept in %s\n", edit->path);
    g_free(edit->path);
    g_free(edit);
}
