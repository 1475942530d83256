/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the quickmig authors
 *
 * One address on one interface; the kernel answers pings by itself.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int
set_address(int fd, struct ifreq *req, unsigned long op, in_addr_t address)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};

    sin.sin_addr.s_addr = address;
    memcpy(&req->ifr_addr, &sin, sizeof sin);
    return ioctl(fd, op, req);
}

static int
set_flags(int fd, const char *interface)
{
    struct ifreq req = {0};

    strncpy(req.ifr_name, interface, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
        return -1;
    req.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &req);
}

/* So that the switch learns the new place at once. */
static void
announce_when_up(void)
{
    int fd = open("/proc/sys/net/ipv4/conf/all/arp_notify", O_WRONLY);

    if (fd < 0)
        return;
    (void) !write(fd, "1", 1);
    close(fd);
}

int
net_up(const char *interface, const char *address)
{
    char ip[32], *slash;
    struct ifreq req = {0};
    int prefix = 24, fd, rc = -1;

    (void) snprintf(ip, sizeof ip, "%s", address);
    slash = strchr(ip, '/');
    if (slash) {
        *slash = '\0';
        prefix = atoi(slash + 1);
    }
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return -1;
    announce_when_up();
    strncpy(req.ifr_name, interface, IFNAMSIZ - 1);
    if (set_flags(fd, "lo") == 0 &&
        set_address(fd, &req, SIOCSIFADDR, inet_addr(ip)) == 0 &&
        set_address(fd, &req, SIOCSIFNETMASK, htonl(~0U << (32 - prefix))) == 0)
        rc = set_flags(fd, interface);
    close(fd);
    return rc;
}
