/* LD_PRELOAD: after arm(n, signal) the n-th write, truncation or sync of a database file sends the signal to this
   process. A write is first cut to half of its bytes, as a crash can leave it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int remaining = 0, number = SIGKILL;

void arm(int n, int which) { remaining = n; number = which; }
int left(void) { return remaining; }

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "archsieve.db") != NULL;
}

static int due(int fd) { return remaining > 0 && is_database(fd) && --remaining == 0; }

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    if (due(fd)) { real(fd, bytes, count / 2, at); raise(number); }
    return real(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite);
    if (due(fd)) { real(fd, bytes, count / 2, at); raise(number); }
    return real(fd, bytes, count, at);
}
ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (due(fd)) { real(fd, bytes, count / 2); raise(number); }
    return real(fd, bytes, count);
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    if (due(fd)) raise(number);
    return real(fd, size);
}
int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    if (due(fd)) raise(number);
    return real(fd, size);
}
int fsync(int fd) {
    REAL(fsync);
    if (due(fd)) raise(number);
    return real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    if (due(fd)) raise(number);
    return real(fd);
}
