// SPDX-License-Identifier: Apache-2.0
//
// How many grants and event channels a domain may need at once, by what it is made of, so that a
// limit is not first met while it runs. The figures are those of the usual frontends: a queue for
// each vcpu, of one ring page, with all its requests in flight.
#include <toolstack/domain_config.h>

#include <stddef.h>

enum {
    GRANTS_PER_FRAME = 512,
    GRANTS_RESERVED = 8,
    // 32 requests of 32 segments, each with the page that lists them, and the ring.
    GRANTS_PER_DISK_QUEUE = 32 * 33 + 1,
    // 256 packets each way, and the two rings.
    GRANTS_PER_NIC_QUEUE = 2 * 256 + 2,
    CHANNELS_RESERVED = 32, // console, xenstore, and what a guest makes for itself
    CHANNELS_PER_VCPU = 8,  // timer, debugging, calls between processors, locks, PMU
    CHANNELS_PER_NIC_QUEUE = 2,
    // What a driver domain serves: four queues for each of 256 devices.
    CHANNELS_OF_BACKENDS = 1024,
    // Never less than what other toolstacks give.
    FRAMES_LEAST = 64,
    CHANNELS_LEAST = 1023,
};

static uint64_t between(uint64_t number, uint64_t least, uint64_t most)
{
    return number < least ? least : number > most ? most : number;
}

void domain_config_derive_limits(struct domain_config *config)
{
    uint64_t disk_queues = config->disk_count * config->maxvcpus;
    uint64_t nic_queues = config->nic_count * config->maxvcpus;
    uint64_t grants =
        GRANTS_RESERVED + disk_queues * GRANTS_PER_DISK_QUEUE + nic_queues * GRANTS_PER_NIC_QUEUE;
    uint64_t channels = CHANNELS_RESERVED + config->maxvcpus * CHANNELS_PER_VCPU + disk_queues +
                        nic_queues * CHANNELS_PER_NIC_QUEUE +
                        (config->driver_domain ? CHANNELS_OF_BACKENDS : 0);

    if (!config->grant_frames)
        config->grant_frames = between((grants + GRANTS_PER_FRAME - 1) / GRANTS_PER_FRAME,
                                       FRAMES_LEAST, GRANT_FRAMES_MAX);
    if (!config->event_channels)
        config->event_channels = between(channels, CHANNELS_LEAST, EVENT_CHANNELS_MAX);
}
