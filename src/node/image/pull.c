/* pull.c: pulling, both sides. The child (hidden role `pull`) downloads manifest, configuration and
 * layers into STAGING/layout as an OCI layout; it may write nowhere else (Landlock) and has no
 * capabilities. The parent then has it unpacked like an archive (load.c). The staging folder is
 * named by the reference and stays after a network error, so that the next try goes on.
 *
 *   pull STAGING CANONICAL LAYERS_DIR MIRRORS INSECURE NETNS   (credentials: JSON on stdin)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/image/registry.h"
#include "node/image/sandbox.h"
#include "node/image/store_int.h"
#include "node/runtime/spawn.h"
#include "pki/digest.h"

enum { CONFIG_MAX = 8 * 1024 * 1024, AUTHS_MAX = 1024 * 1024, LAYERS_MAX = 512 };

/* ---- the child ---- */

struct fetch {
    struct registry registry;
    const char *staging, *layers_dir;
    uint64_t done, total, shown;
};

static void on_progress(void *ctx, uint64_t bytes)
{
    struct fetch *f = ctx;
    f->done += bytes;
    if (f->total > 0 && f->done > f->total) { /* parts of a layer that came twice */
        f->done = f->total;
    }
    if (f->done - f->shown > 1024 * 1024 || f->done == f->total) {
        f->shown = f->done;
        printf("progress %llu %llu\n", (unsigned long long)f->done, (unsigned long long)f->total);
        fflush(stdout);
    }
}

static bool sha256_digest(struct str digest)
{
    bool ok = digest.n == 71 && str_starts(digest, STR("sha256:"));
    for (size_t i = 7; ok && i < digest.n; i++) {
        char c = digest.p[i];
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return ok;
}

static char *blob_file(struct fetch *f, struct str digest)
{
    return arena_printf(&f->registry.arena, "%s/layout/blobs/sha256/%.*s", f->staging,
                        STR_ARG(str_from(digest, 7)));
}

static const char *host_architecture(void)
{
#if defined(__aarch64__)
    return "arm64";
#else
    return "amd64";
#endif
}

/* The manifest for this machine: through one index, if there is one. */
static int find_manifest(struct fetch *f, struct str reference, struct val **ret_manifest,
                         struct str *ret_text, struct err *err)
{
    struct arena *a = &f->registry.arena;
    for (int level = 0; level < 2; level++) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        struct val *document;
        int rc = registry_manifest(&f->registry, reference, &text, err);
        if (rc != 0) {
            return rc;
        }
        *ret_text = str_copy_in(a, buf_view(&text));
        if ((rc = val_parse_json(a, *ret_text, &document, err)) != 0) {
            return rc;
        }
        const struct val *list = val_get(document, "manifests");
        if (list == NULL) {
            *ret_manifest = document;
            return 0;
        }
        struct str chosen = STR_NONE;
        VAL_EACH (it, list) {
            const struct val *platform = val_get(it, "platform");
            if (chosen.n == 0 &&
                str_is(val_text(val_get(platform, "architecture")), host_architecture()) &&
                str_is(val_text(val_get(platform, "os")), "linux")) {
                chosen = val_text(val_get(it, "digest"));
            }
        }
        if (!sha256_digest(chosen)) {
            return err_set(err, ERR_NOT_FOUND, "no matching manifest for linux/%s",
                           host_architecture());
        }
        reference = chosen;
    }
    return err_set(err, ERR_INVALID, "an index of indexes");
}

static bool have_layer(struct fetch *f, const struct val *config, uint32_t i)
{
    struct str diff_id = val_text(val_at(val_path(config, "rootfs.diff_ids"), i));
    char *path MEM_CLEANUP = NULL, *mark MEM_CLEANUP = NULL;
    if (!sha256_digest(diff_id)) {
        return false;
    }
    path = mem_printf("%s/%.24s", f->layers_dir, diff_id.p + 7);
    mark = mem_printf("%s/have/%.24s", f->staging, diff_id.p + 7);
    return access(path, F_OK) == 0 && file_write_quick(mark, STR("1"), 0600, NULL) == 0;
}

