// Requests with the header `x-canary: always` go to one region first.
// Configuration: { "region": "eastus2" }.
package main

import (
	"encoding/json"
	"errors"
	"slices"
)

const (
	canary        = 1 // the first of Reasons
	regionMissing = 0 // the first of Counters
)

var (
	region string // as configured
	index  = -1   // its position among the regions of the service
)

func configure(config string) (Setup, error) {
	var settings struct{ Region string }
	if err := json.Unmarshal([]byte(config), &settings); err != nil {
		return Setup{}, err
	}
	if settings.Region == "" {
		return Setup{}, errors.New("region is missing: the region of the canary")
	}
	region = settings.Region
	return Setup{
		Needs:  Fields,
		Fields: []string{"x-canary"},
		// The answer depends on the header alone, so that the proxy may cache it.
		Vary:     Vary(Fields),
		Reasons:  []string{"canary"},
		Counters: []string{"region-missing"},
	}, nil
}

func update(snapshot Snapshot) {
	index = slices.IndexFunc(snapshot.Regions, func(r Region) bool { return r.Name == region })
}

func route(request Request) Decision {
	if request.Field(0) != "always" {
		return Decision{}
	}
	if index < 0 {
		Count(regionMissing, 1)
		return Decision{}
	}
	if !slices.Contains(request.Eligible, uint8(index)) {
		return Decision{}
	}
	return Decision{Order: []uint8{uint8(index)}, Reason: canary}
}

func main() {}
