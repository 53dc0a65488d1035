// SPDX-License-Identifier: Apache-2.0
//
// Disks of files and block devices. A lock makes checking who uses a disk and taking it one step.
// Files are told apart by device and inode number, not by name. A loop device that cannot be
// announced is given back.
#include "block.h"

#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LOCK_FOLDER "/run/xen"
#define LOCK_PATH LOCK_FOLDER "/block.lock"
#define LOOP_ATTEMPTS 16

struct connection {
    const char *backend_path;
    const char *device; // "/dev/loop0"
    dev_t number;
};

static bool same_disk(const struct stat *one, const struct stat *other)
{
    if (S_ISBLK(one->st_mode))
        return S_ISBLK(other->st_mode) && one->st_rdev == other->st_rdev;
    return S_ISREG(other->st_mode) && one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

// Whether another backend of this domain has the disk in a way that does not go together with ours.
static struct error *check_backend(struct toolstack *toolstack, const char *path,
                                   const struct stat *disk, bool readonly)
{
    char *target = store_read(toolstack->store, "%s/params", path);
    char *mode = store_read(toolstack->store, "%s/mode", path);
    char *device = store_read(toolstack->store, "%s/physical-device", path);
    long domid = store_read_number(toolstack->store, -1, "%s/frontend-id", path);
    struct stat other;
    struct error *error = NULL;

    if (device && target && stat(target, &other) == 0 && same_disk(disk, &other) &&
        !(readonly && mode && !strcmp(mode, "r")))
        error = error_advice(error_new(ERROR_DEVICE, "%s is in use by domain %ld", target, domid),
                             "A disk can be shared only if every domain has it with access=ro.");
    free(target);
    free(mode);
    free(device);
    return error;
}

static struct error *check_backends(struct toolstack *toolstack, const char *own_path,
                                    const struct stat *disk, bool readonly)
{
    unsigned int own = device_own_domain(toolstack);
    struct error *error = NULL;
    size_t domain_count;
    char **domains =
        store_list(toolstack->store, &domain_count, "/local/domain/%u/backend/vbd", own);

    for (size_t i = 0; i < domain_count && !error; i++) {
        size_t count;
        char **devices = store_list(toolstack->store, &count, "/local/domain/%u/backend/vbd/%s",
                                    own, domains[i]);

        for (size_t j = 0; j < count && !error; j++) {
            char *path =
                memory_format("/local/domain/%u/backend/vbd/%s/%s", own, domains[i], devices[j]);

            if (strcmp(path, own_path) != 0)
                error = check_backend(toolstack, path, disk, readonly);
            free(path);
        }
        free(devices);
    }
    free(domains);
    return error;
}

static bool is_mounted(dev_t number)
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    char line[4096];
    unsigned int high;
    unsigned int low;
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file))
        found = sscanf(line, "%*d %*d %u:%u", &high, &low) == 2 && makedev(high, low) == number;
    if (file)
        fclose(file);
    return found;
}

// Reads the first line of a small file into a buffer; false when it cannot.
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "r");
    bool read = file && fgets(line, (int)size, file);

    if (file)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

// Whether a loop device of the file is mounted here.
static bool loop_is_mounted(const struct stat *disk)
{
    glob_t found;
    bool mounted = false;

    if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !mounted; i++) {
        char backing[4096];
        char number[64];
        unsigned int high;
        unsigned int low;
        struct stat status;
        const char *path = found.gl_pathv[i];
        char *device = memory_format("%.*s/dev", (int)(strstr(path, "/loop/") - path), path);

        mounted = read_line(path, backing, sizeof(backing)) && stat(backing, &status) == 0 &&
                  same_disk(disk, &status) && read_line(device, number, sizeof(number)) &&
                  sscanf(number, "%u:%u", &high, &low) == 2 && is_mounted(makedev(high, low));
        free(device);
    }
    globfree(&found);
    return mounted;
}

static struct error *check_unused(struct toolstack *toolstack, const char *backend_path,
                                  const char *target, const struct stat *disk, bool readonly)
{
    bool mounted = S_ISBLK(disk->st_mode) ? is_mounted(disk->st_rdev) : loop_is_mounted(disk);

    if (mounted)
        return error_advice(error_new(ERROR_DEVICE, "%s is mounted in this domain", target),
                            "Unmount it first.");
    return check_backends(toolstack, backend_path, disk, readonly);
}

static void write_line(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);

    // A kernel without the setting has nothing to be kept from.
    if (file >= 0 && write(file, text, strlen(text)) < 0)
        fprintf(stderr, "%s cannot be set to %s\n", path, text);
    if (file >= 0)
        close(file);
}

// Keeps the requests of a loop device from overtaking one another.
static void keep_order(const char *device)
{
    char *merges = memory_format("/sys/block/%s/queue/nomerges", device + strlen("/dev/"));
    char *scheduler = memory_format("/sys/block/%s/queue/scheduler", device + strlen("/dev/"));

    write_line(scheduler, "none");
    write_line(merges, "2");
    free(merges);
    free(scheduler);
}

