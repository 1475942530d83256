/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Reading a domain XML.
 *
 * Invariant: what is accepted here can be saved on one host and restored on
 * another, as far as its XML can tell; and each of its disks is either behind
 * a gate, or nothing that QEMU would reach over iSCSI by itself.
 */
#include "config.h"
#include <string.h>
#include <libxml/parser.h>
#include <uuid/uuid.h>
#include "domxml-internal.h"

#define VCPUS_MAX 65535

void
qm__domxml_free(qm_domxml *d)
{
    if (d == NULL)
        return;
    g_free(d->name);
    g_free(d->type);
    g_free(d->first_disk);
    g_clear_pointer(&d->disks, g_ptr_array_unref);
    g_free(d);
}

static void
disk_free(void *data)
{
    qm_disk *disk = data;

    g_free(disk->target);
    qm_url_free(disk->url);
    g_free(disk);
}

G_GNUC_PRINTF(2, 3)
static bool
invalid(GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error(error, QM_ERROR, QM_ERROR_INVALID, "domain XML: %s", text);
    return false;
}

/* --- walking --- */

xmlNodePtr
qm__xml_find(xmlNodePtr node, const char *name)
{
    for (; node != NULL; node = node->next)
        if (node->type == XML_ELEMENT_NODE && node->ns == NULL &&
            strcmp((const char *) node->name, name) == 0)
            return node;
    return NULL;
}

char *
qm__xml_attribute(xmlNodePtr node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, BAD_CAST name);
    char *copy = g_strdup((const char *) value);

    xmlFree(value);
    return copy;
}

bool
qm__xml_is(xmlNodePtr node, const char *name, const char *value)
{
    g_autofree char *found = qm__xml_attribute(node, name);

    return g_strcmp0(found, value) == 0;
}

/* Text of the child element, without the space around it; NULL: none. */
static char *
child_text(xmlNodePtr node, const char *name)
{
    xmlNodePtr child = qm__xml_find(node->children, name);
    xmlChar *text = child != NULL ? xmlNodeGetContent(child) : NULL;
    char *copy = g_strdup((const char *) text);

    xmlFree(text);
    return copy != NULL ? g_strstrip(copy) : NULL;
}

static xmlNodePtr
find_child(xmlNodePtr node, const char *name)
{
    return node != NULL ? qm__xml_find(node->children, name) : NULL;
}

/* --- disks --- */

/* "disk" unless it says otherwise. */
static bool
is_hard_disk(xmlNodePtr disk)
{
    g_autofree char *kind = qm__xml_attribute(disk, "device");

    return kind == NULL || strcmp(kind, "disk") == 0 ||
           strcmp(kind, "lun") == 0;
}

bool
qm__xml_is_gated(xmlNodePtr disk)
{
    xmlNodePtr source = find_child(disk, "source");

    return is_hard_disk(disk) && qm__xml_is(disk, "type", "network") &&
           source != NULL && qm__xml_is(source, "protocol", "iscsi");
}

/* "iscsi://user@host:port/iqn/lun?secret=…", from the element's parts. */
static char *
url_text(xmlNodePtr disk, xmlNodePtr source)
{
    xmlNodePtr host = find_child(source, "host");
    xmlNodePtr auth = find_child(disk, "auth");
    xmlNodePtr secret;
    g_autofree char *target = qm__xml_attribute(source, "name");
    g_autofree char *address = NULL, *port = NULL, *user = NULL, *name = NULL;
    GString *url = g_string_new("iscsi://");

    if (auth == NULL)
        auth = find_child(source, "auth");
    secret = find_child(auth, "secret");
    if (auth != NULL)
        user = qm__xml_attribute(auth, "username");
    if (secret != NULL) {
        name = qm__xml_attribute(secret, "uuid");
        if (name == NULL)
            name = qm__xml_attribute(secret, "usage");
    }
    if (host != NULL) {
        address = qm__xml_attribute(host, "name");
        port = qm__xml_attribute(host, "port");
    }
    if (user != NULL)
        g_string_append_printf(url, "%s@", user);
    if (address != NULL)
        g_string_append_printf(
            url,
            strchr(address, ':') != NULL && address[0] != '[' ? "[%s]" : "%s",
            address);
    if (port != NULL)
        g_string_append_printf(url, ":%s", port);
    g_string_append_printf(url, "/%s", target != NULL ? target : "");
    if (target != NULL && strchr(target, '/') == NULL)
        g_string_append(url, "/0"); /* as libvirt has it */
    if (name != NULL)
        g_string_append_printf(url, "?secret=%s", name);
    return g_string_free(url, FALSE);
}

