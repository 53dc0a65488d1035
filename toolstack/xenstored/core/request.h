// SPDX-License-Identifier: Apache-2.0
//
// Requests of the wire protocol. One table says for each type who may ask, whether a transaction
// may be named, and who serves it. A handler checks its arguments, asks the parts of the store, and
// puts the payload of its reply together; nobody is told of a change before its author has got the
// reply. The structure lives on the stack for one request. Errors are errno values that the
// protocol has a name for.
#ifndef XENSTORED_REQUEST_H
#define XENSTORED_REQUEST_H

#include "transaction.h"
#include "watch.h"

/* Types newer than the headers of Xen 4.20. */
enum {
    REQUEST_GET_FEATURE = XS_DIRECTORY_PART + 1,
    REQUEST_SET_FEATURE,
    REQUEST_GET_QUOTA,
    REQUEST_SET_QUOTA,
    REQUEST_TYPES
};

#define ARGUMENTS_MOST 4

struct request {
    struct store *store;
    struct connection *connection;
    struct domain *domain;
    struct xsd_sockmsg header;
    const char *payload;
    size_t length;
    struct transaction *transaction;

    const char *argument[ARGUMENTS_MOST];
    size_t arguments;

    char *reply; /* XENSTORE_PAYLOAD_MAX bytes */
    size_t reply_length;
    struct change change;
    struct change *changes; /* to be told of, and freed when they are a transaction's */
    bool committed;
};

/* Serves one request: a reply, then the events it has caused. PAYLOAD has header->len bytes. */
void request_serve(struct connection *connection, const struct xsd_sockmsg *header,
                   const char *payload);

/*
 * Finds the strings of the payload: at least LEAST terminated ones and no more than MOST. False
 * when there are fewer or more, or something else.
 */
bool request_arguments(struct request *request, size_t least, size_t most);

/* Appends to the reply; E2BIG when it is full. */
int reply_add(struct request *request, const char *data, size_t length);
int reply_text(struct request *request, const char *text);

/* A decimal number, up to MOST, and nothing else. */
bool parse_number(const char *text, unsigned long long most, unsigned long long *number);

/* Requests about nodes. */
int request_read(struct request *request);
int request_directory(struct request *request);
int request_directory_part(struct request *request);
int request_get_permissions(struct request *request);
int request_write(struct request *request);
int request_mkdir(struct request *request);
int request_remove(struct request *request);
int request_set_permissions(struct request *request);

/* Requests about domains. */
int request_introduce(struct request *request);
int request_release(struct request *request);
int request_resume(struct request *request);
int request_set_target(struct request *request);
int request_domain_path(struct request *request);
int request_is_introduced(struct request *request);
int request_get_feature(struct request *request);
int request_set_feature(struct request *request);
int request_get_quota(struct request *request);
int request_set_quota(struct request *request);

int request_control(struct request *request);

#endif
