/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * Writes the first files of the fuzzers' corpora: what quickmig itself would
 * write, in the short form that the harnesses take.  Usage: seeds DIRECTORY
 */
#include "config.h"
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include "codec.h"
#include "crc32c.h"
#include "disk-note.h"
#include "facts.h"
#include "image.h"
#include "iscsi-pdu.h"
#include "job.h"
#include "vault-format.h"

static const uint8_t vm[QM_UUID_LEN] = {0xaa, 0xbb};
static const char *directory;

static void
put(const char *format, const char *name, const void *data, size_t size)
{
    g_autofree char *dir = g_build_filename(directory, format, NULL);
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autoptr(GError) error = NULL;

    if (g_mkdir_with_parents(dir, 0755) == 0 &&
        g_file_set_contents(path, data, (gssize) size, &error))
        return;
    fprintf(stderr, "seeds: %s\n",
            error != NULL ? error->message : "cannot make the directory");
    exit(EXIT_FAILURE);
}

static void
put_text(const char *format, const char *name, const char *text)
{
    put(format, name, text, strlen(text));
}

/* Zeros at the end are left out: the harness adds them. */
static void
put_block(const char *format, const char *name, const uint8_t *block,
          size_t size)
{
    g_autofree uint8_t *out = g_malloc(size + 1);

    size -= 4; /* the checksum */
    while (size > 0 && block[size - 1] == 0)
        size--;
    out[0] = 1; /* repair */
    memcpy(out + 1, block, size);
    put(format, name, out, size + 1);
}

/* --- the vault ----------------------------------------------------------- */

static void
put_records(void)
{
    qm_record r = {.state = QM_STATE_SAVING,
                   .sequence = 9,
                   .generation = 3,
                   .image_id = 7,
                   .image_length = 1 << 20,
                   .owner = {1, "alpha", {1, 2, 3}},
                   .target = {2, "beta", {4}},
                   .time_us = 1,
                   .key = UINT64_C(0x514d000112345678),
                   .cause = "move to beta"};
    uint8_t block[QM_RECORD_SIZE], pair[1024] = {1};

    qm_record_out(&r, vm, block);
    memcpy(pair + 1, block, 400);
    r.sequence++;
    r.state = QM_STATE_SAVED;
    qm_record_out(&r, vm, block);
    memcpy(pair + 401, block, 400);
    put("record", "saved", pair, 801);
    pair[0] = 0;
    put("record", "torn", pair, 801);
}

static void
put_disks(void)
{
    const qm_disk_note note = {"vda", 7, "beaf11", 1 << 26};
    g_autoptr(GArray) notes = g_array_new(FALSE, FALSE, sizeof note);
    uint8_t block[QM_DISKS_SIZE];

    g_array_append_val(notes, note);
    qm__disk_notes_out(notes, vm, block);
    put_block("disks", "one", block, sizeof block);
}

static void
put_formats(void)
{
    const qm_vault_info info = {{0xaa}, "guest", 1, 1 << 30, 1 << 20};
    const qm_history entry = {.time_us = 1,
                              .sequence = 9,
                              .from = QM_STATE_SAVING,
                              .to = QM_STATE_SAVED,
                              .node = "alpha",
                              .bytes = 5,
                              .cause = "move"};
    uint8_t block[QM_SUPERBLOCK_SIZE], *xml;
    g_autoptr(GByteArray) out = g_byte_array_new();
    size_t length;

    qm__superblock_out(&info, block);
    put_block("superblock", "vault", block, QM_SUPERBLOCK_SIZE);
    qm__history_out(&entry, block);
    put_block("history", "saved", block, QM_HISTORY_SIZE);
    put_disks();
    if (!qm__xml_out("<domain type='kvm'/>\n", 3, &xml, &length, NULL))
        exit(EXIT_FAILURE);
    g_byte_array_append(out, (const uint8_t *) "\1", 1);
    g_byte_array_append(out, xml, (guint) length);
    put("xmlcopy", "domain", out->data, out->len);
    g_free(xml);
}

/* --- the image ----------------------------------------------------------- */

