/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
#ifndef QM_CLI_HARDWARE_H
#define QM_CLI_HARDWARE_H

/*
 * A VM's hardware as its domain XML has it, and what of it stands in the way
 * of moving it.  Pure.
 */
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef enum {
    CLI_OBSTACLE_NOTE,  /* the other nodes need it, too */
    CLI_OBSTACLE_DOUBT, /* works only if the administrator has seen to it */
    CLI_OBSTACLE_BLOCK, /* cannot be moved at all */
} cli_obstacle_kind;

typedef struct {
    cli_obstacle_kind kind;
    char *text;
} cli_obstacle;

typedef struct {
    char *target; /* "vda" */
    char *kind;   /* "iscsi", "file", "block", "rbd" … */
    char *source; /* path, target and LUN, …; NULL: none (empty drive) */
    bool drive;   /* CD or floppy */
    bool gated;   /* goes through a gate once it is protected */
} cli_hw_disk;

typedef struct {
    char *kind;   /* "bridge", "network" … */
    char *source; /* its name; NULL: none */
    char *mac, *model;
} cli_hw_nic;

typedef struct {
    char *name, *uuid;
    char *type, *machine, *firmware; /* NULL: not said */
    char *cpu; /* mode, or model; NULL: the hypervisor's default */
    unsigned vcpus;
    uint64_t memory;      /* bytes */
    GPtrArray *disks;     /* cli_hw_disk */
    GPtrArray *nics;      /* cli_hw_nic */
    GPtrArray *obstacles; /* cli_obstacle, worst first */
} cli_hardware;

/* Where a file is. */
typedef enum {
    CLI_FILE_SHARED,  /* a file system made for several hosts */
    CLI_FILE_LOCAL,   /* of this host alone */
    CLI_FILE_UNKNOWN, /* cannot be told from here */
} cli_file_place;
typedef cli_file_place (*cli_file_place_fn)(const char *path);

/* By the type of its file system, on this host. */
cli_file_place cli_file_place_here(const char *path);

/* CORRUPT: @xml is no XML.  @place: for files; NULL: all UNKNOWN. */
bool cli_hardware_read(const char *xml, cli_file_place_fn place,
                       cli_hardware **ret, GError **error);
void cli_hardware_free(cli_hardware *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cli_hardware, cli_hardware_free)

const char *cli_obstacle_name(cli_obstacle_kind kind);
/* The worst of them; NOTE when there is none. */
cli_obstacle_kind cli_hardware_worst(const cli_hardware *h);

#endif
