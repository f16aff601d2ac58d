/* commands.c: the small commands of this machine: kubeconfig, backup, restore, image. */
#include "role/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/connection.h"
#include "cli/verb.h"
#include "io/file.h"
#include "node/image.h"
#include "role/credentials.h"
#include "store/store.h"

const char *command_usage(const char *name)
{
    static const struct {
        const char *name, *usage;
    } rows[] = {
        {"kubeconfig", "\n  cox kubeconfig [--config-dir DIR] [--server https://HOST:6443]\n"},
        {"backup", "\n  cox backup FILE          FILE is made by the server, in its own data "
                   "folder unless it is absolute\n"},
        {"restore", "\n  cox restore FILE [--data-dir DIR]\n"},
        {"image", "\n  cox image load FILE ... | pull REF | ls | rm REF     [--data-dir DIR]\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return rows[i].usage;
        }
    }
    return "\n";
}

/* Takes "--NAME VALUE" or "--NAME=VALUE" out of argv. */
static const char *take_option(int *argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i < *argc; i++) {
        size_t n = strlen(name);
        if (strncmp(argv[i], name, n) != 0 || (argv[i][n] != '=' && argv[i][n] != '\0')) {
            continue;
        }
        int words = argv[i][n] == '=' ? 1 : 2;
        const char *value = words == 1 ? argv[i] + n + 1 : i + 1 < *argc ? argv[i + 1] : fallback;
        words = i + words > *argc ? *argc - i : words;
        memmove(argv + i, argv + i + words, (size_t)(*argc - i - words + 1) * sizeof *argv);
        *argc -= words;
        return value;
    }
    return fallback;
}

static int usage(const char *name)
{
    fprintf(stderr, "usage:%s", command_usage(name));
    return 2;
}

static int fail(const struct err *err)
{
    fprintf(stderr, "cox: %s\n", err->message);
    return 1;
}

int command_kubeconfig(int argc, char **argv)
{
    struct credentials credentials;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    const char *dir = take_option(&argc, argv, "--config-dir", "/etc/cox");
    const char *server = take_option(&argc, argv, "--server", "https://127.0.0.1:6443");
    char *ca MEM_CLEANUP = mem_printf("%s/ca.key", dir);
    if (argc != 1) {
        return usage("kubeconfig");
    }
    if (access(ca, R_OK) != 0) {
        fprintf(stderr, "cox: %s cannot be read: this needs root on the machine of the server\n",
                ca);
        return 1;
    }
    if (credentials_open(dir, &credentials, &err) != 0) {
        return fail(&err);
    }
    int rc = credentials_kubeconfig(&credentials, str_of(server), &text, &err);
    credentials_done(&credentials);
    if (rc != 0) {
        return fail(&err);
    }
    fwrite(text.p, 1, text.n, stdout);
    return 0;
}

/* Takes the file that the server made over to where the user wants it (another disk: a copy). */
static int take_file(const char *from, const char *to, struct err *err)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    if (rename(from, to) == 0) {
        return chown(to, 0, 0) == 0 ? 0 : err_os(err, errno, "chown %s", to);
    }
    int rc = file_read(from, SIZE_MAX / 4, &bytes, err);
    rc = rc != 0 ? rc : file_write_atomic(to, buf_view(&bytes), 0600, err);
    if (rc == 0) {
        unlink(from);
    }
    return rc;
}

