/* record.c: what must be known of a container when the agent was killed: one small file in the
 * container's folder, JSON and its SHA-256 on the second line. A damaged record counts as none: its
 * container is removed and made again. Written without fsync: it must outlive the agent, not a
 * power cut, after which there is no container left. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"
#include "pki/digest.h"

enum { RECORD_MAX = 64 * 1024 };

static void write_end(struct arena *a, struct val *out, const struct container_end *end)
{
    val_set_int(a, out, STR("exitCode"), end->exit_code);
    val_set_int(a, out, STR("startedNs"), end->started_ns);
    val_set_int(a, out, STR("finishedNs"), end->finished_ns);
    val_set_text(a, out, STR("reason"), str_of(end->reason));
    val_set_text(a, out, STR("message"), str_of(end->message));
    val_set_text(a, out, STR("id"), str_of(end->id));
}

int record_write(const struct record *record, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    struct val *out = val_new(a, VAL_OBJECT);
    val_set_text(a, out, STR("id"), str_of(record->id));
    val_set_text(a, out, STR("podUid"), str_of(record->pod_uid));
    val_set_text(a, out, STR("podNamespace"), str_of(record->pod_ns));
    val_set_text(a, out, STR("podName"), str_of(record->pod_name));
    val_set_text(a, out, STR("container"), str_of(record->container));
    val_set_int(a, out, STR("restarts"), record->restarts);
    val_set_int(a, out, STR("startedNs"), record->started_ns);
    val_set_text(a, out, STR("image"), str_of(record->image));
    val_set_text(a, out, STR("imageId"), str_of(record->image_id));
    if (record->has_last) {
        write_end(a, val_make_object(a, out, STR("last")), &record->last);
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    char hex[DIGEST_HEX_SIZE];
    val_write_json(out, &text);
    digest_sha256_hex(buf_view(&text), hex);
    buf_printf(&text, "\n%s\n", hex);
    char *path MEM_CLEANUP = mem_printf("%s/record", record->dir);
    FAILPOINT("node.record.write");
    return file_write_quick(path, buf_view(&text), 0600, err);
}

static void copy_text(char *to, size_t size, const struct val *from)
{
    snprintf(to, size, "%.*s", STR_ARG(val_text(from)));
}

static void read_end(const struct val *from, struct container_end *end)
{
    end->exit_code = (int)val_int(val_get(from, "exitCode"), 0);
    end->started_ns = val_int(val_get(from, "startedNs"), 0);
    end->finished_ns = val_int(val_get(from, "finishedNs"), 0);
    copy_text(end->reason, sizeof end->reason, val_get(from, "reason"));
    copy_text(end->message, sizeof end->message, val_get(from, "message"));
    copy_text(end->id, sizeof end->id, val_get(from, "id"));
}

bool record_read(const char *dir, struct record *ret_record)
{
    char *path MEM_CLEANUP = mem_printf("%s/record", dir);
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value;
    char hex[DIGEST_HEX_SIZE];
    if (file_read(path, RECORD_MAX, &text, NULL) != 0) {
        return false;
    }
    struct str sum, json = str_cut(buf_view(&text), '\n', &sum);
    digest_sha256_hex(json, hex);
    if (!str_is(str_trim(sum), hex) || val_parse_json(&arena, json, &value, NULL) != 0) {
        return false;
    }
    struct record record = {0};
    copy_text(record.id, sizeof record.id, val_get(value, "id"));
    copy_text(record.pod_uid, sizeof record.pod_uid, val_get(value, "podUid"));
    copy_text(record.pod_ns, sizeof record.pod_ns, val_get(value, "podNamespace"));
    copy_text(record.pod_name, sizeof record.pod_name, val_get(value, "podName"));
    copy_text(record.container, sizeof record.container, val_get(value, "container"));
    copy_text(record.image, sizeof record.image, val_get(value, "image"));
    copy_text(record.image_id, sizeof record.image_id, val_get(value, "imageId"));
    record.restarts = (uint32_t)val_int(val_get(value, "restarts"), 0);
    record.started_ns = val_int(val_get(value, "startedNs"), 0);
    const struct val *last = val_get(value, "last");
    if (last != NULL) {
        read_end(last, &record.last);
        record.has_last = true;
    }
    snprintf(record.dir, sizeof record.dir, "%s", dir);
    *ret_record = record;
    return strlen(record.id) == 64 && record.pod_uid[0] != '\0';
}

static bool known_id(const struct agent *agent, const char *id)
{
    VEC_EACH (it, &agent->records) {
        if (strcmp(it->id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* What the runtime remembers of containers that nobody knows any more. */
static void forget_strangers(struct agent *agent)
{
    char *state MEM_CLEANUP = mem_printf("%s/crun", agent->run_dir);
    DIR *stream = opendir(state);
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.' && !known_id(agent, entry->d_name)) {
            char *path MEM_CLEANUP = mem_printf("%s/%s", state, entry->d_name);
            file_remove_tree(path, NULL);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

void agent_load_records(struct agent *agent)
{
    DIR *stream = opendir(agent->containers_dir);
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char *dir MEM_CLEANUP = mem_printf("%s/%s", agent->containers_dir, entry->d_name);
        struct record record;
        if (record_read(dir, &record)) {
            *vec_push(&agent->records) = record;
        } else {
            LOG_WARN("node", "a container without a readable record is removed",
                     LOG_Z("folder", dir));
            /* the folder is UID8-ID12: enough to know the process by its control group */
            const char *dash = strrchr(entry->d_name, '-');
            if (dash != NULL && strlen(dash + 1) == 12) {
                agent->runtime.signal(agent->runtime.ctx, dash + 1, dir, SIGKILL, NULL);
            }
            file_remove_tree(dir, NULL);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    forget_strangers(agent);
}