static bool
check_gated(xmlNodePtr disk, const char *target, GError **error)
{
    xmlNodePtr source = find_child(disk, "source");

    if (qm__xml_is(disk, "device", "lun"))
        return invalid(error,
                       "disk %s: device='lun' passes SCSI commands through, "
                       "which no gate can hold back; use device='disk'",
                       target);
    if (find_child(disk, "shareable") != NULL)
        return invalid(error,
                       "disk %s: an iSCSI disk that is shareable would be "
                       "written by several hosts; its reservation forbids "
                       "that; remove <shareable/>",
                       target);
    if (qm__xml_find(find_child(source, "host")->next, "host") != NULL)
        return invalid(error, "disk %s: several <host> elements", target);
    return true;
}

static bool
add_gated(qm_domxml *d, xmlNodePtr disk, const char *target, GError **error)
{
    xmlNodePtr source = find_child(disk, "source");
    g_autofree char *text = url_text(disk, source);
    qm_url *url = NULL;
    qm_disk *entry;

    if (find_child(source, "host") == NULL)
        return invalid(error, "disk %s: its <source> names no <host>", target);
    if (!check_gated(disk, target, error))
        return false;
    if (!qm_url_parse(text, &url, error)) {
        g_prefix_error(error, "domain XML: disk %s: ", target);
        return false;
    }
    for (guint i = 0; i < d->disks->len; i++) {
        const qm_disk *other = g_ptr_array_index(d->disks, i);

        if (g_ascii_strcasecmp(other->url->iqn, url->iqn) == 0 &&
            other->url->lun == url->lun) {
            qm_url_free(url);
            return invalid(error, "disks %s and %s are one LUN", other->target,
                           target);
        }
    }
    entry = g_new0(qm_disk, 1);
    entry->target = g_strdup(target);
    entry->url = url;
    entry->read_only = find_child(disk, "readonly") != NULL;
    g_ptr_array_add(d->disks, entry);
    return true;
}

/* Part of a file name, and of XML that we make. */
static bool
is_target(const char *text)
{
    return text != NULL && text[0] != '\0' && strlen(text) < 32 &&
           strspn(text, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS) ==
               strlen(text);
}

/* Other formats have metadata on the disk, and encryption has a header there,
 * which QEMU reads once, when it opens the disk. */
static bool
is_plain(xmlNodePtr disk)
{
    xmlNodePtr driver = find_child(disk, "driver");
    xmlNodePtr source = find_child(disk, "source");
    g_autofree char *format = qm__xml_attribute(driver, "type");

    return (format == NULL || strcmp(format, "raw") == 0) &&
           find_child(disk, "encryption") == NULL &&
           find_child(source, "encryption") == NULL;
}

