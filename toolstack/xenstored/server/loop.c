// SPDX-License-Identifier: Apache-2.0
//
// The event loop (loop.h). Sockets' clients are found by epoll's pointer, rings' clients by a table
// of ports. A client is freed only in its own turn or by its store, never while epoll's events are
// being looked through. Out of descriptors: the newcomer is closed at once by way of a spare one.

#include "loop.h"
#include "hypervisor.h"
#include "log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_A_ROUND 64
#define ACCEPTS_A_ROUND 16
#define PORTS_A_ROUND 64
#define SOCKET_EVENTS (uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLET)

struct client {
    struct client *next; /* in the queue */
    struct client *next_socket;
    struct client **link_socket;
    struct connection *connection;
    struct loop *loop;
    int fd; /* -1 for a ring */
    bool readable;
    bool ended; /* the client sends no more */
    bool wants_room;
    bool queued;
};

struct loop {
    struct host host;
    struct store *store;
    struct client *first;
    struct client **last;
    unsigned queued;
    struct client *sockets;
    struct client **ports;
    size_t port_count;
    int epoll;
    int listener;
    int signals;
    int event_fd;
    int spare;
    bool stop;
};

static void enqueue(struct loop *loop, struct client *client)
{
    if (!client->queued) {
        client->queued = true;
        client->next = NULL;
        *loop->last = client;
        loop->last = &client->next;
        loop->queued++;
    }
}

static void dequeue(struct loop *loop, struct client *client)
{
    struct client **link = &loop->first;

    if (!client->queued) {
        return;
    }
    while (*link != client) {
        link = &(*link)->next;
    }
    *link = client->next;
    if (loop->last == &client->next) {
        loop->last = link;
    }
    client->queued = false;
    loop->queued--;
}

static ssize_t socket_receive(struct connection *connection, char *data, size_t size)
{
    struct client *client = connection_port(connection);
    ssize_t received;

    if (!client->readable) {
        return 0;
    }
    received = recv(client->fd, data, size, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) {
        client->readable = errno == EINTR;
        return 0;
    }
    if (received <= 0) {
        return -1;
    }
    /* A short read has taken all there is; but the end of a stream gives no further event. */
    client->readable = (size_t)received == size || client->ended;
    return received;
}

/* Asks for an event when there is room again, or not: otherwise every reply that is read is one. */
static void want_room(struct client *client, bool want)
{
    struct epoll_event event = {.events = SOCKET_EVENTS | (want ? EPOLLOUT : 0),
                                .data.ptr = client};

    if (client->wants_room != want &&
        epoll_ctl(client->loop->epoll, EPOLL_CTL_MOD, client->fd, &event) == 0) {
        client->wants_room = want;
    }
}

static ssize_t socket_transmit(struct connection *connection, const char *data, size_t length)
{
    struct client *client = connection_port(connection);
    ssize_t sent = send(client->fd, data, length, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }
        sent = 0;
    }
    if ((size_t)sent < length) {
        want_room(client, true);
    }
    return sent;
}

static bool socket_broken(struct connection *connection, unsigned error)
{
    (void)connection;
    log_line("a client of the socket broke the protocol (%u) and is disconnected", error);
    return false;
}

static const struct port_operations socket_operations = {
    .receive = socket_receive,
    .transmit = socket_transmit,
    .broken = socket_broken,
};

static void close_socket(struct loop *loop, struct client *client)
{
    dequeue(loop, client);
    xenstore_disconnect(client->connection);
    close(client->fd);
    *client->link_socket = client->next_socket;
    if (client->next_socket) {
        client->next_socket->link_socket = client->link_socket;
    }
    free(client);
}

static void add_socket(struct loop *loop, int fd)
{
    struct client *client = calloc(1, sizeof(*client));
    struct epoll_event event = {.events = SOCKET_EVENTS};

    if (!client) {
        close(fd);
        return;
    }
    client->fd = fd;
    client->loop = loop;
    client->connection = xenstore_connect(loop->store, &socket_operations, client);
    event.data.ptr = client;
    if (!client->connection || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        if (client->connection) {
            xenstore_disconnect(client->connection);
        }
        close(fd);
        free(client);
        return;
    }
    client->next_socket = loop->sockets;
    client->link_socket = &loop->sockets;
    if (client->next_socket) {
        client->next_socket->link_socket = &client->next_socket;
    }
    loop->sockets = client;
}

static void accept_clients(struct loop *loop)
{
    for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
        int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            add_socket(loop, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            /* Somebody has to be told, or the newcomer would stay pending for ever. */
            close(loop->spare);
            fd = accept(loop->listener, NULL, NULL);
            if (fd >= 0) {
                close(fd);
            }
            loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
            log_line("out of file descriptors: a client was turned away");
            return;
        } else {
            return;
        }
    }
}

static int ring_opened(void *context, struct connection *connection, unsigned port)
{
    struct loop *loop = context;
    struct client *client;

    if (port >= loop->port_count) {
        size_t count = port + 64;
        struct client **ports = realloc(loop->ports, count * sizeof(*ports));

        if (!ports) {
            return ENOMEM;
        }
        memset(ports + loop->port_count, 0, (count - loop->port_count) * sizeof(*ports));
        loop->ports = ports;
        loop->port_count = count;
    }
    client = calloc(1, sizeof(*client));
    if (!client) {
        return ENOMEM;
    }
    client->fd = -1;
    client->loop = loop;
    client->connection = connection;
    loop->ports[port] = client;
    /* The domain may have written before it was connected. */
    enqueue(loop, client);
    return 0;
}

