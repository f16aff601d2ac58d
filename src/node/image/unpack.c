/* unpack.c: the child that unpacks (hidden role `unpack`): an archive, or a folder that the pulling
 * child filled, to layer folders and a list of images.
 *
 *   unpack STAGING archive   the archive is descriptor 3
 *   unpack STAGING           STAGING/layout is already an OCI layout
 *
 * Works inside sandbox_enter_folder(STAGING): reads /layout, writes /layers/HEX24, prints one JSON
 * object on stdout {"images": [{id, digest, names, layers, size, config}]}, or an error line on
 * stderr and exit status 1. Digests are verified: diff ids for every layer, blob digests in OCI
 * layouts.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/val.h"
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/image.h"
#include "node/image/layer.h"
#include "node/image/sandbox.h"
#include "pki/digest.h"

enum { DOCUMENT_MAX = 8 * 1024 * 1024, LAYERS_MAX = 512, IMAGES_MAX = 256, CHUNK = 128 * 1024 };

struct unpack {
    struct archive_lib lib;
    struct arena arena;
    struct val *images; /* the answer */
};

/* The outer tar's regular files and links, into /layout. */
static int extract_member(struct unpack *u, struct archive *archive, struct archive_entry *entry,
                          struct err *err)
{
    const char *name = u->lib.pathname(entry);
    if (name == NULL || name[0] == '/' || str_contains(str_of(name), STR("..")) ||
        strlen(name) > 1024) {
        return err_set(err, ERR_INVALID, "the archive has a bad member name");
    }
    char *path MEM_CLEANUP = mem_printf("/layout/%s", name);
    char *slash = strrchr(path, '/');
    if (slash != path + 7) {
        *slash = '\0';
        int rc = file_make_dirs(path, 0700, err);
        *slash = '/';
        if (rc != 0) {
            return rc;
        }
    }
    unsigned type = u->lib.filetype(entry);
    if (type == AE_IFLNK && symlink(u->lib.symlink(entry), path) == 0) {
        return 0;
    }
    if (type != AE_IFREG) {
        return 0;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    static char chunk[CHUNK];
    ssize_t n;
    int rc = 0;
    while ((n = u->lib.data(archive, chunk, sizeof chunk)) > 0 && rc == 0) {
        if (write(fd, chunk, (size_t)n) != n) {
            rc = err_os(err, errno, "write %s", path);
        }
    }
    if (n < 0 && rc == 0) {
        rc = err_set(err, ERR_INVALID, "damaged archive: %s", u->lib.error_string(archive));
    }
    close(fd);
    return rc;
}

static int extract_archive(struct unpack *u, int fd, struct err *err)
{
    struct archive *archive = u->lib.read_new();
    struct archive_entry *entry;
    u->lib.filter_all(archive);
    u->lib.format_tar(archive);
    int rc = 0, result = ARCHIVE_FATAL;
    if (u->lib.open_fd(archive, fd, CHUNK) == ARCHIVE_OK) {
        while (rc == 0 && ((result = u->lib.next_header(archive, &entry)) == ARCHIVE_OK ||
                           result == ARCHIVE_WARN)) {
            rc = extract_member(u, archive, entry, err);
        }
    }
    if (rc == 0 && result != ARCHIVE_EOF) {
        const char *why = u->lib.error_string(archive);
        rc = err_set(err, ERR_INVALID, "not an image archive: %s", why != NULL ? why : "no tar");
    }
    u->lib.read_free(archive);
    return rc;
}

static int read_document(struct unpack *u, const char *path, struct val **ret_value,
                         struct str *ret_text, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    int rc = file_read(path, DOCUMENT_MAX, &text, err);
    if (rc != 0) {
        return rc;
    }
    struct str copy = str_copy_in(&u->arena, buf_view(&text));
    if (ret_text != NULL) {
        *ret_text = copy;
    }
    rc = val_parse_json(&u->arena, copy, ret_value, err);
    return rc != 0 ? err_wrap(err, "%s", path) : 0;
}

/* /layout/blobs/sha256/HEX of a digest, or NULL. */
static char *blob_path(struct unpack *u, struct str digest)
{
    struct str hex, algorithm = str_cut(digest, ':', &hex);
    if (!str_is(algorithm, "sha256") || hex.n != 64) {
        return NULL;
    }
    for (size_t i = 0; i < hex.n; i++) {
        if (!((hex.p[i] >= '0' && hex.p[i] <= '9') || (hex.p[i] >= 'a' && hex.p[i] <= 'f'))) {
            return NULL;
        }
    }
    return arena_printf(&u->arena, "/layout/blobs/sha256/%.*s", STR_ARG(hex));
}

static int check_text(struct str text, struct str digest, struct err *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(text, hex);
    if (digest.n != 71 || memcmp(digest.p + 7, hex, 64) != 0) {
        return err_set(err, ERR_INVALID, "a document does not match its digest %.*s",
                       STR_ARG(digest));
    }
    return 0;
}

static int check_file(int fd, struct str digest, struct err *err)
{
    static char chunk[CHUNK];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        EVP_DigestUpdate(ctx, chunk, (size_t)n);
    }
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char hex[65];
    EVP_DigestFinal_ex(ctx, bytes, NULL);
    EVP_MD_CTX_free(ctx);
    hex_encode(bytes, 32, hex);
    if (n < 0 || lseek(fd, 0, SEEK_SET) != 0 || digest.n != 71 ||
        memcmp(digest.p + 7, hex, 64) != 0) {
        return err_set(err, ERR_INVALID, "a layer does not match its digest %.*s", STR_ARG(digest));
    }
    return 0;
}

