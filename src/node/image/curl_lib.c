/* curl_lib.c: dlopen of libcurl and the table of what we call. Never unloaded. */
#include "node/image/curl_lib.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static const struct {
    size_t at;
    const char *name;
} symbols[] = {
    {offsetof(struct curl_lib, global_init), "curl_global_init"},
    {offsetof(struct curl_lib, easy_init), "curl_easy_init"},
    {offsetof(struct curl_lib, easy_reset), "curl_easy_reset"},
    {offsetof(struct curl_lib, easy_setopt), "curl_easy_setopt"},
    {offsetof(struct curl_lib, easy_perform), "curl_easy_perform"},
    {offsetof(struct curl_lib, easy_getinfo), "curl_easy_getinfo"},
    {offsetof(struct curl_lib, easy_strerror), "curl_easy_strerror"},
    {offsetof(struct curl_lib, slist_append), "curl_slist_append"},
    {offsetof(struct curl_lib, slist_free_all), "curl_slist_free_all"},
};

int curl_lib_load(struct curl_lib *ret_lib, struct err *err)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "pulling images needs libcurl4: %s", dlerror());
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (symbol == NULL) {
            return err_set(err, ERR_UNSUPPORTED, "libcurl has no %s", symbols[i].name);
        }
        memcpy((char *)ret_lib + symbols[i].at, &symbol, sizeof symbol);
    }
    return 0;
}
