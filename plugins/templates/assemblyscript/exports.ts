// The canonical ABI of components for portolan.ts. `portolan plugin build` gives `configure_`, `update_` and `route_` the names of
// the contract. Not to be changed.
import { configure, update, route } from "./plugin";
import { Affinity, Decision, Level, Region, Request, Setup, drop, log, take } from "./portolan";

// What the host hands over is freed by `take` and `drop`.
export function cabi_realloc(old: usize, oldLength: u32, alignment: u32, length: u32): usize {
  return old ? heap.realloc(old, length) : heap.alloc(length);
}

// What is returned is read after the call, so it is kept until the next one.
const result = new StaticArray<u32>(11);
const answer = new StaticArray<u32>(7);
const kept: StaticArray<u32>[] = [];
let keptSetup = new Setup();
let keptError = "";
const decision = new Decision();
const request = new Request();
let keptHeaders = new StaticArray<u32>(0);
let calls = 0;

function texts(list: string[]): u32 {
  const words = new StaticArray<u32>(list.length * 2);
  for (let i = 0; i < list.length; i++) {
    words[2 * i] = <u32>changetype<usize>(list[i]);
    words[2 * i + 1] = list[i].length;
  }
  kept.push(words);
  return <u32>changetype<usize>(words);
}

export function configure_(ptr: usize, length: u32): usize {
  const setup = new Setup();
  const error = configure(take(ptr, length), setup);
  result.fill(0);
  if (error !== null) {
    keptError = error;
    result[0] = 1;
    result[1] = <u32>changetype<usize>(error);
    result[2] = error.length;
    return changetype<usize>(result);
  }
  keptSetup = setup;
  result[1] = setup.needs;
  result[2] = texts(setup.fields);
  result[3] = setup.fields.length;
  result[4] = setup.vary < 0 ? 0 : 1 | (setup.vary << 16);
  result[5] = texts(setup.reasons);
  result[6] = setup.reasons.length;
  result[7] = texts(setup.counters);
  result[8] = setup.counters.length;
  result[9] = texts(setup.requestHeaders);
  result[10] = setup.requestHeaders.length;
  return changetype<usize>(result);
}

export function update_(generation: u64, service: usize, serviceLength: u32, regions: usize, length: u32): void {
  const serviceName = take(service, serviceLength);
  const list: Region[] = [];
  for (let i: u32 = 0; i < length; i++) {
    const at = regions + i * 68, region = new Region();
    region.name = take(load<usize>(at), load<u32>(at, 4));
    region.country = load<u16>(at, 8);
    region.health = load<u8>(at, 10);
    if (load<u8>(at, 12)) {
      region.latitude = load<f32>(at, 16);
      region.longitude = load<f32>(at, 20);
    }
    if (load<u8>(at, 24)) region.roundTripUs = load<u32>(at, 28);
    region.sharePermille = load<u32>(at, 32);
    if (load<u8>(at, 36)) region.maxRequests = load<u32>(at, 40);
    region.priority = load<u32>(at, 44);
    region.weight = load<u32>(at, 48);
    if (load<u8>(at, 52)) region.cost = load<f32>(at, 56);
    const tags = load<usize>(at, 60), tagCount = load<u32>(at, 64);
    for (let t: u32 = 0; t < tagCount; t++) region.tags.push(take(load<usize>(tags + t * 8), load<u32>(tags + t * 8, 4)));
    drop(tags, tagCount);
    list.push(region);
  }
  drop(regions, length);
  update(generation, serviceName, list);
}

export function route_(
  method: u32, fields: usize, fieldsLength: u32, eligible: usize, eligibleLength: u32, hasEstimates: u32, estimates: usize,
  estimatesLength: u32, country: u32, hasLocation: u32, latitude: f32, longitude: f32, asn: u32, net: u64, minute: u32, roll: u32,
): usize {
  // Nothing is on the stack yet that the collector could miss.
  if (++calls % 64 == 0) __collect();
  request.method = method;
  request.fields = take(fields, fieldsLength);
  request.eligiblePtr = eligible;
  request.eligibleCount = eligibleLength;
  request.estimatesPtr = hasEstimates ? estimates : 0;
  request.country = <u16>country;
  request.latitude = hasLocation ? latitude : <f32>NaN;
  request.longitude = hasLocation ? longitude : <f32>NaN;
  request.asn = asn;
  request.net = net;
  request.minute = minute;
  request.roll = roll;
  decision.order.length = 0;
  decision.only = false;
  decision.reject = 0;
  decision.affinity = Affinity.configured;
  decision.headers.length = 0;
  decision.headerValues.length = 0;
  decision.reason = 0;
  route(request, decision);
  drop(eligible, eligibleLength);
  if (hasEstimates) drop(estimates, estimatesLength);
  const at = changetype<usize>(answer), count = decision.headers.length;
  if (keptHeaders.length < count * 3) keptHeaders = new StaticArray<u32>(count * 3);
  for (let i = 0; i < count; i++) {
    keptHeaders[3 * i] = decision.headers[i];
    keptHeaders[3 * i + 1] = <u32>changetype<usize>(decision.headerValues[i]);
    keptHeaders[3 * i + 2] = decision.headerValues[i].length;
  }
  store<u32>(at, <u32>decision.order.dataStart);
  store<u32>(at, decision.order.length, 4);
  store<u8>(at, decision.only, 8);
  store<u8>(at, decision.reject != 0, 10);
  store<u16>(at, decision.reject, 12);
  store<u8>(at, decision.affinity, 14);
  store<u32>(at, <u32>changetype<usize>(keptHeaders), 16);
  store<u32>(at, count, 20);
  store<u16>(at, decision.reason, 24);
  return at;
}

// The message of an exception, in the proxy's log, before the trap.
export function onAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  log(Level.error, (message ? message : "aborted") + " at line " + line.toString());
  unreachable();
}
