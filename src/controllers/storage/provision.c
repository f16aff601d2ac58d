/* Volumes made on demand: folders on the node that the scheduler chose for the first pod.
 *
 * The volume's name follows from the claim's uid, so a claim gets one volume whoever crashed. The
 * agent of the node makes the folder when it is first mounted, and removes it when the volume is
 * gone. Claims of other provisioners are marked for them, as KEP-1472's predecessors agreed
 * (volume.kubernetes.io/storage-provisioner). */
#include "api/quantity.h"
#include "client/recorder.h"
#include "controllers/storage/binder_int.h"

static void fail(struct pass *pass, struct claiming *work, const char *text)
{
    binder_tell(work->binder, work->object, "Warning", "ProvisioningFailed", text);
    claim_pending(pass, work);
}

/* ---- others' ---- */

static void mark_for(struct pass *pass, struct claiming *work, struct str provisioner)
{
    static const char *const keys[] = {"volume.beta.kubernetes.io/storage-provisioner",
                                       "volume.kubernetes.io/storage-provisioner"};
    binder_tell(work->binder, work->object, "Normal", "ExternalProvisioning",
                arena_printf(pass->arena,
                             "Waiting for a volume to be created either by the external "
                             "provisioner '%.*s' or manually by the system administrator. If "
                             "volume creation is delayed, please verify that the provisioner is "
                             "running and correctly registered.",
                             STR_ARG(provisioner)));
    bool marked = true;
    for (size_t i = 0; i < 2; i++) {
        marked = marked && str_eq(annotation_get(work->claim, keys[i]), provisioner);
        binder_annotate(pass->arena, work->claim, keys[i], str_dup_in(pass->arena, provisioner));
    }
    if (marked) {
        claim_pending(pass, work);
    } else {
        pass_update(pass, work->binder->claim_resource, "", work->claim, NULL, NULL);
    }
}

/* ---- ours ---- */

static const char *refusal(const struct val *claim)
{
    if (str_is(val_text(val_path(claim, "spec.volumeMode")), "Block")) {
        return "volumes of class " LOCAL_CLASS " are folders: volumeMode Block is not supported";
    }
    if (!val_absent(val_path(claim, "spec.dataSourceRef")) ||
        !val_absent(val_path(claim, "spec.dataSource"))) {
        return "volumes of class " LOCAL_CLASS " cannot be made from a data source";
    }
    if (!val_absent(val_path(claim, "spec.selector"))) {
        return "claim Selector is not supported";
    }
    VAL_EACH (it, val_path(claim, "spec.accessModes")) {
        if (!str_is(val_text(it), "ReadWriteOnce") && !str_is(val_text(it), "ReadWriteOncePod")) {
            return "volumes of class " LOCAL_CLASS
                   " are on one node: only ReadWriteOnce and ReadWriteOncePod are supported";
        }
    }
    return NULL;
}

static void bind_to_node(struct arena *arena, struct val *spec, struct str node)
{
    struct val *affinity = val_make_object(arena, spec, STR("nodeAffinity"));
    struct val *required = val_make_object(arena, affinity, STR("required"));
    struct val *terms = val_make_array(arena, required, STR("nodeSelectorTerms"));
    struct val *term = val_append(terms, val_new(arena, VAL_OBJECT));
    struct val *match = val_append(val_make_array(arena, term, STR("matchExpressions")),
                                   val_new(arena, VAL_OBJECT));
    val_set_text(arena, match, STR("key"), STR("kubernetes.io/hostname"));
    val_set_text(arena, match, STR("operator"), STR("In"));
    val_append(val_make_array(arena, match, STR("values")), val_new_text(arena, node));
}

static struct val *new_volume(struct pass *pass, struct claiming *work, const struct val *class,
                              const struct val *node)
{
    struct arena *arena = pass->arena;
    const struct val *claim = work->claim;
    const char *name = arena_printf(arena, "pvc-%.*s", STR_ARG(work->object->uid));
    struct val *volume = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, volume, STR("metadata"));
    val_set_text(arena, meta, STR("name"), str_of(name));
    binder_annotate(arena, volume, ANNOTATION_PROVISIONED_BY, LOCAL_PROVISIONER);
    struct val *spec = val_make_object(arena, volume, STR("spec"));
    const struct val *asked = val_path(claim, "spec.resources.requests.storage");
    if (asked != NULL) {
        val_set_text(arena, val_make_object(arena, spec, STR("capacity")), STR("storage"),
                     val_text(asked));
    }
    val_set(spec, STR("accessModes"), val_copy(arena, val_path(claim, "spec.accessModes")));
    val_set_text(arena, spec, STR("storageClassName"), volume_class_of(claim));
    struct str policy = val_text(val_get(class, "reclaimPolicy"));
    val_set_text(arena, spec, STR("persistentVolumeReclaimPolicy"),
                 policy.n > 0 ? policy : STR("Delete"));
    struct str root = annotation_get(node, ANNOTATION_VOLUME_ROOT);
    val_set_text(arena, val_make_object(arena, spec, STR("local")), STR("path"),
                 str_of(arena_printf(arena, "%.*s/%s", STR_ARG(root), name)));
    struct str host =
        val_text(val_get_str(val_path(node, "metadata.labels"), STR("kubernetes.io/hostname")));
    bind_to_node(arena, spec, host.n > 0 ? host : val_name(node));
    struct val *ref = val_make_object(arena, spec, STR("claimRef"));
    val_set_text(arena, ref, STR("kind"), STR("PersistentVolumeClaim"));
    val_set_text(arena, ref, STR("namespace"), pass->ns);
    val_set_text(arena, ref, STR("name"), pass->name);
    val_set_text(arena, ref, STR("uid"), work->object->uid);
    val_set_text(arena, ref, STR("apiVersion"), STR("v1"));
    return volume;
}

