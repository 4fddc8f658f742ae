/* A disk that can lose its power, fail or be pulled: preloaded into a process by `power.py`.
 *
 * Every call that changes what lies below PANO_DISK_ROOT goes through here. What reached
 * the disk for good is written to the journal PANO_DISK_JOURNAL, one line for each event:
 *
 *   F key mode mtime_ns copy   the bytes of a file were synced; `copy` holds them
 *   D key names                the names in a folder were synced
 *   N key names                the names in a folder changed, and nothing was synced
 *   A call path                what was called, in order; also writes to sockets
 *
 * `names` are `hex-of-name:type:key:target`, separated by spaces. A key tells inodes apart
 * even where numbers are used again: the number and the time of birth.
 *
 * PANO_DISK_FAIL_AT=N with PANO_DISK_ERRNO=E: the Nth call of this process fails, and with
 * PANO_DISK_FAIL_ON all after it. PANO_DISK_FAIL_WHILE=path: all calls fail while that file
 * is there. PANO_DISK_KILL_AT=N: the process is killed before the Nth call.
 * PANO_DISK_READS: calls that open to read, read, list or ask for a status count as well.
 * A process that forks many to fail at different calls says so by power_arm instead, or lets
 * a fork read its environment again by power_begin.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)

REAL(int, open, const char *, int, ...);
REAL(int, openat, int, const char *, int, ...);
REAL(int, close, int);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, renameat, int, const char *, int, const char *);
REAL(int, renameat2, int, const char *, int, const char *, unsigned);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, symlinkat, const char *, int, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, mkdirat, int, const char *, mode_t);
REAL(int, ftruncate, int, off_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned);
REAL(ssize_t, sendfile, int, int, off_t *, size_t);
REAL(ssize_t, send, int, const void *, size_t, int);

static char root[PATH_MAX], shadow[PATH_MAX];
static size_t root_length;
static int journal = -1;
static long fail_at, kill_at, fail_errno = EIO;
static int fail_on, with_reads;
static const char *fail_while;
static atomic_long calls, copies;
static pthread_mutex_t in_order = PTHREAD_MUTEX_INITIALIZER;
static __thread int inside;

#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name)

/* Begin with what the environment says now: also for a process that was forked. */
void power_begin(void);

__attribute__((constructor)) static void begin(void) {
    FIND(open); FIND(openat); FIND(close); FIND(fsync); FIND(fdatasync);
    FIND(renameat); FIND(renameat2); FIND(linkat); FIND(symlinkat); FIND(unlinkat);
    FIND(mkdirat); FIND(ftruncate); FIND(write); FIND(pwrite); FIND(writev);
    FIND(copy_file_range); FIND(sendfile); FIND(send);
    power_begin();
}

