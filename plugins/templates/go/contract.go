// The contract portolan:routing@0.2.0 (wit/v0.2/routing.wit) in Go: types, and the canonical ABI of components. Not to be changed.
package main

import (
	"strings"
	"unsafe"
)

// Inputs are members of a request.
type Inputs uint16

const (
	Fields Inputs = 1 << iota
	Method
	CountryInput
	Location
	ASN
	Net
	Minute
	RoundTrips
	Load
)

// Vary is for Setup.Vary: the answer depends on these inputs and nothing else.
func Vary(inputs Inputs) *Inputs { return &inputs }

// Setup is what a plugin asks for, and the names of what it returns as numbers.
type Setup struct {
	Needs          Inputs
	Fields         []string
	Vary           *Inputs
	Reasons        []string
	Counters       []string
	RequestHeaders []string
}

// Point is a place in degrees north and east.
type Point struct{ Latitude, Longitude float32 }

// Health of a region.
type Health uint8

const (
	Unknown Health = iota
	Healthy
	Warming
	Unhealthy
	Draining
)

// Region is one region of the service.
type Region struct {
	Name          string
	Country       uint16
	Health        Health
	Location      *Point
	RoundTripUs   *uint32
	SharePermille uint32
	MaxRequests   *uint32
	Priority      uint32
	Weight        uint32
	Cost          *float32
	Tags          []string
}

// Snapshot is the regions of a service at one moment.
type Snapshot struct {
	Generation uint64
	Service    string
	Regions    []Region
}

// Estimate of one region for one request.
type Estimate struct{ RoundTripUs, InFlight uint32 }

// Request is one request. What Setup.Needs does not name is empty.
type Request struct {
	Method    uint8
	fields    string
	Eligible  []uint8
	Estimates []Estimate
	Country   uint16
	Location  *Point
	ASN       uint32
	Net       uint64
	Minute    uint32
	Roll      uint32
}

