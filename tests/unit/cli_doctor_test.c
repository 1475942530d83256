/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The doctor's checks: a healthy cluster has no finding, and each fault that
 * is planted is found by its check and by no other.
 */
#include "config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "src/cli/doctor.h"

#define NODE(id)                                                               \
    "<node id='" id "' uname='n" id "'><utilization id='u" id "'>"             \
    "<nvpair id='uc" id "' name='cpu' value='8'/>"                             \
    "<nvpair id='um" id "' name='memory' value='4000'/></utilization></node>"
#define STATE(id)                                                              \
    "<node_state uname='n" id "'><transient_attributes><instance_attributes "  \
    "id='s" id "'><nvpair id='si" id "' name='quickmig-initiator' "            \
    "value='iqn.2026-01.org.example:n" id "'/></instance_attributes>"          \
    "</transient_attributes></node_state>"

static const char cib[] =
    "<cib><configuration><crm_config><cluster_property_set id='b'>"
    "<nvpair id='p1' name='stonith-enabled' value='true'/>"
    "<nvpair id='p2' name='no-quorum-policy' value='stop'/>"
    "</cluster_property_set></crm_config><nodes>" NODE("1") NODE(
        "2") "</nodes><resources>"
             "<primitive id='fence' class='stonith' type='fence_x'/>"
             "<clone id='d-clone'><primitive id='d' class='ocf' "
             "provider='quickmig' "
             "type='Node'/></clone>"
             "<primitive id='web' class='ocf' provider='quickmig' "
             "type='VirtualMachine'><meta_attributes id='m'>"
             "<nvpair id='m1' name='allow-migrate' value='true'/>"
             "<nvpair id='m2' name='resource-stickiness' value='200'/>"
             "</meta_attributes><utilization id='w'>"
             "<nvpair id='w1' name='memory' "
             "value='3000'/></utilization><operations>"
             "<op id='o1' name='start' timeout='180s'/>"
             "<op id='o2' name='stop' timeout='5min'/>"
             "<op id='o3' name='monitor' interval='10s' timeout='30s'/>"
             "<op id='o4' name='migrate_to' timeout='300'/>"
             "<op id='o5' name='migrate_from' timeout='180000ms'/>"
             "</operations></primitive></resources><constraints>"
             "<rsc_location id='l' rsc='web'><rule id='r' "
             "score-attribute='quickmig-rating-web'/></rsc_location>"
             "<rsc_order id='ord' first='d-clone' then='web' kind='Optional'/>"
             "</constraints></configuration><status>" STATE("1")
                 STATE("2") "</status></cib>";

static const char monitor[] =
    "<pacemaker-result><summary><current_dc present='true' "
    "with_quorum='true'/></summary><nodes>"
    "<node name='n1' id='1' online='true' standby='false'/>"
    "<node name='n2' id='2' online='true' standby='false'/></nodes>"
    "<resources><resource id='fence' active='true' failed='false'/>"
    "<clone id='d-clone'>"
    "<resource id='d' resource_agent='ocf:quickmig:Node' active='true' "
    "failed='false'><node name='n1'/></resource>"
    "<resource id='d' resource_agent='ocf:quickmig:Node' active='true' "
    "failed='false'><node name='n2'/></resource></clone>"
    "<resource id='web' resource_agent='ocf:quickmig:VirtualMachine' "
    "active='true' failed='false' blocked='false' managed='true'>"
    "<node name='n1'/></resource></resources></pacemaker-result>";

/* A patient with one VM of 2 GiB, whose vault has room for live moves. */
static void
admit(cli_patient *p, const char *cib_text, const char *monitor_text)
{
    cli_look *look =
        cli_look_new(cli_target_new("web", "iscsi://h/iqn.x:v/1", NULL));

    memset(p, 0, sizeof *p);
    assert_true(qm__walk_parse(cib_text, "cib", &p->cib_doc, NULL));
    assert_true(qm__walk_parse(monitor_text, "m", &p->monitor_doc, NULL));
    p->cib = xmlDocGetRootElement(p->cib_doc);
    p->monitor = xmlDocGetRootElement(p->monitor_doc);
    p->self = g_strdup("n1");
    p->token_ms = 1000;
    p->consensus_ms = 1200;
    p->initiator = g_strdup("iqn.2026-01.org.example:n1");
    p->host_error = g_error_new(QM_ERROR, QM_ERROR_IO, "no libvirt");
    look->dom = g_new0(qm_domxml, 1);
    look->dom->disks = g_ptr_array_new();
    look->dom->memory = UINT64_C(2) << 30;
    look->info.image_capacity = UINT64_C(5) << 30;
    g_strlcpy(look->record.owner.name, "n1", sizeof look->record.owner.name);
    look->record.state = QM_STATE_RUNNING;
    p->looks = g_ptr_array_new_with_free_func((GDestroyNotify) cli_look_free);
    g_ptr_array_add(p->looks, look);
}

