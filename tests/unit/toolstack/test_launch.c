// SPDX-License-Identifier: Apache-2.0
//
// The launch configuration: what depends on what, defaults, and that every mistake is told with its
// line.
#include "check.h"

#include <stdio.h>
#include <toolstack/launch.h>
#include <unistd.h>

#define PATH FOLDER "/launch.conf"

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int write_domains(void **state)
{
    static const char common[] = "type='pvh'; kernel='/boot/vmlinuz'; memory=64\n";
    char text[512];

    (void)state;
    snprintf(text, sizeof(text), "%sname='net'; driver_domain=1", common);
    write_file(FOLDER "/net.cfg", text);
    snprintf(text, sizeof(text), "%sname='storage'; driver_domain=1; domid=9", common);
    write_file(FOLDER "/storage.cfg", text);
    snprintf(text, sizeof(text),
             "%sname='guest'; vif=[ 'backend=net' ]\n"
             "disk=[ 'vdev=xvda,backend=storage,target=/dev/vda' ]",
             common);
    write_file(FOLDER "/guest.cfg", text);
    write_file(FOLDER "/broken.cfg", "name='broken'\ntype='pvh'; memory=\n");
    return 0;
}

static struct error *read_launch(const char *text, struct launch *launch)
{
    write_file(PATH, text);
    return launch_read(PATH, launch);
}

#define DRIVERS                                                                                    \
    "net.config='" FOLDER "/net.cfg'\nstorage.config='" FOLDER "/storage.cfg'\n"                   \
    "guest.config='" FOLDER "/guest.cfg'\n"

static void orders_and_defaults(void **state)
{
    struct launch launch;

    (void)state;
    assert_works(read_launch("domains=['net','storage','guest']\n" DRIVERS
                             "net.devices=['class=network', '03:00.1']; net.heartbeat=5\n"
                             "storage.after=['net']; storage.restarts=2; storage.within=60\n"
                             "guest.after=['net']; guest.restart='never'",
                             &launch));
    assert_int_equal(launch.count, 3);
    const struct launch_domain *net = &launch.domains[0];
    const struct launch_domain *storage = &launch.domains[1];
    const struct launch_domain *guest = &launch.domains[2];

    assert_int_equal(net->restart, RESTART_ALWAYS);
    assert_int_equal(net->heartbeat, 5);
    assert_int_equal(net->device_count, 2);
    assert_string_equal(net->devices[0].class_name, "network");
    assert_int_equal(net->devices[0].class_code, 0x0200);
    assert_null(net->devices[1].class_name);
    assert_int_equal(net->devices[1].function.bus, 3);
    assert_int_equal(net->devices[1].function.function, 1);
    assert_int_equal(storage->heartbeat, 60);
    assert_int_equal(storage->restarts, 2);
    assert_int_equal(storage->config.domid, 9);
    assert_int_equal(storage->after_count, 1);
    assert_int_equal(guest->restart, RESTART_NEVER);
    assert_int_equal(guest->heartbeat, 0);
    // net is named twice and counts once; storage is its disk's backend.
    assert_int_equal(guest->after_count, 2);
    assert_int_equal(guest->after[0], 0);
    assert_int_equal(guest->after[1], 1);
    launch_free(&launch);
}

static void refuses_mistakes(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"domains=['net'\nnet.config='x'", ":2:1: "},
        {"# nothing", "domains is not set"},
        {"domains='net'", ":1:9: domains must be a list"},
        {"domains=['a b']", ":1:10: \"a b\" is no name"},
        {"domains=['net',\n'net']", ":2:1: net is listed twice"},
        {"domains=['net']", "cannot read the configuration /etc/xen/net.cfg"},
        {"domains=['broken']\nbroken.config='" FOLDER "/broken.cfg'", "broken.cfg:2:20: "},
        {"domains=['net']\nnet.config='" FOLDER "/storage.cfg'",
         ":2:12: " FOLDER "/storage.cfg is the configuration of a domain called storage"},
        {"domains=['net']\n" DRIVERS, ":3:1: there is no setting storage.config"},
        {"domains=['net','storage','guest']\n" DRIVERS "net.hearbeat=3",
         ":5:1: there is no setting net.hearbeat"},
        {"domains=['net','storage','guest']\n" DRIVERS "guest.heartbeat=3", "only a driver domain"},
        {"domains=['net','storage','guest']\n" DRIVERS "net.restarts=-3", ":5:14: "},
        {"domains=['net','storage','guest']\n" DRIVERS "net.restart='sometimes'",
         ":5:13: restart is"},
        {"domains=['net','storage','guest']\n" DRIVERS "net.devices=['class=disk']",
         ":5:14: \"class=disk\" is no device"},
        {"domains=['net','storage','guest']\n" DRIVERS "net.after=['gust']",
         ":5:12: there is no domain gust"},
        {"domains=['net','storage','guest']\n" DRIVERS "net.after=['storage']",
         ":5:12: storage must come before net"},
        {"domains=['guest','net','storage']\n" DRIVERS, "must come before guest"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct launch launch;
        struct error *error = read_launch(cases[i].text, &launch);

        assert_non_null(error);
        if (!strstr(error->message, cases[i].message))
            fail_msg("%s: %s", cases[i].text, error->message);
        error_free(error);
        launch_free(&launch);
    }
}

// The one that administrators begin with names nothing that does not exist.
static void the_example_is_understood(void **state)
{
    struct launch launch;

    (void)state;
    struct error *error = launch_read(EXAMPLE, &launch);

    assert_non_null(error);
    assert_non_null(strstr(error->message, "/etc/xen/storage.cfg"));
    error_free(error);
    launch_free(&launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_and_defaults),
        cmocka_unit_test(refuses_mistakes),
        cmocka_unit_test(the_example_is_understood),
    };

    return cmocka_run_group_tests_name("launch", tests, write_domains, NULL);
}