// Says so when a disk will not survive this domain's death as it should.
static void check_survivable(const char *device, const char *target)
{
    char *direct = memory_format("/sys/block/%s/loop/dio", device + strlen("/dev/"));
    char value[16] = "";

    if (!read_line(direct, value, sizeof(value)) || strcmp(value, "1") != 0)
        fprintf(stderr,
                "%s cannot be used past the page cache: if this domain dies, writes to it "
                "that were acknowledged are lost\n",
                target);
    if (!read_line("/sys/module/loop/parameters/hw_queue_depth", value, sizeof(value)) ||
        strcmp(value, "1") != 0)
        fprintf(stderr,
                "%s: requests can overtake one another, and may be lost if this domain "
                "dies; give its kernel loop.hw_queue_depth=1\n",
                target);
    free(direct);
}

// The size of sectors that the loop device must have for direct input and output, 0 if any will do.
static uint32_t sector_size(int file)
{
    int size = 0;

    return ioctl(file, BLKSSZGET, &size) == 0 ? (uint32_t)size : 0;
}

static int open_target(const char *target, bool readonly, bool direct)
{
    int flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    int file = open(target, flags | (direct ? O_DIRECT : 0));

    return file < 0 && direct && errno == EINVAL ? open(target, flags) : file;
}

// Sets up a free loop device for a file or, to survive this domain, a device; *device is the
// caller's to free.
static struct error *make_loop(const char *target, bool readonly, bool survivable, char **device)
{
    struct loop_config config = {.info.lo_flags = (readonly ? LO_FLAGS_READ_ONLY : 0u) |
                                                  (survivable ? LO_FLAGS_DIRECT_IO : 0u)};
    int file = open_target(target, readonly, survivable);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = errno;

    *device = NULL;
    config.fd = (uint32_t)file;
    config.block_size = survivable && file >= 0 ? sector_size(file) : 0;
    snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", target);
    for (unsigned int i = 0; i < LOOP_ATTEMPTS && file >= 0 && control >= 0 && !*device; i++) {
        int index = ioctl(control, LOOP_CTL_GET_FREE);
        char *path = memory_format("/dev/loop%d", index);
        int loop = index < 0 ? -1 : open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);

        // Somebody else may take the one that was free a moment ago.
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0)
            *device = path;
        else
            free(path);
        number = errno;
        if (loop >= 0)
            close(loop);
    }
    if (file >= 0)
        close(file);
    if (control >= 0)
        close(control);
    if (*device)
        return NULL;
    return error_advice(
        error_errno(ERROR_DEVICE, number, "cannot make a loop device for %s", target),
        "Is the driver loaded (modprobe loop)?");
}

static void release_loop(const char *device)
{
    int loop = open(device, O_RDWR | O_CLOEXEC);

    if (loop < 0)
        return;
    // It goes at once or, while somebody still has it open, afterwards.
    ioctl(loop, LOOP_CLR_FD, 0);
    close(loop);
}

static struct error *announce(struct store *store, void *context)
{
    const struct connection *connection = context;
    const char *path = connection->backend_path;
    char number[32];

    snprintf(number, sizeof(number), "%x:%x", major(connection->number), minor(connection->number));
    if (!strncmp(connection->device, "/dev/loop", 9))
        TRY(store_write(store, connection->device, "%s/node", path));
    TRY(store_write(store, number, "%s/physical-device", path));
    TRY(store_write(store, connection->device, "%s/physical-device-path", path));
    return store_write(store, "connected", "%s/hotplug-status", path);
}

static struct error *connect_locked(struct toolstack *toolstack, const char *backend_path,
                                    const char *target, bool readonly)
{
    struct connection connection = {.backend_path = backend_path, .device = target};
    struct stat disk;
    char *loop = NULL;

    if (stat(target, &disk) != 0)
        return error_errno(ERROR_DEVICE, errno, "cannot use %s", target);
    if (!S_ISBLK(disk.st_mode) && !S_ISREG(disk.st_mode))
        return error_new(ERROR_DEVICE, "%s is neither a file nor a block device", target);
    TRY(check_unused(toolstack, backend_path, target, &disk, readonly));
    connection.number = disk.st_rdev;
    bool survivable = device_own_domain(toolstack) != 0;

    if (S_ISREG(disk.st_mode) || survivable) {
        TRY(make_loop(target, readonly, survivable, &loop));
        connection.device = loop;
        if (survivable) {
            keep_order(loop);
            check_survivable(loop, target);
        }
        if (stat(loop, &disk) == 0)
            connection.number = disk.st_rdev;
    }
    struct error *error = store_transaction(toolstack->store, announce, &connection);

    if (error && loop)
        release_loop(loop);
    free(loop);
    return error;
}

struct error *block_connect(struct toolstack *toolstack, const char *backend_path,
                            const char *target, bool readonly)
{
    mkdir(LOCK_FOLDER, 0755);
    int lock = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        struct error *error = error_errno(ERROR_SYSTEM, errno, "cannot lock " LOCK_PATH);

        if (lock >= 0)
            close(lock);
        return error;
    }
    struct error *error = connect_locked(toolstack, backend_path, target, readonly);

    close(lock);
    return error;
}

void block_disconnect(struct toolstack *toolstack, const char *backend_path)
{
    char *node = store_read(toolstack->store, "%s/node", backend_path);

    if (node && !strncmp(node, "/dev/loop", 9))
        release_loop(node);
    free(node);
}
