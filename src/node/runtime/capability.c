/* capability.c: names and numbers of capabilities (linux/capability.h), and our own set. */
#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/spec.h"

static const char *const names[] = {"CAP_CHOWN",
                                    "CAP_DAC_OVERRIDE",
                                    "CAP_DAC_READ_SEARCH",
                                    "CAP_FOWNER",
                                    "CAP_FSETID",
                                    "CAP_KILL",
                                    "CAP_SETGID",
                                    "CAP_SETUID",
                                    "CAP_SETPCAP",
                                    "CAP_LINUX_IMMUTABLE",
                                    "CAP_NET_BIND_SERVICE",
                                    "CAP_NET_BROADCAST",
                                    "CAP_NET_ADMIN",
                                    "CAP_NET_RAW",
                                    "CAP_IPC_LOCK",
                                    "CAP_IPC_OWNER",
                                    "CAP_SYS_MODULE",
                                    "CAP_SYS_RAWIO",
                                    "CAP_SYS_CHROOT",
                                    "CAP_SYS_PTRACE",
                                    "CAP_SYS_PACCT",
                                    "CAP_SYS_ADMIN",
                                    "CAP_SYS_BOOT",
                                    "CAP_SYS_NICE",
                                    "CAP_SYS_RESOURCE",
                                    "CAP_SYS_TIME",
                                    "CAP_SYS_TTY_CONFIG",
                                    "CAP_MKNOD",
                                    "CAP_LEASE",
                                    "CAP_AUDIT_WRITE",
                                    "CAP_AUDIT_CONTROL",
                                    "CAP_SETFCAP",
                                    "CAP_MAC_OVERRIDE",
                                    "CAP_MAC_ADMIN",
                                    "CAP_SYSLOG",
                                    "CAP_WAKE_ALARM",
                                    "CAP_BLOCK_SUSPEND",
                                    "CAP_AUDIT_READ",
                                    "CAP_PERFMON",
                                    "CAP_BPF",
                                    "CAP_CHECKPOINT_RESTORE"};

bool capability_number(struct str name, int *ret_number)
{
    if (str_starts(name, STR("CAP_"))) {
        name = str_from(name, 4);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_eq(name, str_from(str_of(names[i]), 4))) {
            *ret_number = (int)i;
            return true;
        }
    }
    return false;
}

const char *capability_name(int number)
{
    return number >= 0 && (size_t)number < sizeof names / sizeof *names ? names[number] : NULL;
}

uint64_t capability_own_mask(void)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    unsigned char bytes[8];
    uint64_t mask = 0;
    if (file_read("/proc/self/status", 64 * 1024, &text, NULL) != 0) {
        return 0;
    }
    struct str rest = buf_view(&text);
    while (rest.p != NULL) {
        struct str line = str_cut(rest, '\n', &rest);
        if (str_starts(line, STR("CapPrm:"))) {
            struct str digits = str_trim(str_from(line, 7));
            if (digits.n == 16 && hex_decode(digits, bytes)) {
                for (size_t i = 0; i < 8; i++) {
                    mask = mask << 8 | bytes[i];
                }
            }
        }
    }
    return mask;
}
