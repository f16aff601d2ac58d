/* credentials.c: the files of config_dir and the certificates made from them. See credentials.h. */
#include "role/credentials.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/file.h"

static int64_t days_from_now(int days)
{
    return clock_wall(clock_real()) + (int64_t)days * 86400 * NS_PER_S;
}

static int write_secret(const char *dir, const char *name, struct str bytes, mode_t mode,
                        struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    return file_write_atomic(path, bytes, mode, err);
}

static int read_secret(const char *dir, const char *name, struct buf *ret_bytes, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    return file_read(path, 1 << 16, ret_bytes, err);
}

static const char *const file_names[] = {"ca.crt", "ca.key", "service-account.key", "storage.key"};
enum { FILE_COUNT = 4 };

static int make(const char *dir, struct err *err)
{
    struct buf ca_pem BUF_CLEANUP = BUF_INIT, ca_key_pem BUF_CLEANUP = BUF_INIT,
                      sa_pem BUF_CLEANUP = BUF_INIT;
    struct key *ca_key = NULL, *sa_key = NULL;
    struct certificate *ca = NULL;
    unsigned char storage[32];
    char storage_text[65];
    int64_t now = clock_wall(clock_real());
    random_fill(random_real(), storage, sizeof storage);
    hex_encode(storage, sizeof storage, storage_text);
    int rc = key_generate(&ca_key, err);
    rc = rc != 0 ? rc : key_generate(&sa_key, err);
    rc = rc != 0 ? rc
                 : certificate_new_ca(ca_key, STR("cox-ca"), now - CERTIFICATE_SKEW_S * NS_PER_S,
                                      days_from_now(CA_DAYS), random_real(), &ca, err);
    rc = rc != 0 ? rc : certificate_write_pem(ca, &ca_pem, err);
    rc = rc != 0 ? rc : key_write_pem(ca_key, &ca_key_pem, err);
    rc = rc != 0 ? rc : key_write_pem(sa_key, &sa_pem, err);
    rc = rc != 0 ? rc : write_secret(dir, file_names[1], buf_view(&ca_key_pem), 0600, err);
    rc = rc != 0 ? rc : write_secret(dir, file_names[2], buf_view(&sa_pem), 0600, err);
    rc = rc != 0 ? rc : write_secret(dir, file_names[3], str_of(storage_text), 0600, err);
    rc = rc != 0 ? rc
                 : write_secret(dir, file_names[0], buf_view(&ca_pem), 0644,
                                err); /* last: it means "complete" */
    key_unref(ca_key);
    key_unref(sa_key);
    certificate_unref(ca);
    return rc;
}

static int read_all(const char *dir, struct credentials *out, struct err *err)
{
    struct buf texts[FILE_COUNT] = {0};
    int rc = 0;
    for (int i = 0; i < FILE_COUNT && rc == 0; i++) {
        rc = read_secret(dir, file_names[i], &texts[i], err);
        if (rc == ERR_NOT_FOUND) {
            rc = err_set(err, ERR_INVALID,
                         "%s/%s is missing, other files of the cluster's keys are there: restore "
                         "it, or `cox reset`",
                         dir, file_names[i]);
        }
    }
    rc = rc != 0 ? rc : certificate_parse_pem(buf_view(&texts[0]), &out->ca, err);
    rc = rc != 0 ? rc : key_parse_pem(buf_view(&texts[1]), &out->ca_key, err);
    rc = rc != 0 ? rc : key_parse_pem(buf_view(&texts[2]), &out->service_account_key, err);
    struct str storage = str_trim(buf_view(&texts[3]));
    unsigned char bytes[32];
    if (rc == 0 && (storage.n != 64 || !hex_decode(storage, bytes))) {
        rc = err_set(err, ERR_INVALID, "%s/%s must hold 64 hexadecimal digits", dir, file_names[3]);
    }
    if (rc == 0) {
        memcpy(out->storage_key, storage.p, 64);
        out->storage_key[64] = '\0';
    }
    for (int i = 0; i < FILE_COUNT; i++) {
        buf_done(&texts[i]);
    }
    return rc;
}

