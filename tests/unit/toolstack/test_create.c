// SPDX-License-Identifier: Apache-2.0
//
// Creating and destroying domains on stand-ins for the hypervisor and for xenstored: what the guest
// finds in its memory, what is written for it, and that nothing is left whichever call fails.
#include "check.h"
#include "fake/fake.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/file.h>
#include <toolstack/create.h>
#include <toolstack/device.h>
#include <toolstack/guest_image.h>
#include <unistd.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/grant_table.h>

#define KERNEL_PATH FOLDER "/kernel"

static const char configuration[] =
    "type='pvh'; name='guest'; kernel='" KERNEL_PATH "'; ramdisk='" KERNEL_PATH "'; memory=4\n"
    "cmdline='console=hvc0'; vcpus=2; maxvcpus=3\n"
    "disk=[ 'vdev=xvda,script=/bin/true,target=/dev/null' ]\n"
    "vif=[ 'script=/bin/true,mac=00:16:3e:00:00:01' ]\n";

static void read_configuration(struct domain_config *domain)
{
    struct config config = {0};

    fake_write_kernel(KERNEL_PATH);
    assert_works(config_add_text(&config, "test", configuration, sizeof(configuration) - 1));
    assert_works(domain_config_read(&config, domain));
    config_free(&config);
}

// Marks of unfinished creations and kept configurations.
static size_t left_files(void)
{
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(folder)) != NULL)
        count +=
            !strncmp(entry->d_name, "unfinished-", 11) || !strncmp(entry->d_name, "domain-", 7);
    closedir(folder);
    return count;
}

static void assert_nothing_left(size_t nodes)
{
    assert_int_equal(fake_domains(), 0);
    assert_int_equal(fake_mappings(), 0);
    assert_int_equal(fake_watches(), 0);
    assert_int_equal(left_files(), 0);
    // The folders of device types stay, as other toolstacks leave them:
    // /local/domain/0/backend/vbd.
    assert_in_range(fake_nodes(), nodes, nodes + 3);
    assert_null(fake_value("/local/domain/1"));
    assert_null(fake_value("/libxl/1"));
    assert_null(fake_value("/local/domain/0/backend/vbd/1"));
}

static void makes_a_complete_domain(void **state)
{
    struct domain_config config;
    struct toolstack toolstack = {0};
    unsigned int domid;

    (void)state;
    fake_reset();
    size_t nodes = fake_nodes();

    read_configuration(&config);
    assert_works(domain_create(&toolstack, &config, &domid));
    assert_int_equal(domid, 1);
    assert_memory_equal(fake_page(1, FAKE_LOAD_ADDRESS >> 12), "this is the code\0\0", 18);
    const unsigned char *page = fake_page(1, (FAKE_LOAD_ADDRESS >> 12) + 1);

    // What a kernel has beyond its file is zero.
    assert_int_equal(page[0] | page[500] | page[903], 0);
    // Kernel, ramdisk, start information, a page each but the kernel's two.
    const struct hvm_start_info *info = (const void *)fake_page(1, (FAKE_LOAD_ADDRESS >> 12) + 3);

    assert_int_equal(info->magic, XEN_HVM_START_MAGIC_VALUE);
    assert_memory_equal(fake_page(1, ACPI_ADDRESS >> 12), "RSD PTR ", 8);
    assert_non_null(fake_page(1, STORE_FRAME));
    assert_null(fake_page(1, 1024));
    assert_string_equal(fake_value("/local/domain/1/name"), "guest");
    assert_string_equal(fake_value("/local/domain/1/cpu/1/availability"), "online");
    assert_string_equal(fake_value("/local/domain/1/cpu/2/availability"), "offline");
    assert_string_equal(fake_value("/local/domain/1/memory/target"), "4096");
    assert_string_equal(fake_value("/local/domain/1/console/ring-ref"), "1044479");
    assert_string_equal(fake_value("/local/domain/1/store/port"), "7");
    assert_string_equal(fake_value("/local/domain/1/device/vif/0/mac"), "00:16:3e:00:00:01");
    assert_string_equal(fake_value("/local/domain/0/backend/vbd/1/51712/params"), "/dev/null");
    assert_string_equal(fake_value("/local/domain/0/backend/vbd/1/51712/state"), "2");
    assert_int_equal(left_files(), 1);
    assert_works(domain_destroy(&toolstack, domid));
    assert_nothing_left(nodes);
    domain_config_free(&config);
    toolstack_close(&toolstack);
    assert_int_equal(fake_buffers(), 0);
}

