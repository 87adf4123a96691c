/* A library to preload: it counts what changes files below a folder, and kills the process group at one of these steps.
 *
 * A step is a call that makes, writes, renames, removes or flushes a file or a folder. Nothing happens before
 * steps_arm. A kill comes before the step, or after half of the bytes of a write.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static size_t root_length;
static _Atomic long seen;
static long kill_at;
static int torn, fails_with, sends, log_fd = -1;
static _Atomic int armed;
static const char *full; /* while this file is there, the disk of the folder is full */

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Steps below `folder` count from now on. At step `at` (from 1; 0: never) the process group dies, or, with an `error`
 * that is not 0, this step and all later ones fail with it. With a `signal` that is not 0 this process gets it before the
 * step, which goes on. Each step becomes a line of `log`. */
void steps_arm(const char *folder, long at, int half, int error, int signal, int log) {
    snprintf(root, sizeof root, "%s/", folder);
    root_length = strlen(root);
    seen = 0;
    kill_at = at;
    torn = half;
    fails_with = error;
    sends = signal;
    log_fd = log;
    armed = 1;
}

/* CHAOS_FULL_DISK is "FILE:FOLDER": while the file is there, nothing is made or written below the folder. */
__attribute__((constructor)) static void steps_begin(void) {
    const char *given = getenv("CHAOS_FULL_DISK");
    const char *folder = given ? strchr(given, ':') : NULL;
    if (!folder) return;
    full = strndup(given, folder - given);
    steps_arm(folder + 1, 1, 0, ENOSPC, 0, -1);
}

long steps_seen(void) { return seen; }

static void die(void) {
    kill(0, SIGKILL);
    for (;;) pause();
}

static int below(const char *path) { return !strncmp(path, root, root_length); }

/* Counts a step on a path. Returns 1 for a write of which half shall be done before death, -1 for one that shall fail. */
static int step(const char *what, const char *path, int write_call) {
    if (!armed || !below(path)) return 0;
    long now = ++seen;
    if (log_fd >= 0) {
        char line[PATH_MAX + 32];
        int length = snprintf(line, sizeof line, "%s\t%s\n", what, path + root_length);
        if (REAL(write)(log_fd, line, length) < 0) return 0;
    }
    if (!kill_at || now < kill_at) return 0;
    if (full && (access(full, F_OK) || (strcmp(what, "make") && strcmp(what, "write")))) return 0;
    if (fails_with) {
        errno = fails_with;
        return -1;
    }
    if (now > kill_at) return 0;
    if (sends) {
        kill(getpid(), sends);
        return 0;
    }
    if (torn && write_call) return 1;
    die();
    return 0;
}

static const char *of_fd(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length < 0 ? 0 : length] = 0;
    return out;
}

static const char *at(int folder, const char *path, char *out) {
    if (!path || path[0] == '/') return path ? path : "";
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) base[0] = 0;
    } else {
        of_fd(folder, base);
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) out[0] = 0;
    return out;
}

static int opens(int folder, const char *path, int flags) {
    if (!armed || !(flags & (O_CREAT | O_TRUNC))) return 0;
    char whole[PATH_MAX];
    const char *name = at(folder, path, whole);
    struct stat there;
    if (!(flags & O_TRUNC) && !stat(name, &there)) return 0; /* opened, not made */
    return step("make", name, 0);
}

#define MODE                                  \
    mode_t mode = 0;                          \
    if (flags & (O_CREAT | O_TMPFILE)) {      \
        va_list rest;                         \
        va_start(rest, flags);                \
        mode = va_arg(rest, mode_t);          \
        va_end(rest);                         \
    }

int open(const char *path, int flags, ...) {
    MODE
    if (opens(AT_FDCWD, path, flags) < 0) return -1;
    return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE
    if (opens(AT_FDCWD, path, flags) < 0) return -1;
    return REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE
    if (opens(folder, path, flags) < 0) return -1;
    return REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE
    if (opens(folder, path, flags) < 0) return -1;
    return REAL(openat64)(folder, path, flags, mode);
}
FILE *fopen(const char *path, const char *how) {
    if (how[0] == 'w' && opens(AT_FDCWD, path, O_CREAT | O_TRUNC) < 0) return NULL;
    return REAL(fopen)(path, how);
}
FILE *fopen64(const char *path, const char *how) {
    if (how[0] == 'w' && opens(AT_FDCWD, path, O_CREAT | O_TRUNC) < 0) return NULL;
    return REAL(fopen64)(path, how);
}

