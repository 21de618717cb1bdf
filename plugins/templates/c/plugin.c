// Requests with the header `x-canary: always` go to one region first.
// Configuration: { "region": "eastus2" }.
#include "portolan.h"

enum { CANARY = 1 };        // the first of `reasons`
enum { REGION_MISSING = 0 }; // the first of `counters`

static char region[64]; // as configured
static size_t region_len;
static int position = -1; // among the regions of the service

const char *configure(text_t config, setup_t *setup) {
    static const text_t fields[] = { TEXT("x-canary") }, reasons[] = { TEXT("canary") }, counters[] = { TEXT("region-missing") };
    text_t name = json_text(config, "region");
    if (!name.ptr || name.len == 0 || name.len > sizeof region) return "region is missing: the region of the canary";
    for (size_t i = 0; i < name.len; i++) region[i] = name.ptr[i];
    region_len = name.len;
    setup->needs = INPUT_FIELDS;
    // The answer depends on the header alone, so that the proxy may cache it.
    setup->vary.some = true;
    setup->vary.inputs = INPUT_FIELDS;
    setup->fields = TEXTS(fields);
    setup->reasons = TEXTS(reasons);
    setup->counters = TEXTS(counters);
    return NULL;
}

void update(const snapshot_t *snapshot) {
    position = -1;
    for (size_t i = 0; i < snapshot->count; i++)
        if (equal(snapshot->regions[i].name, (text_t){ region, region_len })) position = (int)i;
}

void route(const request_t *request, decision_t *decision) {
    static uint8_t first;
    if (!equal(field(request, 0), TEXT("always"))) return;
    if (position < 0) host_count(REGION_MISSING, 1);
    for (size_t i = 0; i < request->eligible.len; i++) {
        if (request->eligible.ptr[i] != position) continue;
        first = (uint8_t)position;
        decision->order.ptr = &first;
        decision->order.len = 1;
        decision->reason = CANARY;
    }
}
