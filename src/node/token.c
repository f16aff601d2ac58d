/* token.c: service account tokens bound to a pod (TokenRequest), asked for before the pod starts
 * and renewed at 80% of their life, at the latest after 24 hours, as upstream's token manager does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"

struct asking {
    struct pod_entry *entry;
    struct pod_token *token;
};

static struct pod_token *find(struct pod_entry *entry, struct str audience, int64_t seconds)
{
    VEC_EACH (it, &entry->tokens) {
        if (str_is(audience, (*it)->audience) && (*it)->expiration_seconds == seconds) {
            return *it;
        }
    }
    return NULL;
}

static void on_answer(void *ctx, const struct client_result *result)
{
    struct asking *asking = ctx;
    struct pod_token *token = asking->token;
    struct pod_entry *entry = asking->entry;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL;
    struct buf text BUF_CLEANUP = BUF_INIT;
    free(asking);
    token->pending = false;
    if (result->object != NULL) {
        object_write(result->object, true, &text);
    }
    struct str body = result->object != NULL ? buf_view(&text) : result->body;
    if (result->code == 0 && val_parse_json(&arena, body, &answer, NULL) == 0) {
        int64_t now = clock_wall(loop_clock(entry->agent->loop)), expires = 0;
        struct str fresh = val_text(val_path(answer, "status.token"));
        time_parse(val_text(val_path(answer, "status.expirationTimestamp")), &expires);
        int64_t life = expires > now ? expires - now : token->expiration_seconds * NS_PER_S;
        int64_t wait = life / 10 * 8;
        free(token->text);
        token->text = str_dup(fresh);
        token->refresh_at_ns = now + (wait < 86400 * NS_PER_S ? wait : 86400 * NS_PER_S);
    } else {
        token->refresh_at_ns = clock_wall(loop_clock(entry->agent->loop)) + 10 * NS_PER_S;
        if (entry->worker->state < POD_RUNNING) {
            char message[700];
            snprintf(message, sizeof message, "MountVolume.SetUp failed: failed to fetch token: %s",
                     result->error.message);
            entry_event(entry->worker, NULL, "Warning", "FailedMount", message);
        }
    }
    if (entry->preparing) {
        entry_prepare_continue(entry);
    } else if (entry->worker->state == POD_RUNNING) {
        entry_refresh_volumes(entry);
    }
    entry_release(entry);
}

static void ask(struct pod_entry *entry, struct pod_token *token)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    const struct pod_view *view = entry->worker->view;
    struct str account = val_text(val_get(view->spec, "serviceAccountName"));
    struct val *body = val_new(a, VAL_OBJECT);
    val_set_text(a, body, STR("kind"), STR("TokenRequest"));
    val_set_text(a, body, STR("apiVersion"), STR("authentication.k8s.io/v1"));
    struct val *spec = val_make_object(a, body, STR("spec"));
    struct val *audiences = val_make_array(a, spec, STR("audiences"));
    if (token->audience[0] != '\0') {
        val_append(audiences, val_new_text(a, str_of(token->audience)));
    }
    val_set_int(a, spec, STR("expirationSeconds"), token->expiration_seconds);
    struct val *bound = val_make_object(a, spec, STR("boundObjectRef"));
    val_set_text(a, bound, STR("kind"), STR("Pod"));
    val_set_text(a, bound, STR("apiVersion"), STR("v1"));
    val_set_text(a, bound, STR("name"), view->name);
    val_set_text(a, bound, STR("uid"), view->uid);
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource = schema_resource(STR_NONE, STR("v1"), STR("serviceaccounts")),
        .ns = view->ns,
        .name = account.n > 0 ? account : STR("default"),
        .subresource = "token",
        .body = body};
    struct asking *asking = mem_new(struct asking);
    *asking = (struct asking){entry, token};
    token->pending = true;
    entry_hold(entry);
    client_send(entry->agent->client, &request, on_answer, asking);
}

static void need(struct pod_entry *entry, const struct val *source)
{
    struct str audience = val_text(val_get(source, "audience"));
    int64_t seconds = val_int(val_get(source, "expirationSeconds"), 3600);
    if (find(entry, audience, seconds) == NULL) {
        struct pod_token *token = mem_new(struct pod_token);
        token->audience = str_dup(audience);
        token->expiration_seconds = seconds;
        *vec_push(&entry->tokens) = token;
    }
}

bool tokens_ready(struct pod_entry *entry)
{
    VAL_EACH (volume, val_get(entry->worker->view->spec, "volumes")) {
        VAL_EACH (source, val_path(volume, "projected.sources")) {
            const struct val *token = val_get(source, "serviceAccountToken");
            if (token != NULL) {
                need(entry, token);
            }
        }
    }
    int64_t now = clock_wall(loop_clock(entry->agent->loop));
    bool ready = true;
    VEC_EACH (it, &entry->tokens) {
        struct pod_token *token = *it;
        if (token->text == NULL && !token->pending && now >= token->refresh_at_ns) {
            ask(entry, token);
        }
        ready &= token->text != NULL;
    }
    return ready;
}

struct str token_get(struct pod_entry *entry, const struct volume_token *wanted)
{
    struct pod_token *token = find(entry, wanted->audience, wanted->expiration_seconds);
    return token != NULL ? str_of(token->text) : STR_NONE;
}

void tokens_refresh(struct pod_entry *entry)
{
    int64_t now = clock_wall(loop_clock(entry->agent->loop));
    VEC_EACH (it, &entry->tokens) {
        if (!(*it)->pending && now >= (*it)->refresh_at_ns) {
            ask(entry, *it);
        }
    }
}

void tokens_free(struct pod_entry *entry)
{
    VEC_EACH (it, &entry->tokens) {
        free((*it)->audience);
        free((*it)->text);
        free(*it);
    }
    vec_done(&entry->tokens);
}
