// Requests with the header `x-canary: always` go to one region first.
// Configuration: { "region": "eastus2" }.
import { count } from 'portolan:routing/host@0.2.0';

const CANARY = 1; // the first of `reasons`
const REGION_MISSING = 0; // the first of `counters`

let region; // as configured
let index = -1; // its position among the regions of the service

const noOpinion = () => ({
  order: [],
  only: false,
  reject: undefined,
  affinity: 'configured',
  headers: [],
  reason: 0,
});

export const plugin = {
  configure(config) {
    region = JSON.parse(config).region;
    if (typeof region !== 'string') throw 'region is missing: the region of the canary';
    return {
      needs: { fields: true },
      fields: ['x-canary'],
      // The answer depends on the header alone, so that the proxy may cache it.
      vary: { fields: true },
      reasons: ['canary'],
      counters: ['region-missing'],
      requestHeaders: [],
    };
  },

  update(snapshot) {
    index = snapshot.regions.findIndex(({ name }) => name === region);
  },

  route(request) {
    const decision = noOpinion();
    if (request.fields !== 'always') return decision;
    if (index < 0) count(REGION_MISSING, 1);
    else if (request.eligible.includes(index)) {
      decision.order = [index];
      decision.reason = CANARY;
    }
    return decision;
  },
};
