// Requests with the header `x-canary: always` go to one region first.
// Configuration: { "region": "eastus2" }.
import { Decision, INPUT_FIELDS, Region, Request, Setup, count, jsonText } from "./portolan";

const CANARY: u16 = 1; // the first of `reasons`
const REGION_MISSING: u32 = 0; // the first of `counters`

let name = ""; // as configured
let index = -1; // its position among the regions of the service

/** Returns null, or what is wrong with the configuration. */
export function configure(config: string, setup: Setup): string | null {
  name = jsonText(config, "region");
  if (name.length == 0) return "region is missing: the region of the canary";
  setup.needs = INPUT_FIELDS;
  setup.fields = ["x-canary"];
  // The answer depends on the header alone, so that the proxy may cache it.
  setup.vary = INPUT_FIELDS;
  setup.reasons = ["canary"];
  setup.counters = ["region-missing"];
  return null;
}

export function update(generation: u64, service: string, regions: Region[]): void {
  index = -1;
  for (let i = 0; i < regions.length; i++) {
    if (regions[i].name == name) index = i;
  }
}

export function route(request: Request, decision: Decision): void {
  if (request.field(0) != "always") return;
  if (index < 0) {
    count(REGION_MISSING, 1);
    return;
  }
  if (!request.isEligible(<u8>index)) return;
  decision.order.push(<u8>index);
  decision.reason = CANARY;
}