static void
add_chunk(GByteArray *out, qm_chunk *c, const char *text, bool lz4,
          GChecksum *digest)
{
    uint8_t block[QM_CHUNK_HEADER], payload[4096];
    int n = (int) strlen(text);

    c->raw_length = c->stored_length = (uint32_t) n;
    memcpy(payload, text, (size_t) n);
    if (lz4) {
        n = LZ4_compress_default(text, (char *) payload, n, sizeof payload);
        c->stored_length = (uint32_t) n;
        c->codec = QM_CODEC_LZ4;
    }
    c->payload_crc = qm__crc32c(0, payload, c->stored_length);
    qm__digest_add(digest, c);
    c->total_length += c->raw_length;
    if (c->flags & QM_CHUNK_LAST)
        qm__digest_get(digest, c->digest);
    qm__chunk_out(c, vm, block);
    g_byte_array_append(out, block, 128);
    g_byte_array_append(out, payload, c->stored_length);
    c->sequence++;
    c->codec = QM_CODEC_NONE;
}

static void
put_image(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *dull = g_strnfill(3000, 'x');
    qm_chunk c = {.image_id = 7};

    g_byte_array_append(out, (const uint8_t *) "\1", 1);
    add_chunk(out, &c, "the first chunk", false, digest);
    add_chunk(out, &c, dull, true, digest);
    c.flags = QM_CHUNK_LAST;
    add_chunk(out, &c, "", false, digest);
    put("image", "whole", out->data, out->len);
    put("image", "cut", out->data, out->len - 100);
}

/* --- wires --------------------------------------------------------------- */

static void
add_be(GByteArray *out, uint64_t v, int bytes)
{
    while (bytes-- > 0) {
        uint8_t byte = (uint8_t) (v >> (8 * bytes));

        g_byte_array_append(out, &byte, 1);
    }
}

static void
add_option(GByteArray *out, uint32_t code, const void *data, uint32_t length)
{
    g_byte_array_append(out, (const uint8_t *) "IHAVEOPT", 8);
    add_be(out, code, 4);
    add_be(out, length, 4);
    g_byte_array_append(out, data, length);
}

static void
add_request(GByteArray *out, uint16_t command, uint64_t offset, uint32_t length)
{
    add_be(out, 0x25609513, 4);
    add_be(out, command, 4);
    add_be(out, 0x1122334455667788, 8);
    add_be(out, offset, 8);
    add_be(out, length, 4);
}

static void
put_nbd(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t data[512] = {0};

    add_be(out, 1, 1);
    add_be(out, 3, 4);
    add_option(out, 3, "", 0);
    add_option(out, 6, "\0\0\0\0\0\1\0\3", 8);
    add_option(out, 7, "\0\0\0\3vda\0\0", 9);
    add_request(out, 0, 0, 4096);
    add_request(out, 1, 512, 512);
    g_byte_array_append(out, data, sizeof data);
    add_request(out, 3, 0, 0);
    add_request(out, 2, 0, 0);
    put("nbd", "go", out->data, out->len);
    g_byte_array_set_size(out, 5);
    add_option(out, 1, "vda", 3);
    add_request(out, 0, 0, 512);
    add_request(out, 1, 0, 7);
    put("nbd", "export-name", out->data, out->len);
}

static void
add_pdu(GByteArray *out, uint8_t opcode, uint8_t flags, uint32_t tag,
        uint32_t stat_sn, uint32_t offset, uint32_t length)
{
    uint8_t bhs[QM_BHS] = {opcode, flags}, zeros[1024] = {0};

    qm__put_be24(bhs + QM_AT_LENGTH, opcode == QM_OP_R2T ? 0 : length);
    qm__set_be32(bhs + QM_AT_TAG, tag);
    qm__set_be32(bhs + QM_AT_STAT_SN, stat_sn);
    qm__set_be32(bhs + QM_AT_EXP_CMD_SN, 5);
    qm__set_be32(bhs + QM_AT_MAX_CMD_SN, 64);
    qm__set_be32(bhs + QM_AT_OFFSET, offset);
    qm__set_be32(bhs + QM_AT_WANTED, opcode == QM_OP_R2T ? length : 0);
    g_byte_array_append(out, bhs, sizeof bhs);
    if (opcode != QM_OP_R2T)
        g_byte_array_append(out, zeros, length);
}