/* One layer into /layers/HEX24 (the diff id's first digits). blob_digest n 0: not named by digest.
 */
static int unpack_layer(struct unpack *u, const char *path, struct str blob_digest,
                        struct str diff_id, uint64_t *size, struct err *err)
{
    if (diff_id.n != 71 || !str_starts(diff_id, STR("sha256:"))) {
        return err_set(err, ERR_INVALID, "bad diff id %.*s", STR_ARG(diff_id));
    }
    char *dir = arena_printf(&u->arena, "/layers/%.24s", diff_id.p + 7);
    if (file_exists(arena_printf(&u->arena, "/have/%.24s", diff_id.p + 7))) {
        return 0; /* the store has it: the pulling child left it out */
    }
    if (mkdir(dir, 0755) != 0) {
        return errno == EEXIST ? 0 : err_os(err, errno, "mkdir %s", dir);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "open %s", path);
    }
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char hex[65];
    uint64_t bytes = 0;
    int rc = blob_digest.n > 0 ? check_file(fd, blob_digest, err) : 0;
    if (rc == 0) {
        rc = layer_unpack(&u->lib, fd, dir_fd, hex, &bytes, err);
    }
    if (rc == 0 && memcmp(hex, diff_id.p + 7, 64) != 0) {
        rc = err_set(err, ERR_INVALID, "a layer does not match its diff id %.*s", STR_ARG(diff_id));
    }
    close(dir_fd);
    close(fd);
    *size += bytes;
    return rc;
}