/* "check@subject " of all warnings and errors, but libvirt's. */
static char *
findings(const cli_patient *p)
{
    unsigned skipped;
    g_autoptr(GPtrArray) list = cli_examine(p, &skipped);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++) {
        const cli_finding *f = list->pdata[i];

        if (f->severity >= CLI_WARNING &&
            strcmp(f->check->name, "libvirt") != 0)
            g_string_append_printf(text, "%s@%s ", f->check->name, f->subject);
        assert_true(f->severity == CLI_INFO || f->mend != NULL);
    }
    return g_string_free(text, FALSE);
}

static char *
replace(const char *text, const char *from, const char *to)
{
    g_auto(GStrv) parts = g_strsplit(text, from, -1);

    if (g_strv_length(parts) < 2)
        fail_msg("no \"%s\" to replace", from);
    return g_strjoinv(to, parts);
}

static const struct {
    const char *from, *to; /* in the CIB, else in the state */
    const char *found;
} faults[] = {
    {"stonith-enabled' value='true", "stonith-enabled' value='off",
     "stonith-enabled@cluster "},
    {"class='stonith' type='fence_x'", "class='systemd' type='x'",
     "stonith-devices@cluster "},
    {"value='stop'", "value='ignore'", "quorum@cluster "},
    {"name='no-quorum-policy' value='stop'",
     "name='maintenance-mode' value='true'", "maintenance@cluster "},
    {"type='Node'", "type='Other'", "node-daemon@cluster "},
    {"<rsc_location id='l'",
     "<rsc_location id='cli-prefer-web' rsc='web' node='n1'/>"
     "<rsc_location id='l'",
     "leftover-constraints@web "},
    {"<rsc_location id='l'",
     "<rsc_location id='cli-ban-web-on-n2' rsc='web' node='n2'/>"
     "<rsc_location id='l'",
     "leftover-constraints@web "},
    {"kind='Optional'", "", "ordering@ord "},
    {"name='memory' value='4000'", "name='memory' value='2999'",
     "capacity@n1 "},
    {"value='200'", "value='0'", "stickiness@web "},
    {"value='200'", "value='100'", "stickiness@web "},
    {"name='resource-stickiness'", "name='other'", "stickiness@web "},
    {"name='allow-migrate' value='true'", "name='allow-migrate' value='no'",
     "allow-migrate@web "},
    {"name='monitor'", "name='monitored'", "operations@web "},
    {"<op id='o4' name='migrate_to' timeout='300'/>", "", "operations@web "},
    {"timeout='5min'", "timeout='60s'", "timeouts@web "},
    {"timeout='300'", "timeout='60'", "timeouts@web "},
    {"<op id='o2' name='stop' timeout='5min'/>",
     "<op id='o2' name='stop' timeout='5min' on-fail='ignore'/>",
     "on-fail@web "},
    {"<op id='o5'",
     "<op id='o6' name='monitor' interval='30s'><instance_attributes id='i'>"
     "<nvpair id='i1' name='OCF_CHECK_LEVEL' value='10'/>"
     "</instance_attributes></op><op id='o5'",
     "guest-agent@web "},
    {"example:n2'", "example:n1'", "initiator-name@n2 "},
    /* the state */
    {"with_quorum='true'", "with_quorum='false'", "cluster@cluster "},
    {"present='true'", "present='false'", "cluster@cluster "},
    {"id='2' online='true'", "id='2' online='false'", "nodes@n2 capacity@n1 "},
    {"id='2' online='true' standby='false'",
     "id='2' online='true' standby='true'", "nodes@n2 capacity@n1 "},
    {"<resource id='d' resource_agent='ocf:quickmig:Node' active='true' "
     "failed='false'><node name='n2'/>",
     "<resource id='d' resource_agent='ocf:quickmig:Node' active='false' "
     "failed='false'>",
     "node-daemon@n2 "},
    {"id='fence' active='true'", "id='fence' active='false'",
     "stonith-devices@fence "},
    {"blocked='false'", "blocked='true'", "failures@web "},
    {"managed='true'", "managed='false'", "failures@web "},
};

static void
each_fault_is_found_once(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
        bool of_cib = strstr(cib, faults[i].from) != NULL;
        g_autofree char *text =
            replace(of_cib ? cib : monitor, faults[i].from, faults[i].to);
        g_autofree char *found = NULL;
        cli_patient p;

        admit(&p, of_cib ? text : cib, of_cib ? monitor : text);
        found = findings(&p);
        assert_string_equal(found, faults[i].found);
        cli_patient_clear(&p);
    }
}

static void
a_healthy_one_has_none(void **state)
{
    g_autofree char *found = NULL;
    cli_patient p;

    admit(&p, cib, monitor);
    found = findings(&p);
    assert_string_equal(found, "");
    cli_patient_clear(&p);
}

static void
expect(cli_patient *p, const char *expected)
{
    g_autofree char *found = findings(p);

    assert_string_equal(found, expected);
    cli_patient_clear(p);
}

static void
add_lun(cli_patient *p, const char *resource, const char *name, uint64_t holder)
{
    cli_lun *l = g_new0(cli_lun, 1);

    l->resource = (char *) resource;
    l->what = (char *) "disk vda";
    l->name = (char *) name;
    l->holder = holder;
    if (p->luns == NULL)
        p->luns = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(p->luns, l);
}

