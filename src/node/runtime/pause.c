/* pause.c: hidden role `pause`: pid 1 of a pod that shares its process namespace. Reaps orphans
 * until it is told to end. The pod's uid in its command line is how a restarted agent knows it
 * again. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/image.h"

int pod_pause_main(int argc, char **argv)
{
    sigset_t signals;
    int number = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (chdir("/") != 0) {
        return 1;
    }
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        if (sigwait(&signals, &number) == 0 && number != SIGCHLD) {
            return 0;
        }
    }
}