static int add_image(struct unpack *u, const struct val *config, struct str config_text,
                     struct str digest, const struct str *names, size_t name_count,
                     const char *const *paths, const struct str *blobs, size_t count,
                     struct err *err)
{
    const struct val *diff_ids = val_path(config, "rootfs.diff_ids");
    if (val_count(diff_ids) != count || count > LAYERS_MAX) {
        return err_set(err, ERR_INVALID, "the configuration lists %u layers, the manifest %zu",
                       val_count(diff_ids), count);
    }
    struct arena *a = &u->arena;
    struct val *image = val_append(u->images, val_new(a, VAL_OBJECT));
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(config_text, hex);
    val_set_text(a, image, STR("id"), str_of(arena_printf(a, "sha256:%s", hex)));
    if (digest.n > 0) {
        val_set_text(a, image, STR("digest"), digest);
    }
    struct val *list = val_make_array(a, image, STR("names"));
    for (size_t i = 0; i < name_count; i++) {
        val_append(list, val_new_text(a, names[i]));
    }
    struct val *layers = val_make_array(a, image, STR("layers"));
    uint64_t size = 0;
    size_t i = 0;
    VAL_EACH (diff_id, diff_ids) {
        int rc = unpack_layer(u, paths[i], blobs != NULL ? blobs[i] : STR_NONE, val_text(diff_id),
                              &size, err);
        if (rc != 0) {
            return rc;
        }
        val_append(layers, val_new_text(a, str_at(val_text(diff_id).p + 7, 24)));
        i++;
    }
    val_set_int(a, image, STR("size"), (int64_t)size);
    val_set(image, STR("config"), val_copy(a, config));
    return 0;
}

