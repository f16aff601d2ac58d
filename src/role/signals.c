/* signals.c: one signalfd a process. See signals.h. */
#include "role/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/poll.h"

struct signals {
    int fd;
    struct poll_watch *watch;
    void (*fn)(void *ctx, int signal);
    void *ctx;
    bool debug;
};

static sigset_t ours(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGPIPE);
    return set;
}

void signals_block(const char *name)
{
    prctl(PR_SET_NAME, name); /* we were started as /proc/self/exe: tools would show "exe" */
    sigset_t set = ours();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_readable(void *ctx, int fd)
{
    struct signals *signals = ctx;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info || info.ssi_signo == SIGPIPE) {
        return;
    }
    if (info.ssi_signo == SIGUSR2) {
        signals->debug = !signals->debug;
        log_set_levels(signals->debug ? STR("debug") : STR("info"));
        LOG_INFO("log", "level switched", LOG_Z("level", signals->debug ? "debug" : "info"));
        return;
    }
    signals->fn(signals->ctx, (int)info.ssi_signo);
}

struct signals *signals_watch(struct loop *loop, void (*fn)(void *ctx, int signal), void *ctx)
{
    struct signals *signals = mem_new(struct signals);
    sigset_t set = ours();
    *signals = (struct signals){
        .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = fn, .ctx = ctx};
    signals->watch = poll_readable(loop, signals->fd, on_readable, signals);
    return signals;
}

void signals_free(struct signals *signals)
{
    if (signals != NULL) {
        poll_stop(signals->watch);
        close(signals->fd);
        free(signals);
    }
}

void signals_print(struct buf *text)
{
    for (size_t done = 0; done < text->n;) {
        ssize_t n = write(STDERR_FILENO, text->p + done, text->n - done);
        if (n <= 0) {
            return;
        }
        done += (size_t)n;
    }
}

void signals_arm_failpoints(void)
{
    for (struct str rest = str_of(getenv("COX_FAILPOINTS")); rest.n > 0;) {
        struct str spec = str_trim(str_cut(rest, ';', &rest));
        if (spec.n > 0 && !failpoint_arm(spec)) {
            LOG_WARN("failpoint", "not armed: unknown name, bad action, or a release build",
                     LOG_S("spec", spec));
        }
    }
}
