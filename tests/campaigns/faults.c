/* Makes chosen system calls fail, or kills the process in front of them: a layer for LD_PRELOAD.

   LEAKDROP_FAULT_DIR    a folder: only calls that touch what lies in it count
   LEAKDROP_FAULT_CALLS  names of calls, each with a comma behind it: "fsync,rename,"
   LEAKDROP_FAULT_PLAN   a file with one line, "FIRST LAST DO": from the FIRST of these calls to the LAST
                         (1 is the next; 0: none), counted from when the file was last changed.
                         DO is "kill" (SIGKILL to the whole process group) or a number for errno

   A call that changes the disk is killed before or after it, by turns of its number. What fails does
   nothing. */

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
#include <sys/types.h>
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

LAYER(int, fsync, (int fd), (fd), is_fd_below(fd))
LAYER(int, fdatasync, (int fd), (fd), is_fd_below(fd))
LAYER(int, ftruncate, (int fd, off_t size), (fd, size), is_fd_below(fd))
LAYER(int, ftruncate64, (int fd, off64_t size), (fd, size), is_fd_below(fd))
LAYER(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), is_fd_below(fd))
LAYER(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at), is_fd_below(fd))
LAYER(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at), is_fd_below(fd))
LAYER(int, rename, (const char *from, const char *to), (from, to), is_below(from) || is_below(to))
LAYER(int, unlink, (const char *path), (path), is_below(path))