void power_begin(void) {
    calls = fail_at = kill_at = root_length = 0;
    fail_errno = EIO;
    journal = -1;
    const char *said = getenv("PANO_DISK_ROOT");
    if (said == NULL || realpath(said, root) == NULL) return;
    root_length = strlen(root);
    const char *at = getenv("PANO_DISK_JOURNAL");
    if (at != NULL) {
        journal = real_open(at, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        snprintf(shadow, sizeof shadow, "%s.copies", at);
        mkdir(shadow, 0700);
    }
    if (getenv("PANO_DISK_FAIL_AT")) fail_at = atol(getenv("PANO_DISK_FAIL_AT"));
    if (getenv("PANO_DISK_ERRNO")) fail_errno = atol(getenv("PANO_DISK_ERRNO"));
    if (getenv("PANO_DISK_KILL_AT")) kill_at = atol(getenv("PANO_DISK_KILL_AT"));
    fail_on = getenv("PANO_DISK_FAIL_ON") != NULL;
    fail_while = getenv("PANO_DISK_FAIL_WHILE");
    with_reads = getenv("PANO_DISK_READS") != NULL;
}

/* --- where something lies --- */

static int is_below(const char *path) {
    return root_length && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static int of_descriptor(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* The folder's real path and the name in it: the last name itself is not followed. */
static int of_name(int dir, const char *name, char *path) {
    char joined[2 * PATH_MAX], folder[PATH_MAX], above[PATH_MAX] = ".";
    if (name == NULL || !root_length) return 0;
    if (name[0] != '/' && dir != AT_FDCWD) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, above, sizeof above - 1);
        if (length < 0) return 0;
        above[length] = 0;
    }
    if (name[0] == '/') snprintf(joined, sizeof joined, "%s", name);
    else snprintf(joined, sizeof joined, "%s/%s", above, name);
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *slash = strrchr(joined, '/');
    const char *last = slash ? slash + 1 : joined;
    if (slash) *slash = 0;
    if (realpath(slash ? (joined[0] ? joined : "/") : ".", folder) == NULL) return 0;
    if (strlen(folder) + strlen(last) + 2 > PATH_MAX) return 0;
    strcpy(path, folder);
    strcat(path, "/");
    strcat(path, last);
    return is_below(path);
}

/* --- the journal --- */

static int key_of(int dir, const char *name, int flags, char *key, struct statx *found) {
    if (statx(dir, name, flags | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, found))
        return -1;
    snprintf(key, 64, "%llx.%llx.%x", (unsigned long long)found->stx_ino,
             (unsigned long long)found->stx_btime.tv_sec, found->stx_btime.tv_nsec);
    return 0;
}

/* For power.py, which notes what lay there before: the same keys. */
int power_key(const char *path, char *key) {
    struct statx found;
    return key_of(AT_FDCWD, path, 0, key, &found);
}

static void put(const char *line, size_t length) {
    flock(journal, LOCK_EX);
    while (length) {
        ssize_t written = real_write(journal, line, length);
        if (written < 0) break;
        line += written;
        length -= written;
    }
    flock(journal, LOCK_UN);
}

static void said(const char *call, const char *path) {
    if (journal < 0) return;
    char line[2 * PATH_MAX];
    int length = snprintf(line, sizeof line, "A %s %s\n", call, path);
    for (int i = 0; i < length - 1; i++) if (line[i] == '\n' || line[i] == '\r') line[i] = ' ';
    put(line, length);
}

static char *names_of(const char *folder, char kind, size_t *length) {
    struct statx found;
    char key[64];
    int fd = real_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return NULL;
    DIR *listing = fdopendir(fd);
    char *text = NULL;
    FILE *line = open_memstream(&text, length);
    key_of(dirfd(listing), "", AT_EMPTY_PATH, key, &found);
    fprintf(line, "%c %s", kind, key);
    for (struct dirent *one; (one = readdir(listing));) {
        if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
        if (key_of(dirfd(listing), one->d_name, 0, key, &found)) continue;
        fputc(' ', line);
        for (char *c = one->d_name; *c; c++) fprintf(line, "%02x", (unsigned char)*c);
        fprintf(line, ":%c:%s:", S_ISDIR(found.stx_mode) ? 'd' : S_ISLNK(found.stx_mode) ? 'l' : 'f',
                key);
        char target[PATH_MAX];
        ssize_t size = S_ISLNK(found.stx_mode)
                           ? readlinkat(dirfd(listing), one->d_name, target, sizeof target) : 0;
        for (ssize_t i = 0; i < size; i++) fprintf(line, "%02x", (unsigned char)target[i]);
    }
    fputc('\n', line);
    fclose(line);
    closedir(listing);
    return text;
}

static void folder_changed(const char *path) {
    char folder[PATH_MAX];
    if (journal < 0) return;
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder) return;
    *slash = 0;
    if (!is_below(folder)) return;
    size_t length;
    pthread_mutex_lock(&in_order);
    char *line = names_of(folder, 'N', &length);
    if (line) put(line, length);
    pthread_mutex_unlock(&in_order);
    free(line);
}

/* The bytes that a sync is sure of are those before it: they are copied first. */
static char *file_line(int fd) {
    struct statx found;
    char key[64], copy[PATH_MAX + 64], self[64], *line = NULL;
    if (key_of(fd, "", AT_EMPTY_PATH, key, &found)) return NULL;
    snprintf(copy, sizeof copy, "%s/%d-%ld", shadow, getpid(), atomic_fetch_add(&copies, 1));
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int from = real_open(self, O_RDONLY | O_CLOEXEC);
    int to = real_open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char piece[1 << 16];
    for (ssize_t size; (size = read(from, piece, sizeof piece)) > 0;)
        for (ssize_t done = 0; done < size;) {
            ssize_t written = real_write(to, piece + done, size - done);
            if (written < 0) abort();
            done += written;
        }
    real_close(from);
    real_close(to);
    long long mtime = found.stx_mtime.tv_sec * 1000000000LL + found.stx_mtime.tv_nsec;
    if (asprintf(&line, "F %s %o %lld %s\n", key, found.stx_mode & 07777, mtime, copy) < 0) abort();
    return line;
}

/* --- failing and being killed --- */

static int fails(const char *call, const char *path) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    said(call, path);
    if (kill_at && now >= kill_at) kill(getpid(), SIGKILL);
    if ((fail_at && (now == fail_at || (fail_on && now > fail_at))) ||
        (fail_while && access(fail_while, F_OK) == 0)) {
        errno = fail_errno;
        return 1;
    }
    return 0;
}

