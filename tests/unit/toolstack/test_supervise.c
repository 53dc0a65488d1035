// SPDX-License-Identifier: Apache-2.0
//
// The supervisor on stand-ins for the hypervisor and xenstored: the order of the start, what
// follows a death by each policy, hanging, and the end of patience. Workers do their work at once,
// in this process; driver domains are ready when the test writes their heartbeat.
#include "check.h"
#include "fake/fake.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <toolstack/create.h>
#include <toolstack/device.h>
#include <unistd.h>

#include "bulkheadd/bulkheadd.h"

#define KERNEL_PATH FOLDER "/launched-kernel"

static struct supervisor supervisor;
static struct error *worker_error;
static bool building_fails;

struct error *worker_start(struct supervised *domain, bool build)
{
    struct domain_config config = domain->launch->config;

    domain->worker = eventfd(1, 0);
    if (domain->domid)
        error_ignore(domain_destroy(&supervisor.toolstack, domain->domid));
    if (!build)
        return NULL;
    if (domain->domid)
        config.domid = domain->domid;
    worker_error = building_fails ? error_new(ERROR_HOST_MEMORY, "no memory")
                                  : domain_create(&supervisor.toolstack, &config, &domain->domid);
    return NULL;
}

bool worker_result(struct supervised *domain, unsigned int *domid, char **message)
{
    close(domain->worker);
    *domid = domain->domid;
    *message = worker_error ? strdup(worker_error->message) : NULL;
    error_free(worker_error);
    worker_error = NULL;
    return !*message;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, size, 1, file), 1);
    fclose(file);
}

static void write_domain(const char *name, const char *settings)
{
    char path[256];
    char text[512];

    snprintf(path, sizeof(path), FOLDER "/launched-%s.cfg", name);
    snprintf(text, sizeof(text), "type='pvh'; name='%s'; kernel='" KERNEL_PATH "'; memory=4\n%s\n",
             name, settings);
    write_file(path, text, strlen(text));
}

// What is due is done: workers that have ended are taken note of.
static void look(void)
{
    supervise_look(&supervisor);
    assert_works(loop_wait(&supervisor.loop, 0));
    supervise_look(&supervisor);
}

static int begin(void **state)
{
    static const char launch[] =
        "domains = [ 'net', 'guest' ]\n"
        "net.config = '" FOLDER "/launched-net.cfg'; net.restarts = 2; net.heartbeat = 5\n"
        "guest.config = '" FOLDER "/launched-guest.cfg'; guest.after = [ 'net' ]\n";

    (void)state;
    fake_write_kernel(KERNEL_PATH);
    write_domain("net", "driver_domain=1; domid=5");
    write_domain("guest", "");
    write_file(FOLDER "/launched.conf", launch, strlen(launch));
    fake_reset();
    building_fails = false;
    supervisor = (struct supervisor){.count = 0};
    assert_works(launch_read(FOLDER "/launched.conf", &supervisor.launch));
    assert_works(toolstack_open(&supervisor.toolstack));
    assert_works(supervise_begin(&supervisor));
    look();
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < supervisor.count; i++)
        if (supervisor.domains[i].domid)
            error_ignore(domain_destroy(&supervisor.toolstack, supervisor.domains[i].domid));
    supervise_end(&supervisor);
    loop_free(&supervisor.loop);
    launch_free(&supervisor.launch);
    toolstack_close(&supervisor.toolstack);
    return 0;
}

static void assert_phase(size_t index, enum phase phase)
{
    char path[64];

    assert_string_equal(phase_word(supervisor.domains[index].phase), phase_word(phase));
    snprintf(path, sizeof(path), STATUS_PATH "/%zu/phase", index);
    assert_string_equal(fake_value(path), phase_word(phase));
}

static void net_beats(const char *count)
{
    fake_store_set("/local/domain/5/data/devd", count);
    look();
}

static void begins_in_order(void **state)
{
    (void)state;
    assert_phase(0, PHASE_BOOTING);
    assert_phase(1, PHASE_WAITING);
    assert_int_equal(fake_domains(), 1);
    net_beats("1");
    assert_phase(0, PHASE_READY);
    look();
    assert_phase(1, PHASE_READY);
    assert_int_equal(fake_domains(), 2);
    assert_string_equal(fake_value(STATUS_PATH "/0/domid"), "5");
    assert_string_equal(fake_value(STATUS_PATH "/0/restarts"), "0");
}

#define CLIENT_FRONTEND "/local/domain/1/device/vif/0"
#define CLIENT_BACKEND "/local/domain/5/backend/vif/1/0"

