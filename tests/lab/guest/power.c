/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * The ACPI power button, as virDomainShutdown presses it: button.ko turns it
 * into an input event, evdev.ko shows that in /dev/input.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_DEVICES 8

static int
open_devices(struct pollfd *fds)
{
    char path[40];
    int i, n = 0;

    for (i = 0; i < MAX_DEVICES; i++) {
        (void) snprintf(path, sizeof path, "/dev/input/event%d", i);
        fds[n].fd = open(path, O_RDONLY | O_CLOEXEC);
        fds[n].events = POLLIN;
        if (fds[n].fd >= 0)
            n++;
    }
    return n;
}

static bool
pressed(int fd)
{
    struct input_event event;

    return read(fd, &event, sizeof event) == sizeof event &&
           event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
}

void
power_wait_button(void)
{
    struct pollfd fds[MAX_DEVICES];
    int n = open_devices(fds), i;

    if (n == 0)
        guest_print("NOBUTTON\n");
    for (;;) {
        (void) poll(fds, (nfds_t) n, -1);
        for (i = 0; i < n; i++) {
            if (fds[i].revents & POLLIN && pressed(fds[i].fd))
                return;
        }
    }
}