static int fetch_blobs(struct fetch *f, const struct val *manifest, struct err *err)
{
    const struct val *config = val_get(manifest, "config"), *layers = val_get(manifest, "layers");
    struct str config_digest = val_text(val_get(config, "digest"));
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *document;
    if (!sha256_digest(config_digest) || val_count(layers) > LAYERS_MAX) {
        return err_set(err, ERR_INVALID, "bad image manifest");
    }
    int64_t size = val_int(val_get(config, "size"), 0);
    int rc = size > CONFIG_MAX ? err_set(err, ERR_TOO_LARGE, "the configuration is too large")
                               : registry_blob(&f->registry, config_digest, size,
                                               blob_file(f, config_digest), on_progress, f, err);
    if (rc != 0 || (rc = file_read(blob_file(f, config_digest), CONFIG_MAX, &text, err)) != 0 ||
        (rc = val_parse_json(&f->registry.arena, str_copy_in(&f->registry.arena, buf_view(&text)),
                             &document, err)) != 0) {
        return rc;
    }
    VAL_EACH (layer, layers) {
        f->total += (uint64_t)val_int(val_get(layer, "size"), 0);
    }
    uint32_t i = 0;
    VAL_EACH (layer, layers) {
        struct str digest = val_text(val_get(layer, "digest"));
        if (!sha256_digest(digest)) {
            return err_set(err, ERR_INVALID, "bad layer digest");
        }
        if (!have_layer(f, document, i++) &&
            (rc = registry_blob(&f->registry, digest, val_int(val_get(layer, "size"), 0),
                                blob_file(f, digest), on_progress, f, err)) != 0) {
            return rc;
        }
    }
    return 0;
}

static int write_layout(struct fetch *f, struct str manifest_text, struct err *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(manifest_text, hex);
    char *blob = arena_printf(&f->registry.arena, "%s/layout/blobs/sha256/%s", f->staging, hex);
    char *index = arena_printf(&f->registry.arena, "%s/layout/index.json", f->staging);
    char *text = arena_printf(&f->registry.arena,
                              "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:%s\","
                              "\"size\":%zu}]}",
                              hex, manifest_text.n);
    int rc = file_write_quick(blob, manifest_text, 0600, err);
    return rc == 0 ? file_write_quick(index, str_of(text), 0600, err) : rc;
}

static void read_auths(struct fetch *f)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *document;
    ssize_t n;
    while (text.n < AUTHS_MAX && (n = read(0, buf_room(&text, 4096), 4096)) > 0) {
        text.n += (size_t)n;
    }
    if (text.n > 0 &&
        val_parse_json(&f->registry.arena, str_copy_in(&f->registry.arena, buf_view(&text)),
                       &document, NULL) == 0) {
        f->registry.auths = val_get(document, "auths");
    }
}

static int run_fetch(struct fetch *f, char **argv, struct err *err)
{
    struct str canonical = str_of(argv[3]), digest, tag;
    struct val *manifest = NULL;
    struct str text = STR_NONE;
    if (argv[7][0] != '\0') {
        int fd = open(argv[7], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
            return err_os(err, errno, "enter network namespace %s", argv[7]);
        }
        close(fd);
    }
    int rc = registry_open(&f->registry, canonical, str_of(argv[5]), argv[6][0] == '1', err);
    if (rc != 0 || (rc = sandbox_write_only_in(f->staging, err)) != 0) {
        return rc;
    }
    read_auths(f);
    struct str name = str_cut(canonical, '@', &digest);
    str_cut_last(name, ':', &tag);
    if ((rc = find_manifest(f, digest.p != NULL ? digest : tag, &manifest, &text, err)) != 0 ||
        (rc = fetch_blobs(f, manifest, err)) != 0) {
        return rc;
    }
    return write_layout(f, text, err);
}

int image_pull_main(int argc, char **argv)
{
    if (argc != 8) {
        return 2;
    }
    struct err err = ERR_INIT;
    struct fetch *f = mem_new(struct fetch);
    f->staging = argv[2];
    f->layers_dir = argv[4];
    int rc = run_fetch(f, argv, &err);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.message);
    }
    fflush(stdout);
    _exit(rc == 0                  ? 0 /* nothing is freed: the process ends */
          : rc == ERR_NOT_FOUND    ? 3
          : rc == ERR_UNAUTHORIZED ? 4
          : rc == ERR_UNAVAILABLE  ? 5
                                   : 1);
}

/* ---- the parent ---- */

