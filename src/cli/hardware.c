/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What a VM is made of, and which parts bind it to one host.
 *
 * What quickmig itself refuses (domxml.c) blocks.  What it would take, but
 * what is missing or stale on another node (a file on a local disk, UEFI
 * variables, a TPM's state), is in doubt: only the administrator can know
 * whether the other nodes see the same.
 */
#include "config.h"
#include <string.h>
#include <sys/vfs.h>
#include "domxml.h"
#include "hardware.h"
#include "xml-walk.h"

/* --- helpers ------------------------------------------------------------- */

static void
free_disk(gpointer p)
{
    cli_hw_disk *d = p;

    g_free(d->target);
    g_free(d->kind);
    g_free(d->source);
    g_free(d);
}

static void
free_nic(gpointer p)
{
    cli_hw_nic *n = p;

    g_free(n->kind);
    g_free(n->source);
    g_free(n->mac);
    g_free(n->model);
    g_free(n);
}

static void
free_obstacle(gpointer p)
{
    g_free(((cli_obstacle *) p)->text);
    g_free(p);
}

void
cli_hardware_free(cli_hardware *h)
{
    if (h == NULL)
        return;
    g_free(h->name);
    g_free(h->uuid);
    g_free(h->type);
    g_free(h->machine);
    g_free(h->firmware);
    g_free(h->cpu);
    g_ptr_array_unref(h->disks);
    g_ptr_array_unref(h->nics);
    g_ptr_array_unref(h->obstacles);
    g_free(h);
}

static void object(cli_hardware *h, cli_obstacle_kind kind, const char *format,
                   ...) G_GNUC_PRINTF(3, 4);

static void
object(cli_hardware *h, cli_obstacle_kind kind, const char *format, ...)
{
    cli_obstacle *o = g_new0(cli_obstacle, 1);
    va_list ap;

    va_start(ap, format);
    o->kind = kind;
    o->text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_ptr_array_add(h->obstacles, o);
}

static xmlNode *
child(const xmlNode *node, const char *name)
{
    if (node == NULL)
        return NULL;
    for (xmlNode *n = node->children; n != NULL; n = n->next)
        if (n->ns == NULL && qm__walk_is(n, name))
            return n;
    return NULL;
}

static char *
text_of(const xmlNode *node)
{
    xmlChar *text = node != NULL ? xmlNodeGetContent(node) : NULL;
    char *copy = g_strdup((const char *) text);

    xmlFree(text);
    return copy != NULL ? g_strstrip(copy) : NULL;
}

static char *
get(const xmlNode *node, const char *name)
{
    return node != NULL ? qm__walk_get(node, name) : NULL;
}

/* --- files --------------------------------------------------------------- */

cli_file_place
cli_file_place_here(const char *path)
{
    /* As statfs(2) has them. */
    static const unsigned long shared[] = {
        0x6969,     /* NFS */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0xfe534d42, /* SMB 2 */
        0xff534d42, /* CIFS */
        0x517b,     /* SMB */
        0x5346414f, /* AFS */
    };
    g_autofree char *dir = NULL;
    struct statfs fs;

    if (statfs(path, &fs) != 0) {
        dir = g_path_get_dirname(path);
        if (statfs(dir, &fs) != 0)
            return CLI_FILE_UNKNOWN;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(shared); i++)
        if ((unsigned long) fs.f_type == shared[i])
            return CLI_FILE_SHARED;
    if ((unsigned long) fs.f_type == 0x65735546) /* FUSE: Gluster, or not */
        return CLI_FILE_UNKNOWN;
    return CLI_FILE_LOCAL;
}

/* @what: "disk vda". */
static void
check_file(cli_hardware *h, const char *what, const char *path,
           cli_file_place_fn place)
{
    switch (place != NULL ? place(path) : CLI_FILE_UNKNOWN) {
    case CLI_FILE_SHARED:
        return;
    case CLI_FILE_LOCAL:
        object(h, CLI_OBSTACLE_DOUBT,
               "%s is a file on this host's own file system (%s): no other "
               "node has it; put it on an iSCSI LUN or a shared file system",
               what, path);
        return;
    case CLI_FILE_UNKNOWN:
        object(h, CLI_OBSTACLE_DOUBT,
               "%s is a file (%s): it cannot be told from here whether all "
               "nodes share it",
               what, path);
        return;
    }
}

/* --- disks --------------------------------------------------------------- */

static char *
disk_source(const char *type, const xmlNode *source)
{
    static const char *const names[] = {"file", "dev", "dir", "name", "volume"};
    g_autofree char *pool = get(source, "pool");

    for (size_t i = 0; source != NULL && i < G_N_ELEMENTS(names); i++) {
        char *value = qm__walk_get(source, names[i]);
        char *full;

        if (value == NULL)
            continue;
        if (pool == NULL)
            return value;
        full = g_strconcat(pool, "/", value, NULL);
        g_free(value);
        return full;
    }
    return g_strcmp0(type, "nvme") == 0 ? g_strdup("NVMe") : NULL;
}

static void
check_disk(cli_hardware *h, const cli_hw_disk *d, const char *type,
           cli_file_place_fn place)
{
    g_autofree char *what =
        g_strdup_printf("%s %s", d->drive ? "drive" : "disk", d->target);

    if (d->source == NULL || d->gated)
        return;
    if (g_strcmp0(type, "file") == 0)
        check_file(h, what, d->source, place);
    else if (g_strcmp0(type, "dir") == 0 || g_strcmp0(type, "vhostuser") == 0)
        object(h, CLI_OBSTACLE_BLOCK, "%s is of type %s: bound to this host",
               what, type);
    else if (g_strcmp0(type, "nvme") == 0)
        object(h, CLI_OBSTACLE_BLOCK, "%s is an NVMe device of this host",
               what);
    else if (g_strcmp0(type, "block") == 0 || g_strcmp0(type, "volume") == 0)
        object(h, CLI_OBSTACLE_DOUBT,
               "%s is the %s %s: every node must see the same one under this "
               "name, and nothing but fencing protects it; an iSCSI LUN named "
               "with type='network' goes through a gate",
               what, type[0] == 'b' ? "block device" : "volume", d->source);
    else
        object(h, CLI_OBSTACLE_NOTE,
               "%s is reached over %s: without a gate, protected by fencing "
               "only",
               what, d->kind);
}

static void
read_disk(cli_hardware *h, const xmlNode *node, cli_file_place_fn place)
{
    const xmlNode *source = child(node, "source");
    cli_hw_disk *d = g_new0(cli_hw_disk, 1);
    g_autofree char *type = qm__walk_get(node, "type");
    g_autofree char *device = qm__walk_get(node, "device");

    d->target = get(child(node, "target"), "dev");
    if (d->target == NULL)
        d->target = g_strdup("?");
    d->kind = g_strcmp0(type, "network") == 0 ? get(source, "protocol") : NULL;
    if (d->kind == NULL)
        d->kind = g_strdup(type != NULL ? type : "file");
    d->source = disk_source(type, source);
    d->drive =
        g_strcmp0(device, "cdrom") == 0 || g_strcmp0(device, "floppy") == 0;
    d->gated = !d->drive && g_strcmp0(type, "network") == 0 &&
               strcmp(d->kind, "iscsi") == 0;
    g_ptr_array_add(h->disks, d);
    check_disk(h, d, type, place);
}

/* --- networks ------------------------------------------------------------ */

static void
read_nic(cli_hardware *h, const xmlNode *node)
{
    static const char *const names[] = {"bridge", "network", "dev"};
    const xmlNode *source = child(node, "source");
    cli_hw_nic *n = g_new0(cli_hw_nic, 1);

    n->kind = qm__walk_get(node, "type");
    if (n->kind == NULL)
        n->kind = g_strdup("?");
    for (size_t i = 0; n->source == NULL && i < G_N_ELEMENTS(names); i++)
        n->source = get(source, names[i]);
    n->mac = get(child(node, "mac"), "address");
    n->model = get(child(node, "model"), "type");
    g_ptr_array_add(h->nics, n);
    if (strcmp(n->kind, "direct") == 0)
        object(h, CLI_OBSTACLE_NOTE,
               "its network card sits on the host's %s: every node needs a "
               "device of this name, and switches learn slowly where it is",
               n->source != NULL ? n->source : "device");
    else if (strcmp(n->kind, "vhostuser") == 0)
        object(h, CLI_OBSTACLE_DOUBT,
               "a vhost-user network card: every node needs the same switch "
               "behind the same socket");
}

/* --- devices ------------------------------------------------------------- */

static void
check_tpm(cli_hardware *h, const xmlNode *node)
{
    g_autofree char *type = get(child(node, "backend"), "type");

    if (g_strcmp0(type, "passthrough") == 0)
        object(h, CLI_OBSTACLE_BLOCK, "it uses the TPM of this host");
    else if (g_strcmp0(type, "external") != 0)
        object(h, CLI_OBSTACLE_DOUBT,
               "it has a TPM whose state is in a directory of this host: "
               "another node boots it with an empty one (a disk that is "
               "sealed to it stays locked), unless /var/lib/libvirt/swtpm is "
               "shared");
}

static void
check_device(cli_hardware *h, const xmlNode *node)
{
    g_autofree char *model = qm__walk_get(node, "model");

    if (qm__walk_is(node, "tpm"))
        check_tpm(h, node);
    else if (qm__walk_is(node, "filesystem"))
        object(h, CLI_OBSTACLE_BLOCK,
               "<filesystem>: a directory of this host, whose state QEMU "
               "cannot save");
    else if (qm__walk_is(node, "memory") && g_strcmp0(model, "dimm") != 0 &&
             g_strcmp0(model, "virtio-mem") != 0)
        object(h, CLI_OBSTACLE_BLOCK,
               "<memory model='%s'>: memory of this host's devices",
               model != NULL ? model : "");
    else if (qm__walk_is(node, "hostdev") && qm__walk_has(node, "type", "usb"))
        object(h, CLI_OBSTACLE_DOUBT,
               "a USB device of this host: it stays behind in a move");
}

static void
read_devices(cli_hardware *h, const xmlNode *devices, cli_file_place_fn place)
{
    for (xmlNode *n = devices->children; n != NULL; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        if (qm__walk_is(n, "disk"))
            read_disk(h, n, place);
        else if (qm__walk_is(n, "interface"))
            read_nic(h, n);
        else
            check_device(h, n);
    }
}

/* --- the rest ------------------------------------------------------------ */

static void
read_firmware(cli_hardware *h, const xmlNode *os, cli_file_place_fn place)
{
    const xmlNode *nvram = child(os, "nvram");
    g_autofree char *path = text_of(nvram);
    g_autofree char *file = get(child(nvram, "source"), "file");
    g_autofree char *firmware = get(os, "firmware");
    const char *at = file != NULL ? file : path;

    if (nvram == NULL && g_strcmp0(firmware, "efi") != 0)
        return;
    h->firmware = g_strdup("UEFI");
    if (at == NULL || at[0] != '/')
        object(h, CLI_OBSTACLE_DOUBT,
               "libvirt keeps its UEFI variables in a file of this host: "
               "after a cold boot on another node they are the defaults");
    else if (place == NULL || place(at) != CLI_FILE_SHARED)
        object(h, CLI_OBSTACLE_DOUBT,
               "its UEFI variables are a file of this host (%s): put it on a "
               "shared file system, or they are the defaults after a cold "
               "boot on another node",
               at);
}

static void
read_os(cli_hardware *h, const xmlNode *os, cli_file_place_fn place)
{
    static const char *const files[] = {"kernel", "initrd"};

    h->machine = get(child(os, "type"), "machine");
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = text_of(child(os, files[i]));

        if (path != NULL)
            object(h, CLI_OBSTACLE_NOTE, "its %s is %s: on every node",
                   files[i], path);
    }
    read_firmware(h, os, place);
}

