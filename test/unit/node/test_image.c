/* Unpacking images: good ones, and tars made to hurt. Needs root (the sandbox is a chroot): skipped
 * otherwise. Archives are written byte by byte here, so that nothing corrects them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "io/file.h"
#include "node_rig.h"
#include "pki/digest.h"

static char dir[64];

/* ---- a tar writer without scruples ---- */

static void add_member(struct buf *tar, const char *name, char type, const char *link,
                       struct str data, unsigned mode)
{
    char header[512] = {0};
    snprintf(header, 100, "%s", name);
    snprintf(header + 100, 8, "%07o", mode);
    snprintf(header + 108, 8, "%07o", 0);
    snprintf(header + 116, 8, "%07o", 0);
    snprintf(header + 124, 12, "%011o", (unsigned)data.n);
    snprintf(header + 136, 12, "%011o", 0);
    memset(header + 148, ' ', 8);
    header[156] = type;
    snprintf(header + 157, 100, "%s", link);
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof header; i++) {
        sum += (unsigned char)header[i];
    }
    snprintf(header + 148, 8, "%06o", sum);
    buf_add(tar, header, sizeof header);
    buf_str(tar, data);
    static const char zeros[512];
    buf_add(tar, zeros, (512 - data.n % 512) % 512);
}

static void end_tar(struct buf *tar)
{
    static const char zeros[1024];
    buf_add(tar, zeros, sizeof zeros);
}

/* A Docker archive of one layer; diff_id NULL: the true one. */
static char *write_archive(const struct buf *layer, const char *diff_id)
{
    struct buf tar BUF_CLEANUP = BUF_INIT;
    char hex[DIGEST_HEX_SIZE], config[512];
    digest_sha256_hex(buf_view(layer), hex);
    snprintf(config, sizeof config,
             "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]},\"config\":{}}",
             diff_id != NULL ? diff_id : hex);
    add_member(&tar, "l.tar", '0', "", buf_view(layer), 0644);
    add_member(&tar, "c.json", '0', "", str_of(config), 0644);
    add_member(&tar, "manifest.json", '0', "",
               STR("[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"l.tar\"]}]"),
               0644);
    end_tar(&tar);
    char *path = mem_printf("%s/archive.tar", dir);
    assert_int_equal(file_write_quick(path, buf_view(&tar), 0600, NULL), 0);
    return path;
}

static struct image_store *open_store(void)
{
    char *path MEM_CLEANUP = mem_printf("%s/store", dir);
    struct image_store *store;
    file_remove_tree(path, NULL);
    assert_int_equal(image_store_open(path, NULL, &store, NULL), 0);
    return store;
}

static int load(struct image_store *store, const struct buf *layer, const char *diff_id,
                struct err *err)
{
    char *archive MEM_CLEANUP = write_archive(layer, diff_id);
    struct buf names BUF_CLEANUP = BUF_INIT;
    return image_load(store, archive, &names, err);
}

static bool in_layer(struct image_store *store, const char *name, struct stat *ret)
{
    const struct image *image = image_find(store, STR("x:1"));
    if (image == NULL) {
        return false;
    }
    char *path MEM_CLEANUP =
        mem_printf("%s/%s/%s", image_store_layers_dir(store), image->layers[0], name);
    return lstat(path, ret) == 0;
}

