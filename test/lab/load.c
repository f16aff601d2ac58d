/* load.c: an open-loop load maker for a pod: RATE requests a second for SECONDS, each over a new
 * connection, sent when they are due whatever became of the earlier ones. A request has 10 s.
 * Linked statically, so that it runs in any image.
 *
 *   load IP PORT RATE SECONDS   ->   "asked N failed N p50_ms X p99_ms X max_ms X"
 *
 * Why one failed goes to stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FLIGHT_MAX = 4096, PATIENCE_MS = 10000 };

struct flight {
    int fd; /* -1: free */
    int sent, got;
    char head[16];
    double began;
};

static struct flight flights[FLIGHT_MAX];
static struct pollfd polls[FLIGHT_MAX];
static double *times;
static long asked, failed, ended;
static struct sockaddr_in to;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void finish(struct flight *f, const char *why)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    f->fd = -1;
    if (why != NULL) {
        failed++;
        fprintf(stderr, "request failed after %.0f ms: %s\n", now_ms() - f->began, why);
    } else {
        times[ended++] = now_ms() - f->began;
    }
}

static void begin(void)
{
    struct flight *f = NULL;
    for (int i = 0; i < FLIGHT_MAX && f == NULL; i++) {
        f = flights[i].fd < 0 ? &flights[i] : NULL;
    }
    asked++;
    if (f == NULL) {
        failed++;
        fprintf(stderr, "too many requests in flight\n");
        return;
    }
    *f = (struct flight){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .began = now_ms()};
    if (f->fd < 0 ||
        (connect(f->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        finish(f, strerror(errno));
    }
}

static void step(struct flight *f)
{
    static const char request[] = "GET / HTTP/1.0\r\nHost: load\r\n\r\n";
    char text[4096];
    if (!f->sent) {
        ssize_t n = send(f->fd, request, sizeof request - 1, MSG_NOSIGNAL);
        if (n == (ssize_t)sizeof request - 1) {
            f->sent = 1;
        } else if (errno != EAGAIN) {
            finish(f, strerror(errno));
        }
        return;
    }
    ssize_t n = recv(f->fd, text, sizeof text, 0);
    if (n > 0) {
        for (ssize_t i = 0; i < n && f->got < (int)sizeof f->head - 1; i++) {
            f->head[f->got++] = text[i];
        }
    } else if (n == 0) {
        finish(f, strstr(f->head, " 200") != NULL ? NULL : "no 200");
    } else if (errno != EAGAIN) {
        finish(f, strerror(errno));
    }
}

static int in_flight(void)
{
    int n = 0;
    for (int i = 0; i < FLIGHT_MAX; i++) {
        polls[i] =
            (struct pollfd){.fd = flights[i].fd, .events = flights[i].sent ? POLLIN : POLLOUT};
        n += flights[i].fd >= 0;
    }
    return n;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static long number(const char *text)
{
    long value = 0;
    while (*text >= '0' && *text <= '9') {
        value = value * 10 + (*text++ - '0');
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        return 2;
    }
    double rate = (double)number(argv[3]);
    long most = number(argv[3]) * number(argv[4]);
    to.sin_family = AF_INET;
    to.sin_port = htons((unsigned short)number(argv[2]));
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    times = calloc((size_t)most + 1, sizeof *times);
    for (int i = 0; i < FLIGHT_MAX; i++) {
        flights[i].fd = -1;
    }
    printf("begins\n");
    fflush(stdout);
    double start = now_ms();
    while (asked < most || in_flight() > 0) {
        while (asked < most && now_ms() - start >= (double)asked * 1e3 / rate) {
            begin();
        }
        in_flight();
        poll(polls, FLIGHT_MAX, 1);
        for (int i = 0; i < FLIGHT_MAX; i++) {
            if (flights[i].fd >= 0 && polls[i].fd == flights[i].fd && polls[i].revents != 0) {
                step(&flights[i]);
            } else if (flights[i].fd >= 0 && now_ms() - flights[i].began > PATIENCE_MS) {
                finish(&flights[i], "no answer in 10 s");
            }
        }
    }
    qsort(times, (size_t)ended, sizeof *times, by_time);
    printf("asked %ld failed %ld p50_ms %.1f p99_ms %.1f max_ms %.1f\n", asked, failed,
           ended ? times[ended / 2] : 0, ended ? times[ended * 99 / 100] : 0,
           ended ? times[ended - 1] : 0);
    return failed != 0;
}
