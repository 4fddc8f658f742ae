/* Clocks that a test sets while processes run: preloaded into them by `mixed.py`.
 *
 * PANO_CLOCK_FILE holds two 64-bit numbers of nanoseconds: how far the wall clock is ahead
 * of the machine's own, and how far the time since the start is. They are mapped, so that
 * a change is seen at once. The monotonic clock, by which programs wait, stays as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *ahead;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *name = getenv("PANO_CLOCK_FILE");
    /* Not `open`: that of `power.c` may not have begun yet. */
    int file = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) ahead = found;
    syscall(SYS_close, file);
}

int clock_gettime(clockid_t which, struct timespec *time) {
    if (real_clock_gettime == NULL) begin();
    int result = real_clock_gettime(which, time);
    if (result || ahead == NULL) return result;
    int64_t by;
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) by = ahead[0];
    else if (which == CLOCK_BOOTTIME) by = ahead[1];
    else return 0;
    int64_t now = time->tv_sec * SECOND + time->tv_nsec + by;
    time->tv_sec = now / SECOND;
    time->tv_nsec = now % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec found;
    int result = clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return result;
}

time_t time(time_t *into) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (into) *into = found.tv_sec;
    return found.tv_sec;
}