static void connect_client(void)
{
    fake_store_set("/libxl/1/device/vif/0/frontend", CLIENT_FRONTEND);
    fake_store_set("/libxl/1/device/vif/0/backend", CLIENT_BACKEND);
    fake_store_set("/libxl/1/device/vif/0/state", "1");
    fake_store_set(CLIENT_FRONTEND "/state", "4");
    fake_store_set(CLIENT_BACKEND "/state", "4");
}

static void a_driver_domain_comes_back(void **state)
{
    (void)state;
    net_beats("1");
    look();
    assert_int_equal(supervisor.domains[1].domid, 1);
    connect_client();
    assert_works(domain_destroy_only(&supervisor.toolstack, 5));
    fake_store_set("/local/domain/5/data/devd", "0");
    look();
    look();
    assert_phase(0, PHASE_BOOTING);
    assert_int_equal(supervisor.domains[0].domid, 5);
    assert_string_equal(fake_value(CLIENT_BACKEND "/state"), "1");
    net_beats("1");
    assert_phase(0, PHASE_HEALING);
    fake_store_set(CLIENT_BACKEND "/state", "4");
    look();
    assert_phase(0, PHASE_READY);
    assert_true(supervisor.domains[0].outage >= 0);
    assert_string_equal(fake_value(STATUS_PATH "/0/restarts"), "1");
    assert_string_equal(fake_value(STATUS_PATH "/0/reason"), "it was destroyed");
    assert_string_equal(fake_value(CLIENT_FRONTEND "/state"), "4");
    assert_phase(1, PHASE_READY);
}

static void silence_is_an_end(void **state)
{
    (void)state;
    net_beats("1");
    supervisor.domains[0].beat_at -= 4000;
    look();
    assert_phase(0, PHASE_READY);
    net_beats("2");
    supervisor.domains[0].beat_at -= 4000;
    look();
    assert_phase(0, PHASE_READY);
    supervisor.domains[0].beat_at -= 2000;
    look();
    look();
    assert_phase(0, PHASE_BOOTING);
    assert_string_equal(fake_value(STATUS_PATH "/0/reason"), "it was silent for more than 5 s");
    assert_int_equal(fake_domains(), 2);
}

static void patience_ends(void **state)
{
    (void)state;
    for (unsigned int death = 0; death < 3; death++) {
        net_beats("1");
        assert_works(domain_destroy_only(&supervisor.toolstack, 5));
        look();
        supervisor.domains[0].retry_at = 0;
        look();
    }
    assert_phase(0, PHASE_FAILED);
    assert_string_equal(fake_value(STATUS_PATH "/0/reason"),
                        "restarted 2 times within 600 s, the last time because it was destroyed");
    // Old restarts are forgotten.
    assert_int_equal(supervisor.domains[0].recent_count, 2);
}

static void restarts_become_slower(void **state)
{
    (void)state;
    net_beats("1");
    assert_works(domain_destroy_only(&supervisor.toolstack, 5));
    look();
    supervisor.launch.domains[0].restarts = 100;
    building_fails = true;
    assert_works(domain_destroy_only(&supervisor.toolstack, 5));
    look();
    assert_phase(0, PHASE_PAUSING);
    assert_in_range(supervisor.domains[0].retry_at - loop_now(), 500, 1000);
    supervisor.domains[0].retry_at = 0;
    look();
    assert_phase(0, PHASE_PAUSING);
    assert_in_range(supervisor.domains[0].retry_at - loop_now(), 1500, 2000);
    assert_string_equal(supervisor.domains[0].reason, "it could not be built: no memory");
}

static void a_guest_that_was_destroyed_stays_so(void **state)
{
    (void)state;
    net_beats("1");
    look();
    assert_works(domain_destroy(&supervisor.toolstack, supervisor.domains[1].domid));
    look();
    assert_phase(1, PHASE_STOPPED);
    assert_int_equal(fake_domains(), 1);
}

static void what_runs_is_adopted(void **state)
{
    (void)state;
    net_beats("1");
    look();
    supervise_end(&supervisor);
    assert_works(supervise_begin(&supervisor));
    look();
    assert_phase(0, PHASE_READY);
    assert_phase(1, PHASE_READY);
    assert_int_equal(supervisor.domains[0].domid, 5);
    assert_int_equal(fake_domains(), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(begins_in_order),        TEST(a_driver_domain_comes_back),
        TEST(silence_is_an_end),      TEST(patience_ends),
        TEST(restarts_become_slower), TEST(a_guest_that_was_destroyed_stays_so),
        TEST(what_runs_is_adopted),
    };

    return cmocka_run_group_tests_name("supervise", tests, NULL, NULL);
}