static bool
add_disk(qm_domxml *d, xmlNodePtr disk, GHashTable *seen, GError **error)
{
    xmlNodePtr element = find_child(disk, "target");
    xmlNodePtr source = find_child(disk, "source");
    char *target = element != NULL ? qm__xml_attribute(element, "dev") : NULL;

    if (!is_target(target)) {
        g_free(target);
        return invalid(error, "a <disk> without a proper <target dev='…'/>");
    }
    if (!g_hash_table_add(seen, target)) /* owns it now */
        return invalid(error, "two disks have the target %s", target);
    if (source != NULL && qm__xml_find(source->next, "source") != NULL)
        return invalid(error, "disk %s: several <source> elements", target);
    if (source != NULL && qm__xml_is(disk, "type", "volume") &&
        qm__xml_is(source, "mode", "direct"))
        return invalid(error,
                       "disk %s: a volume with mode='direct' would be reached "
                       "over iSCSI past the gate; name the LUN with "
                       "type='network' and protocol='iscsi'",
                       target);
    if (!is_hard_disk(disk))
        return true;
    d->n_disks++;
    d->plain_disks = d->plain_disks && is_plain(disk);
    if (d->first_disk == NULL)
        d->first_disk = g_strdup(target);
    return !qm__xml_is_gated(disk) || add_gated(d, disk, target, error);
}

/* --- devices --- */

/* Bound to this host: QEMU cannot save their state, or it stays behind. */
static bool
check_movable(xmlNodePtr device, GError **error)
{
    const char *name = (const char *) device->name;
    g_autofree char *type = qm__xml_attribute(device, "type");

    if (strcmp(name, "hostdev") == 0 && g_strcmp0(type, "usb") != 0)
        return invalid(error,
                       "<hostdev type='%s'>: a device of the host cannot be "
                       "saved and moved",
                       type != NULL ? type : "");
    if (strcmp(name, "interface") == 0 &&
        (g_strcmp0(type, "hostdev") == 0 || g_strcmp0(type, "vdpa") == 0))
        return invalid(error,
                       "<interface type='%s'>: a device of the host cannot "
                       "be saved and moved",
                       type);
    return true;
}

static bool
is_agent_channel(xmlNodePtr device)
{
    xmlNodePtr target = find_child(device, "target");

    return strcmp((const char *) device->name, "channel") == 0 &&
           target != NULL && qm__xml_is(target, "type", "virtio") &&
           qm__xml_is(target, "name", "org.qemu.guest_agent.0");
}

static bool
read_devices(qm_domxml *d, xmlNodePtr devices, GError **error)
{
    g_autoptr(GHashTable) seen =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (xmlNodePtr n = devices->children; n != NULL; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        if (!check_movable(n, error))
            return false;
        if (is_agent_channel(n))
            d->has_agent = true;
        if (strcmp((const char *) n->name, "disk") == 0 &&
            !add_disk(d, n, seen, error))
            return false;
    }
    return d->n_disks > 0 ||
           invalid(error, "it has no disk; libvirt keeps the memory of a "
                          "saved domain only if there is one");
}

/* --- the rest --- */

static const struct {
    const char *name; /* as in libvirt's documentation */
    uint64_t bytes;
} units[] = {
    {"b", 1},
    {"bytes", 1},
    {"KB", 1000},
    {"k", 1024},
    {"KiB", 1024},
    {"MB", 1000000},
    {"M", 1 << 20},
    {"MiB", 1 << 20},
    {"GB", 1000000000},
    {"G", 1 << 30},
    {"GiB", 1 << 30},
    {"TB", UINT64_C(1000000000000)},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
};

static bool
read_memory(qm_domxml *d, xmlNodePtr root, GError **error)
{
    xmlNodePtr memory = find_child(root, "memory");
    g_autofree char *text = child_text(root, "memory");
    g_autofree char *unit =
        memory != NULL ? qm__xml_attribute(memory, "unit") : NULL;
    guint64 number;

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        if (g_ascii_strcasecmp(unit != NULL ? unit : "KiB", units[i].name) != 0)
            continue;
        if (text == NULL ||
            !g_ascii_string_to_unsigned(
                text, 10, 1, UINT64_MAX / units[i].bytes, &number, NULL))
            break;
        d->memory = number * units[i].bytes;
        return true;
    }
    return invalid(error, "<memory> is missing or no size");
}