// Each call in turn fails; the creation must fail with it or succeed in spite of it.
static void leaves_nothing_whatever_fails(void **state)
{
    unsigned int failures = 0;
    bool reached = true;

    (void)state;
    for (unsigned int call = 1; reached; call++) {
        struct domain_config config;
        struct toolstack toolstack = {0};
        unsigned int domid;

        fake_reset();
        size_t nodes = fake_nodes();

        read_configuration(&config);
        fake_fail_at(call);
        struct error *error = domain_create(&toolstack, &config, &domid);

        reached = fake_has_failed();
        fake_fail_at(0);
        if (error) {
            failures++;
            error_free(error);
        } else {
            assert_works(domain_destroy(&toolstack, domid));
        }
        assert_nothing_left(nodes);
        domain_config_free(&config);
        toolstack_close(&toolstack);
        assert_int_equal(fake_buffers(), 0);
    }
    assert_true(failures > 50);
}

// Somebody destroys the domain before any of the calls that make it.
static void destroyed_while_it_starts(void **state)
{
    bool fails = true;
    bool has_failed = false;

    (void)state;
    for (unsigned int call = 1; fails || !has_failed; call++) {
        struct domain_config config;
        struct toolstack toolstack = {0};
        unsigned int domid;

        fake_reset();
        size_t nodes = fake_nodes();

        read_configuration(&config);
        fake_vanish_at(call);
        struct error *error = domain_create(&toolstack, &config, &domid);

        fails = error != NULL;
        has_failed |= fails;
        fake_vanish_at(0);
        if (!fails)
            error_ignore(domain_clear_away(&toolstack, domid, config.uuid));
        error_free(error);
        assert_nothing_left(nodes);
        domain_config_free(&config);
        toolstack_close(&toolstack);
    }
}

static void refuses_a_name_that_is_taken(void **state)
{
    struct domain_config config;
    struct toolstack toolstack = {0};
    unsigned int domid;
    unsigned int other;

    (void)state;
    fake_reset();
    read_configuration(&config);
    assert_works(domain_create(&toolstack, &config, &domid));
    assert_fails(domain_create(&toolstack, &config, &other), ERROR_NAME_TAKEN,
                 "domain 1 is already called guest");
    assert_int_equal(fake_domains(), 1);
    assert_string_equal(fake_value("/local/domain/1/name"), "guest");
    assert_works(domain_destroy(&toolstack, domid));
    domain_config_free(&config);
    toolstack_close(&toolstack);
}

// A mark that nobody has locked is of a program that was killed; its domain is destroyed.
static void clears_away_what_was_abandoned(void **state)
{
    struct domain_config config;
    struct domain_config second;
    struct toolstack toolstack = {0};
    char uuid[UUID_TEXT_SIZE];
    char path[256];
    unsigned int domid;
    unsigned int other;

    (void)state;
    fake_reset();
    read_configuration(&config);
    read_configuration(&second);
    assert_works(domain_create(&toolstack, &config, &domid));
    uuid_format(config.uuid, uuid);
    snprintf(path, sizeof(path), FOLDER "/unfinished-%s", uuid);
    int mark = open(path, O_CREAT | O_RDWR, 0600);

    // While it is locked, somebody is at work on the domain.
    assert_int_equal(flock(mark, LOCK_EX), 0);
    assert_fails(domain_create(&toolstack, &second, &other), ERROR_NAME_TAKEN, "guest");
    close(mark);
    assert_works(domain_create(&toolstack, &second, &other));
    assert_int_equal(fake_domains(), 1);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_works(domain_destroy(&toolstack, other));
    domain_config_free(&config);
    domain_config_free(&second);
    toolstack_close(&toolstack);
}

