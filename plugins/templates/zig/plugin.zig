//! Requests with the header `x-canary: always` go to one region first.
//! Configuration: { "region": "eastus2" }.
const std = @import("std");
const portolan = @import("portolan.zig");

const canary = 1; // the first of `reasons`
const region_missing = 0; // the first of `counters`

var name_bytes: [64]u8 = undefined;
var name: []const u8 = ""; // as configured
var index: ?u8 = null; // its position among the regions of the service
var first: [1]u8 = undefined;

/// Returns null, or what is wrong with the configuration.
pub fn configure(config: []const u8, setup: *portolan.Setup) ?[]const u8 {
    var room: [4096]u8 = undefined;
    var allocator = std.heap.FixedBufferAllocator.init(&room);
    const settings = std.json.parseFromSliceLeaky(struct { region: []const u8 }, allocator.allocator(), config, .{}) catch
        return "region is missing, or there is something else: the configuration is the region of the canary";
    if (settings.region.len > name_bytes.len) return "region is longer than 64 bytes";
    @memcpy(name_bytes[0..settings.region.len], settings.region);
    name = name_bytes[0..settings.region.len];
    setup.* = .{
        .needs = portolan.Inputs.fields,
        .fields = portolan.texts(&.{"x-canary"}),
        // The answer depends on the header alone, so that the proxy may cache it.
        .vary = .{ .some = true, .value = portolan.Inputs.fields },
        .reasons = portolan.texts(&.{"canary"}),
        .counters = portolan.texts(&.{"region-missing"}),
    };
    return null;
}

pub fn update(snapshot: portolan.Snapshot) void {
    index = null;
    for (snapshot.regions, 0..) |region, i| {
        if (std.mem.eql(u8, region.name.slice(), name)) index = @intCast(i);
    }
}

pub fn route(request: portolan.Request) portolan.Decision {
    if (!std.mem.eql(u8, request.field(0), "always")) return .{};
    const region = index orelse {
        portolan.host.addTo(region_missing, 1);
        return .{};
    };
    if (std.mem.indexOfScalar(u8, request.eligible, region) == null) return .{};
    first[0] = region;
    return .{ .order = .of(&first), .reason = canary };
}
