/* How fast the codec is on a pod of about 4 kB: decode, write, skim, parse without schema.
 * Prints one line a row: name, MB/s, us a document. */
#include <stdio.h>
#include <time.h>

#include "api/codec.h"
#include "api/protobuf.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(struct buf *out)
{
    buf_addz(
        out,
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"web-7d4b9c6f5d-x2x7q\","
        "\"generateName\":\"web-7d4b9c6f5d-\",\"namespace\":\"default\",\"uid\":"
        "\"5b0f4f0e-8f43-4a59-9d1c-0d6f3a1b2c3d\",\"creationTimestamp\":"
        "\"2026-11-25T01:02:03Z\",\"labels\":{\"app\":\"web\",\"pod-template-hash\":"
        "\"7d4b9c6f5d\"},\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
        "\"ReplicaSet\",\"name\":\"web-7d4b9c6f5d\",\"uid\":"
        "\"0e2f4f0e-8f43-4a59-9d1c-0d6f3a1b2c3d\",\"controller\":true,"
        "\"blockOwnerDeletion\":true}]},\"spec\":{\"volumes\":[{\"name\":\"token\","
        "\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":3607,"
        "\"path\":\"token\"}},{\"configMap\":{\"name\":\"kube-root-ca.crt\",\"items\":[{"
        "\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}}],\"defaultMode\":420}}],\"containers\":[");
    for (int i = 0; i < 3; i++) {
        buf_printf(
            out,
            "%s{\"name\":\"c%d\",\"image\":\"registry.example/team/web:1.2.3\",\"command\":["
            "\"/bin/web\",\"--listen=:8080\"],\"ports\":[{\"name\":\"http\",\"containerPort\":"
            "8080,\"protocol\":\"TCP\"}],\"env\":[{\"name\":\"A\",\"value\":\"one\"},{\"name\":"
            "\"POD_IP\",\"valueFrom\":{\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
            "\"status.podIP\"}}}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":"
            "\"256Mi\"},\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}},\"volumeMounts\":[{"
            "\"name\":\"token\",\"readOnly\":true,\"mountPath\":"
            "\"/var/run/secrets/kubernetes.io/serviceaccount\"}],\"readinessProbe\":{\"httpGet\":"
            "{\"path\":\"/ready\",\"port\":8080,\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,"
            "\"periodSeconds\":10,\"successThreshold\":1,\"failureThreshold\":3},"
            "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":"
            "\"File\",\"imagePullPolicy\":\"IfNotPresent\"}",
            i > 0 ? "," : "", i);
    }
    buf_addz(out,
             "],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":"
             "\"ClusterFirst\",\"serviceAccountName\":\"default\",\"serviceAccount\":\"default\","
             "\"nodeName\":\"node-1\",\"securityContext\":{},\"schedulerName\":"
             "\"default-scheduler\",\"tolerations\":[{\"key\":\"node.kubernetes.io/not-ready\","
             "\"operator\":\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":300}]},"
             "\"status\":{\"phase\":\"Running\",\"conditions\":[");
    for (int i = 0; i < 4; i++) {
        buf_printf(out,
                   "%s{\"type\":\"T%d\",\"status\":\"True\",\"lastProbeTime\":null,"
                   "\"lastTransitionTime\":\"2026-11-25T01:02:05Z\"}",
                   i > 0 ? "," : "", i);
    }
    buf_addz(out, "],\"hostIP\":\"10.0.0.1\",\"podIP\":\"10.244.0.7\",\"startTime\":"
                  "\"2026-11-25T01:02:03Z\",\"qosClass\":\"Burstable\"}}");
}

enum { ROUNDS = 20000 };

static void report(const char *name, double seconds, size_t n)
{
    printf("%-16s %8.0f MB/s %8.2f us\n", name, (double)n * ROUNDS / seconds / 1e6,
           seconds / ROUNDS * 1e6);
}

int main(void)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    fill(&text);
    const struct api_resource *pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    struct arena arena = ARENA_INIT;
    struct val *v = NULL;
    struct err err = ERR_INIT;
    struct object *object = NULL;
    printf("document: %zu bytes\n", text.n);
    double start = now();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(&arena);
        if (codec_decode(&arena, pods->type, CODEC_JSON, buf_view(&text), CODEC_STRICT, NULL, &v,
                         &err) != 0) {
            printf("%s\n", err.message);
            return 1;
        }
    }
    report("decode", now() - start, text.n);
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        buf_clear(&out);
        codec_write(pods->type, v, &out);
    }
    report("write", now() - start, text.n);
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        object = object_new(pods, v, 1);
        object_unref(object);
    }
    report("object_new", now() - start, text.n);
    object = object_new(pods, v, 1);
    struct object *loaded = NULL;
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        if (object_load(pods, str_at(object->json, object->n), 1, &loaded, &err) != 0) {
            return 1;
        }
        object_unref(loaded);
    }
    report("object_load", now() - start, text.n);
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(&arena);
        if (val_parse_json(&arena, buf_view(&text), &v, &err) != 0) {
            return 1;
        }
    }
    report("parse", now() - start, text.n);
    struct protobuf_writer writer = {0};
    start = now();
    for (int i = 0; i < ROUNDS; i++) {
        buf_clear(&out);
        if (!protobuf_write_object(&writer, pods->type, object, &out)) {
            return 1;
        }
    }
    report("to protobuf", now() - start, text.n);
    protobuf_writer_done(&writer);
    object_unref(object);
    arena_done(&arena);
    buf_done(&text);
    buf_done(&out);
    return 0;
}
