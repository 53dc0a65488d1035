// SPDX-License-Identifier: Apache-2.0
//
// Marks (marks.h). A mark's file is removed while its lock is held, so whoever gets the lock of a
// file that is gone makes it anew. Inside stands the domain's number, once it is known: of a domain
// that the hypervisor no longer has, nodes may still be in xenstore.
#include "marks.h"

#include <toolstack/create.h>
#include <toolstack/memory.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_PREFIX "unfinished-"

struct error *file_lock(const char *path, int operation, int *descriptor)
{
    struct stat status;

    for (;;) {
        *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (*descriptor < 0)
            return error_errno(ERROR_SYSTEM, errno, "cannot make %s", path);
        if (flock(*descriptor, operation) != 0) {
            struct error *error = error_errno(ERROR_SYSTEM, errno, "cannot lock %s", path);

            close(*descriptor);
            *descriptor = -1;
            return error;
        }
        // Whoever held the lock may have removed the file under it.
        if (fstat(*descriptor, &status) == 0 && status.st_nlink)
            return NULL;
        close(*descriptor);
    }
}

struct error *mark_begin(struct mark *mark, const uint8_t uuid[16], bool wait)
{
    char text[UUID_TEXT_SIZE];

    uuid_format(uuid, text);
    mark->path = memory_format(RUN_FOLDER "/" MARK_PREFIX "%s", text);
    return file_lock(mark->path, wait ? LOCK_EX : LOCK_EX | LOCK_NB, &mark->descriptor);
}

void mark_note(const struct mark *mark, unsigned int domid)
{
    if (mark->descriptor >= 0)
        dprintf(mark->descriptor, "%u\n", domid);
}

void mark_end(struct mark *mark)
{
    if (mark->descriptor >= 0) {
        unlink(mark->path);
        close(mark->descriptor);
    }
    free(mark->path);
    *mark = (struct mark){.descriptor = -1};
}

// Clears away the domain with this UUID, or what is left of one that had the noted number (-1:
// none).
static void clear_domain(struct toolstack *toolstack, const uint8_t uuid[16], long noted)
{
    domain_info *list = NULL;
    size_t count = 0;
    bool used = false;
    struct error *error = domain_list(toolstack, &list, &count);

    for (size_t i = 0; i < count; i++) {
        bool is_meant = list[i].domain && !memcmp(list[i].handle, uuid, sizeof(list[i].handle));

        used |= list[i].domain == noted;
        if (is_meant)
            error_ignore(domain_clear_away(toolstack, list[i].domain, uuid));
    }
    if (!error && noted > 0 && !used)
        error_ignore(domain_clear_away(toolstack, (unsigned int)noted, uuid));
    error_ignore(error);
    free(list);
}

static void clear_mark(struct toolstack *toolstack, const char *name)
{
    struct mark mark = {.path = memory_format(RUN_FOLDER "/%s", name)};
    uint8_t uuid[16];
    char text[16] = "";

    mark.descriptor = open(mark.path, O_RDWR | O_CLOEXEC);
    if (mark.descriptor >= 0 && flock(mark.descriptor, LOCK_EX | LOCK_NB) == 0 &&
        uuid_parse(name + strlen(MARK_PREFIX), uuid)) {
        if (read(mark.descriptor, text, sizeof(text) - 1) <= 0)
            strcpy(text, "-1");
        clear_domain(toolstack, uuid, strtol(text, NULL, 10));
    } else if (mark.descriptor >= 0) {
        // Somebody is at work, or it is no mark.
        close(mark.descriptor);
        mark.descriptor = -1;
    }
    mark_end(&mark);
}

void marks_clear(struct toolstack *toolstack)
{
    DIR *folder = opendir(RUN_FOLDER);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL)
        if (!strncmp(entry->d_name, MARK_PREFIX, strlen(MARK_PREFIX)))
            clear_mark(toolstack, entry->d_name);
    if (folder)
        closedir(folder);
}
