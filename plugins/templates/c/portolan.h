// The contract portolan:routing@0.2.0 (wit/v0.2/routing.wit) in C. What the host hands over is valid until the function
// returns: copy what is kept. Not to be changed.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { const char *ptr; size_t len; } text_t;
typedef struct { const text_t *ptr; size_t len; } texts_t;
typedef struct { bool some; float latitude, longitude; } point_t;
typedef struct { bool some; uint32_t value; } optional_u32_t;
typedef struct { bool some; float value; } optional_f32_t;

enum { INPUT_FIELDS = 1, INPUT_METHOD = 2, INPUT_COUNTRY = 4, INPUT_LOCATION = 8, INPUT_ASN = 16, INPUT_NET = 32,
       INPUT_MINUTE = 64, INPUT_ROUND_TRIPS = 128, INPUT_LOAD = 256 };
enum { HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_WARMING, HEALTH_UNHEALTHY, HEALTH_DRAINING };
enum { AFFINITY_CONFIGURED, AFFINITY_OFF, AFFINITY_ON };
enum { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

typedef struct {
    uint16_t needs;
    texts_t fields;
    struct { bool some; uint16_t inputs; } vary;
    texts_t reasons, counters, request_headers;
} setup_t;

typedef struct {
    text_t name;
    uint16_t country;
    uint8_t health;
    point_t location;
    optional_u32_t round_trip_us;
    uint32_t share_permille;
    optional_u32_t max_requests;
    uint32_t priority, weight;
    optional_f32_t cost;
    texts_t tags;
} region_t;

typedef struct { uint64_t generation; text_t service; const region_t *regions; size_t count; } snapshot_t;
typedef struct { uint32_t round_trip_us, in_flight; } estimate_t;

typedef struct {
    uint8_t method;
    text_t fields;
    struct { const uint8_t *ptr; size_t len; } eligible;
    const estimate_t *estimates; // one for each of `eligible`; NULL unless asked for
    uint16_t country;
    point_t location;
    uint32_t asn;
    uint64_t net;
    uint32_t minute, roll;
} request_t;

typedef struct { uint8_t header; text_t value; } header_t;

typedef struct {
    struct { const uint8_t *ptr; size_t len; } order;
    bool only;
    struct { bool some; uint16_t status; } reject;
    uint8_t affinity;
    struct { const header_t *ptr; size_t len; } headers;
    uint16_t reason;
} decision_t;

// What the plugin defines. `configure` returns NULL, or what is wrong with the configuration.
const char *configure(text_t config, setup_t *setup);
void update(const snapshot_t *snapshot);
void route(const request_t *request, decision_t *decision); // the decision is no opinion until it is filled in

// What the host offers.
void host_log(uint32_t level, text_t line);
bool host_header(text_t name, text_t *value); // a request header that `setup.fields` does not name
void host_count(uint32_t counter, uint32_t delta);

#define TEXT(literal) ((text_t){ literal, sizeof(literal) - 1 })
#define TEXTS(array) ((texts_t){ array, sizeof(array) / sizeof *(array) })

bool equal(text_t a, text_t b);
text_t field(const request_t *request, unsigned position); // by its position in `setup.fields`
// The value of a key in a flat JSON object of texts without escapes; ptr is NULL when there is none.
text_t json_text(text_t object, const char *key);