static void ring_closing(void *context, struct connection *connection, unsigned port)
{
    struct loop *loop = context;
    struct client *client = loop->ports[port];

    (void)connection;
    loop->ports[port] = NULL;
    dequeue(loop, client);
    free(client);
}

static void take_events(struct loop *loop)
{
    bool look = false;

    for (unsigned i = 0; i < PORTS_A_ROUND; i++) {
        int port = hypervisor_next_event();

        if (port < 0) {
            break;
        }
        if (port == hypervisor_domain_event()) {
            look = true;
        } else if ((size_t)port < loop->port_count && loop->ports[port]) {
            enqueue(loop, loop->ports[port]);
        }
    }
    if (look) {
        hypervisor_read_domains();
        xenstore_look_at_domains(loop->store);
        hypervisor_forget_domains();
    }
}

static void take_signal(struct loop *loop)
{
    struct signalfd_siginfo information;

    if (read(loop->signals, &information, sizeof(information)) == sizeof(information)) {
        log_line("ending by signal %u", information.ssi_signo);
        loop->stop = true;
    }
}

/* Waits for events, unless somebody stands in the queue, and queues whom they concern. */
static void gather(struct loop *loop)
{
    struct epoll_event events[EVENTS_A_ROUND];
    int count = epoll_wait(loop->epoll, events, EVENTS_A_ROUND, loop->first ? 0 : -1);

    for (int i = 0; i < count; i++) {
        const void *source = events[i].data.ptr;

        if (source == &loop->listener) {
            accept_clients(loop);
        } else if (source == &loop->event_fd) {
            take_events(loop);
        } else if (source == &loop->signals) {
            take_signal(loop);
        } else {
            struct client *client = events[i].data.ptr;

            if (events[i].events & EPOLLOUT) {
                want_room(client, false);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) {
                client->readable = true;
            }
            if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
                client->ended = true;
            }
            enqueue(loop, client);
        }
    }
}

/* One turn for each that stands in the queue now. */
static void round_of_turns(struct loop *loop)
{
    for (unsigned left = loop->queued; left > 0 && loop->first; left--) {
        struct client *client = loop->first;

        dequeue(loop, client);
        switch (xenstore_turn(client->connection)) {
        case TURN_MORE:
            enqueue(loop, client);
            break;
        case TURN_CLOSED:
            close_socket(loop, client);
            break;
        case TURN_IDLE:
            if (client->ended) {
                enqueue(loop, client);
            }
            break;
        case TURN_BLOCKED:
            break;
        }
    }
    xenstore_flush(loop->store);
}

void loop_attach(struct loop *loop, struct store *store)
{
    loop->store = store;
}

void loop_run(struct loop *loop)
{
    while (!loop->stop) {
        gather(loop);
        round_of_turns(loop);
    }
}

static bool watch_fd(struct loop *loop, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

    return fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void host_log(void *context, const char *text)
{
    (void)context;
    log_line("%s", text);
}

static int host_log_to(void *context, const char *path)
{
    (void)context;
    return log_to_file(path);
}

/* Without a hypervisor there are no domains but this one. */
static struct xenstore_domain_interface *no_ring(void *context, unsigned domid, uint64_t frame)
{
    (void)context;
    (void)domid;
    (void)frame;
    return NULL;
}

static enum domain_state no_state(void *context, unsigned domid)
{
    (void)context;
    (void)domid;
    return DOMAIN_RUNS;
}

static void fill_host(struct loop *loop, bool use_hypervisor)
{
    loop->host = (struct host){
        .context = loop,
        .map_ring = use_hypervisor ? hypervisor_map_ring : no_ring,
        .unmap_ring = hypervisor_unmap_ring,
        .bind_port = hypervisor_bind_port,
        .unbind_port = hypervisor_unbind_port,
        .notify_port = hypervisor_notify_port,
        .domain_state = use_hypervisor ? hypervisor_domain_state : no_state,
        .ring_opened = ring_opened,
        .ring_closing = ring_closing,
        .log = host_log,
        .log_to = host_log_to,
    };
}

const struct host *loop_host(struct loop *loop)
{
    return &loop->host;
}

struct loop *loop_create(int listener, bool use_hypervisor)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    sigset_t ending;

    if (!loop) {
        return NULL;
    }
    loop->last = &loop->first;
    fill_host(loop, use_hypervisor);
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    loop->listener = listener;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    loop->event_fd = use_hypervisor ? hypervisor_event_fd() : -1;
    if (loop->epoll < 0 || !watch_fd(loop, listener, &loop->listener) ||
        !watch_fd(loop, loop->signals, &loop->signals) ||
        (use_hypervisor && !watch_fd(loop, loop->event_fd, &loop->event_fd))) {
        log_line("cannot wait for events: %s", strerror(errno));
        close(loop->epoll);
        close(loop->signals);
        close(loop->spare);
        free(loop);
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    while (loop->sockets) {
        close_socket(loop, loop->sockets);
    }
    xenstore_destroy(loop->store);
    for (size_t i = 0; i < loop->port_count; i++) {
        free(loop->ports[i]);
    }
    free(loop->ports);
    close(loop->epoll);
    close(loop->signals);
    close(loop->spare);
    free(loop);
}