/* Its first LUN's error is not freed with the list. */
static void
expect_unreservable(cli_patient *p, const char *expected)
{
    g_autoptr(GError) error = ((cli_lun *) p->luns->pdata[0])->error;

    expect(p, expected);
}

static void
storage(void **state)
{
    cli_patient p;
    cli_look *look;

    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", UINT64_C(0x514D000100000001));
    add_lun(&p, "db", "iqn.x/2", 0);
    expect(&p, "");
    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", 0xBEEF);
    expect(&p, "reservations@web ");
    admit(&p, cib, monitor);
    ((cli_look *) p.looks->pdata[0])->target->unfenced = true;
    add_lun(&p, "web", "iqn.x/1", 0);
    expect(&p, "unfenced-disks@web "); /* it is not needed */
    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", 0);
    ((cli_lun *) p.luns->pdata[0])->error =
        g_error_new(QM_ERROR, QM_ERROR_UNSUPPORTED, "no reservations");
    expect_unreservable(&p, "reservations@web ");
    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", 0);
    ((cli_look *) p.looks->pdata[0])->target->unfenced = true;
    ((cli_lun *) p.luns->pdata[0])->unfenced = true;
    ((cli_lun *) p.luns->pdata[0])->error =
        g_error_new(QM_ERROR, QM_ERROR_UNSUPPORTED, "no reservations");
    expect_unreservable(&p, "unfenced-disks@web ");
    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", 0);
    add_lun(&p, "db", "iqn.x/1", 0);
    expect(&p, "one-lun-one-vm@db ");
    admit(&p, cib, monitor);
    add_lun(&p, "web", "iqn.x/1", 0);
    ((cli_lun *) p.luns->pdata[0])->max_burst = 262144; /* worth knowing */
    expect(&p, "");
    admit(&p, cib, monitor);
    look = p.looks->pdata[0];
    look->info.image_capacity = UINT64_C(2) << 30;
    expect(&p, "vault-size@web ");
    admit(&p, cib, monitor);
    look = p.looks->pdata[0];
    look->error = g_error_new(QM_ERROR, QM_ERROR_TIMEOUT, "slow");
    expect(&p, "vaults@web ");
}

static void
gates(void **state)
{
    cli_patient p;
    cli_gate *gate;

    admit(&p, cib, monitor);
    gate = g_new0(cli_gate, 1);
    gate->disk = g_strdup("vda");
    g_ptr_array_add(((cli_look *) p.looks->pdata[0])->gates, gate);
    expect(&p, "gates@web ");
    admit(&p, cib, monitor);
    gate = g_new0(cli_gate, 1);
    gate->disk = g_strdup("vda");
    gate->runs = true;
    gate->status.state = QM_GATE_FENCED;
    g_ptr_array_add(((cli_look *) p.looks->pdata[0])->gates, gate);
    expect(&p, "gates@web ");
    admit(&p, cib, monitor);
    gate = g_new0(cli_gate, 1);
    gate->disk = g_strdup("vda");
    gate->runs = true;
    gate->status.state = QM_GATE_OPEN;
    g_ptr_array_add(((cli_look *) p.looks->pdata[0])->gates, gate);
    expect(&p, "");
}

static void
slow_and_hasty_detection(void **state)
{
    cli_patient p;

    admit(&p, cib, monitor);
    p.token_ms = 30000;
    expect(&p, "detection@cluster ");
    admit(&p, cib, monitor);
    p.token_ms = 300;
    expect(&p, "detection@cluster ");
}

static void
without_a_cluster(void **state)
{
    g_autoptr(GPtrArray) list = NULL;
    cli_patient p = {0};
    unsigned skipped;

    p.cluster_error = g_error_new(QM_ERROR, QM_ERROR_IO, "no cluster");
    p.host_error = g_error_new(QM_ERROR, QM_ERROR_IO, "no libvirt");
    p.initiator_error = g_error_new(QM_ERROR, QM_ERROR_IO, "no name");
    list = cli_examine(&p, &skipped);
    assert_int_equal(list->len, 3);
    assert_true(skipped > 20 && skipped < cli_n_checks);
    cli_patient_clear(&p);
}

static void
guest_agent_with_channel(void **state)
{
    g_autofree char *text = replace(
        cib, "timeout='30s'/>",
        "timeout='30s'><instance_attributes id='i'><nvpair id='i1' "
        "name='OCF_CHECK_LEVEL' value='10'/></instance_attributes></op>");
    cli_patient p;

    admit(&p, text, monitor);
    ((cli_look *) p.looks->pdata[0])->dom->has_agent = true;
    expect(&p, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_one_has_none),
        cmocka_unit_test(each_fault_is_found_once),
        cmocka_unit_test(storage),
        cmocka_unit_test(gates),
        cmocka_unit_test(slow_and_hasty_detection),
        cmocka_unit_test(without_a_cluster),
        cmocka_unit_test(guest_agent_with_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
