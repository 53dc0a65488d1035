// SPDX-License-Identifier: Apache-2.0
//
// Lists of children and snapshots of them, against a plain array of what should be there.

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#define NAMES 300
#define SNAPSHOTS 20

struct picture {
    struct node *root;
    bool there[NAMES];
};

static struct permission_table table;
static struct permissions *list;

static struct component name_of(unsigned number, char *text)
{
    int length = snprintf(text, 16, "%s%u", number % 3 ? "" : "child-", number);

    return (struct component){text, (size_t)length};
}

static void check_picture(const struct picture *picture)
{
    struct children_place place = {&picture->root->children, 0, 0};
    const struct node *last = NULL;
    const struct node *child;
    unsigned count = 0;
    char text[16];

    for (unsigned i = 0; i < NAMES; i++) {
        struct node *found = node_child(picture->root, name_of(i, text));

        assert_int_equal(found != NULL, picture->there[i]);
        count += picture->there[i];
    }
    assert_int_equal(picture->root->children.count, count);
    while ((child = children_next(&place))) {
        if (last) {
            assert_true(last->name_length < child->name_length ||
                        (last->name_length == child->name_length &&
                         memcmp(last->data, child->data, child->name_length) < 0));
        }
        last = child;
        count--;
    }
    assert_int_equal(count, 0);
}

static void change(struct picture *picture, unsigned number)
{
    char text[16];
    struct component name = name_of(number, text);

    assert_non_null(node_own_path(&picture->root, "/", 0));
    if (picture->there[number]) {
        struct node *taken = node_take(picture->root, name);

        assert_int_equal(taken->name_length, name.length);
        node_put(&table, taken);
    } else {
        struct node *made = node_new(name, "value", 5, list);

        assert_int_equal(node_insert(picture->root, made), 0);
    }
    picture->there[number] = !picture->there[number];
}

static void snapshots_see_what_was(void **state)
{
    struct picture now = {0};
    struct picture old[SNAPSHOTS] = {0};
    struct permission entry = {0, 0};

    (void)state;
    srand(1);
    list = permissions_intern(&table, &entry, 1);
    now.root = node_new((struct component){"", 0}, NULL, 0, list);
    for (unsigned i = 0; i < 20000; i++) {
        /* More is added than taken in one half, and the other way round in the other. */
        unsigned number = (unsigned)rand() % NAMES;
        bool growing = i / 2000 % 2 == 0;

        if (now.there[number] != growing || rand() % 4 == 0) {
            change(&now, number);
        }
        if (i % 100 == 0) {
            struct picture *place = &old[(unsigned)rand() % SNAPSHOTS];

            if (place->root) {
                check_picture(place);
                node_put(&table, place->root);
            }
            *place = now;
            node_get(now.root);
            check_picture(&now);
        }
    }
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        if (old[i].root) {
            check_picture(&old[i]);
            node_put(&table, old[i].root);
        }
    }
    node_put(&table, now.root);
    permissions_put(&table, list);
    assert_int_equal(nodes_alive(), 0);
}

static void a_snapshot_costs_a_chunk(void **state)
{
    struct permission entry = {0, 0};
    struct picture now = {0};
    struct node *snapshot;
    size_t before;

    (void)state;
    list = permissions_intern(&table, &entry, 1);
    now.root = node_new((struct component){"", 0}, NULL, 0, list);
    for (unsigned i = 0; i < NAMES; i++) {
        change(&now, i);
    }
    snapshot = node_get(now.root);
    before = nodes_alive();
    change(&now, 7);
    assert_in_range(nodes_alive() - before, 1, 600);
    node_put(&table, snapshot);
    node_put(&table, now.root);
    permissions_put(&table, list);
    assert_int_equal(nodes_alive(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_see_what_was),
        cmocka_unit_test(a_snapshot_costs_a_chunk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