int credentials_open(const char *config_dir, struct credentials *ret_credentials, struct err *err)
{
    struct credentials out = {0};
    bool any = false;
    int rc = file_make_dirs(config_dir, 0700, err);
    for (int i = 0; i < FILE_COUNT; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", config_dir, file_names[i]);
        any = any || (file_exists(path) && i == 0);
    }
    if (rc == 0 && !any) {
        rc = make(config_dir, err);
        out.made = true;
    }
    rc = rc != 0 ? rc : read_all(config_dir, &out, err);
    if (rc != 0) {
        credentials_done(&out);
        return rc;
    }
    *ret_credentials = out;
    return 0;
}

void credentials_done(struct credentials *credentials)
{
    key_unref(credentials->ca_key);
    key_unref(credentials->service_account_key);
    certificate_unref(credentials->ca);
    explicit_bzero(credentials->storage_key, sizeof credentials->storage_key);
    *credentials = (struct credentials){0};
}

static size_t split(struct str text, struct str *items, size_t most)
{
    size_t n = 0;
    for (struct str rest = text; rest.n > 0 && n < most;) {
        struct str item = str_trim(str_cut(rest, ',', &rest));
        if (item.n > 0) {
            items[n++] = item;
        }
    }
    return n;
}

int credentials_issue(const struct certificate *ca, const struct key *ca_key,
                      const struct issue_request *request, struct buf *ret_certificate_pem,
                      struct buf *ret_key_pem, struct err *err)
{
    struct str names[32], addresses[32];
    struct key *key = NULL;
    struct certificate *certificate = NULL;
    struct certificate_options options = {
        .common_name = request->common_name,
        .organizations = &request->organization,
        .organization_count = request->organization.n > 0,
        .dns_names = names,
        .dns_count = split(request->names, names, 32),
        .addresses = addresses,
        .address_count = split(request->addresses, addresses, 32),
        .usage = request->usage,
        .not_before_ns = clock_wall(clock_real()) - CERTIFICATE_SKEW_S * NS_PER_S,
        .not_after_ns = request->seconds > 0
                            ? clock_wall(clock_real()) + request->seconds * NS_PER_S
                            : days_from_now(request->days),
    };
    int rc = key_generate(&key, err);
    rc = rc != 0 ? rc
                 : certificate_issue(ca, ca_key, key, &options, random_real(), &certificate, err);
    rc = rc != 0 ? rc : certificate_write_pem(certificate, ret_certificate_pem, err);
    rc = rc != 0 ? rc : key_write_pem(key, ret_key_pem, err);
    key_unref(key);
    certificate_unref(certificate);
    return rc;
}

int credentials_kubeconfig(const struct credentials *credentials, struct str server,
                           struct buf *out, struct err *err)
{
    struct buf ca BUF_CLEANUP = BUF_INIT, certificate BUF_CLEANUP = BUF_INIT,
                  key BUF_CLEANUP = BUF_INIT;
    struct issue_request request = {.common_name = STR("cox-admin"),
                                    .organization = STR("cox:administrators"),
                                    .usage = CERTIFICATE_CLIENT,
                                    .days = ADMIN_DAYS};
    int rc = certificate_write_pem(credentials->ca, &ca, err);
    rc = rc != 0 ? rc
                 : credentials_issue(credentials->ca, credentials->ca_key, &request, &certificate,
                                     &key, err);
    if (rc != 0) {
        return rc;
    }
    buf_addz(out, "apiVersion: v1\nkind: Config\nclusters:\n- name: cox\n  cluster:\n    "
                  "certificate-authority-data: ");
    base64_encode(out, ca.p, ca.n);
    buf_printf(
        out,
        "\n    server: %.*s\nusers:\n- name: cox-admin\n  user:\n    client-certificate-data: ",
        STR_ARG(server));
    base64_encode(out, certificate.p, certificate.n);
    buf_addz(out, "\n    client-key-data: ");
    base64_encode(out, key.p, key.n);
    buf_addz(out, "\ncontexts:\n- name: cox\n  context:\n    cluster: cox\n    user: "
                  "cox-admin\ncurrent-context: cox\n");
    return 0;
}
