/* claims.c: PersistentVolumeClaims of pods on this node: what a claim stands for here, and removing
 * the folders of volumes that are no more.
 *
 * A claim is looked up by name, then the volume that it is bound to (lookup.c). Volumes of types
 * local and hostPath are folders of this machine. One that we provisioned is made when it is first
 * used, at DATA/volumes/NAME, and removed some time after its PersistentVolume was deleted: the
 * agent asks for each folder's volume by name now and then, and only "not found" makes it go.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api/volume_binding.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"

/* ---- what a claim stands for ---- */

static struct str claim_name(const struct pod_entry *entry, struct arena *arena,
                             const struct val *volume)
{
    const struct val *named = val_path(volume, "persistentVolumeClaim.claimName");
    if (named != NULL) {
        return val_text(named);
    }
    return val_absent(val_get(volume, "ephemeral"))
               ? STR_NONE
               : str_of(arena_printf(arena, "%s-%.*s", entry->name,
                                     STR_ARG(val_text(val_get(volume, "name")))));
}

static int refuse(struct err *err, struct str claim, const char *why)
{
    return err_set(err, ERR_UNAVAILABLE, "persistentvolumeclaim \"%.*s\" %s", STR_ARG(claim), why);
}

/* The folder that the PersistentVolume is. */
static int folder_of(struct str claim, const struct val *volume, struct volume_folder *ret_folder,
                     struct err *err)
{
    const struct val *spec = val_get(volume, "spec");
    const struct val *local = val_get(spec, "local"), *host = val_get(spec, "hostPath");
    if (str_is(val_text(val_get(spec, "volumeMode")), "Block")) {
        return refuse(err, claim,
                      "is bound to a block device, which this node cannot give to pods");
    }
    if (val_absent(local) && val_absent(host)) {
        return refuse(err, claim,
                      "is bound to a volume of a type that this node cannot mount (only local and "
                      "hostPath)");
    }
    ret_folder->path = val_text(val_get(val_absent(local) ? host : local, "path"));
    ret_folder->type = val_text(val_get(host, "type"));
    ret_folder->is_local = !val_absent(local);
    ret_folder->make = str_is(annotation_get(volume, ANNOTATION_PROVISIONED_BY), LOCAL_PROVISIONER);
    return 0;
}

int claim_folder(struct pod_entry *entry, struct arena *arena, const struct val *volume,
                 struct volume_folder *ret_folder, struct err *err)
{
    struct agent *agent = entry->agent;
    struct str name = claim_name(entry, arena, volume);
    const struct val *claim =
        lookup_get(agent->lookup, LOOKUP_CLAIM, entry->worker->view->ns, name);
    if (claim == NULL) {
        return refuse(err, name, "not found");
    }
    if (!claim_is_bound(claim)) {
        return refuse(err, name, "is not bound");
    }
    struct str bound = val_text(val_path(claim, "spec.volumeName"));
    const struct val *found = lookup_get(agent->lookup, LOOKUP_VOLUME, STR_NONE, bound);
    if (found == NULL || !volume_is_for(found, claim)) {
        return refuse(err, name, "is bound to a volume that is not there");
    }
    return folder_of(name, found, ret_folder, err);
}

void claims_refer(struct pod_entry *entry)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    VAL_EACH (volume, val_get(entry->worker->view->spec, "volumes")) {
        struct str name = claim_name(entry, &arena, volume);
        if (name.n == 0) {
            continue;
        }
        struct str ns = entry->worker->view->ns;
        lookup_refer(entry, LOOKUP_CLAIM, name);
        const struct val *claim = lookup_get(entry->agent->lookup, LOOKUP_CLAIM, ns, name);
        lookup_refer(entry, LOOKUP_VOLUME, val_text(val_path(claim, "spec.volumeName")));
    }
}

/* ---- folders of volumes that are gone ---- */

struct removal {
    struct job job;
    struct agent *agent;
    char *path, *name;
};

static void removal_free(struct removal *removal)
{
    agent_release(removal->agent);
    free(removal->path);
    free(removal->name);
    free(removal);
}

static void removal_work(struct job *job)
{
    struct removal *removal = container_of(job, struct removal, job);
    struct err err = ERR_INIT;
    if (file_remove_tree(removal->path, &err) == 0) {
        LOG_INFO("node", "removed the folder of a deleted volume", LOG_Z("volume", removal->name));
    } else {
        LOG_WARN("node", "removing the folder of a deleted volume failed",
                 LOG_Z("volume", removal->name), LOG_ERR(&err));
    }
}

static void removal_done(struct job *job)
{
    removal_free(container_of(job, struct removal, job));
}

static void on_answer(void *ctx, const struct client_result *result)
{
    struct removal *removal = ctx;
    if (result->code == ERR_NOT_FOUND && !removal->agent->stopping) {
        removal->job.work = removal_work;
        removal->job.done = removal_done;
        loop_work(removal->agent->loop, &removal->job);
    } else {
        removal_free(removal);
    }
}

static void ask_for(struct agent *agent, const char *name)
{
    struct removal *removal = mem_new(struct removal);
    removal->agent = agent;
    removal->name = mem_dupz(name);
    removal->path = mem_printf("%s/%s", agent->volumes_dir, name);
    agent_hold(agent);
    struct client_request request = {
        .verb = CLIENT_GET,
        .resource = schema_resource(STR_NONE, STR("v1"), STR("persistentvolumes")),
        .name = str_of(removal->name),
        .subresource = ""};
    client_send(agent->client, &request, on_answer, removal);
}

void claims_collect(struct agent *agent)
{
    DIR *stream = opendir(agent->volumes_dir);
    struct dirent *item;
    while (stream != NULL && (item = readdir(stream)) != NULL) {
        if (strncmp(item->d_name, "pvc-", 4) == 0 && item->d_type == DT_DIR &&
            lookup_get(agent->lookup, LOOKUP_VOLUME, STR_NONE, str_of(item->d_name)) == NULL) {
            ask_for(agent, item->d_name);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}