static void
put_wire(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (uint32_t tag = 0x10000; tag < 0x10004; tag++) {
        add_be(out, 7, 1);
        add_pdu(out, QM_OP_DATA_IN, 0, tag, 0, 0, 1024);
        add_pdu(out, QM_OP_R2T, QM_PDU_FINAL, tag, 1, 8192, 4096);
        add_pdu(out, QM_OP_RESPONSE, QM_PDU_FINAL, tag, 1, 0, 0);
        add_pdu(out, QM_OP_NOP_IN, QM_PDU_FINAL, QM_TAG_NONE, 2, 0, 0);
        put("iscsi",
            tag == 0x10000   ? "read"
            : tag == 0x10001 ? "write"
                             : "more",
            out->data, out->len);
        g_byte_array_set_size(out, 0);
    }
}

static void
add_login(GByteArray *out, uint8_t flags, const char *text, uint32_t length)
{
    uint8_t bhs[QM_BHS] = {QM_OP_LOGIN_RESPONSE, flags};

    qm__put_be24(bhs + QM_AT_LENGTH, length);
    qm__set_be32(bhs + QM_AT_TAG, 1);
    qm__set_be32(bhs + QM_AT_MAX_CMD_SN, 64);
    g_byte_array_append(out, bhs, sizeof bhs);
    g_byte_array_append(out, (const uint8_t *) text, length);
    g_byte_array_append(out, (const uint8_t *) "\0\0\0", qm__pdu_pad(length));
}

#define LOGIN(out, flags, text) add_login(out, flags, text, sizeof(text) - 1)

static void
put_login(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    add_be(out, 0, 1);
    LOGIN(out, 0x81, "AuthMethod=None\0TargetPortalGroupTag=1\0");
    LOGIN(out, 0x87,
          "HeaderDigest=None\0DataDigest=None\0MaxRecvDataSegmentLength=65536\0"
          "FirstBurstLength=65536\0MaxBurstLength=262144\0ImmediateData=Yes\0"
          "InitialR2T=No\0");
    put("login", "open", out->data, out->len);
    g_byte_array_set_size(out, 0);
    add_be(out, 1, 1);
    LOGIN(out, 0, "AuthMethod=CHAP\0");
    LOGIN(out, 0, "CHAP_A=5\0CHAP_I=3\0CHAP_C=0x00112233445566778899\0");
    LOGIN(out, 0x81, "");
    LOGIN(out, 0x87, "MaxRecvDataSegmentLength=8192\0");
    put("login", "chap", out->data, out->len);
}

/* --- texts --------------------------------------------------------------- */

static void
put_messages(void)
{
    for (int kind = 0; kind < QM_MESSAGE_COUNT; kind++) {
        qm_message m = {.kind = (qm_message_kind) kind,
                        .job = {.uuid = {0xaa},
                                .name = "guest",
                                .resource = "vm-guest",
                                .image_id = 7,
                                .source = 1,
                                .target = 2,
                                .source_name = "alpha",
                                .target_name = "beta",
                                .live = true,
                                .phase = QM_PHASE_COPY,
                                .bytes = 1 << 30,
                                .text = "why"},
                        .offer = {.vault = "iscsi://h/iqn.2026-01.x:y/0",
                                  .hypervisor = "qemu:///system",
                                  .timeout_ms = 1000}};
        g_autofree char *json = qm__message_to_json(&m);
        g_autofree char *name = g_strdup_printf("kind-%d", kind);

        put_text("message", name, json);
    }
}

