/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The secrets of encrypted images.  A node without one can neither save nor
 * restore its VM: that is to be known before it is needed.
 */
#include "config.h"
#include "doctor.h"
#include "cluster.h"
#include "image-crypt.h"
#include "vm.h"

static void
free_secret(gpointer data)
{
    cli_image_secret *s = data;

    g_free(s->resource);
    g_free(s->uuid);
    g_clear_error(&s->error);
    g_free(s);
}

/* Is it here, and can it be a key?  What it is, is for nobody to see. */
static bool
look_at(const cli_options *o, const qm_resource *r, GError **error)
{
    static const uint8_t no_vm[QM_UUID_LEN];
    g_autoptr(qm_image_key) key = NULL;
    g_autoptr(qm_vm) vm = NULL;
    char *value = NULL;
    bool ok;

    ok = qm__vm_open(r->hypervisor, no_vm, cli_deadline(o), &vm, error) &&
         qm__vm_secret(vm, r->image_secret, cli_deadline(o), &value, error) &&
         qm__image_key_new(value, &key, error);
    qm__secret_free(value);
    return ok;
}

void
cli_patient_secrets(const cli_options *o, cli_patient *p)
{
    g_autoptr(GPtrArray) resources = NULL;

    p->secrets = g_ptr_array_new_with_free_func(free_secret);
    if (!qm__cluster_resources(cli_deadline(o), &resources, NULL))
        return; /* the check "cluster" says so */
    for (guint i = 0; i < resources->len; i++) {
        const qm_resource *r = resources->pdata[i];
        cli_image_secret *s;

        if (r->image_secret == NULL)
            continue;
        s = g_new0(cli_image_secret, 1);
        s->resource = g_strdup(r->id);
        s->uuid = g_strdup(r->image_secret);
        (void) look_at(o, r, &s->error);
        g_ptr_array_add(p->secrets, s);
    }
}

void
cli_check_image_secret(cli_examination *x)
{
    const GPtrArray *secrets = x->patient->secrets;

    for (guint i = 0; secrets != NULL && i < secrets->len; i++) {
        const cli_image_secret *s = secrets->pdata[i];

        if (s->error != NULL)
            cli_find(x, CLI_ERROR, s->resource,
                     g_strdup_printf("this node cannot use the secret that "
                                     "encrypts its saved state: it can neither "
                                     "save nor restore it (%s)",
                                     s->error->message),
                     g_strdup_printf("virsh secret-dumpxml %s   # define it "
                                     "here as on the other nodes",
                                     s->uuid));
    }
}