int command_backup(int argc, char **argv)
{
    struct arguments arguments;
    struct connection *connection = NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL;
    struct err err = ERR_INIT;
    if (!cli_open(argc, argv, 0, &arguments, &connection)) {
        return 1;
    }
    struct connection_request request = {
        .method = "POST", .path = STR("/cox/v1/backup"), .body = STR("{}"), .timeout_ns = -1};
    int rc = arguments.words.count == 1
                 ? 0
                 : err_set(&err, ERR_INVALID, "say where to: cox backup FILE");
    rc = rc != 0 ? rc : connection_send_json(connection, &request, &arena, &answer, &err);
    if (rc == 0) {
        char *from MEM_CLEANUP = str_dup(val_text(val_get(answer, "path")));
        const char *to = arguments.words.items[0];
        rc = take_file(from, to, &err);
        if (rc == 0) {
            printf("%s holds revision %.*s; Secrets in it need the storage key %.*s (storage.key "
                   "in the config folder: keep a copy elsewhere)\n",
                   to, STR_ARG(val_text(val_get(answer, "revision"))),
                   STR_ARG(val_text(val_get(answer, "keyID"))));
        }
    }
    cli_close(&arguments, connection);
    return rc != 0 ? fail(&err) : 0;
}

int command_restore(int argc, char **argv)
{
    struct err err = ERR_INIT;
    const char *data_dir = take_option(&argc, argv, "--data-dir", "/var/lib/cox");
    char *server_dir MEM_CLEANUP = mem_printf("%s/server", data_dir);
    if (argc != 2) {
        return usage("restore");
    }
    if (store_sqlite_restore(argv[1], server_dir, &err) != 0) {
        return fail(&err);
    }
    printf("restored into %s; start the server: every watch begins anew, revisions go on above all "
           "that were ever seen\n",
           server_dir);
    return 0;
}

/* ---- image ---- */

static int image_print_all(struct image_store *store)
{
    const struct image_list *list = image_list(store);
    printf("%-50s %-20s %s\n", "IMAGE", "ID", "SIZE");
    VEC_EACH (image, list) {
        for (size_t i = 0; i < (*image)->name_count; i++) {
            printf("%-50s %-20.19s %.1f MB\n", (*image)->names[i], (*image)->id + 7,
                   (double)(*image)->size / 1e6);
        }
    }
    return 0;
}

static int image_act(struct image_store *store, int argc, char **argv, struct err *err)
{
    int rc = 0;
    if (argc == 2 && strcmp(argv[1], "ls") == 0) {
        return image_print_all(store);
    }
    for (int i = 2; i < argc && rc == 0; i++) {
        struct buf names BUF_CLEANUP = BUF_INIT;
        if (strcmp(argv[1], "load") == 0) {
            rc = image_load(store, argv[i], &names, err);
        } else if (strcmp(argv[1], "rm") == 0) {
            rc = image_remove(store, str_of(argv[i]), err);
        } else {
            struct image_pull_options options = {.reference = str_of(argv[i]),
                                                 .insecure_loopback = true};
            rc = image_pull(store, &options, err);
        }
        if (rc == 0) {
            printf("%s%s\n", names.n > 0 ? "loaded " : "",
                   names.n > 0 ? str_trim(buf_view(&names)).p : argv[i]);
        }
    }
    return rc;
}

int command_image(int argc, char **argv)
{
    struct image_store *store = NULL;
    struct err err = ERR_INIT;
    const char *data_dir = take_option(&argc, argv, "--data-dir", "/var/lib/cox");
    bool known =
        argc >= 2 && (strcmp(argv[1], "ls") == 0 ||
                      (argc > 2 && (strcmp(argv[1], "load") == 0 || strcmp(argv[1], "rm") == 0 ||
                                    strcmp(argv[1], "pull") == 0)));
    if (!known) {
        return usage("image");
    }
    char here[4096] = "";
    if (data_dir[0] != '/' && getcwd(here, sizeof here) == NULL) {
        here[0] = '\0';
    }
    char *dir MEM_CLEANUP = mem_printf("%s%s%s/images", here, here[0] != '\0' ? "/" : "", data_dir);
    int rc = image_store_open(dir, "/proc/self/exe", &store, &err);
    rc = rc != 0 ? rc : image_act(store, argc, argv, &err);
    image_store_free(store);
    return rc != 0 ? fail(&err) : 0;
}
