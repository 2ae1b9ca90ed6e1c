/* Makes chosen system calls fail, or kills the process next to them, and sets its clock: a layer for LD_PRELOAD.

   LEAKDROP_FAULT_DIR    a folder: only calls that touch what lies in it count
   LEAKDROP_FAULT_CALLS  names of calls, each with a comma behind it: "fsync,rename,"
   LEAKDROP_FAULT_PLAN   a file with one line, "FIRST LAST DO": from the FIRST of these calls to the LAST
                         (1 is the next; 0: none), counted from when the file was last changed.
                         DO is "kill" (SIGKILL to the whole process group) or a number for errno

   LEAKDROP_FAULT_CLOCK  a file with the seconds that the time of day is wrong by; monotonic clocks stay right

   A call is killed before or after it, by turns of its number. What fails does nothing; but an fsync that fails
   loses what came since the last good one, as a disk may: these bytes of a *.part become zeros. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct timespec planned;
static long first, last, number, counted;

static int is_below(const char *path) {
    const char *folder = getenv("LEAKDROP_FAULT_DIR");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_fd_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_chosen(const char *name) {
    const char *calls = getenv("LEAKDROP_FAULT_CALLS");
    char word[32];
    snprintf(word, sizeof word, "%s,", name);
    return calls && strstr(calls, word);
}

static void read_plan(void) {
    const char *path = getenv("LEAKDROP_FAULT_PLAN");
    struct stat status;
    if (!path || stat(path, &status) ||
        (status.st_mtim.tv_sec == planned.tv_sec && status.st_mtim.tv_nsec == planned.tv_nsec))
        return;
    FILE *file = fopen(path, "re");
    char what[32] = "";
    first = last = number = counted = 0;
    if (file) {
        if (fscanf(file, "%ld %ld %31s", &first, &last, what) != 3)
            first = last = 0;
        fclose(file);
    }
    number = strcmp(what, "kill") ? atol(what) : -1;
    planned = status.st_mtim;
}

/* What the plan says of this call: 0 nothing, -1 kill before it, -2 kill after it, else an errno. */
static long meet(const char *name, int below) {
    if (!below || !is_chosen(name))
        return 0;
    pthread_mutex_lock(&mutex);
    read_plan();
    counted++;
    long met = first && counted >= first && counted <= last ? number : 0;
    if (met == -1 && counted % 2)
        met = -2;
    pthread_mutex_unlock(&mutex);
    if (met == -1)
        kill(0, SIGKILL);
    return met;
}

#define MOST_FILES 4096
static struct { ino_t file; off_t synced; } known[MOST_FILES];

static off_t *find_synced(ino_t file) {
    unsigned long at = file % MOST_FILES;
    if (known[at].file != file) {
        known[at].file = file;
        known[at].synced = 0;
    }
    return &known[at].synced;
}

/* After an fsync: remember how much is durable, or lose what is not. */
static void settle(int fd, int failed) {
    char link[64], path[PATH_MAX];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 5 || memcmp(path + length - 5, ".part", 5) || fstat(fd, &status))
        return;
    pthread_mutex_lock(&mutex);
    off_t *synced = find_synced(status.st_ino);
    if (!failed)
        *synced = status.st_size;
    else {
        int again = open(link, O_RDWR | O_CLOEXEC);
        off_t begin = *synced < status.st_size ? *synced : status.st_size;
        if (again >= 0) {
            /* A hole reads as zeros. */
            fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, status.st_size - begin + 1);
            close(again);
        }
    }
    pthread_mutex_unlock(&mutex);
}

static void end_after(long met) {
    if (met == -2)
        kill(0, SIGKILL);
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define LAYER(type, name, parameters, arguments, below)                                                         \
    type name parameters {                                                                                      \
        long met = meet(#name, below);                                                                          \
        if (met > 0) {                                                                                          \
            errno = (int)met;                                                                                   \
            return -1;                                                                                          \
        }                                                                                                       \
        type result = REAL(name) arguments;                                                                     \
        int error = errno;                                                                                      \
        end_after(met);                                                                                         \
        errno = error;                                                                                          \
        return result;                                                                                          \
    }

LAYER(int, fdatasync, (int fd), (fd), is_fd_below(fd))
LAYER(int, ftruncate, (int fd, off_t size), (fd, size), is_fd_below(fd))
LAYER(int, ftruncate64, (int fd, off64_t size), (fd, size), is_fd_below(fd))
LAYER(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size), is_fd_below(fd))
LAYER(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), is_fd_below(fd))
LAYER(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at), is_fd_below(fd))
LAYER(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at), is_fd_below(fd))
LAYER(int, rename, (const char *from, const char *to), (from, to), is_below(from) || is_below(to))
LAYER(int, unlink, (const char *path), (path), is_below(path))

int fsync(int fd) {
    long met = meet("fsync", is_fd_below(fd));
    int result = met > 0 ? -1 : REAL(fsync)(fd);
    int error = met > 0 ? (int)met : errno;
    settle(fd, result != 0);
    end_after(met);
    errno = error;
    return result;
}

static time_t wrong_by(void) {
    const char *path = getenv("LEAKDROP_FAULT_CLOCK");
    char text[32] = "";
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = 0;
        close(fd);
    }
    return atol(text);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int result = REAL(clock_gettime)(which, now);
    if (!result && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int error = errno;
        now->tv_sec += wrong_by();
        errno = error;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}