static void test_good_layer(void **state)
{
    struct buf layer BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat info;
    struct image_store *store = open_store();
    add_member(&layer, "./etc/", '5', "", STR_NONE, 0755);
    add_member(&layer, "etc/file", '0', "", STR("text"), 04755);
    add_member(&layer, "etc/hard", '1', "etc/file", STR_NONE, 0644);
    add_member(&layer, "link", '2', "/etc", STR_NONE, 0777);
    add_member(&layer, "link/through", '0', "", STR("inside"), 0644);
    add_member(&layer, "dev/null2", '3', "", STR_NONE, 0666);
    add_member(&layer, "etc/.wh.removed", '0', "", STR_NONE, 0644);
    add_member(&layer, "made/by/need", '0', "", STR("x"), 0644);
    end_tar(&layer);
    if (load(store, &layer, NULL, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_true(in_layer(store, "etc/file", &info));
    assert_int_equal(info.st_mode & 07777, 04755);
    assert_int_equal(info.st_nlink, 2);
    assert_true(in_layer(store, "link", &info) && S_ISLNK(info.st_mode));
    assert_true(in_layer(store, "etc/through", &info)); /* the link led to the layer's own etc */
    assert_true(in_layer(store, "etc/removed", &info) && S_ISCHR(info.st_mode));
    assert_false(in_layer(store, "dev/null2", &info));
    assert_true(in_layer(store, "made/by/need", &info));
    assert_int_equal(image_remove(store, STR("x:1"), &err), 0);
    assert_null(image_find(store, STR("x:1")));
    image_collect(store, NULL, 0, INT64_MAX, 0);
    image_store_free(store);
}

struct hostile {
    const char *name;
    char type;
    const char *link;
};

static void test_hostile_layers(void **state)
{
    static const struct hostile cases[] = {
        {"../escaped", '0', ""},
        {"a/../../escaped", '0', ""},
        {"etc/../../../escaped", '5', ""},
        {"x", '1', "../../escaped"},
        {".wh..", '0', ""},
        {"y", '1', "/no/such"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf layer BUF_CLEANUP = BUF_INIT;
        struct err err = ERR_INIT;
        struct image_store *store = open_store();
        add_member(&layer, cases[i].name, cases[i].type, cases[i].link, STR_NONE, 0644);
        end_tar(&layer);
        if (load(store, &layer, NULL, &err) == 0) {
            fail_msg("%s was taken", cases[i].name);
        }
        assert_int_equal(image_list(store)->count, 0);
        image_store_free(store);
    }
    char *escaped MEM_CLEANUP = mem_printf("%s/escaped", dir);
    assert_false(file_exists(escaped));
}

/* Links that point out of the layer, then files through them: all lands inside. */
static void test_link_games(void **state)
{
    struct buf layer BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct stat info;
    struct image_store *store = open_store();
    add_member(&layer, "out", '2', "../../../../../../tmp", STR_NONE, 0777);
    add_member(&layer, "out/cox-escaped", '0', "", STR("x"), 0644);
    add_member(&layer, "self", '2', "self", STR_NONE, 0777);
    add_member(&layer, "f", '2', "/etc/passwd", STR_NONE, 0777);
    add_member(&layer, "f", '0', "", STR("replaced"), 0644);
    end_tar(&layer);
    if (load(store, &layer, NULL, &err) != 0) {
        assert_true(err.message[0] != '\0');
    } else {
        assert_true(in_layer(store, "f", &info) && S_ISREG(info.st_mode));
    }
    assert_false(file_exists("/tmp/cox-escaped"));
    image_store_free(store);
}

static void test_damage(void **state)
{
    struct buf layer BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct image_store *store = open_store();
    add_member(&layer, "a", '0', "", STR("x"), 0644);
    end_tar(&layer);
    static const char other[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_int_equal(load(store, &layer, other, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "does not match its diff id"));
    char *path MEM_CLEANUP = mem_printf("%s/bad.tar", dir);
    static const char *const texts[] = {"", "no tar at all", "{}"};
    for (size_t i = 0; i < 3; i++) {
        struct buf names BUF_CLEANUP = BUF_INIT;
        assert_int_equal(file_write_quick(path, str_of(texts[i]), 0600, NULL), 0);
        assert_int_not_equal(image_load(store, path, &names, &err), 0);
    }
    assert_int_equal(image_load(store, "/no/such/file", &(struct buf){0}, &err), ERR_IO);
    image_store_free(store);
}

static int setup(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/coximage.XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    file_remove_tree(dir, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    int role = rig_role(argc, argv);
    if (role >= 0) {
        return role;
    }
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: not root\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_layer),
        cmocka_unit_test(test_hostile_layers),
        cmocka_unit_test(test_link_games),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