static void
read_cpu(cli_hardware *h, const xmlNode *cpu)
{
    g_autofree char *mode = get(cpu, "mode");
    g_autofree char *model = text_of(child(cpu, "model"));

    if (mode != NULL && strcmp(mode, "custom") != 0)
        h->cpu = g_strdup(mode);
    else
        h->cpu = g_steal_pointer(&model);
    if (g_strcmp0(mode, "host-passthrough") == 0 ||
        g_strcmp0(mode, "maximum") == 0)
        object(h, CLI_OBSTACLE_NOTE,
               "its CPU is %s: it moves only between hosts with equal CPUs",
               mode);
}

static gint
worst_first(gconstpointer a, gconstpointer b)
{
    const cli_obstacle *const *x = a, *const *y = b;

    return (int) (*y)->kind - (int) (*x)->kind;
}

/* What the library itself refuses, in its own words. */
static void
check_library(cli_hardware *h, const char *xml)
{
    g_autoptr(qm_domxml) dom = NULL;
    g_autoptr(GError) why = NULL;

    if (qm__domxml_parse(xml, &dom, &why)) {
        h->memory = dom->memory;
        h->vcpus = dom->vcpus;
        return;
    }
    object(h, CLI_OBSTACLE_BLOCK, "%s",
           g_str_has_prefix(why->message, "domain XML: ")
               ? why->message + strlen("domain XML: ")
               : why->message);
}