#define WRITES(half_call, whole_call)                              \
    char name[PATH_MAX];                                           \
    int told = armed ? step("write", of_fd(fd, name), 1) : 0;      \
    if (told < 0) return -1;                                       \
    if (told) {                                                    \
        ssize_t half = half_call;                                  \
        (void)half;                                                \
        die();                                                     \
    }                                                              \
    return whole_call;

ssize_t write(int fd, const void *bytes, size_t count) {
    WRITES(REAL(write)(fd, bytes, count / 2), REAL(write)(fd, bytes, count))
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t from) {
    WRITES(REAL(pwrite)(fd, bytes, count / 2, from), REAL(pwrite)(fd, bytes, count, from))
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t from) {
    WRITES(REAL(pwrite64)(fd, bytes, count / 2, from), REAL(pwrite64)(fd, bytes, count, from))
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITES(REAL(writev)(fd, parts, count / 2), REAL(writev)(fd, parts, count))
}

#define ON_PATH(what, folder, path, failed, call)                              \
    char whole[PATH_MAX];                                                      \
    if (armed && step(what, at(folder, path, whole), 0) < 0) return failed;    \
    return call;

/* A line that is no step: what a file that is about to be renamed is called. */
static void was(int folder, const char *from) {
    char whole[PATH_MAX], line[PATH_MAX + 8];
    const char *name = at(folder, from, whole);
    if (!armed || log_fd < 0 || !below(name)) return;
    int length = snprintf(line, sizeof line, "from\t%s\n", name + root_length);
    if (REAL(write)(log_fd, line, length) < 0) log_fd = -1;
}

int rename(const char *from, const char *to) {
    was(AT_FDCWD, from);
    ON_PATH("rename", AT_FDCWD, to, -1, REAL(rename)(from, to))
}
int renameat(int a, const char *from, int b, const char *to) {
    was(a, from);
    ON_PATH("rename", b, to, -1, REAL(renameat)(a, from, b, to))
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    was(a, from);
    ON_PATH("rename", b, to, -1, REAL(renameat2)(a, from, b, to, flags))
}
int link(const char *from, const char *to) { ON_PATH("link", AT_FDCWD, to, -1, REAL(link)(from, to)) }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    ON_PATH("link", b, to, -1, REAL(linkat)(a, from, b, to, flags))
}
int symlink(const char *from, const char *to) { ON_PATH("link", AT_FDCWD, to, -1, REAL(symlink)(from, to)) }
int unlink(const char *path) { ON_PATH("remove", AT_FDCWD, path, -1, REAL(unlink)(path)) }
int unlinkat(int folder, const char *path, int flags) {
    ON_PATH("remove", folder, path, -1, REAL(unlinkat)(folder, path, flags))
}
int rmdir(const char *path) { ON_PATH("remove", AT_FDCWD, path, -1, REAL(rmdir)(path)) }
int mkdir(const char *path, mode_t mode) { ON_PATH("folder", AT_FDCWD, path, -1, REAL(mkdir)(path, mode)) }
int mkdirat(int folder, const char *path, mode_t mode) {
    ON_PATH("folder", folder, path, -1, REAL(mkdirat)(folder, path, mode))
}

#define ON_FD(what, call)                                              \
    char name[PATH_MAX];                                               \
    if (armed && step(what, of_fd(fd, name), 0) < 0) return -1;        \
    return call;

int ftruncate(int fd, off_t length) { ON_FD("cut", REAL(ftruncate)(fd, length)) }
int ftruncate64(int fd, off64_t length) { ON_FD("cut", REAL(ftruncate64)(fd, length)) }
int fsync(int fd) { ON_FD("flush", REAL(fsync)(fd)) }
int fdatasync(int fd) { ON_FD("flush", REAL(fdatasync)(fd)) }