/* A Docker archive's manifest.json. */
static int unpack_docker(struct unpack *u, const struct val *manifest, struct err *err)
{
    VAL_EACH (entry, manifest) {
        struct str config_name = val_text(val_get(entry, "Config"));
        const struct val *layers = val_get(entry, "Layers"), *tags = val_get(entry, "RepoTags");
        if (config_name.n == 0 || str_contains(config_name, STR("..")) ||
            val_count(layers) > LAYERS_MAX || val_count(tags) > LAYERS_MAX) {
            return err_set(err, ERR_INVALID, "bad manifest.json");
        }
        const char **paths = arena_array(&u->arena, const char *, val_count(layers) + 1);
        struct str *names = arena_array(&u->arena, struct str, val_count(tags) + 1);
        size_t count = 0, name_count = 0;
        VAL_EACH (layer, layers) {
            paths[count++] = arena_printf(&u->arena, "/layout/%.*s", STR_ARG(val_text(layer)));
        }
        VAL_EACH (tag, tags) {
            names[name_count++] = val_text(tag);
        }
        struct val *config;
        struct str text;
        int rc = read_document(u, arena_printf(&u->arena, "/layout/%.*s", STR_ARG(config_name)),
                               &config, &text, err);
        if (rc == 0) {
            rc = add_image(u, config, text, STR_NONE, names, name_count, paths, NULL, count, err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static const char *host_architecture(void)
{
#if defined(__aarch64__)
    return "arm64";
#else
    return "amd64";
#endif
}

static bool wanted_platform(const struct val *descriptor)
{
    const struct val *platform = val_get(descriptor, "platform");
    return platform == NULL ||
           (str_is(val_text(val_get(platform, "architecture")), host_architecture()) &&
            str_is(val_text(val_get(platform, "os")), "linux"));
}

static struct str descriptor_name(const struct val *descriptor, struct str inherited)
{
    const struct val *notes = val_get(descriptor, "annotations");
    struct str full = val_text(val_get(notes, "io.containerd.image.name"));
    struct str ref = val_text(val_get(notes, "org.opencontainers.image.ref.name"));
    return full.n > 0 ? full : ref.n > 0 ? ref : inherited;
}

static int unpack_manifest(struct unpack *u, const struct val *descriptor, struct str inherited,
                           struct err *err)
{
    struct str digest = val_text(val_get(descriptor, "digest"));
    struct str name = descriptor_name(descriptor, inherited);
    const char *path = blob_path(u, digest);
    struct val *manifest;
    struct str text;
    int rc = path == NULL ? err_set(err, ERR_INVALID, "bad digest in index.json")
                          : read_document(u, path, &manifest, &text, err);
    if (rc != 0 || (rc = check_text(text, digest, err)) != 0) {
        return rc;
    }
    const struct val *nested = val_get(manifest, "manifests");
    if (nested != NULL) { /* an index: one level, the host's platform */
        VAL_EACH (inner, nested) {
            if (wanted_platform(inner) && val_get(inner, "manifests") == NULL) {
                struct val *only = val_copy(&u->arena, inner);
                const char *inner_path = blob_path(u, val_text(val_get(only, "digest")));
                struct val *document;
                if (inner_path == NULL ||
                    read_document(u, inner_path, &document, NULL, NULL) != 0 ||
                    val_get(document, "manifests") != NULL) {
                    continue; /* not in this layout */
                }
                val_unset(only, STR("annotations"));
                return unpack_manifest(u, only, name, err);
            }
        }
        return err_set(err, ERR_NOT_FOUND, "no image for linux/%s in it", host_architecture());
    }
    const struct val *layers = val_get(manifest, "layers");
    struct str config_digest = val_text(val_path(manifest, "config.digest")), config_text;
    const char *config_path = blob_path(u, config_digest);
    struct val *config;
    if (config_path == NULL || val_count(layers) > LAYERS_MAX) {
        return err_set(err, ERR_INVALID, "bad image manifest");
    }
    if ((rc = read_document(u, config_path, &config, &config_text, err)) != 0 ||
        (rc = check_text(config_text, config_digest, err)) != 0) {
        return rc;
    }
    const char **paths = arena_array(&u->arena, const char *, val_count(layers) + 1);
    struct str *blobs = arena_array(&u->arena, struct str, val_count(layers) + 1);
    size_t count = 0;
    VAL_EACH (layer, layers) {
        blobs[count] = val_text(val_get(layer, "digest"));
        paths[count] = blob_path(u, blobs[count]);
        if (paths[count++] == NULL) {
            return err_set(err, ERR_INVALID, "bad layer digest in the manifest");
        }
    }
    return add_image(u, config, config_text, digest, &name, name.n > 0, paths, blobs, count, err);
}

static int unpack_layout(struct unpack *u, struct err *err)
{
    struct val *document;
    if (file_exists("/layout/manifest.json")) {
        int rc = read_document(u, "/layout/manifest.json", &document, NULL, err);
        return rc == 0 ? unpack_docker(u, document, err) : rc;
    }
    int rc = read_document(u, "/layout/index.json", &document, NULL, err);
    if (rc != 0) {
        return err_set(err, ERR_INVALID,
                       "neither a Docker archive (manifest.json) nor an OCI layout (index.json)");
    }
    if (val_count(val_get(document, "manifests")) > IMAGES_MAX) {
        return err_set(err, ERR_TOO_LARGE, "too many images in one archive");
    }
    VAL_EACH (descriptor, val_get(document, "manifests")) {
        if (wanted_platform(descriptor) &&
            (rc = unpack_manifest(u, descriptor, STR_NONE, err)) != 0) {
            return rc;
        }
    }
    return 0;
}

static int run(struct unpack *u, const char *staging, bool archive, struct err *err)
{
    int rc = archive_lib_load(&u->lib, err);
    if (rc != 0 || (rc = sandbox_enter_folder(staging, err)) != 0) {
        return rc;
    }
    if ((mkdir("/layout", 0700) != 0 || mkdir("/layers", 0700) != 0) && errno != EEXIST) {
        return err_os(err, errno, "mkdir");
    }
    mkdir("/layers", 0700);
    if (archive && (rc = extract_archive(u, 3, err)) != 0) {
        return rc;
    }
    return unpack_layout(u, err);
}

int image_unpack_main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    setlocale(LC_CTYPE, "C.UTF-8"); /* names in pax headers are UTF-8 */
    umask(0);
    EVP_MD_CTX_free(EVP_MD_CTX_new());
    struct unpack *u = mem_new(struct unpack);
    struct val *answer = val_new(&u->arena, VAL_OBJECT);
    u->images = val_make_array(&u->arena, answer, STR("images"));
    struct err err = ERR_INIT;
    int rc = run(u, argv[2], argc > 3 && strcmp(argv[3], "archive") == 0, &err);
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.message);
        _exit(rc == ERR_NOT_FOUND ? 3
                                  : 1); /* nothing is freed: there is no /proc for a leak check */
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json(answer, &out);
    _exit(fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0 ? 0 : 1);
}