/* For one that the library does not take: as libvirt prints it, in KiB. */
static void
read_size(cli_hardware *h, const xmlNode *root)
{
    g_autofree char *memory = text_of(child(root, "memory"));
    g_autofree char *vcpus = text_of(child(root, "vcpu"));

    if (memory != NULL)
        h->memory = g_ascii_strtoull(memory, NULL, 10) * 1024;
    h->vcpus = vcpus != NULL ? (unsigned) g_ascii_strtoull(vcpus, NULL, 10) : 1;
}

bool
cli_hardware_read(const char *xml, cli_file_place_fn place, cli_hardware **ret,
                  GError **error)
{
    g_autoptr(cli_hardware) h = g_new0(cli_hardware, 1);
    g_autoptr(xmlDoc) doc = NULL;
    const xmlNode *root;

    h->disks = g_ptr_array_new_with_free_func(free_disk);
    h->nics = g_ptr_array_new_with_free_func(free_nic);
    h->obstacles = g_ptr_array_new_with_free_func(free_obstacle);
    if (!qm__walk_parse(xml, "the domain XML", &doc, error))
        return false;
    root = xmlDocGetRootElement(doc);
    h->name = text_of(child(root, "name"));
    h->uuid = text_of(child(root, "uuid"));
    h->type = qm__walk_get(root, "type");
    read_size(h, root);
    check_library(h, xml);
    if (child(root, "launchSecurity") != NULL)
        object(h, CLI_OBSTACLE_BLOCK,
               "<launchSecurity>: encrypted memory cannot be saved");
    if (child(root, "cpu") != NULL)
        read_cpu(h, child(root, "cpu"));
    if (child(root, "os") != NULL)
        read_os(h, child(root, "os"), place);
    if (child(root, "devices") != NULL)
        read_devices(h, child(root, "devices"), place);
    g_ptr_array_sort(h->obstacles, worst_first);
    *ret = g_steal_pointer(&h);
    return true;
}

const char *
cli_obstacle_name(cli_obstacle_kind kind)
{
    static const char *const names[] = {"note", "doubt", "blocks"};

    return names[kind];
}

cli_obstacle_kind
cli_hardware_worst(const cli_hardware *h)
{
    const cli_obstacle *first;

    if (h->obstacles->len == 0)
        return CLI_OBSTACLE_NOTE;
    first = h->obstacles->pdata[0];
    return first->kind;
}