static bool
read_identity(qm_domxml *d, xmlNodePtr root, GError **error)
{
    g_autofree char *uuid = child_text(root, "uuid");
    g_autofree char *vcpus = child_text(root, "vcpu");
    guint64 number = 1;

    d->type = qm__xml_attribute(root, "type");
    d->name = child_text(root, "name");
    if (d->type == NULL)
        return invalid(error, "<domain> has no type");
    if (d->name == NULL || d->name[0] == '\0' || strlen(d->name) >= QM_NAME_MAX)
        return invalid(error, "<name> is missing, empty or longer than %d",
                       QM_NAME_MAX - 1);
    if (uuid == NULL)
        return invalid(error, "<uuid> is missing; it is what ties the vault "
                              "to the VM; make one with uuidgen");
    if (uuid_parse(uuid, d->uuid) != 0 || uuid_is_null(d->uuid))
        return invalid(error, "<uuid> \"%s\" is no UUID", uuid);
    if (vcpus != NULL &&
        !g_ascii_string_to_unsigned(vcpus, 10, 1, VCPUS_MAX, &number, NULL))
        return invalid(error, "<vcpu> \"%s\" is no number of CPUs", vcpus);
    d->vcpus = (unsigned) number;
    return true;
}

static bool
read_domain(qm_domxml *d, xmlNodePtr root, GError **error)
{
    xmlNodePtr devices = find_child(root, "devices");

    if (strcmp((const char *) root->name, "domain") != 0)
        return invalid(error, "it describes a <%s>, not a <domain>",
                       (const char *) root->name);
    if (!read_identity(d, root, error) || !read_memory(d, root, error))
        return false;
    if (devices == NULL)
        return invalid(error, "<devices> is missing");
    /* libvirt takes the disks of all of them. */
    if (qm__xml_find(devices->next, "devices") != NULL)
        return invalid(error, "several <devices> elements");
    return read_devices(d, devices, error);
}

static bool
parse_text(const char *xml, xmlDocPtr *ret_doc, GError **error)
{
    const int options =
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    size_t length = strlen(xml);
    xmlParserCtxtPtr context;
    g_autoptr(xmlDoc) doc = NULL;

    if (length > QM_XML_MAX)
        return invalid(error, "it is longer than %d KiB", QM_XML_MAX / 1024);
    context = xmlNewParserCtxt();
    if (context == NULL)
        g_error("out of memory");
    doc = xmlCtxtReadMemory(context, xml, (int) length, "domain.xml", NULL,
                            options);
    if (doc == NULL) {
        const xmlError *e = xmlCtxtGetLastError(context);
        g_autofree char *text =
            g_strdup(e != NULL && e->message != NULL ? e->message : "unknown");

        invalid(error, "line %d: %s", e != NULL ? e->line : 0,
                g_strchomp(text));
        xmlFreeParserCtxt(context);
        return false;
    }
    xmlFreeParserCtxt(context);
    if (xmlGetIntSubset(doc) != NULL) /* entities: nothing good */
        return invalid(error, "a DOCTYPE has no place in it");
    *ret_doc = g_steal_pointer(&doc);
    return true;
}

bool
qm__domxml_load(const char *xml, xmlDocPtr *ret_doc, qm_domxml **ret,
                GError **error)
{
    g_autoptr(qm_domxml) d = g_new0(qm_domxml, 1);
    g_autoptr(xmlDoc) doc = NULL;

    d->plain_disks = true; /* until one is not */
    d->disks = g_ptr_array_new_with_free_func(disk_free);
    if (!parse_text(xml, &doc, error) ||
        !read_domain(d, xmlDocGetRootElement(doc), error))
        return false;
    *ret_doc = g_steal_pointer(&doc);
    *ret = g_steal_pointer(&d);
    return true;
}

bool
qm__domxml_parse(const char *xml, qm_domxml **ret, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;

    return qm__domxml_load(xml, &doc, ret, error);
}