// Whoever ended a domain was killed when the hypervisor had forgotten it and xenstore had not.
static void clears_away_half_an_end(void **state)
{
    struct domain_config config;
    struct domain_config second;
    struct toolstack toolstack = {0};
    char uuid[UUID_TEXT_SIZE];
    char path[256];
    unsigned int domid;

    (void)state;
    fake_reset();
    size_t nodes = fake_nodes();

    read_configuration(&config);
    read_configuration(&second);
    assert_works(domain_create(&toolstack, &config, &domid));
    assert_works(domain_destroy_only(&toolstack, domid));
    uuid_format(config.uuid, uuid);
    snprintf(path, sizeof(path), FOLDER "/unfinished-%s", uuid);
    FILE *mark = fopen(path, "w");

    fprintf(mark, "%u\n", domid);
    fclose(mark);
    // The stand-in would use the number again, which a hypervisor does not.
    second.domid = domid + 1;
    assert_works(domain_create(&toolstack, &second, &domid));
    assert_null(fake_value("/local/domain/1"));
    assert_null(fake_value("/local/domain/0/backend/vbd/1"));
    assert_works(domain_destroy(&toolstack, domid));
    assert_nothing_left(nodes);
    domain_config_free(&config);
    domain_config_free(&second);
    toolstack_close(&toolstack);
}

static void a_failing_script_ends_the_creation(void **state)
{
    struct domain_config config;
    struct toolstack toolstack = {0};
    unsigned int domid;

    (void)state;
    fake_reset();
    size_t nodes = fake_nodes();

    read_configuration(&config);
    free(config.nics[0].script);
    config.nics[0].script = strdup("/bin/false");
    struct error *error = domain_create(&toolstack, &config, &domid);

    assert_non_null(error);
    assert_string_equal(error->device, "network interface 0");
    assert_string_equal(error->domain, "guest");
    assert_fails(error, ERROR_HOTPLUG, "/bin/false failed");
    assert_nothing_left(nodes);
    domain_config_free(&config);
    toolstack_close(&toolstack);
}

static void a_backend_that_is_not_there_is_named(void **state)
{
    struct domain_config config;
    struct toolstack toolstack = {0};
    unsigned int domid;

    (void)state;
    fake_reset();
    size_t nodes = fake_nodes();

    read_configuration(&config);
    config.disks[0].backend = strdup("storage");
    assert_fails(domain_create(&toolstack, &config, &domid), ERROR_BACKEND,
                 "there is no domain storage to serve it");
    assert_nothing_left(nodes);
    domain_config_free(&config);
    toolstack_close(&toolstack);
}

static void read_driver_domain(struct domain_config *domain, const char *name)
{
    struct config config = {0};
    char text[256];

    fake_write_kernel(KERNEL_PATH);
    snprintf(text, sizeof(text),
             "type='pvh'; name='%s'; kernel='" KERNEL_PATH "'; memory=4; domid=3", name);
    assert_works(config_add_text(&config, "test", text, strlen(text)));
    assert_works(domain_config_read(&config, domain));
    config_free(&config);
}

static void a_domain_gets_the_id_it_asks_for(void **state)
{
    struct domain_config config;
    struct domain_config second;
    struct toolstack toolstack = {0};
    unsigned int domid;

    (void)state;
    fake_reset();
    read_driver_domain(&config, "storage");
    read_driver_domain(&second, "other");
    // Its predecessor goes while it is waited for.
    fake_dying_domain(3, 2);
    assert_works(domain_create(&toolstack, &config, &domid));
    assert_int_equal(domid, 3);
    assert_fails(domain_create(&toolstack, &second, &domid), ERROR_NAME_TAKEN,
                 "domain id 3 is in use");
    assert_string_equal(fake_value("/local/domain/3/name"), "storage");
    assert_works(domain_destroy(&toolstack, 3));
    domain_config_free(&config);
    domain_config_free(&second);
    toolstack_close(&toolstack);
}

#define FRONTEND "/local/domain/1/device/vbd/51712"
#define BACKEND "/local/domain/3/backend/vbd/1/51712"
#define RECORD "/libxl/1/device/vbd/51712"

