/*
 * Only for tests of librdkafka's users under ThreadSanitizer: it makes its threads and locks with
 * C11's functions, which the sanitizer does not know (it crashes in the first of them). Here they
 * are, by way of the pthread functions that it does know; glibc's types are the same underneath.
 * Races inside librdkafka, which is not instrumented, are not looked for.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:librdkafka.so.1\nrace:librdkafka.so\nmutex:librdkafka.so\ndeadlock:"
           "librdkafka.so\n";
}

struct start {
    thrd_start_t fn;
    void *arg;
};

static void *run(void *p)
{
    struct start s = *(struct start *)p;
    free(p);
    return (void *)(intptr_t)s.fn(s.arg);
}

static int result(int err)
{
    return err == 0           ? thrd_success
           : err == EBUSY     ? thrd_busy
           : err == ETIMEDOUT ? thrd_timedout
                              : thrd_error;
}

int thrd_create(thrd_t *t, thrd_start_t fn, void *arg)
{
    struct start *s = malloc(sizeof *s);
    if (!s)
        return thrd_nomem;
    *s = (struct start){fn, arg};
    return result(pthread_create(t, NULL, run, s));
}

int thrd_join(thrd_t t, int *out)
{
    void *value = NULL;
    int err = pthread_join(t, &value);
    if (out)
        *out = (int)(intptr_t)value;
    return result(err);
}

int thrd_detach(thrd_t t)
{
    return result(pthread_detach(t));
}

int mtx_init(mtx_t *m, int type)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    return result(pthread_mutex_init((void *)m, &a));
}

void mtx_destroy(mtx_t *m)
{
    pthread_mutex_destroy((void *)m);
}

int mtx_lock(mtx_t *m)
{
    return result(pthread_mutex_lock((void *)m));
}

int mtx_trylock(mtx_t *m)
{
    return result(pthread_mutex_trylock((void *)m));
}

int mtx_unlock(mtx_t *m)
{
    return result(pthread_mutex_unlock((void *)m));
}

int cnd_init(cnd_t *c)
{
    return result(pthread_cond_init((void *)c, NULL));
}

void cnd_destroy(cnd_t *c)
{
    pthread_cond_destroy((void *)c);
}

int cnd_signal(cnd_t *c)
{
    return result(pthread_cond_signal((void *)c));
}

int cnd_broadcast(cnd_t *c)
{
    return result(pthread_cond_broadcast((void *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
    return result(pthread_cond_wait((void *)c, (void *)m));
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
    return result(pthread_cond_timedwait((void *)c, (void *)m, until));
}
