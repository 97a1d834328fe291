/* LD_PRELOAD: after arm(n, signal) the n-th write, truncation or sync of a database file sends the signal to this
   process. A write is first cut to half of its bytes, as a crash can leave it.

   After fill(n, part, reserve) the disk is full from the n-th write on, for files with `part` in their path, as long as
   the file `reserve` exists; fill(0, "", "") ends this. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int remaining = 0, number = SIGKILL;

void arm(int n, int which) { remaining = n; number = which; }
int left(void) { return remaining; }

static int before_full = 0;
static char full_part[4096], reserve[4096];

void fill(int n, const char *part, const char *released) {
    before_full = n;
    strncpy(full_part, part, sizeof full_part - 1);
    strncpy(reserve, released, sizeof reserve - 1);
}
int unused(void) { return before_full > 1 ? before_full - 1 : 0; }

static int has_in_path(int fd, const char *part) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

static int due(int fd) { return remaining > 0 && has_in_path(fd, "archsieve.db") && --remaining == 0; }

static int full(int fd) {
    if (before_full == 0 || !has_in_path(fd, full_part)) return 0;
    if (before_full > 1) { before_full--; return 0; }
    if (reserve[0] && access(reserve, F_OK) != 0) return 0;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    if (full(fd)) return -1;
    if (due(fd)) { real(fd, bytes, count / 2, at); raise(number); }
    return real(fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite);
    if (full(fd)) return -1;
    if (due(fd)) { real(fd, bytes, count / 2, at); raise(number); }
    return real(fd, bytes, count, at);
}
ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (full(fd)) return -1;
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