// Field is the value of a field by its position in Setup.Fields; empty when it is missing.
func (r Request) Field(position int) string {
	rest := r.fields
	for ; position > 0; position-- {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// Affinity of a request's session.
type Affinity uint8

const (
	Configured Affinity = iota
	Off
	On
)

// Header for the gateway: the position in Setup.RequestHeaders, and a value.
type Header struct {
	Header uint8
	Value  string
}

// Decision is the answer. The zero value is no opinion.
type Decision struct {
	Order    []uint8
	Only     bool
	Reject   uint16 // 0: the request is not rejected
	Affinity Affinity
	Headers  []Header
	Reason   uint16
}

// Level of a line of the log.
type Level uint32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

//go:wasmimport portolan:routing/host@0.2.0 log
func hostLog(level uint32, text unsafe.Pointer, length uint32)

//go:wasmimport portolan:routing/host@0.2.0 header
func hostHeader(name unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport portolan:routing/host@0.2.0 count
func hostCount(counter, delta uint32)

// Log writes a line to the proxy's log.
func Log(level Level, text string) {
	hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

// RequestHeader is a request header that Setup.Fields does not name.
func RequestHeader(name string) (string, bool) {
	var result struct {
		some     uint32
		ptr, len uint32
	}
	hostHeader(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(&result))
	if result.some&0xff == 0 {
		return "", false
	}
	return strings.Clone(text(result.ptr, result.len)), true
}

// Count adds to a counter by its position in Setup.Counters.
func Count(counter, delta uint32) { hostCount(counter, delta) }

// What the host hands over during a call, kept from the garbage collector until the call ends.
var room [][]uint64

//go:wasmexport cabi_realloc
func realloc(old, oldLength, alignment, length uint32) uint32 {
	block := make([]uint64, (length+7)/8+1)
	room = append(room, block)
	at := unsafe.Pointer(unsafe.SliceData(block))
	if old != 0 {
		copy(unsafe.Slice((*byte)(at), length), unsafe.Slice((*byte)(address(old)), min(oldLength, length)))
	}
	return uint32(uintptr(at))
}

func address(at uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

// text lies in the host's block: it is gone when the call ends.
func text(at, length uint32) string {
	if length == 0 {
		return ""
	}
	return unsafe.String((*byte)(address(at)), length)
}

func list[T any](at, length uint32) []T {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*T)(address(at)), length)
}

type words struct{ at, length uint32 }

func pointer[T any](value *T) uint32 { return uint32(uintptr(unsafe.Pointer(value))) }

func texts(values []string) words {
	out := make([]words, len(values))
	for i, value := range values {
		out[i] = words{pointer(unsafe.StringData(value)), uint32(len(value))}
	}
	return words{pointer(unsafe.SliceData(out)), uint32(len(out))}
}

type setupRecord struct {
	needs          uint16
	fields         words
	hasVary        uint8
	vary           uint16
	reasons        words
	counters       words
	requestHeaders words
}

// What the last call returned: the host reads it after the call.
var (
	setupResult struct {
		failed uint8
		setup  setupRecord
	}
	setupError struct {
		failed uint32
		text   words
	}
	kept     Setup
	keptText string
	answer   struct {
		order     words
		only      uint8
		hasReject uint8
		reject    uint16
		affinity  uint8
		headers   words
		reason    uint16
	}
	keptAnswer  Decision
	keptHeaders []struct {
		header uint8
		value  words
	}
)

//go:wasmexport portolan:routing/plugin@0.2.0#configure
func exportConfigure(at, length uint32) uint32 {
	defer func() { room = room[:0] }()
	setup, err := configure(strings.Clone(text(at, length)))
	if err != nil {
		keptText = err.Error()
		setupError.failed = 1
		setupError.text = words{pointer(unsafe.StringData(keptText)), uint32(len(keptText))}
		return pointer(&setupError)
	}
	kept = setup
	setupResult.setup = setupRecord{
		needs: uint16(kept.Needs), fields: texts(kept.Fields), reasons: texts(kept.Reasons),
		counters: texts(kept.Counters), requestHeaders: texts(kept.RequestHeaders),
	}
	if kept.Vary != nil {
		setupResult.setup.hasVary, setupResult.setup.vary = 1, uint16(*kept.Vary)
	}
	return pointer(&setupResult)
}

type optionPoint struct {
	some uint8
	Point
}

type option[T any] struct {
	some  uint8
	value T
}

func (o option[T]) get() *T {
	if o.some == 0 {
		return nil
	}
	return &o.value
}

type regionRecord struct {
	name          words
	country       uint16
	health        uint8
	location      optionPoint
	roundTrip     option[uint32]
	sharePermille uint32
	maxRequests   option[uint32]
	priority      uint32
	weight        uint32
	cost          option[float32]
	tags          words
}

//go:wasmexport portolan:routing/plugin@0.2.0#update
func exportUpdate(generation uint64, service, serviceLength, regions, length uint32) {
	defer func() { room = room[:0] }()
	snapshot := Snapshot{Generation: generation, Service: strings.Clone(text(service, serviceLength))}
	for _, r := range list[regionRecord](regions, length) {
		region := Region{
			Name: strings.Clone(text(r.name.at, r.name.length)), Country: r.country, Health: Health(r.health),
			RoundTripUs: r.roundTrip.get(), SharePermille: r.sharePermille, MaxRequests: r.maxRequests.get(),
			Priority: r.priority, Weight: r.weight, Cost: r.cost.get(),
		}
		if r.location.some != 0 {
			region.Location = &Point{r.location.Latitude, r.location.Longitude}
		}
		for _, tag := range list[words](r.tags.at, r.tags.length) {
			region.Tags = append(region.Tags, strings.Clone(text(tag.at, tag.length)))
		}
		snapshot.Regions = append(snapshot.Regions, region)
	}
	update(snapshot)
}

//go:wasmexport portolan:routing/plugin@0.2.0#route
func exportRoute(method, fields, fieldsLength, eligible, eligibleLength, hasEstimates, estimates, estimatesLength,
	country, hasLocation uint32, latitude, longitude float32, asn uint32, net uint64, minute, roll uint32) uint32 {
	defer func() { room = room[:0] }()
	request := Request{
		Method: uint8(method), fields: text(fields, fieldsLength), Eligible: list[uint8](eligible, eligibleLength),
		Country: uint16(country), ASN: asn, Net: net, Minute: minute, Roll: roll,
	}
	if hasEstimates != 0 {
		request.Estimates = list[Estimate](estimates, estimatesLength)
	}
	if hasLocation != 0 {
		request.Location = &Point{latitude, longitude}
	}
	keptAnswer = route(request)
	answer.order = words{pointer(unsafe.SliceData(keptAnswer.Order)), uint32(len(keptAnswer.Order))}
	answer.only = flag(keptAnswer.Only)
	answer.hasReject, answer.reject = flag(keptAnswer.Reject != 0), keptAnswer.Reject
	answer.affinity, answer.reason = uint8(keptAnswer.Affinity), keptAnswer.Reason
	keptHeaders = keptHeaders[:0]
	for _, header := range keptAnswer.Headers {
		value := words{pointer(unsafe.StringData(header.Value)), uint32(len(header.Value))}
		keptHeaders = append(keptHeaders, struct {
			header uint8
			value  words
		}{header.Header, value})
	}
	answer.headers = words{pointer(unsafe.SliceData(keptHeaders)), uint32(len(keptHeaders))}
	return pointer(&answer)
}

func flag(value bool) uint8 {
	if value {
		return 1
	}
	return 0
}
