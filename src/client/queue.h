/* queue.h: the work queue of a controller: keys, each at most once in it and never handed out twice
 * at a time; failures back off per key (5 ms doubling to 1000 s, as client-go's default), delays by
 * timer. One loop. */
#pragma once
#include "io/loop.h"

struct queue;
/* `work` is called with one key at a time per slot of `parallel`; it must call queue_done exactly
 * once for it, now or later. */
struct queue *queue_new(struct loop *loop, const char *name, int parallel,
                        void (*work)(void *ctx, struct str key), void *ctx);
void queue_free(struct queue *queue);
void queue_add(struct queue *queue, struct str key);
void queue_add_after(struct queue *queue, struct str key,
                     int64_t delay_ns); /* keeps the earliest of several */
/* ok: forgets the key's failures; else it comes again after its back-off. A key added meanwhile
 * runs again at once. */
void queue_done(struct queue *queue, struct str key, bool ok);
/* The running key is not handed out again before `ns` from now, whoever adds it (but delays and
 * back-off may make it later). */
void queue_rest(struct queue *queue, struct str key, int64_t ns);
size_t queue_length(const struct queue *queue);
void queue_pause(struct queue *queue, bool paused); /* until informers are synced */
