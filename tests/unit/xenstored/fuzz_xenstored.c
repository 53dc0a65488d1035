// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer of the wire protocol and of ring contents. The input is a script: each step is a byte
// that says who does what (a client of the socket or one of two domains sends bytes or a request
// of a type; a domain writes over a field of its ring; a domain dies or comes back), then a length
// and bytes. After the script the store's invariants must hold and everything must be given back.

#include "world.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
    const uint8_t *data;
    size_t left;
};

static unsigned take(struct script *script)
{
    if (script->left == 0) {
        return 0;
    }
    script->left--;
    return *script->data++;
}

static const uint8_t *take_bytes(struct script *script, size_t *length)
{
    const uint8_t *bytes = script->data;

    *length = take(script);
    bytes = script->data;
    if (*length > script->left) {
        *length = script->left;
    }
    script->data += *length;
    script->left -= *length;
    return bytes;
}

static void ring_write(unsigned domid, const void *data, size_t length)
{
    struct xenstore_domain_interface *ring = world.ring[domid];

    for (size_t i = 0; ring && i < length; i++) {
        ring->req[MASK_XENSTORE_IDX(ring->req_prod++)] = ((const char *)data)[i];
    }
}

static void send_bytes(struct socket_client *client, unsigned who, const void *data, size_t length)
{
    if (who > 0) {
        ring_write(who, data, length);
    } else if (length <= sizeof(client->input) - client->input_length) {
        memcpy(client->input + client->input_length, data, length);
        client->input_length += length;
    }
}

static void send_request(struct socket_client *client, unsigned who, struct script *script)
{
    struct xsd_sockmsg header = {.type = take(script), .tx_id = take(script)};
    size_t length;
    const uint8_t *bytes = take_bytes(script, &length);

    header.len = (uint32_t)length;
    send_bytes(client, who, &header, sizeof(header));
    send_bytes(client, who, bytes, length);
}

static void scribble(unsigned who, struct script *script)
{
    unsigned at = 2048 + (take(script) % 28);
    unsigned value = take(script);

    if (world.ring[who]) {
        ((uint8_t *)world.ring[who])[at] = (uint8_t)value;
    }
}

static void live_or_die(struct socket_client *control, unsigned who, unsigned how)
{
    if (who == 0) {
        return;
    }
    if (how % 3 == 0) {
        if (!world.opened[who]) {
            domain_begin(control, who);
        }
    } else {
        world.state[who] = how % 3 == 1 ? DOMAIN_SHUT_DOWN : DOMAIN_GONE;
        xenstore_look_at_domains(world.store);
    }
}

static void step(struct socket_client *control, struct socket_client *client, struct script *script)
{
    unsigned what = take(script);
    unsigned who = (what >> 4) % 3;
    size_t length;
    const uint8_t *bytes;

    switch (what & 15u) {
    case 0:
        bytes = take_bytes(script, &length);
        send_bytes(client, who, bytes, length);
        break;
    case 1:
        scribble(who, script);
        break;
    case 2:
        live_or_die(control, who, take(script));
        break;
    case 3:
        client->room = take(script) * 4u;
        break;
    case 4:
        client->room = SIZE_MAX;
        if (world.ring[who]) {
            world.ring[who]->rsp_cons = world.ring[who]->rsp_prod;
        }
        break;
    default:
        send_request(client, who, script);
    }
    settle();
    if (client->output_length > sizeof(client->output) / 2) {
        client->output_length = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {.data = data, .left = size};
    struct socket_client *control;
    struct socket_client *client;

    world_begin();
    control = socket_open();
    client = socket_open();
    domain_begin(control, 1);
    ask(control, XS_WRITE, 0, "/local/domain/1\0");
    ask(control, XS_SET_PERMS, 0, "/local/domain/1\0n1\0r2");
    while (script.left > 0 && !client->connection->gone) {
        step(control, client, &script);
    }
    socket_close(client);
    socket_close(control);
    world_end();
    return 0;
}