/* The Nth call from now on fails with `error`; 0 for none. Returns how many there were so far. */
long power_arm(long at, int error) {
    fail_at = at;
    fail_errno = error;
    return atomic_exchange(&calls, 0);
}

#define ENTER int outer = inside++; int kept = errno; (void)kept
#define LEAVE inside = outer
#define IS_OURS (!outer && root_length)

/* --- the calls --- */

static int opened(int dir, const char *name, int flags, mode_t mode) {
    ENTER;
    char path[PATH_MAX];
    int writes = flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC);
    if (!(IS_OURS && (writes || with_reads) && of_name(dir, name, path))) {
        LEAVE;
        return real_openat(dir, name, flags, mode);
    }
    struct stat before;
    int is_new = (flags & O_CREAT) && lstat(path, &before) != 0;
    errno = kept;
    int result = fails("open", path) ? -1 : real_openat(dir, name, flags, mode);
    int why = errno;
    if (result >= 0 && is_new) folder_changed(path);
    LEAVE;
    errno = why;
    return result;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags) return opened(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags) return opened(dir, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static FILE *opened_stream(const char *name, const char *how, const char *symbol) {
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, symbol);
    ENTER;
    char path[PATH_MAX];
    if (!(IS_OURS && strpbrk(how, "wa+") && of_name(AT_FDCWD, name, path))) {
        LEAVE;
        return real(name, how);
    }
    errno = kept;
    FILE *result = fails("open", path) ? NULL : real(name, how);
    int why = errno;
    if (result) folder_changed(path);
    LEAVE;
    errno = why;
    return result;
}
FILE *fopen(const char *name, const char *how) { return opened_stream(name, how, "fopen"); }
FILE *fopen64(const char *name, const char *how) { return opened_stream(name, how, "fopen64"); }

