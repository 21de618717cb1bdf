// The contract portolan:routing@0.2.0 (wit/v0.2/routing.wit) in AssemblyScript: types, and what the host offers.
// Not to be changed.

export const INPUT_FIELDS: i32 = 1;
export const INPUT_METHOD: i32 = 1 << 1;
export const INPUT_COUNTRY: i32 = 1 << 2;
export const INPUT_LOCATION: i32 = 1 << 3;
export const INPUT_ASN: i32 = 1 << 4;
export const INPUT_NET: i32 = 1 << 5;
export const INPUT_MINUTE: i32 = 1 << 6;
export const INPUT_ROUND_TRIPS: i32 = 1 << 7;
export const INPUT_LOAD: i32 = 1 << 8;

export const enum Health { unknown, healthy, warming, unhealthy, draining }
export const enum Affinity { configured, off, on }
export const enum Level { trace, debug, info, warn, error }

export class Setup {
  needs: i32 = 0;
  fields: string[] = [];
  /** The inputs that the answer depends on; -1: it may not be cached. */
  vary: i32 = -1;
  reasons: string[] = [];
  counters: string[] = [];
  requestHeaders: string[] = [];
}

export class Region {
  name: string = "";
  country: u16 = 0;
  health: Health = Health.unknown;
  /** NaN where it is not known; the longitude is then NaN too. */
  latitude: f32 = NaN;
  longitude: f32 = NaN;
  /** 0 is unknown. */
  roundTripUs: u32 = 0;
  sharePermille: u32 = 0;
  /** 0 is no limit. */
  maxRequests: u32 = 0;
  priority: u32 = 0;
  weight: u32 = 0;
  /** NaN where none is configured. */
  cost: f32 = NaN;
  tags: string[] = [];
}

export class Request {
  method: u32 = 0;
  fields: string = "";
  /** Addresses and lengths in the host's block, valid until the call ends. */
  eligiblePtr: usize = 0;
  eligibleCount: i32 = 0;
  estimatesPtr: usize = 0;
  country: u16 = 0;
  latitude: f32 = NaN;
  longitude: f32 = NaN;
  asn: u32 = 0;
  net: u64 = 0;
  minute: u32 = 0;
  roll: u32 = 0;

  /** The value of a field by its position in `setup.fields`; empty when it is missing. */
  field(position: i32): string {
    let start = 0;
    for (; position > 0; position--) {
      const end = this.fields.indexOf("\n", start);
      if (end < 0) return "";
      start = end + 1;
    }
    const end = this.fields.indexOf("\n", start);
    return this.fields.substring(start, end < 0 ? this.fields.length : end);
  }
  /** The region at a position of the host's order. */
  eligible(position: i32): u8 { return load<u8>(this.eligiblePtr + position); }
  isEligible(region: u8): bool {
    for (let i = 0; i < this.eligibleCount; i++) if (this.eligible(i) == region) return true;
    return false;
  }
  /** The estimated round trip to the region at a position of the host's order, in microseconds; 0 is unknown. */
  roundTripUs(position: i32): u32 { return this.estimatesPtr ? load<u32>(this.estimatesPtr + position * 8) : 0; }
  /** The requests that the region at a position of the host's order is working on. */
  inFlight(position: i32): u32 { return this.estimatesPtr ? load<u32>(this.estimatesPtr + position * 8, 4) : 0; }
}

/** The answer: no opinion until it is filled in. */
export class Decision {
  order: u8[] = [];
  only: bool = false;
  /** A status; 0: the request is not rejected. */
  reject: u16 = 0;
  affinity: Affinity = Affinity.configured;
  /** Positions in `setup.requestHeaders`, and their values. */
  headers: u8[] = [];
  headerValues: string[] = [];
  reason: u16 = 0;
}

@external("portolan:routing/host@0.2.0", "log")
declare function hostLog(level: u32, ptr: usize, length: u32): void;
@external("portolan:routing/host@0.2.0", "count")
declare function hostCount(counter: u32, delta: u32): void;
@external("portolan:routing/host@0.2.0", "header")
declare function hostHeader(ptr: usize, length: u32, result: usize): void;

/** Writes a line to the proxy's log. */
export function log(level: Level, line: string): void {
  hostLog(level, changetype<usize>(line), line.length);
}
/** Adds to a counter by its position in `setup.counters`. */
export function count(counter: u32, delta: u32): void { hostCount(counter, delta); }
/** A request header that `setup.fields` does not name; null when it is missing. */
export function header(name: string): string | null {
  hostHeader(changetype<usize>(name), name.length, changetype<usize>(headerResult));
  if (!load<u8>(changetype<usize>(headerResult))) return null;
  return take(headerResult[1], headerResult[2]);
}
/** The value of a key in a flat JSON object of texts without escapes; empty when there is none. */
export function jsonText(object: string, key: string): string {
  const at = object.indexOf('"' + key + '"');
  if (at < 0) return "";
  const colon = object.indexOf(":", at + key.length + 2);
  const start = object.indexOf('"', colon) + 1;
  const end = object.indexOf('"', start);
  if (colon < 0 || start == 0 || end < 0) return "";
  const value = object.substring(start, end);
  return value.includes("\\") ? "" : value;
}

const headerResult = new StaticArray<u32>(3);

// Texts travel as UTF-16, AssemblyScript's own form; lengths are code units.
export function take(ptr: usize, length: u32): string {
  const text = String.UTF16.decodeUnsafe(ptr, length << 1);
  drop(ptr, length);
  return text;
}
export function drop(ptr: usize, length: u32): void { if (length) heap.free(ptr); }