static void on_volume(struct pass *pass, void *arg, const struct client_result *result)
{
    struct claiming *work = arg;
    if (result->code == 0) {
        binder_tell(work->binder, work->object, "Normal", "ProvisioningSucceeded",
                    arena_printf(pass->arena, "Successfully provisioned volume pvc-%.*s",
                                 STR_ARG(work->object->uid)));
        pass_again(pass); /* and binds it */
    } else if (result->code == ERR_EXISTS) {
        pass_retry(pass);
    } else {
        fail(pass, work, result->error.message);
        pass_retry(pass);
    }
}

/* The chosen node cannot have the volume: the scheduler is to choose again. */
static void choose_again(struct pass *pass, struct claiming *work, const char *why)
{
    fail(pass, work, why);
    val_unset(val_path(work->claim, "metadata.annotations"), STR(ANNOTATION_SELECTED_NODE));
    pass_update(pass, work->binder->claim_resource, "", work->claim, NULL, NULL);
}

void claim_provision(struct pass *pass, struct claiming *work, const struct val *class)
{
    struct str provisioner = val_text(val_get(class, "provisioner"));
    struct str chosen = annotation_get(work->claim, ANNOTATION_SELECTED_NODE);
    if (class == NULL) {
        fail(pass, work,
             arena_printf(pass->arena, "storageclass.storage.k8s.io \"%.*s\" not found",
                          STR_ARG(volume_class_of(work->claim))));
        return;
    }
    if (str_is(provisioner, NO_PROVISIONER)) {
        binder_tell(work->binder, work->object, "Normal", "FailedBinding",
                    "no persistent volumes available for this claim");
        claim_pending(pass, work);
        return;
    }
    if (!str_is(provisioner, LOCAL_PROVISIONER)) {
        mark_for(pass, work, provisioner);
        return;
    }
    if (refusal(work->claim) != NULL || chosen.n == 0) {
        fail(pass, work,
             chosen.n == 0 ? "classes of " LOCAL_PROVISIONER
                             " need volumeBindingMode WaitForFirstConsumer"
                           : refusal(work->claim));
        return;
    }
    struct object *node = informer_get(work->binder->nodes, STR_NONE, chosen);
    const struct val *value =
        node != NULL ? object_decode(pass_hold(pass, node), pass->arena) : NULL;
    if (annotation_get(value, ANNOTATION_VOLUME_ROOT).n == 0) {
        choose_again(pass, work,
                     node == NULL ? "the chosen node is gone"
                                  : "the chosen node does not say where its volumes are kept");
        return;
    }
    pass_create(pass, work->binder->volume_resource, STR_NONE, new_volume(pass, work, class, value),
                on_volume, work);
}

/* ---- growth ---- */

static void grow_claim(struct pass *pass, void *arg)
{
    struct claiming *work = arg;
    struct object *now = informer_get(work->binder->claims, pass->ns, pass->name);
    if (now == NULL) {
        return;
    }
    struct val *claim = object_decode(pass_hold(pass, now), pass->arena);
    struct val *status = val_make_object(pass->arena, claim, STR("status"));
    const struct val *asked = val_path(claim, "spec.resources.requests.storage");
    val_set_text(pass->arena, val_make_object(pass->arena, status, STR("capacity")), STR("storage"),
                 val_text(asked));
    pass_update(pass, work->binder->claim_resource, "status", claim, NULL, NULL);
    binder_tell(work->binder, work->object, "Normal", "VolumeResizeSuccessful",
                "The volume has the size that was asked for");
}

void claim_expand(struct pass *pass, struct claiming *work)
{
    struct quantity asked, has;
    struct str want = val_text(val_path(work->claim, "spec.resources.requests.storage"));
    struct str have = val_text(val_path(work->claim, "status.capacity.storage"));
    if (!str_is(annotation_get(work->volume, ANNOTATION_PROVISIONED_BY), LOCAL_PROVISIONER) ||
        !quantity_parse(want, &asked) || !quantity_parse(have, &has) ||
        quantity_cmp(asked, has) <= 0) {
        return;
    }
    struct val *meta, *body = pass_patch_body(pass, work->volume_object, &meta);
    struct val *spec = val_make_object(pass->arena, body, STR("spec"));
    val_set_text(pass->arena, val_make_object(pass->arena, spec, STR("capacity")), STR("storage"),
                 want);
    pass_patch(pass, work->volume_object, CLIENT_PATCH_MERGE, "", body, NULL, NULL);
    pass_then(pass, grow_claim, work);
}
