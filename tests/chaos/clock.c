/* A library to preload: from clock_arm on, the clock of the day is wrong by some seconds, in this process alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

static _Atomic long asked;
static long jump_at, jump_by;
static _Atomic int armed;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* At reading `at` of the clock (from 1) it jumps by so many `seconds`. */
void clock_arm(long at, long seconds) {
    asked = 0;
    jump_at = at;
    jump_by = seconds;
    armed = 1;
}

long clock_asked(void) { return asked; }

static long wrong_by(void) { return armed && ++asked >= jump_at ? jump_by : 0; }

int clock_gettime(clockid_t clock, struct timespec *out) {
    static __typeof__(&clock_gettime) own;
    if (!own) own = REAL(clock_gettime);
    int failed = own(clock, out);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) out->tv_sec += wrong_by();
    return failed;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    static __typeof__(&gettimeofday) own;
    if (!own) own = REAL(gettimeofday);
    int failed = own(out, zone);
    if (!failed && out) out->tv_sec += wrong_by();
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
