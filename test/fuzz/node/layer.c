/* A layer's (compressed) tar, unpacked into a folder of its own: nothing may appear outside of it.
 * Bytes that libarchive makes of it are its own; what we do with names, links and whiteouts is
 * tested. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "node/image/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct archive_lib lib;
    static bool loaded;
    if (!loaded && archive_lib_load(&lib, NULL) != 0) {
        return 0;
    }
    loaded = true;
    char dir[] = "/tmp/coxfuzz.XXXXXX";
    int fd = memfd_create("layer", MFD_CLOEXEC);
    if (mkdtemp(dir) == NULL || fd < 0 || write(fd, data, size) != (ssize_t)size ||
        lseek(fd, 0, SEEK_SET) != 0) {
        abort();
    }
    int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char diff_id[65];
    uint64_t bytes;
    layer_unpack(&lib, fd, root, diff_id, &bytes, NULL);
    close(root);
    close(fd);
    file_remove_tree(dir, NULL);
    return 0;
}
