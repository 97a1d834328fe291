/* LD_PRELOAD of the storm: a full disk and clock jumps, switched on and off through files.

   STORM_FULL: while this file exists, writes to files with STORM_PART in their path fail for lack of space, except
   where the reserved file of the run has been released.
   STORM_CLOCK: a file with one int64, the seconds that the clock of a driver is off. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *flag, *part, *reserve;
static const volatile int64_t *offset;

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int is_driver(void) {
    char line[256];
    int fd = open("/proc/self/cmdline", O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    const char mark[] = "-m\0archsieve";
    return length > 0 && memmem(line, length, mark, sizeof mark) != NULL;
}

__attribute__((constructor)) static void setup(void) {
    flag = getenv("STORM_FULL"), part = getenv("STORM_PART"), reserve = getenv("STORM_RESERVE");
    const char *clock_file = getenv("STORM_CLOCK");
    if (!clock_file || !is_driver()) return;
    int fd = open(clock_file, O_RDONLY);
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) offset = page;
    close(fd);
}

static int full(int fd) {
    if (!flag || !part || access(flag, F_OK) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, part) || (reserve && access(reserve, F_OK) != 0)) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    return full(fd) ? -1 : real(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite);
    return full(fd) ? -1 : real(fd, bytes, count, at);
}
ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    return full(fd) ? -1 : real(fd, bytes, count);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0 && offset && clock == CLOCK_REALTIME) now->tv_sec += *offset;
    return result;
}