static void
put_texts(void)
{
    char cpu[] = "GenuineIntel";
    qm_node_facts facts = {
        .cpu_vendor = cpu, .cpus = 4, .memory = 1024, .qemu = 7002022};
    g_autofree char *json = qm__facts_to_json(&facts);

    put_text("told", "facts", json);
    put_text("told", "cib",
             "<cib><configuration><resources><primitive id=\"node\" "
             "class=\"ocf\" provider=\"quickmig\" type=\"Node\"/></resources>"
             "<nodes><node id=\"1\" uname=\"alpha\"/></nodes></configuration>"
             "<status><node_state id=\"1\" uname=\"alpha\" in_ccm=\"true\" "
             "crmd=\"online\" join=\"member\"><transient_attributes id=\"1\">"
             "<instance_attributes id=\"s\"><nvpair id=\"a\" "
             "name=\"quickmig-rating-vm\" value=\"50\"/><nvpair id=\"b\" "
             "name=\"quickmig-eligible-vm\" value=\"yes\"/><nvpair id=\"c\" "
             "name=\"quickmig-facts\" value=\"{&quot;cpus&quot;:4}\"/>"
             "<nvpair id=\"d\" name=\"quickmig-cpu\" "
             "value=\"kvm/x86_64/AMD/EPYC/x2apic,-svm\"/>"
             "</instance_attributes></transient_attributes></node_state>"
             "</status></cib>");
    put_text("url", "iscsi", "iscsi://user@host:3260/iqn.2026-01.x:y/3");
    put_text("url", "v6", "iscsi://[fe80::1]/iqn.2026-01.x:y/3?secret=name");
    put_text("url", "directory", "/srv/vaults/guest");
    put_text("params", "all",
             "OCF_RESKEY_vault=iscsi://h/iqn.2026-01.x:y/0\n"
             "OCF_RESKEY_mode=live\nOCF_RESKEY_stop_action=shutdown\n"
             "OCF_RESKEY_CRM_meta_timeout=20000\n");
    put_text("params", "unknown",
             "OCF_RESKEY_vault=/srv/v\nOCF_RESKEY_nothing=1\n");
    put_text("control", "status", "?{\"do\":\"status\"}\n{\"do\":\"drain\"}\n");
    put_text("control", "acquire",
             "\x1f{\"do\":\"acquire\",\"generation\":3,\"hold\":true,"
             "\"timeout_ms\":50}\n{\"do\":\"open\"}\n"
             "{\"do\":\"quit\",\"force\":false}\n");
    put_text("agent", "exit", "{\"return\":{\"exited\":true,\"exitcode\":3}}");
    put_text("agent", "pid", "{\"return\":{\"pid\":81}}");
    put_text("settings", "all",
             "{\"vm_uuid\":\"00000000-0000-0000-0000-0000000000aa\","
             "\"vm_name\":\"guest\",\"disk\":\"vda\",\"portal\":\"h:3260\","
             "\"iqn\":\"iqn.2026-01.x:y\",\"lun\":1,\"user\":\"u\","
             "\"secret\":\"s\",\"read_only\":false,\"vault\":\"/v\","
             "\"node_id\":1,\"qemu_uid\":0,\"qemu_gid\":0,"
             "\"socket\":\"/s\",\"control\":\"/c\","
             "\"reconnect_limit_s\":9,\"check_quorum\":false}");
}

static void
put_domains(void)
{
    static const char head[] =
        "<domain type='kvm'><name>guest</name><uuid>"
        "00000000-0000-0000-0000-0000000000aa</uuid><memory unit='MiB'>256"
        "</memory><vcpu>2</vcpu><devices>";
    static const char disk[] =
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        "<auth username='u'><secret type='iscsi' usage='s'/></auth>"
        "<source protocol='iscsi' name='iqn.2026-01.x:y/1'>"
        "<host name='10.0.0.1' port='3260'/></source>"
        "<target dev='vda' bus='virtio'/></disk>";
    static const char file[] =
        "<disk type='file'><source file='/i'/><target dev='vdb'/></disk>"
        "<disk type='file' device='cdrom'><target dev='sda'/></disk>"
        "<interface type='bridge'><source bridge='b'/></interface>";
    static const char tail[] = "</devices></domain>";
    g_autofree char *one = g_strconcat(head, disk, file, tail, NULL);
    g_autofree char *two =
        g_strconcat(head, file, "</devices><devices>", disk, tail, NULL);

    put_text("domxml", "iscsi", one);
    put_text("domxml", "two-devices", two);
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seeds DIRECTORY\n");
        return 2;
    }
    directory = argv[1];
    put_records();
    put_formats();
    put_image();
    put_nbd();
    put_wire();
    put_login();
    put_messages();
    put_texts();
    put_domains();
    return EXIT_SUCCESS;
}
