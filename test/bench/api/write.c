/* What a write costs between decoding and encoding: defaults, preparation, validation,
 * managedFields, patches. Prints one line a row: case, step, us. */
#include <stdio.h>
#include <time.h>

#include "api/codec.h"
#include "api/fields.h"
#include "api/ops.h"
#include "api/patch.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum { ROUNDS = 5000 };

struct spent {
    double decode, defaults, prepare, validate, fields, write;
};

static void one_round(struct arena *arena, const struct api_resource *resource, struct str text,
                      struct spent *spent)
{
    struct api_context ctx = {.arena = arena, .subresource = ""};
    struct field_errors errors = {.arena = arena};
    struct val *object = NULL;
    struct buf out BUF_CLEANUP = BUF_INIT;
    double t0 = now();
    if (codec_decode(arena, resource->type, CODEC_JSON, text, CODEC_WARN, NULL, &object, NULL) !=
        0) {
        return;
    }
    double t1 = now();
    api_default(arena, resource, object);
    double t2 = now();
    api_prepare(&ctx, resource, object, NULL);
    double t3 = now();
    api_validate(&ctx, resource, object, NULL, &errors);
    double t4 = now();
    struct fields_writer writer = {
        .type = resource->type, .manager = STR("kubectl-create"), .api_version = STR("v1")};
    fields_track_update(arena, &writer, NULL, object);
    double t5 = now();
    codec_write(resource->type, object, &out);
    double t6 = now();
    spent->decode += t1 - t0;
    spent->defaults += t2 - t1;
    spent->prepare += t3 - t2;
    spent->validate += t4 - t3;
    spent->fields += t5 - t4;
    spent->write += t6 - t5;
}

static void measure(const char *name, const struct api_resource *resource, struct str text)
{
    struct spent spent = {0};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    for (int i = 0; i < ROUNDS; i++) {
        one_round(&arena, resource, text, &spent);
        arena_reset(&arena);
    }
    const double k = 1e6 / ROUNDS;
    printf("%-12s decode %.2f defaults %.2f prepare %.2f validate %.2f fields %.2f write %.2f us\n",
           name, spent.decode * k, spent.defaults * k, spent.prepare * k, spent.validate * k,
           spent.fields * k, spent.write * k);
}

int main(void)
{
    struct buf map BUF_CLEANUP = BUF_INIT;
    buf_addz(&map, "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\","
                   "\"namespace\":\"default\"},\"data\":{\"text\":\"");
    for (int i = 0; i < 1000; i++) {
        buf_char(&map, 'x');
    }
    buf_addz(&map, "\"}}");
    measure("configmap", schema_resource(STR(""), STR("v1"), STR("configmaps")), buf_view(&map));
    struct str pod = STR(
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"namespace\":"
        "\"default\",\"labels\":{\"app\":\"web\",\"x\":\"y\"}},\"spec\":{\"containers\":[{\"name\":"
        "\"c\",\"image\":\"nginx:1\",\"ports\":[{\"containerPort\":80}],\"env\":[{\"name\":\"A\","
        "\"value\":\"b\"}],\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}},"
        "\"readinessProbe\":{\"httpGet\":{\"port\":80}},\"volumeMounts\":[{\"name\":\"v\","
        "\"mountPath\":\"/v\"}]}],\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"m\"}}]}}");
    measure("pod", schema_resource(STR(""), STR("v1"), STR("pods")), pod);
    return 0;
}