static int make_staging(struct image_store *store, struct str canonical, char **ret_dir,
                        struct err *err)
{
    static const char *const below[] = {"layout/blobs/sha256", "have"};
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(canonical, hex);
    char *dir = mem_printf("%s/staging/pull-%.16s", store->dir, hex);
    for (size_t i = 0; i < 2; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, below[i]);
        int rc = file_make_dirs(path, 0700, err);
        if (rc != 0) {
            free(dir);
            return rc;
        }
    }
    *ret_dir = dir;
    return 0;
}

static int text_file(struct str text, struct err *err)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    if (fd < 0 || write(fd, text.n > 0 ? text.p : "", text.n) != (ssize_t)text.n ||
        lseek(fd, 0, SEEK_SET) != 0) {
        int rc = err_os(err, errno, "temporary file");
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    return fd;
}

/* Lines "progress DONE TOTAL" until the child closes its end. */
static void follow(int fd, const struct image_pull_options *options)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    ssize_t n;
    while ((n = read(fd, buf_room(&text, 4096), 4096)) > 0 || (n < 0 && errno == EINTR)) {
        text.n += n > 0 ? (size_t)n : 0;
        struct str rest = buf_view(&text);
        const char *newline;
        while (rest.n > 0 && (newline = memchr(rest.p, '\n', rest.n)) != NULL) {
            struct str line = str_cut(rest, '\n', &rest);
            struct str total, done = STR_NONE;
            uint64_t a, b;
            str_cut(line, ' ', &done);
            done = str_cut(done, ' ', &total);
            if (options->progress != NULL && str_u64(done, &a) && str_u64(total, &b)) {
                options->progress(options->ctx, a, b);
            }
        }
        buf_drop_front(&text, text.n - rest.n);
    }
}

static int run_child(struct image_store *store, const char *staging, const char *canonical,
                     const struct image_pull_options *options, struct err *err)
{
    char *mirrors MEM_CLEANUP = str_dup(options->mirrors);
    char *log_path MEM_CLEANUP = mem_printf("%s.err", staging);
    int pipe_fds[2], status = 1;
    int auths = text_file(options->auths, err);
    if (auths < 0) {
        return auths;
    }
    int log = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log < 0 || pipe2(pipe_fds, O_CLOEXEC) != 0) {
        close(auths);
        return err_os(err, errno, "pull");
    }
    const char *argv[] = {store->self_path,
                          "pull",
                          staging,
                          canonical,
                          store->layers_dir,
                          mirrors != NULL ? mirrors : "",
                          options->insecure_loopback ? "1" : "0",
                          options->netns_path != NULL ? options->netns_path : "",
                          NULL};
    struct spawn_options spawn = {
        .argv = argv, .stdin_fd = auths, .stdout_fd = pipe_fds[1], .stderr_fd = log};
    pid_t pid;
    int rc = spawn_start(&spawn, &pid, err);
    close(pipe_fds[1]);
    if (rc == 0) {
        follow(pipe_fds[0], options);
        status = spawn_wait(pid, -1);
    }
    close(pipe_fds[0]);
    close(auths);
    if (rc == 0 && status != 0) {
        struct buf message BUF_CLEANUP = BUF_INIT;
        file_read(log_path, 4096, &message, NULL);
        enum err_code code = status == 3   ? ERR_NOT_FOUND
                             : status == 4 ? ERR_UNAUTHORIZED
                             : status == 5 ? ERR_UNAVAILABLE
                                           : ERR_INVALID;
        rc = err_set(err, code, "%.*s",
                     STR_ARG(message.n > 0 ? str_trim(buf_view(&message))
                                           : STR("the pulling child was killed")));
    }
    close(log);
    unlink(log_path);
    return rc;
}

int image_pull(struct image_store *store, const struct image_pull_options *options, struct err *err)
{
    struct buf canonical BUF_CLEANUP = BUF_INIT, names BUF_CLEANUP = BUF_INIT;
    char *staging MEM_CLEANUP = NULL;
    int rc = image_reference_parse(options->reference, &canonical, err);
    if (rc != 0 || (rc = make_staging(store, buf_view(&canonical), &staging, err)) != 0) {
        return rc;
    }
    rc = run_child(store, staging, canonical.p, options, err);
    if (rc != 0) {
        if (rc != ERR_UNAVAILABLE) {
            file_remove_tree(staging, NULL);
        }
        return rc;
    }
    return store_unpack(store, staging, -1, canonical.p, &names, err);
}
