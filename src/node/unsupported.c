/* unsupported.c: what a pod asks for and this node does not act on, told in one event when it
 * starts, so that nothing is ignored in silence. Volume types and image sources that are not there
 * fail on their own. */
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"

/* `where` with its '%', if it has one, replaced by the name. */
static void add(struct buf *out, const char *where, struct str name)
{
    struct str rest, before = str_cut(str_of(where), '%', &rest);
    if (out->n > 0) {
        buf_addz(out, ", ");
    }
    buf_str(out, before);
    if (rest.p != NULL) {
        buf_str(out, name);
        buf_str(out, rest);
    }
}

static const char *const context_fields[] = {"seLinuxOptions", "windowsOptions", "appArmorProfile"};

static void check_context(const struct val *owner, const char *where, struct str name,
                          struct buf *out)
{
    const struct val *context = val_get(owner, "securityContext");
    for (size_t i = 0; i < sizeof context_fields / sizeof *context_fields; i++) {
        const struct val *field = val_get_str(context, str_of(context_fields[i]));
        bool unconfined = str_is(val_text(val_get(field, "type")), "Unconfined");
        if (!val_absent(field) && !unconfined) {
            add(out, where, name);
            buf_printf(out, ".securityContext.%s", context_fields[i]);
        }
    }
}

static void check_containers(const struct val *spec, const char *list, struct buf *out)
{
    VAL_EACH (container, val_get_str(spec, str_of(list))) {
        struct str name = val_text(val_get(container, "name"));
        check_context(container, "container %", name, out);
        if (val_count(val_get(container, "volumeDevices")) > 0) {
            add(out, "container %.volumeDevices", name);
        }
        if (val_count(val_path(container, "resources.claims")) > 0) {
            add(out, "container %.resources.claims", name);
        }
        VAL_EACH (rule, val_get(container, "restartPolicyRules")) {
            if (!str_is(val_text(val_get(rule, "action")), "Restart")) {
                add(out, "container %.restartPolicyRules (an action that is not Restart)", name);
            }
        }
    }
}

void entry_tell_unsupported(struct pod_entry *entry)
{
    const struct val *spec = entry->worker->view->spec;
    struct buf out BUF_CLEANUP = BUF_INIT;
    if (!val_bool(val_get(spec, "hostUsers"), true)) {
        add(&out, "hostUsers: false", STR_NONE);
    }
    if (val_count(val_get(spec, "resourceClaims")) > 0) {
        add(&out, "resourceClaims", STR_NONE);
    }
    check_containers(spec, "ephemeralContainers", &out);
    check_context(spec, "spec", STR_NONE, &out);
    check_containers(spec, "initContainers", &out);
    check_containers(spec, "containers", &out);
    if (out.n > 0 && (entry->told.p == NULL || !str_eq(buf_view(&entry->told), buf_view(&out)))) {
        buf_clear(&entry->told);
        buf_str(&entry->told, buf_view(&out));
        char *message MEM_CLEANUP = mem_printf("This node does not act on: %s", out.p);
        entry_event(entry->worker, NULL, "Warning", "Unsupported", message);
    }
}