static int synced(int fd, const char *call, int (*real)(int)) {
    ENTER;
    char path[PATH_MAX], *line = NULL;
    struct stat found;
    if (!(IS_OURS && of_descriptor(fd, path))) {
        LEAVE;
        return real(fd);
    }
    if (fails(call, path)) {
        int why = errno;
        LEAVE;
        errno = why;
        return -1;
    }
    int is_folder = fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
    size_t length = 0;
    pthread_mutex_lock(&in_order);
    if (journal >= 0) {
        line = is_folder ? names_of(path, 'D', &length) : file_line(fd);
        if (line && !is_folder) length = strlen(line);
    }
    /* The disk itself need not be waited for: what is sure is what the journal says. */
    if (line) put(line, length);
    pthread_mutex_unlock(&in_order);
    free(line);
    LEAVE;
    errno = kept;
    return 0;
}
int fsync(int fd) { return synced(fd, "fsync", real_fsync); }
int fdatasync(int fd) { return synced(fd, "fdatasync", real_fdatasync); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    ENTER;
    char source[PATH_MAX], target[PATH_MAX];
    int is_from = IS_OURS && of_name(from_dir, from, source);
    int is_to = IS_OURS && of_name(to_dir, to, target);
    errno = kept;
    int result = (is_from || is_to) && fails("rename", is_to ? target : source)
                     ? -1
                     : flags ? real_renameat2(from_dir, from, to_dir, to, flags)
                             : real_renameat(from_dir, from, to_dir, to);
    int why = errno;
    /* The new name first: between the two lines a rename is seen as both, never as neither. */
    if (!result && is_to) folder_changed(target);
    if (!result && is_from) folder_changed(source);
    LEAVE;
    errno = why;
    return result;
}
int renameat(int a, const char *b, int c, const char *d) { return renameat2(a, b, c, d, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

#define CHANGES(name, dir, at, real) \
    ENTER; \
    char path[PATH_MAX]; \
    int is_ours = IS_OURS && of_name(dir, at, path); \
    errno = kept; \
    int result = is_ours && fails(name, path) ? -1 : real; \
    int why = errno; \
    if (!result && is_ours) folder_changed(path); \
    LEAVE; \
    errno = why; \
    return result

int linkat(int a, const char *b, int c, const char *d, int f) { CHANGES("link", c, d, real_linkat(a, b, c, d, f)); }
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int symlinkat(const char *a, int b, const char *c) { CHANGES("symlink", b, c, real_symlinkat(a, b, c)); }
int symlink(const char *to, const char *at) { return symlinkat(to, AT_FDCWD, at); }
int unlinkat(int a, const char *b, int f) { CHANGES("unlink", a, b, real_unlinkat(a, b, f)); }
int unlink(const char *at) { return unlinkat(AT_FDCWD, at, 0); }
int rmdir(const char *at) { return unlinkat(AT_FDCWD, at, AT_REMOVEDIR); }
int remove(const char *at) {
    struct stat found;
    return lstat(at, &found) == 0 && S_ISDIR(found.st_mode) ? rmdir(at) : unlink(at);
}
int mkdirat(int a, const char *b, mode_t m) { CHANGES("mkdir", a, b, real_mkdirat(a, b, m)); }
int mkdir(const char *at, mode_t mode) { return mkdirat(AT_FDCWD, at, mode); }

#define WRITES(name, fd, type, real) \
    ENTER; \
    char path[PATH_MAX]; \
    int is_ours = IS_OURS && of_descriptor(fd, path); \
    errno = kept; \
    int is_failed = is_ours && fails(name, path); \
    int why = errno; \
    LEAVE; \
    errno = why; \
    if (is_failed) return -1; \
    return real

int ftruncate(int fd, off_t size) { WRITES("truncate", fd, int, real_ftruncate(fd, size)); }
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
ssize_t write(int fd, const void *data, size_t size) { WRITES("write", fd, ssize_t, real_write(fd, data, size)); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { WRITES("write", fd, ssize_t, real_pwrite(fd, data, size, at)); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return pwrite(fd, data, size, at); }
ssize_t writev(int fd, const struct iovec *some, int count) { WRITES("write", fd, ssize_t, real_writev(fd, some, count)); }
ssize_t copy_file_range(int from, off_t *a, int to, off_t *b, size_t size, unsigned flags) {
    WRITES("write", to, ssize_t, real_copy_file_range(from, a, to, b, size, flags));
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) { WRITES("write", to, ssize_t, real_sendfile(to, from, at, size)); }
ssize_t sendfile64(int to, int from, off_t *at, size_t size) { return sendfile(to, from, at, size); }

/* What is said to others, such as a reply that acknowledges: for the order of things. */
ssize_t send(int fd, const void *data, size_t size, int flags) {
    ENTER;
    if (IS_OURS && size && size < 1000) {
        char text[1001];
        memcpy(text, data, size);
        text[size] = 0;
        said("send", text);
    }
    LEAVE;
    errno = kept;
    return real_send(fd, data, size, flags);
}

/* Reading, where it counts (PANO_DISK_READS). */
#define READS(name, where, type, failed, symbol, signature, ...) \
    static type (*real) signature; \
    if (real == NULL) real = dlsym(RTLD_NEXT, symbol); \
    ENTER; \
    char path[PATH_MAX]; \
    int is_ours = IS_OURS && with_reads && (where); \
    errno = kept; \
    int is_failed = is_ours && fails(name, path); \
    int why = errno; \
    LEAVE; \
    errno = why; \
    if (is_failed) return failed; \
    return real(__VA_ARGS__)

ssize_t read(int fd, void *into, size_t size) {
    READS("read", of_descriptor(fd, path), ssize_t, -1, "read", (int, void *, size_t), fd, into, size);
}
ssize_t pread64(int fd, void *into, size_t size, off_t at) {
    READS("read", of_descriptor(fd, path), ssize_t, -1, "pread64", (int, void *, size_t, off_t), fd, into, size, at);
}
ssize_t pread(int fd, void *into, size_t size, off_t at) { return pread64(fd, into, size, at); }
DIR *opendir(const char *name) {
    READS("list", of_name(AT_FDCWD, name, path), DIR *, NULL, "opendir", (const char *), name);
}
DIR *fdopendir(int fd) {
    READS("list", of_descriptor(fd, path), DIR *, NULL, "fdopendir", (int), fd);
}
int stat(const char *name, struct stat *found) {
    READS("stat", of_name(AT_FDCWD, name, path), int, -1, "stat", (const char *, struct stat *), name, found);
}
int lstat(const char *name, struct stat *found) {
    READS("stat", of_name(AT_FDCWD, name, path), int, -1, "lstat", (const char *, struct stat *), name, found);
}
int fstatat(int dir, const char *name, struct stat *found, int flags) {
    READS("stat", of_name(dir, name, path), int, -1, "fstatat", (int, const char *, struct stat *, int), dir, name, found, flags);
}
int stat64(const char *name, struct stat64 *found) {
    READS("stat", of_name(AT_FDCWD, name, path), int, -1, "stat64", (const char *, struct stat64 *), name, found);
}
int lstat64(const char *name, struct stat64 *found) {
    READS("stat", of_name(AT_FDCWD, name, path), int, -1, "lstat64", (const char *, struct stat64 *), name, found);
}
int fstatat64(int dir, const char *name, struct stat64 *found, int flags) {
    READS("stat", of_name(dir, name, path), int, -1, "fstatat64", (int, const char *, struct stat64 *, int), dir, name, found, flags);
}