static void a_successor_serves_the_same_clients(void **state)
{
    struct domain_config config;
    struct domain_config guest;
    struct toolstack toolstack = {0};
    unsigned int domid;

    (void)state;
    fake_reset();
    read_configuration(&guest);
    guest.disk_count = 0; // the other interface stays as it is
    assert_works(domain_create(&toolstack, &guest, &domid));
    assert_int_equal(domid, 1);
    fake_store_set("/local/domain/0/backend/vif/1/0/state", "4");
    fake_store_set(RECORD "/frontend", FRONTEND);
    fake_store_set(RECORD "/backend", BACKEND);
    fake_store_set(RECORD "/params", "/dev/vda");
    fake_store_set(RECORD "/state", "1");
    fake_store_set(FRONTEND "/state", "4");
    fake_store_set(FRONTEND "/queue-0/ring-ref", "8");
    read_driver_domain(&config, "storage");
    assert_works(domain_create(&toolstack, &config, &domid));
    assert_string_equal(fake_value(BACKEND "/params"), "/dev/vda");
    assert_string_equal(fake_value(BACKEND "/frontend"), FRONTEND);
    assert_string_equal(fake_value(BACKEND "/state"), "1");
    assert_null(fake_value(BACKEND "/backend"));
    assert_int_equal(fake_reader(BACKEND), 1);
    assert_string_equal(fake_value(FRONTEND "/state"), "4");
    assert_int_equal(fake_reader(FRONTEND "/state"), 3);
    assert_int_equal(fake_reader(FRONTEND "/queue-0/ring-ref"), 3);
    assert_string_equal(fake_value("/local/domain/0/backend/vif/1/0/state"), "4");
    // Its end takes nothing of the client's but what it served.
    assert_works(domain_destroy(&toolstack, 3));
    assert_null(fake_value(BACKEND));
    assert_string_equal(fake_value(RECORD "/backend"), BACKEND);
    assert_string_equal(fake_value(FRONTEND "/state"), "4");
    guest.disk_count = 1;
    domain_config_free(&config);
    domain_config_free(&guest);
    toolstack_close(&toolstack);
}

// Bytes that are allocated now.
static size_t allocated(void)
{
#ifdef __SANITIZE_ADDRESS__
    size_t __sanitizer_get_current_allocated_bytes(void);

    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}

static size_t open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

// One program that makes and ends domains for ever, as the one that restarts a guest does.
static void does_not_grow(void **state)
{
    unsigned int lives = getenv("LIVES") ? (unsigned int)atoi(getenv("LIVES")) : 1000;
    struct domain_config config;
    struct toolstack toolstack = {0};
    size_t bytes = 0;
    size_t files = 0;
    unsigned int domid;

    (void)state;
    fake_reset();
    size_t left = left_files();

    read_configuration(&config);
    for (unsigned int life = 0; life < lives; life++) {
        assert_works(domain_create(&toolstack, &config, &domid));
        assert_works(domain_destroy(&toolstack, domid));
        // By then every buffer that grows has its size.
        if (life == 9) {
            bytes = allocated();
            files = open_files();
        }
    }
    assert_int_equal(allocated(), bytes);
    assert_int_equal(open_files(), files);
    assert_int_equal(left_files(), left);
    domain_config_free(&config);
    toolstack_close(&toolstack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_a_complete_domain),
        cmocka_unit_test(leaves_nothing_whatever_fails),
        cmocka_unit_test(destroyed_while_it_starts),
        cmocka_unit_test(refuses_a_name_that_is_taken),
        cmocka_unit_test(clears_away_what_was_abandoned),
        cmocka_unit_test(clears_away_half_an_end),
        cmocka_unit_test(a_failing_script_ends_the_creation),
        cmocka_unit_test(a_backend_that_is_not_there_is_named),
        cmocka_unit_test(a_domain_gets_the_id_it_asks_for),
        cmocka_unit_test(a_successor_serves_the_same_clients),
        cmocka_unit_test(does_not_grow),
    };

    return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
